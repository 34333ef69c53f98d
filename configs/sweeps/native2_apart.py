"""What configs/sweeps/native2.py led to, on seeds that had no part in it: test split, seeds 3-7.

python scripts/sweep.py --config=configs/sweeps/native2_apart.py --out=runs/native2_apart \
    --workers=2 --arms=ripu,cbda,full_supervision
"""

import ml_collections

from cbda_jax.config import files as config_files
from cbda_jax.sweep import apart


def get_config() -> ml_collections.ConfigDict:
    """Arms, budgets and steps of configs/sweeps/native2.py; --arms says which of them."""
    return apart(config_files.load("configs/sweeps/native2.py"))
