"""SYNTHIA -> Cityscapes, 16 classes (13 also reported), with the settings of RIPU and CBDA.

As `configs/gta2city.py`, with DIR/synthia as the source. Published by RIPU with 5 % of the pixels:
71.4 mIoU over 16 classes (DeepLab-v3+).

    python -m cbda_jax.main --config=configs/synthia2city.py:method=cbda,budget=0.05
"""

import ml_collections

from cbda_jax.config import files as config_files


def get_config(argument: str | None = None) -> ml_collections.ConfigDict:
    config = config_files.load(f"configs/gta2city.py:{argument or ''}")
    config.num_classes = 16
    config.data.source = "synthia"
    config.data.source_size = (760, 1280)
    return config
