"""BDD100K: photographs of drives in the USA, 10,000 of them for segmentation (Yu et al., 2020)."""

from cbda_jax.data.datasets.cityscapes_ids import TRAIN_IDS
from cbda_jax.data.declaration import Declaration, Split
from cbda_jax.label_space import CITYSCAPES_19


def _split(name: str, *, labelled: bool = True) -> Split:
    return Split(
        f"images/10k/{name}/{{id}}.jpg",
        f"labels/sem_seg/masks/{name}/{{id}}.png" if labelled else None,
    )


BDD100K = Declaration(
    "bdd100k",
    CITYSCAPES_19,
    TRAIN_IDS,
    {"train": _split("train"), "val": _split("val"), "test": _split("test", labelled=False)},
    size=(720, 1280),
    parents=("", "bdd100k"),
    about="BDD100K's 10k images: 7,000, 1,000 and 2,000 of 1280 x 720, Cityscapes' train ids.",
)
"""images/10k/ and labels/sem_seg/masks/, or the archives that hold them."""
