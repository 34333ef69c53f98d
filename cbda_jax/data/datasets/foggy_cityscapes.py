"""Foggy Cityscapes: Cityscapes with simulated fog (Sakaridis et al., IJCV 2018)."""

from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS
from cbda_jax.data.declaration import Declaration, Split
from cbda_jax.label_space import CITYSCAPES_19


def _split(name: str, *, labelled: bool = True) -> Split:
    return Split(
        f"leftImg8bit_foggy/{name}/**/{{id}}_leftImg8bit_foggy_beta_0.02.png",
        f"gtFine/{name}/**/{{id}}_gtFine_labelIds.png" if labelled else None,
    )


FOGGY_CITYSCAPES = Declaration(
    "foggy_cityscapes",
    CITYSCAPES_19,
    LABEL_IDS,
    # The labels that are published of "test" are empty.
    {"train": _split("train"), "val": _split("val"), "test": _split("test", labelled=False)},
    size=(640, 1280),
    about="Foggy Cityscapes in its densest fog (beta 0.02), with the labels of Cityscapes.",
)
"""leftImg8bit_foggy/ and gtFine/, or leftImg8bit_trainvaltest_foggy.zip and Cityscapes' labels."""
