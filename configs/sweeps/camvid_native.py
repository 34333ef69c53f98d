"""CamVid asked about at 360 x 480, seen at 180 x 240, to choose by: validation split, seeds 0-2.

python scripts/sweep.py --config=configs/sweeps/camvid_native.py --out=runs/camvid_native \
    --workers=2 --common=data.root=DIR

What was chosen is run on other seeds and the test split: configs/sweeps/camvid_native_apart.py.
"""

import ml_collections

from cbda_jax.config import files as config_files

PIXELS_100 = 100 / (360 * 480)


def get_config() -> ml_collections.ConfigDict:
    """The arms of configs/sweeps/native.py; see configs/sweeps/synthetic.py for the fields."""
    sweep = config_files.load("configs/sweeps/native.py")
    sweep.config = "configs/camvid.py"
    sweep.budgets = (PIXELS_100, 0.05, 0.2)
    sweep.common = {
        # The test split is not looked at while anything is chosen.
        "data.test": "camvid/val",
        "evaluation.every": 0,
        "report.gallery": 0,
    }
    return sweep
