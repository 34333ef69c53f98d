"""CamVid, from drawn scenes: no labels, 100 pixels an image, 5 % and all of them.

python scripts/sweep.py --config=configs/sweeps/camvid_budgets.py --out=runs/camvid --workers=2 \
    --common=data.root=DIR
"""

import ml_collections

PIXELS_100 = 100 / (360 * 480)


def get_config() -> ml_collections.ConfigDict:
    """See configs/sweeps/synthetic.py for what the fields mean."""
    sweep = ml_collections.ConfigDict(convert_dict=False)
    sweep.config = "configs/camvid.py"
    sweep.seeds = (0, 1, 2)
    sweep.budgets = (PIXELS_100, 0.05)
    sweep.baseline = "ripu"
    sweep.common = {}
    sweep.arms = {
        name: {"method": name}
        for name in (
            *("source_only", "random_pixels", "pixelpick", "ripu_pixel", "ripu"),
            *("cbda_predicted", "cbda"),
            "full_supervision",
        )
    }
    # Its picks are 32 pixels apart: no more than 165 an image.
    sweep.arms["ripu_pixel"]["budgets"] = (PIXELS_100,)
    return sweep
