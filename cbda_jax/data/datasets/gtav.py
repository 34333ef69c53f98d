"""GTAV: 24,966 labelled frames of a game (Richter et al., "Playing for Data", ECCV 2016)."""

from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS
from cbda_jax.data.declaration import Declaration, Split
from cbda_jax.label_space import CITYSCAPES_19

GTAV = Declaration(
    "gtav",
    CITYSCAPES_19,
    LABEL_IDS,
    {"train": Split("images/**/{id}.png", "labels/**/{id}.png")},
    size=(720, 1280),
    native_labels=False,
    # 62 of the 24,966 published pairs. As in RIPU, their labels are stretched over the images.
    mismatches=frozenset(f"{number:05d}" for number in (15188, 17705, *range(20801, 20861))),
    about="GTAV as a source: images and labels at training size, one split.",
)
"""`images/*.png` and `labels/*.png`, or 01_images.zip, 01_labels.zip and so on."""
