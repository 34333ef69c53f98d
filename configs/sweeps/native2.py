"""Embedded scenes at twice the network's size, to choose by: validation split, seeds 0-2.

The second setting beside configs/sweeps/native.py, in the same steps and rounds: a region is 2.25
pixels of the training's, 3.5 in the paper, 0.56 in the other one (docs/results/setting.md).

python scripts/sweep.py --config=configs/sweeps/native2.py --out=runs/native2 --workers=2

What was chosen is run on other seeds and the test split: configs/sweeps/native2_apart.py.
"""

import ml_collections

from cbda_jax.config import files as config_files


def get_config() -> ml_collections.ConfigDict:
    """Arms, budgets and steps of configs/sweeps/native.py."""
    sweep = config_files.load("configs/sweeps/native.py")
    sweep.common["data.synthetic_city.native"] = 2
    return sweep
