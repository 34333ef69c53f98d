"""The arms of interest on the embedded data, with a network that starts from ImageNet weights.

python scripts/sweep.py --config=configs/sweeps/synthetic_pretrained.py --out=runs/pretrained \
    --workers=2

The README says where to get the weights, efficientnet_lite0-imagenet.safetensors.
"""

import ml_collections

from cbda_jax.config import files as config_files

_ARMS = (
    "source_only",
    "random_pixels",
    "random_regions",
    "ripu",
    "cbda_plain",
    "cbda_predicted",
    "cbda",
    "cb_late",
    "cb_oracle",
    "ripu_balanced_ties",
    "full_supervision",
)


def get_config() -> ml_collections.ConfigDict:
    """Steps, rounds and batches of configs/sweeps/synthetic.py, which says what the fields mean."""
    sweep = config_files.load("configs/sweeps/synthetic.py")
    sweep.config = "configs/synthetic.py:network=deeplabv3plus_efficientnet_lite0"
    sweep.arms = {name: sweep.arms[name] for name in _ARMS}
    # Where cbda gains most: what of it is due to the weights?
    sweep.arms["cb_late"]["budgets"] = (0.0024, 0.05)
    return sweep
