"""SYNTHIA-RAND-CITYSCAPES: 9,400 rendered street scenes (Ros et al., CVPR 2016)."""

from cbda_jax.data.declaration import Declaration, Split
from cbda_jax.data.encoding import LabelEncoding
from cbda_jax.label_space import SYNTHIA_16

SYNTHIA_IDS = LabelEncoding(
    name="SYNTHIA ids",
    form="red16",
    classes={
        0: None,
        1: "sky",
        2: "building",
        3: "road",
        4: "sidewalk",
        5: "fence",
        6: "vegetation",
        7: "pole",
        8: "car",
        9: "traffic sign",
        10: "person",
        11: "bicycle",
        12: "motorcycle",
        13: None,  # parking slot
        14: None,  # road work
        15: "traffic light",
        16: "terrain",
        17: "rider",
        18: "truck",
        19: "bus",
        20: "train",
        21: "wall",
        22: None,  # lane marking
    },
)
"""What its label files hold, in their red channel."""


SYNTHIA = Declaration(
    "synthia",
    SYNTHIA_16,
    SYNTHIA_IDS,
    {"train": Split("RGB/**/{id}.png", "GT/LABELS/**/{id}.png")},
    size=(760, 1280),
    native_labels=False,
    parents=("", "RAND_CITYSCAPES", "SYNTHIA_RAND_CITYSCAPES", "SYNTHIA-RAND-CITYSCAPES"),
    about="SYNTHIA as a source of 16 classes: images and labels at training size, one split.",
)
"""`RGB/*.png` and `GT/LABELS/*.png`, below the root or the folder that the archive makes."""
