"""What the values in label files of Cityscapes mean, and of the many data sets that follow it."""

from cbda_jax.data.encoding import LabelEncoding
from cbda_jax.label_space import CITYSCAPES_19, IGNORE

LABEL_IDS = LabelEncoding(
    name="Cityscapes label ids",
    classes={
        **dict.fromkeys(range(35)),
        7: "road",
        8: "sidewalk",
        11: "building",
        12: "wall",
        13: "fence",
        17: "pole",
        19: "traffic light",
        20: "traffic sign",
        21: "vegetation",
        22: "terrain",
        23: "sky",
        24: "person",
        25: "rider",
        26: "car",
        27: "truck",
        28: "bus",
        31: "train",
        32: "motorcycle",
        33: "bicycle",
    },
    # Those of 0 to 4 are all black. 34 is GTAV's licence plate.
    colours={
        **dict.fromkeys(range(5), (0, 0, 0)),
        5: (111, 74, 0),
        6: (81, 0, 81),
        7: (128, 64, 128),
        8: (244, 35, 232),
        9: (250, 170, 160),
        10: (230, 150, 140),
        11: (70, 70, 70),
        12: (102, 102, 156),
        13: (190, 153, 153),
        14: (180, 165, 180),
        15: (150, 100, 100),
        16: (150, 120, 90),
        17: (153, 153, 153),
        18: (153, 153, 153),
        19: (250, 170, 30),
        20: (220, 220, 0),
        21: (107, 142, 35),
        22: (152, 251, 152),
        23: (70, 130, 180),
        24: (220, 20, 60),
        25: (255, 0, 0),
        26: (0, 0, 142),
        27: (0, 0, 70),
        28: (0, 60, 100),
        29: (0, 0, 90),
        30: (0, 0, 110),
        31: (0, 80, 100),
        32: (0, 0, 230),
        33: (119, 11, 32),
        34: (0, 0, 142),
    },
)
"""What the files of Cityscapes and of GTAV hold: 0 to 34, many of them not evaluated."""

TRAIN_IDS = LabelEncoding(
    name="Cityscapes train ids",
    classes={**dict(enumerate(CITYSCAPES_19.classes)), IGNORE: None},
    colours={i: (int(r), int(g), int(b)) for i, (r, g, b) in enumerate(CITYSCAPES_19.palette)},
)
"""0 to 18, and 255 for void: `*_labelTrainIds.png`."""
