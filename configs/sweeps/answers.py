"""What one key a region loses, and what mistakes do: at the same number of answers.

python scripts/sweep.py --config=configs/sweeps/answers.py --out=runs/answers --workers=2

An answer is one key of a person. Exact answers to a region of 3 x 3 pixels are nine keys; one that
is answered as a whole, by its centre or its majority, is one. 45 answers an image in five rounds
are one region answered exactly, or nine that are answered by one key, or nine pixels, a round.
"""

import ml_collections

from cbda_jax.config import files as config_files


def get_config() -> ml_collections.ConfigDict:
    """Steps, rounds and batches of configs/sweeps/synthetic.py, which says what the fields mean."""
    sweep = config_files.load("configs/sweeps/synthetic.py")
    sweep.seeds = (0, 1, 2)
    sweep.budgets = (45,)
    sweep.common["acquisition.budget_in"] = "answers_per_image"
    regions = {
        f"{method}_{oracle}": {"method": method, "annotation.oracle": oracle}
        for method in ("ripu", "cbda_predicted", "cbda")
        for oracle in ("exact", "centre", "majority")
    }
    # The 32 pixels by which its picks are apart are of images ten times as large.
    pixel = {"method": "ripu_pixel", "acquisition.radius": 3}
    pixels = {
        f"{name}_{oracle}": {**fields, "annotation.oracle": oracle}
        for name, fields in (("ripu_pixel", pixel), ("pixelpick", {"method": "pixelpick"}))
        for oracle in ("exact", "noisy")
    }
    sweep.arms = {**regions, **pixels, "full_supervision": {"method": "full_supervision"}}
    sweep.baseline = "ripu_exact"
    return sweep
