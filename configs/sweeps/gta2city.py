"""The table of the CBDA paper: GTAV to Cityscapes, its budgets, with three seeds.

python scripts/sweep.py --config=configs/sweeps/gta2city.py --out=runs/gta2city-sweep \
    --devices=0,1,2,3 --common=data.root=DIR --common=pretrained=resnet101-imagenet.safetensors
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """See configs/sweeps/synthetic.py for what the fields mean."""
    sweep = ml_collections.ConfigDict(convert_dict=False)
    sweep.config = "configs/gta2city.py"  # or with ":network=segformer_b4" behind it
    sweep.seeds = (0, 1, 2)
    sweep.budgets = (0.05, 0.1, 0.2)
    sweep.baseline = "ripu"
    sweep.common = {}
    sweep.arms = {
        name: {"method": name}
        for name in (
            *("source_only", "random_regions", "ripu", "cb", "da", "cbda_plain"),
            *("cbda_predicted", "cbda", "full_supervision"),
        )
    }
    return sweep
