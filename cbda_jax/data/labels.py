"""Label spaces: which classes are told apart, and how files number them.

Three numberings meet here. *Label ids* are what the annotation files of Cityscapes and GTAV hold
(0 to 34, many of them not evaluated). *SYNTHIA ids* are those of SYNTHIA-RAND-CITYSCAPES (0 to 22).
*Train ids* are what networks predict and every record stores: 0 to C - 1, and 255 for pixels that
do not count.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np

from cbda_jax.errors import InputError

IGNORE = 255
"""The train id of pixels that are neither trained on nor evaluated."""

# Name, label id and colour as Cityscapes has them (Cordts et al., CVPR 2016), by train id.
_CITYSCAPES = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
# The label ids that are not evaluated, where their colour is not black. 34 is GTAV's licence plate.
_VOID_COLOURS = {
    5: (111, 74, 0),
    6: (81, 0, 81),
    9: (250, 170, 160),
    10: (230, 150, 140),
    14: (180, 165, 180),
    15: (150, 100, 100),
    16: (150, 120, 90),
    18: (153, 153, 153),
    29: (0, 0, 90),
    30: (0, 0, 110),
    34: (0, 0, 142),
}
# 0 void, 13 parking slot, 14 road work and 22 lane marking have no class.
_SYNTHIA_IDS = {
    "sky": 1,
    "building": 2,
    "road": 3,
    "sidewalk": 4,
    "fence": 5,
    "vegetation": 6,
    "pole": 7,
    "car": 8,
    "traffic sign": 9,
    "person": 10,
    "bicycle": 11,
    "motorcycle": 12,
    "traffic light": 15,
    "terrain": 16,
    "rider": 17,
    "truck": 18,
    "bus": 19,
    "train": 20,
    "wall": 21,
}

LABEL_IDS = range(35)
"""The label ids that a Cityscapes or GTAV file may hold."""
SYNTHIA_IDS = range(23)
"""The ids that a SYNTHIA-RAND-CITYSCAPES file may hold."""


def _label_colours() -> np.ndarray:
    colours = np.zeros((len(LABEL_IDS), 3), np.uint8)
    for label_id, colour in _VOID_COLOURS.items():
        colours[label_id] = colour
    for _, label_id, colour in _CITYSCAPES:
        colours[label_id] = colour
    return colours


LABEL_COLOURS = _label_colours()
"""uint8 [35, 3]: the RGB colour of every label id, in Cityscapes and GTAV files alike."""


@dataclasses.dataclass(frozen=True, eq=False)
class LabelSpace:
    """The classes a network tells apart, and their numbers in the files of every data set.

    Attributes:
        name: "cityscapes_19" and the like.
        classes: C class names; a class's train id is its place here.
        palette: uint8 [C, 3], RGB.
        from_label_id: uint8 [256], label id -> train id, `IGNORE` where there is none.
        to_label_id: uint8 [256], train id -> label id, 0 ("unlabeled") where there is none.
        from_synthia: uint8 [256], SYNTHIA id -> train id, `IGNORE` where there is none.
        reported_subsets: name -> train ids of fewer classes that papers average over as well.
    """

    name: str
    classes: tuple[str, ...]
    palette: np.ndarray
    from_label_id: np.ndarray
    to_label_id: np.ndarray
    from_synthia: np.ndarray
    reported_subsets: Mapping[str, tuple[int, ...]]

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.classes)

    def colour(self, label: np.ndarray) -> np.ndarray:
        """Paints train ids: uint8 [...] -> RGB uint8 [..., 3]; black where there is no class."""
        colours = np.zeros((256, 3), np.uint8)
        colours[: self.num_classes] = self.palette
        return colours[label]


def _space(name: str, without: Iterable[str] = (), **subsets: Iterable[str]) -> LabelSpace:
    kept = [entry for entry in _CITYSCAPES if entry[0] not in set(without)]
    classes = tuple(entry[0] for entry in kept)
    from_label_id = np.full(256, IGNORE, np.uint8)
    to_label_id = np.zeros(256, np.uint8)
    from_synthia = np.full(256, IGNORE, np.uint8)
    for train_id, (class_name, label_id, _) in enumerate(kept):
        from_label_id[label_id] = train_id
        to_label_id[train_id] = label_id
        from_synthia[_SYNTHIA_IDS[class_name]] = train_id
    palette = np.array([entry[2] for entry in kept], np.uint8)
    for array in (palette, from_label_id, to_label_id, from_synthia):
        array.flags.writeable = False
    reported = {
        subset: tuple(i for i, class_name in enumerate(classes) if class_name not in set(left_out))
        for subset, left_out in subsets.items()
    }
    return LabelSpace(
        name, classes, palette, from_label_id, to_label_id, from_synthia, MappingProxyType(reported)
    )


_NOT_IN_16 = ("terrain", "truck", "train")
_NOT_IN_13 = (*_NOT_IN_16, "wall", "fence", "pole")

CITYSCAPES_19 = _space("cityscapes_19")
"""The 19 classes that the Cityscapes benchmark evaluates."""
SYNTHIA_16 = _space("synthia_16", _NOT_IN_16, synthia_13=_NOT_IN_13)
"""The 16 of them that SYNTHIA is trained on; the subset "synthia_13" is reported beside them."""
SYNTHIA_13 = _space("synthia_13", _NOT_IN_13)
"""The 16 without wall, fence and pole, as classes of their own."""

_SPACES = {space.num_classes: space for space in (CITYSCAPES_19, SYNTHIA_16, SYNTHIA_13)}


def label_space(num_classes: int) -> LabelSpace:
    """The label space of so many classes.

    Raises:
        InputError: There is none.
    """
    if num_classes not in _SPACES:
        allowed = ", ".join(str(n) for n in sorted(_SPACES))
        raise InputError(
            f"num_classes is {num_classes!r}, but label spaces have {allowed} classes."
        )
    return _SPACES[num_classes]


def class_pixels(label: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts the pixels of every class: train ids uint8 [...] -> int64 [num_classes]."""
    return np.bincount(label.ravel(), minlength=256)[:num_classes].astype(np.int64)
