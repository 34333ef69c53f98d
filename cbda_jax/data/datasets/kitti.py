"""KITTI: 200 labelled images of Karlsruhe (Alhaija et al., IJCV 2018), of stereo 2015."""

import dataclasses

from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS
from cbda_jax.data.declaration import Declaration, Split
from cbda_jax.label_space import CITYSCAPES_19, IGNORE

KITTI = Declaration(
    "kitti",
    CITYSCAPES_19,
    # A licence plate is -1 in the list of Cityscapes; 8 bits would hold that as 255.
    dataclasses.replace(
        LABEL_IDS, name="KITTI label ids", classes={**LABEL_IDS.classes, IGNORE: None}
    ),
    {
        "train": Split("training/image_2/{id}.png", "training/semantic/{id}.png"),
        "test": Split("testing/image_2/{id}.png"),
    },
    size=(384, 1248),
    parents=("", "data_semantics"),
    about="KITTI semantics: 200 images of about 1242 x 375, labelled, and 200 for its benchmark.",
)
"""training/ and testing/ of data_semantics.zip, or the archive."""
