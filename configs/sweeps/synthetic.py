"""All methods on the embedded data, in the setting of docs/results/setting.md.

python scripts/sweep.py --config=configs/sweeps/synthetic.py --out=runs/sweep --workers=2
"""

import ml_collections

_INFORMATIVE = 0.0024  # one region an image and round, the fewest there are
_PAPER = (0.05, 0.1, 0.2)


def get_config() -> ml_collections.ConfigDict:
    """Every field of a sweep.

    An arm is a name and the fields that it changes in the experiment's config. Arms that acquire
    are run with every budget, or with those of their own under "budgets"; the others once a seed.
    """
    # Dicts stay dicts: names with dots are no fields of a ConfigDict.
    sweep = ml_collections.ConfigDict(convert_dict=False)
    sweep.config = "configs/synthetic.py"  # the experiment
    sweep.seeds = (0, 1, 2, 3)
    sweep.budgets = (_INFORMATIVE, *_PAPER)  # fractions of the target's pixels
    sweep.baseline = "ripu"  # the arm that the others are compared with, seed by seed
    sweep.common = {  # fields that all runs change
        "training.steps": 1700,
        "training.schedule_steps": 1700,
        "acquisition.rounds": (1000, 1080, 1160, 1240, 1320),
        "data.source_batch": 2,
        "evaluation.every": 1690,  # once on the validation split, just before the end
        "checkpoint.every": 850,
        "report.gallery": 0,
    }
    sweep.arms = _arms()
    return sweep


def _arms() -> dict[str, dict[str, object]]:
    weighted = {"method": "cb", "acquisition.class_balance": "inverse_power"}
    once = {"budgets": (_INFORMATIVE,)}
    exhausted = {"method": "ripu", "budgets": (0.2,)}
    return {
        "source_only": {"method": "source_only"},
        "random_pixels": {"method": "random_pixels", **once},
        "random_regions": {"method": "random_regions"},
        "entropy": {"method": "entropy", **once},
        "ripu": {"method": "ripu"},
        # The two halves of CBDA, and the whole of it.
        "cb": {"method": "cb", **once},
        "da": {"method": "da"},
        "cbda_plain": {"method": "cbda_plain"},
        "cbda_quota": {"method": "cbda_quota", **once},
        # Schemes of class weights; median_frequency ranks as inverse_power does.
        "cb_inverse_power": {**weighted, **once},
        **{
            f"cb_{scheme}": {"method": "cb", "acquisition.class_balance": scheme, **once}
            for scheme in ("inverse_log", "effective_number")
        },
        # The same weights, by better knowledge of the class; the first one is a diagnostic.
        "cb_oracle": {**weighted, "acquisition.class_evidence": "true", **once},
        "cb_expected": {**weighted, "acquisition.class_evidence": "expected", **once},
        "cb_corrected": {
            **weighted,
            "acquisition.class_evidence": "corrected",
            "budgets": (_INFORMATIVE, 0.05),
        },
        "cb_clipped": {**weighted, "acquisition.weight_ratio": 10.0, **once},
        "cb_late": {**weighted, "acquisition.balance_from": 3, **once},
        "quota_corrected": {
            "method": "cbda_quota",
            "acquisition.class_evidence": "corrected",
            **once,
        },
        # One budget for all images, with a limit for each.
        "da_capped": {"method": "da", "acquisition.image_cap": 3.0, **once},
        "cbda_corrected": {
            "method": "cbda_plain",
            "acquisition.class_balance": "inverse_power",
            "acquisition.class_evidence": "corrected",
            "acquisition.image_cap": 2.0,
            "budgets": (_INFORMATIVE, 0.05),
        },
        "cbda_predicted": {"method": "cbda_predicted"},
        "cbda": {"method": "cbda"},
        # What is asked once the boundaries are used up.
        "ripu_clamped": {**exhausted, "acquisition.clamp_impurity": True},
        "ripu_floor": {**exhausted, "acquisition.impurity_floor": 0.05},
        "ripu_random_ties": {**exhausted, "acquisition.ties": "random"},
        "ripu_balanced_ties": {**exhausted, "acquisition.ties": "class_balanced"},
        "full_supervision": {"method": "full_supervision"},
    }
