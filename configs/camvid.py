"""Drawn scenes -> CamVid: photographs of Cambridge, 11 classes, on two CPU cores.

Put the images and labels of the SegNet tutorial into DIR/camvid (train, trainannot, val, valannot,
test, testannot; PNG or JPEG), and have ImageNet weights converted; docs/guide/own_data.md walks
through it as the example of data of one's own.

    python -m cbda_jax.main --config=configs/camvid.py:method=cbda --config.data.root=DIR
"""

import ml_collections

from cbda_jax.config import apply_argument, base
from cbda_jax.data.datasets.camvid import OF_CITYSCAPES


def get_config(argument: str | None = None) -> ml_collections.ConfigDict:
    config = base()
    config.label_space = "camvid"
    config.data.target = "camvid/train"
    config.data.val = "camvid/val"
    config.data.test = "camvid/test"
    config.data.target_size = (180, 240)
    # Drawn as wide as CamVid is.
    config.data.source_size = (180, 240)
    config.data.source_mapping = OF_CITYSCAPES
    config.data.source_batch = 2
    config.data.flip = True
    # Only the source is trained on; the other splits are not opened.
    for split in ("target_train", "target_val", "target_test"):
        config.data.synthetic_city[split] = 1
    config.network = "deeplabv3plus_efficientnet_lite0"
    config.pretrained = "efficientnet_lite0-imagenet.safetensors"
    config.training.optimizer = "adamw"
    config.training.learning_rate = 5e-4
    config.training.weight_decay = 1e-2
    config.training.warmup = 20
    config.acquisition.rounds = (250, 330, 410, 490, 570)
    config.evaluation.every = 990
    config.acquisition.batch_per_device = 4
    config.evaluation.batch_per_device = 4
    apply_argument(config, argument)
    return config
