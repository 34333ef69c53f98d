"""GTAV -> Cityscapes with the settings of RIPU and CBDA: DeepLab-v3+, ResNet-101, 40,000 steps.

Put the data sets into `--config.data.root=DIR` (DIR/gtav, DIR/cityscapes) and name the ImageNet
weights with `pretrained=FILE`; the README says where to get both. One accelerator with 24 GB or
more.
Published by RIPU with 5 % of the pixels: 71.2 mIoU (DeepLab-v3+).

    python -m cbda_jax.main --config=configs/gta2city.py:method=cbda,budget=0.05

`network=segformer_b4` (b0 to b5) comes with the optimizer and schedule that SegFormer is trained
with (Xie et al., NeurIPS 2021): AdamW, 6e-5, linear decay after a warm-up. Name the network there,
before the other flags: `--config.network=` alone would keep the settings of DeepLab.
"""

import ml_collections

from cbda_jax.config import apply_argument, base


def get_config(argument: str | None = None) -> ml_collections.ConfigDict:
    config = base()
    config.network = "deeplabv3plus_resnet101"
    config.pretrained = "resnet101-imagenet.safetensors"
    config.data.source = "gtav"
    config.data.source_size = (720, 1280)
    config.data.target = "cityscapes/train"
    config.data.val = "cityscapes/val"
    config.data.test = "cityscapes/val"
    config.data.target_size = (640, 1280)
    config.data.source_batch = 2
    config.data.target_batch = 2
    config.data.threads = 8
    config.training.steps = 40_000
    config.training.schedule_steps = 62_500
    config.acquisition.rounds = (10_000, 12_000, 14_000, 16_000, 18_000)
    config.evaluation.every = 2_000
    config.checkpoint.every = 1_000
    config.report.log_every = 20
    apply_argument(config, argument, _segformer)
    return config


def _segformer(config: ml_collections.ConfigDict) -> None:
    if not config.network.startswith("segformer_"):
        return
    config.pretrained = f"mit_{config.network.removeprefix('segformer_')}-imagenet.safetensors"
    config.training.optimizer = "adamw"
    config.training.learning_rate = 6e-5
    config.training.head_multiplier = 10.0
    config.training.momentum = 0.9
    config.training.weight_decay = 0.01
    config.training.schedule_steps = 40_000
    config.training.schedule_power = 1.0
    config.training.warmup = 1_500
