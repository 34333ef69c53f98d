"""What the values in the label files of a data set mean, and what is kept of it beside the records.

A data set declares the class of every value by name. Tables from values to the train ids of a
label space, and back, follow from the declaration.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from cbda_jax.errors import InputError, near
from cbda_jax.files import write_bytes
from cbda_jax.label_space import IGNORE, LabelSpace

Colour = tuple[int, int, int]
"""RGB, 0 to 255."""

FORMS = ("index", "grey", "colour", "red16")
"""Where label files hold their values: see `LabelEncoding.form`."""


@dataclasses.dataclass(frozen=True)
class LabelEncoding:
    """The values that label files may hold, and the classes they stand for.

    Attributes:
        classes: value, 0 to 255 -> class name; None is void. Two values may have one class. Any
            other value in a file is an error.
        name: of the values, such as "Cityscapes label ids".
        colours: value -> RGB, for label files that are painted; empty: such files are refused.
        form: where files hold their values; messages call it `encoding`. "index": in palette
            indices or grey values; painted files are read too if all their colours are declared.
            "grey": in grey levels, those of the palette if there is one. "colour": in `colours`.
            "red16": in the red of 16-bit RGB.
        partial: a label space may have classes that no value means.

    Raises:
        InputError: a value or a colour out of range, no class at all, an unknown form, or a form
            of colours without any.
    """

    classes: Mapping[int, str | None]
    name: str = dataclasses.field(default="label values", compare=False)
    colours: Mapping[int, Colour] = dataclasses.field(default_factory=dict, compare=False)
    form: str = dataclasses.field(default="index", compare=False)
    partial: bool = dataclasses.field(default=False, compare=False)

    def __post_init__(self) -> None:
        """Checks the fields, and makes them unchangeable."""
        classes, colours = dict(sorted(self.classes.items())), dict(sorted(self.colours.items()))
        bad = [v for v in (*classes, *(x for c in colours.values() for x in c)) if not 0 <= v < 256]
        if bad or not any(classes.values()):
            raise InputError(
                f"{self.name}: {bad[0] if bad else 'no class'} found, expected values and colours "
                "of 0 to 255, and a class at least; correct the declaration"
            )
        if self.form not in FORMS:
            raise InputError(
                f"{self.name}: encoding {self.form!r} found, expected one of {', '.join(FORMS)}"
                f"{near(str(self.form), FORMS)}; correct the declaration"
            )
        if self.form == "colour" and not colours:
            raise InputError(
                f"{self.name}: encoding 'colour' and no colours found, expected the colour of each "
                "value; declare them"
            )
        object.__setattr__(self, "classes", MappingProxyType(classes))
        object.__setattr__(self, "colours", MappingProxyType(colours))

    def table(self, space: LabelSpace) -> UInt8[np.ndarray, "256"]:
        """The train id of every value: uint8 `[256]`, `IGNORE` where the space has no such class.

        Raises:
            InputError: the space has a class that no value means.
        """
        missing = [name for name in space.classes if name not in self.classes.values()]
        if missing and not self.partial:
            raise InputError(
                f"label space {space.name!r}: {', '.join(map(repr, missing))} found, expected "
                f"classes that {self.name} mean: {', '.join(sorted(set(self.names)))}; use another "
                "label space, declare which value means it, or map the classes by name"
            )
        table = np.full(256, IGNORE, np.uint8)
        for value, name in self.classes.items():
            if name in space.classes:
                table[value] = space.classes.index(name)
        return table

    def inverse(self, space: LabelSpace) -> UInt8[np.ndarray, "256"]:
        """The value of every train id: uint8 `[256]`; the lowest where several mean the class.

        Train ids without a class, and classes without a value, get the lowest void value, 255
        where none is declared.

        Raises:
            InputError: as `table`.
        """
        table = self.table(space)
        void = next((value for value, name in self.classes.items() if name is None), IGNORE)
        inverse = np.full(256, void, np.uint8)
        for train_id in range(space.num_classes):
            inverse[train_id] = next(iter(np.flatnonzero(table == train_id)), void)
        return inverse

    def mapped(self, mapping: Mapping[str, str | None], space: LabelSpace) -> "LabelEncoding":
        """The same values, their classes named as a label space of other classes has them.

        Args:
            mapping: class of the values -> class of the space, or None for void. Those of the same
                name may be left out.
            space: may have classes that no value means then.

        Raises:
            InputError: a class that is none of the values', or none of the space; a class that the
                space does not have, left out of the mapping.
        """
        for ours, theirs in mapping.items():
            if ours not in self.names:
                raise InputError(
                    f"class mapping: {ours!r} found, expected a class that {self.name} mean: "
                    f"{', '.join(dict.fromkeys(self.names))}{near(ours, self.names)}"
                )
            if theirs is not None and theirs not in space.classes:
                raise InputError(
                    f"class mapping: {theirs!r} for {ours!r} found, expected a class of label "
                    f"space {space.name!r} or None for void: {', '.join(space.classes)}"
                    f"{near(str(theirs), space.classes)}"
                )
        lost = [n for n in dict.fromkeys(self.names) if n not in mapping and n not in space.classes]
        if lost:
            raise InputError(
                f"class mapping: nothing for {', '.join(map(repr, lost))} found, expected a class "
                f"of label space {space.name!r} ({', '.join(space.classes)}) for each, or None for "
                "void; add them"
            )
        classes = {v: None if n is None else mapping.get(n, n) for v, n in self.classes.items()}
        return dataclasses.replace(self, classes=classes, partial=True)

    @property
    def names(self) -> tuple[str, ...]:
        """The class of every value that has one, by value."""
        return tuple(name for name in self.classes.values() if name is not None)

    @property
    def known(self) -> str:
        """The values in words: "0 to 34", say."""
        values = list(self.classes)
        if values == list(range(values[0], values[-1] + 1)):
            return f"{values[0]} to {values[-1]}"
        return ", ".join(map(str, values))

    def __reduce__(self):
        """Pickles the fields alone: a read-only mapping cannot be."""
        fields = (dict(self.classes), self.name, dict(self.colours), self.form, self.partial)
        return LabelEncoding, fields


class Labelling(NamedTuple):
    """What the labels of a prepared data set mean; kept beside its records.

    Attributes:
        space: name of the label space.
        classes: of the space, by train id.
        encoding: of the files that it was prepared from.
        unlabelled: the splits whose images have no labels, and are all void.
    """

    space: str
    classes: tuple[str, ...]
    encoding: LabelEncoding
    unlabelled: tuple[str, ...] = ()


def labelling_path(directory: str | os.PathLike[str]) -> Path:
    """Where the labelling lies: in the prepared data set's own folder."""
    return Path(directory) / "labelling.json"


def write_labelling(directory: str | os.PathLike[str], labelling: Labelling) -> None:
    """Writes it, whole or not at all.

    Raises:
        InputError: the folder cannot be written to.
    """
    content = {
        "label_space": labelling.space,
        "classes": labelling.classes,
        "values": dict(labelling.encoding.classes),
        "name_of_values": labelling.encoding.name,
        "partial": labelling.encoding.partial,
        "unlabelled": labelling.unlabelled,
    }
    text = json.dumps(content, indent=1) + "\n"
    write_bytes(labelling_path(directory), text.encode())


def read_labelling(directory: str | os.PathLike[str]) -> Labelling | None:
    """Reads it; None where there is none, as in data sets that version 0.1 prepared.

    Raises:
        ValueError: it is damaged.
        OSError: it cannot be read.
    """
    try:
        content: Any = json.loads(labelling_path(directory).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        values = {int(value): name for value, name in content["values"].items()}
        # The last two are younger than some prepared data sets.
        partial, unlabelled = content.get("partial", False), content.get("unlabelled", ())
        encoding = LabelEncoding(values, str(content["name_of_values"]), partial=bool(partial))
        classes = tuple(content["classes"])
        return Labelling(str(content["label_space"]), classes, encoding, tuple(unlabelled))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{labelling_path(directory).name} is not as written") from error


def check_labelling(
    directory: str | os.PathLike[str], found: Labelling, expected: Labelling
) -> None:
    """Checks that the labels of a prepared data set mean what is expected.

    Args:
        directory: of the data set, for the error.
        found: what it says of itself.
        expected: what the run, and the data set's declaration, say.

    Raises:
        InputError: they mean something else.
    """
    differs = _difference(found, expected)
    if differs is not None:
        raise InputError(
            f"{os.fspath(directory)}: labels of {differs}; use the label space and the declaration "
            "that it was prepared with, or remove this folder to have it prepared again"
        )


def _difference(found: Labelling, expected: Labelling) -> str | None:
    """How two labellings differ, as "FOUND found, expected EXPECTED"; None if they do not."""
    if found.space != expected.space:
        return f"label space {found.space!r} found, expected {expected.space!r}"
    if found.classes != expected.classes:
        return (
            f"label space {found.space!r} with classes {', '.join(found.classes)} found, expected "
            f"{', '.join(expected.classes)}"
        )
    ours, theirs = found.encoding.classes, expected.encoding.classes
    for value in sorted(ours.keys() | theirs.keys()):
        if value not in ours or value not in theirs or ours[value] != theirs[value]:
            found_as, expected_as = (
                repr(classes[value] or "void") if value in classes else "nothing"
                for classes in (ours, theirs)
            )
            return f"label value {value} as {found_as} found, expected {expected_as}"
    return None
