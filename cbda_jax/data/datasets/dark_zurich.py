"""Dark Zurich: Zurich at night, at twilight and by day (Sakaridis et al., ICCV 2019)."""

from cbda_jax.data.datasets.cityscapes_ids import TRAIN_IDS
from cbda_jax.data.declaration import Declaration, Split
from cbda_jax.label_space import CITYSCAPES_19


def _split(folder: str, *, labelled: bool = False) -> Split:
    return Split(
        f"rgb_anon/{folder}/{{sequence}}/{{id}}_rgb_anon.png",
        f"gt/{folder}/{{sequence}}/{{id}}_gt_labelTrainIds.png" if labelled else None,
    )


DARK_ZURICH = Declaration(
    "dark_zurich",
    CITYSCAPES_19,
    TRAIN_IDS,
    {
        "train": _split("train/night"),
        "train_twilight": _split("train/twilight"),
        "train_day": _split("train/day"),
        "val": _split("val/night", labelled=True),
        "test": _split("test/night"),
    },
    size=(720, 1280),
    parents=(
        "",
        "Dark_Zurich_train_anon",
        "Dark_Zurich_val_anon",
        "Dark_Zurich_test_anon_withoutGt",
    ),
    about="Dark Zurich, 1920 x 1080: 2,416 images at night, none labelled; 50 labelled in val.",
)
"""rgb_anon/ and gt/, or Dark_Zurich_train_anon.zip and so on, extracted or not."""
