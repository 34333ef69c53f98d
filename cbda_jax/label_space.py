"""Label spaces: which classes a network tells apart, known by name.

A class's *train id* is its place in the space, 0 to C - 1. Labels are uint8 train ids; two values
that no class can have say that there is none: `IGNORE` and `UNANSWERED`. What the values in the
files of a data set mean is said by the data set itself, see `cbda_jax.data.encoding`.
"""

import colorsys
import dataclasses
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Int64, UInt8

from cbda_jax import plugins
from cbda_jax.errors import InputError

IGNORE = 255
"""The train id of pixels that are neither trained on nor evaluated: void, or not known."""
UNANSWERED = 254
"""In answers: asked, and not answered. Not trained on either, but may be asked again."""


@dataclasses.dataclass(frozen=True)
class LabelSpace:
    """The classes that a network tells apart. Two of one name and the same classes are equal.

    Attributes:
        name: small letters, digits and _, such as "cityscapes_19"; a part of folder names.
        classes: C class names; a class's train id is its place here.
        palette: uint8 `[C, 3]`, RGB.
        subsets: name -> names of fewer classes, whose mean IoU is reported as well.

    Raises:
        InputError: no such name, a class twice, fewer than 2 or more than 254 classes, a palette
            of another shape, a subset of other classes.
    """

    name: str
    classes: tuple[str, ...]
    palette: UInt8[np.ndarray, "..."] = dataclasses.field(compare=False, repr=False)
    subsets: Mapping[str, Iterable[str]] = dataclasses.field(
        default_factory=dict, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        """Checks the fields, and makes them unchangeable."""
        classes = tuple(self.classes)
        palette = np.array(self.palette, np.uint8)
        subsets = {subset: tuple(names) for subset, names in self.subsets.items()}
        where = f"label space {self.name!r}"
        if not re.fullmatch("[a-z][a-z0-9_]*", self.name):
            raise InputError(
                f"{where}: this name found, expected small letters, digits and _, a letter first; "
                "rename it"
            )
        if not 2 <= len(set(classes)) == len(classes) <= UNANSWERED or not all(classes):
            raise InputError(
                f"{where}: classes {', '.join(map(repr, classes))} found, expected 2 to "
                f"{UNANSWERED} different names; correct them"
            )
        if palette.shape != (len(classes), 3):
            raise InputError(
                f"{where}: a palette of shape {list(palette.shape)} found, expected "
                f"[{len(classes)}, 3], a colour a class; correct it"
            )
        for subset, names in subsets.items():
            unknown = [name for name in names if name not in classes]
            if unknown or not names:
                raise InputError(
                    f"{where}: {', '.join(map(repr, unknown)) or 'nothing'} in the subset "
                    f"{subset!r} found, expected some of its classes; correct the subset"
                )
        palette.flags.writeable = False
        for field, value in (
            ("classes", classes),
            ("palette", palette),
            ("subsets", MappingProxyType(subsets)),
        ):
            object.__setattr__(self, field, value)

    @property
    def num_classes(self) -> int:
        """C."""
        return len(self.classes)

    @property
    def reported_subsets(self) -> Mapping[str, tuple[int, ...]]:
        """The subsets by train id: name -> train ids."""
        return {
            subset: tuple(self.classes.index(name) for name in names)
            for subset, names in self.subsets.items()
        }

    def colour(self, label: UInt8[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape 3"]:
        """Paints train ids: uint8 `[...]` -> RGB uint8 `[..., 3]`; black where no class is."""
        return paint(label, self.palette)

    def class_pixels(self, label: UInt8[np.ndarray, "*shape"]) -> Int64[np.ndarray, " classes"]:
        """Counts the pixels of every class: train ids uint8 `[...]` -> int64 `[C]`."""
        return np.bincount(label.ravel(), minlength=256)[: self.num_classes].astype(np.int64)

    def __reduce__(self):
        """Pickles the fields alone: a read-only mapping cannot be."""
        return LabelSpace, (self.name, self.classes, self.palette, dict(self.subsets))


def paint(
    label: UInt8[np.ndarray, "*shape"], palette: UInt8[np.ndarray, "classes 3"]
) -> UInt8[np.ndarray, "*shape 3"]:
    """Train ids uint8 `[...]` in colours, RGB uint8 `[..., 3]`; black where no class is."""
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette)] = palette
    return colours[label]


_SPACES: dict[str, LabelSpace] = {}


def register_label_space(space: LabelSpace) -> LabelSpace:
    """Makes a space known by its name, and returns it; once more does no harm.

    Raises:
        InputError: another space has the name.
    """
    return plugins.register(_SPACES, space.name, space, "label space")


def label_space(name: str | LabelSpace) -> LabelSpace:
    """The space of a name, or of an import path, "my_module:MY_SPACE"; a space is its own.

    Raises:
        InputError: there is none; the module cannot be imported.
    """
    if isinstance(name, LabelSpace):
        return name
    space = plugins.find(_SPACES, name, "label_space", example="my_module:MY_SPACE")
    if not isinstance(space, LabelSpace):
        raise InputError(
            f"label_space: {name!r}, of type {type(space).__name__}, found, expected a "
            "cbda_jax.label_space.LabelSpace; make it one"
        )
    return register_label_space(space)


# Name and colour as Cityscapes has them (Cordts et al., CVPR 2016), by train id.
_CITYSCAPES = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}
_NOT_IN_16 = ("terrain", "truck", "train")
_NOT_IN_13 = (*_NOT_IN_16, "wall", "fence", "pole")


def _without(left_out: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in _CITYSCAPES if name not in set(left_out))


def _of_cityscapes(name: str, classes: tuple[str, ...], **subsets: tuple[str, ...]) -> LabelSpace:
    palette = np.array([_CITYSCAPES[c] for c in classes], np.uint8)
    return register_label_space(LabelSpace(name, classes, palette, subsets))


def palette_of(classes: Iterable[str]) -> UInt8[np.ndarray, "classes 3"]:
    """Colours for classes that come without: Cityscapes' where it has them all, else as many hues.

    Returns:
        uint8 `[C, 3]`, RGB.
    """
    names = tuple(classes)
    if all(name in _CITYSCAPES for name in names):
        return np.array([_CITYSCAPES[name] for name in names], np.uint8)
    # Steps of the golden ratio: neighbours differ however many there are.
    hues = [(i * 0.618034) % 1 for i in range(len(names))]
    colours = [colorsys.hsv_to_rgb(h, (0.9, 0.5)[i % 2], 0.95) for i, h in enumerate(hues)]
    return np.round(np.array(colours) * 255).astype(np.uint8)


CITYSCAPES_19 = _of_cityscapes("cityscapes_19", _without(()))
"""The 19 classes that the Cityscapes benchmark evaluates."""
SYNTHIA_16 = _of_cityscapes("synthia_16", _without(_NOT_IN_16), synthia_13=_without(_NOT_IN_13))
"""The 16 of them that SYNTHIA is trained on; the subset "synthia_13" is reported beside them."""
SYNTHIA_13 = _of_cityscapes("synthia_13", _without(_NOT_IN_13))
"""The 16 without wall, fence and pole, as classes of their own."""

BY_NUMBER = MappingProxyType(
    {space.num_classes: space for space in (CITYSCAPES_19, SYNTHIA_16, SYNTHIA_13)}
)
"""What a config's `num_classes` means where no space is named: these three, and no others."""


def known_label_spaces() -> list[str]:
    """The names that label spaces are registered by."""
    return [*_SPACES]


def resolve_label_space(name: str | LabelSpace | None, num_classes: int) -> LabelSpace:
    """The space that the config fields `label_space` and `num_classes` ask for.

    Args:
        name: a name, an import path or a space; None follows `num_classes`.
        num_classes: 19, 16 or 13 without a name. With one, what that space has, or 19, which is
            the field's default.

    Raises:
        InputError: there is no such space, or the two disagree.
    """
    if name is None:
        if num_classes not in BY_NUMBER:
            raise InputError(
                f"num_classes: {num_classes!r} found, expected one of "
                f"{', '.join(str(n) for n in sorted(BY_NUMBER))}; name a space of other classes "
                "by label_space"
            )
        return BY_NUMBER[num_classes]
    space = label_space(name)
    if num_classes not in (space.num_classes, CITYSCAPES_19.num_classes):
        raise InputError(
            f"num_classes: {num_classes!r} found, expected {space.num_classes}, as label_space "
            f"{space.name!r} has; leave num_classes out, or name another space"
        )
    return space
