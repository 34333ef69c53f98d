"""ACDC: 4,006 street scenes in fog, at night, in rain and snow (Sakaridis et al., ICCV 2021)."""

from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS
from cbda_jax.data.declaration import Declaration, Split
from cbda_jax.label_space import CITYSCAPES_19


def _split(name: str, *, labelled: bool = True) -> Split:
    # The same places in good weather are in folders of their own, such as train_ref.
    return Split(
        f"rgb_anon/{{condition}}/{name}/{{sequence}}/{{id}}_rgb_anon.png",
        f"gt/{{condition}}/{name}/{{sequence}}/{{id}}_gt_labelIds.png" if labelled else None,
    )


ACDC = Declaration(
    "acdc",
    CITYSCAPES_19,
    LABEL_IDS,
    {"train": _split("train"), "val": _split("val"), "test": _split("test", labelled=False)},
    size=(720, 1280),
    parents=("", "rgb_anon_trainvaltest", "gt_trainval"),
    about="ACDC: all four conditions, 1920 x 1080; ids such as fog/GOPR0475/GOPR0475_frame_000041.",
)
"""rgb_anon/ and gt/, or rgb_anon_trainvaltest.zip and gt_trainval.zip."""
