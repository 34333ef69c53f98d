"""The embedded data: procedural street scenes, two domains, 19 classes, 96 x 192 pixels.

Needs no download. Minutes on two CPU cores; the README has the figures it reaches and their
command.

    python -m cbda_jax.main --config=configs/synthetic.py:method=cbda,budget=0.05

`network=deeplabv3plus_efficientnet_lite0` starts from ImageNet weights (the README says where to
get them), learns much more in as many steps, and takes four times as long a step. Name the network
there, before the other flags: `--config.network=` alone would keep the settings of the small U-Net.
"""

import ml_collections

from cbda_jax.config import apply_argument, base


def get_config(argument: str | None = None) -> ml_collections.ConfigDict:
    config = base()
    config.data.flip = True
    config.training.optimizer = "adamw"
    config.training.learning_rate = 5e-3
    config.training.head_multiplier = 1.0
    config.training.weight_decay = 1e-2
    config.training.warmup = 20
    config.acquisition.batch_per_device = 4
    config.evaluation.batch_per_device = 4
    apply_argument(config, argument, _efficientnet)
    return config


def _efficientnet(config: ml_collections.ConfigDict) -> None:
    if config.network == "deeplabv3plus_efficientnet_lite0":
        config.pretrained = "efficientnet_lite0-imagenet.safetensors"
        config.training.learning_rate = 5e-4
        config.training.head_multiplier = 10.0
