"""What configs/sweeps/camvid_native.py led to, on seeds apart: test split, seeds 3-7.

python scripts/sweep.py --config=configs/sweeps/camvid_native_apart.py \
    --out=runs/camvid_native_apart --workers=2 --common=data.root=DIR \
    --arms=ripu,cbda,full_supervision
"""

import ml_collections

from cbda_jax.config import files as config_files
from cbda_jax.sweep import apart


def get_config() -> ml_collections.ConfigDict:
    """Arms and budgets of configs/sweeps/camvid_native.py; --arms says which of them."""
    return apart(config_files.load("configs/sweeps/camvid_native.py"))
