"""Cityscapes: 5,000 finely labelled street scenes of 50 cities (Cordts et al., CVPR 2016)."""

from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS
from cbda_jax.data.declaration import Declaration, Split
from cbda_jax.label_space import CITYSCAPES_19


def _split(name: str, *, labelled: bool = True) -> Split:
    return Split(
        f"leftImg8bit/{name}/**/{{id}}_leftImg8bit.png",
        f"gtFine/{name}/**/{{id}}_gtFine_labelIds.png" if labelled else None,
    )


CITYSCAPES = Declaration(
    "cityscapes",
    CITYSCAPES_19,
    LABEL_IDS,
    # The labels that are published of "test" are empty.
    {"train": _split("train"), "val": _split("val"), "test": _split("test", labelled=False)},
    size=(640, 1280),
    about="Cityscapes as a target: images at training size, labels at their own.",
)
"""leftImg8bit/ and gtFine/, or leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip."""
