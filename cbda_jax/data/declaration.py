"""A data set as a declaration: its classes, its splits, and what its files are called and mean.

Plain values say it all, so that a config can hold one: `Declaration.of` reads such a mapping.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS, TRAIN_IDS
from cbda_jax.data.datasets.patterns import Pattern
from cbda_jax.data.encoding import FORMS, Colour, LabelEncoding
from cbda_jax.errors import InputError, near
from cbda_jax.label_space import LabelSpace, palette_of

NAMED = MappingProxyType(
    {"cityscapes_ids": LABEL_IDS, "cityscapes_train_ids": TRAIN_IDS},
)
"""What `encoding` may say beside a form: values that many data sets share, with their meaning."""


@dataclasses.dataclass(frozen=True)
class Split:
    """The files of one split, by patterns of paths below the data set's folder.

    Attributes:
        images: such as "train/{id}.jpg"; see `datasets.patterns.Pattern`.
        labels: the same named parts; None where there are no labels.
        files: a list of the images to use, relative to the folder; None uses all.

    Raises:
        InputError: a pattern that is none, or two of different parts.
    """

    images: str
    labels: str | None = None
    files: str | None = None

    def __post_init__(self) -> None:
        """Checks the patterns."""
        images = Pattern(self.images, "images")
        if self.labels is not None:
            labels = Pattern(self.labels, "labels")
            if set(labels.parts) != set(images.parts):
                raise InputError(
                    f"labels: {self.labels!r} with the parts {', '.join(labels.parts)} found, "
                    f"expected those of the images, {', '.join(images.parts)} in {self.images!r}; "
                    "name the same, and write * for what does not tell images apart"
                )


@dataclasses.dataclass(frozen=True, eq=False)
class Declaration:
    """A data set of pairs of files.

    Attributes:
        name: small letters, digits and _; configs name it.
        space: its classes. A run may use another label space, with a mapping or a subset of them.
        encoding: what the values in its label files mean.
        splits: name -> its files. Splits of which no image is there are left out.
        size: (height, width) at which images are stored unless a run says otherwise.
        native_labels: whether labels keep their own size unless a run says otherwise, as the
            target's do; else they follow the images, as a source's do.
        label_size: (height, width) of all labels, where images come in many sizes; None: their own.
        folder: where it is, absolute or below `data.root`; empty: a folder of its name there.
        parents: folders below the data set's folder in which the splits' files may lie.
        mismatches: ids of images whose label has another size, and is resized as it is.
        about: one sentence.

    Raises:
        InputError: a name that is none, or no split.
    """

    name: str
    space: LabelSpace
    encoding: LabelEncoding
    splits: Mapping[str, Split]
    size: tuple[int, int] = (512, 1024)
    native_labels: bool = True
    label_size: tuple[int, int] | None = None
    folder: str = ""
    parents: tuple[str, ...] = ("",)
    mismatches: frozenset[str] = frozenset()
    about: str = "Pairs of images and labels."

    def __post_init__(self) -> None:
        """Checks the names."""
        for name, what in ((self.name, "data set"), *((split, "split") for split in self.splits)):
            if not re.fullmatch("[a-z][a-z0-9_]*", name):
                raise InputError(
                    f"{what} {name!r}: this name found, expected small letters, digits and _, a "
                    "letter first; rename it"
                )
        if not self.splits:
            raise InputError(f"data set {self.name!r}: no split found, expected one; declare it")

    @property
    def layout(self) -> str:
        """Where files are expected, in a line, for errors."""
        patterns = dict.fromkeys(
            re.sub(rf"(?<![a-z0-9]){name}(?![a-z0-9])", "<split>", pattern)
            for name, split in self.splits.items()
            for pattern in (split.images, split.labels)
            if pattern is not None
        )
        return " and ".join(patterns)

    @classmethod
    def of(cls, name: str, values: Mapping[str, Any]) -> "Declaration":
        """A declaration as a config has it.

        Args:
            name: of the data set.
            values: `classes`: a list of (name, colour), or of names; or name -> colour, which has
                no order in a config: train ids are by name then. `splits`: name -> `images`,
                `labels`, `files` of a `Split`; or names alone, with `images` and `labels` beside
                them in which {split} stands for the name. `encoding`: a form of `LabelEncoding`,
                or one of `NAMED`. `values`: class -> value or values in the files (whole numbers;
                colours where the encoding is "colour"); by default 0, 1, 2, ... in the order of a
                list, or the class's colour. `void`: values of no class. `label_size` and `folder`
                as above.

        Raises:
            InputError: naming the field that is missing, unknown or wrong.
        """
        where = f"data.declared.{name}"
        known = ("classes", "splits", "images", "labels", "encoding", "values", "void")
        known = (*known, "label_size", "folder")
        for field in values:
            if field not in known:
                raise InputError(
                    f"{where}: {field!r} found, expected some of {', '.join(known)}"
                    f"{near(field, known)}"
                )
        try:
            form = values.get("encoding", "index")
            if not isinstance(form, str) or form not in (*FORMS, *NAMED):
                raise InputError(
                    f"encoding: {form!r} found, expected one of {', '.join((*FORMS, *NAMED))}"
                    f"{near(str(form), (*FORMS, *NAMED))}"
                )
            space = _space(name, values.get("classes"), form)
            unordered = isinstance(values.get("classes"), Mapping) and form in ("index", "grey")
            if unordered and values.get("values") is None:
                raise InputError(
                    "values: nothing found, expected the value of every class, as classes by name "
                    "have no order; declare them, or write classes as a list [(name, colour), ...]"
                )
            return cls(
                name,
                space,
                _encoding(name, space, form, values.get("values"), values.get("void", ())),
                _splits(values),
                label_size=_pair(values.get("label_size")),
                folder=str(values.get("folder", "")),
            )
        except InputError as error:
            raise InputError(f"{where}: {error}") from error


def declare(name: str, **values: Any) -> Declaration:
    """`Declaration.of` with its fields as arguments, and more attributes of a `Declaration`.

    Raises:
        InputError: as there.
    """
    if isinstance(values.get("classes"), Mapping):  # which has an order here
        values["classes"] = [*values["classes"].items()]
    more = {field.name for field in dataclasses.fields(Declaration)} - {"label_size", "folder"}
    given = {key: value for key, value in values.items() if key in more - {"splits", "encoding"}}
    rest = {key: value for key, value in values.items() if key not in given}
    return dataclasses.replace(Declaration.of(name, rest), **given)


def _space(name: str, classes: Any, form: Any) -> LabelSpace:
    if classes is None and form in NAMED:
        return LabelSpace(name, TRAIN_IDS.names, palette_of(TRAIN_IDS.names))
    pairs: Any = classes
    if isinstance(classes, Mapping):
        # Configs and JSON give back mappings sorted, whatever was written.
        pairs = sorted(classes.items())
    if _is_list(pairs) and pairs and all(_is_list(pair) and len(pair) == 2 for pair in pairs):
        names = tuple(str(key) for key, _ in pairs)
        colours = [_colour(value, f"classes: {key!r}") for key, value in pairs]
        return LabelSpace(name, names, np.array(colours, np.uint8))
    if _is_list(pairs) and pairs and all(isinstance(key, str) for key in pairs):
        return LabelSpace(name, tuple(pairs), palette_of(pairs))
    raise InputError(
        f"classes: {classes!r} found, expected the classes, each with its colour: "
        "[('grass', (0, 128, 0)), ...] or {'grass': (0, 128, 0), ...}, or a list of names"
    )


def _colour(value: Any, where: str) -> Colour:
    parts = tuple(value) if _is_list(value) else ()
    if len(parts) != 3 or not all(type(part) is int and 0 <= part < 256 for part in parts):
        raise InputError(f"{where}: {value!r} found, expected a colour, (red, green, blue) to 255")
    return parts[0], parts[1], parts[2]


def _encoding(name: str, space: LabelSpace, form: Any, values: Any, void: Any) -> LabelEncoding:
    if not _is_list(void):
        raise InputError(f"void: {void!r} found, expected a list of the values of no class")
    if form in NAMED:
        if values is not None or void:
            raise InputError(
                f"encoding: {form!r} with values and void found, expected it alone, as it says "
                "what values mean; leave these out, or set encoding to index"
            )
        return NAMED[form]
    colour = form == "colour"
    palette = [(int(r), int(g), int(b)) for r, g, b in space.palette]
    meaning: Mapping[str, Any] = values or dict(
        zip(space.classes, palette if colour else range(space.num_classes), strict=True)
    )
    wrong = [values]
    if isinstance(meaning, Mapping):
        wrong = [key for key in meaning if key not in space.classes]
    if wrong:
        raise InputError(
            f"values: {wrong[0]!r} found, expected values of its classes: "
            f"{', '.join(space.classes)}; what is of no class stands in void"
        )
    given = [(each, key) for key, held in meaning.items() for each in _each(held, colour, key)]
    given += [(each, None) for value in void for each in _each(value, colour, "void")]
    seen: dict[Any, str | None] = {}
    for each, key in given:
        if each in seen:
            raise InputError(
                f"values: {each!r} of both {seen[each] or 'void'!r} and {key or 'void'!r} found, "
                "expected it once; correct them"
            )
        seen[each] = key
    if not colour:
        shown = dict(zip(space.classes, palette, strict=True))
        colours = {v: shown[key] for v, key in seen.items() if key is not None}
        return LabelEncoding(seen, f"values of {name}", colours, form)
    # Colours are numbered as they come. What is written of predictions has these colours again.
    return LabelEncoding(
        dict(enumerate(seen.values())), f"colours of {name}", dict(enumerate(seen)), form
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _each(held: Any, colour: bool, key: str) -> Iterable[Any]:
    """One value or several, as several."""
    several = _is_list(held)
    if colour:
        one = not several or not held or not isinstance(held[0], Sequence)
        return [_colour(each, f"values: {key!r}") for each in ([held] if one else held)]
    found = [*held] if several else [held]
    for value in found:
        if type(value) is not int or not 0 <= value < 256:
            raise InputError(
                f"values: {value!r} of {key!r} found, expected whole numbers from 0 to 255"
            )
    return found


def _splits(values: Mapping[str, Any]) -> dict[str, Split]:
    splits, common = values.get("splits"), (values.get("images"), values.get("labels"))
    if isinstance(splits, Mapping):
        known = [field.name for field in dataclasses.fields(Split)]
        found = {}
        for name, own in splits.items():
            good = isinstance(own, Mapping) and {"images"} <= {*own} <= {*known}
            if not good or not all(isinstance(text, str | None) for text in own.values()):
                raise InputError(
                    f"splits: {name!r} with {own!r} found, expected texts for some of images, "
                    "labels and files, the first at least"
                )
            found[str(name)] = _named(name, Split, **own)
        return found
    texts = isinstance(common[0], str) and isinstance(common[1], str | None)
    if isinstance(splits, Sequence) and not isinstance(splits, str) and texts:
        return {
            str(name): _named(
                name,
                Split,
                *(None if text is None else text.replace("{split}", name) for text in common),
            )
            for name in splits
        }
    raise InputError(
        f"splits: {splits!r} found, expected {{'train': {{'images': ..., 'labels': ...}}, ...}}, "
        "or names, with images and labels beside them in which {split} stands for the name"
    )


def _named(name: str, make: Any, *arguments: Any, **named: Any) -> Any:
    try:
        return make(*arguments, **named)
    except InputError as error:
        raise InputError(f"split {name!r}: {error}") from error


def _pair(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    if not isinstance(size, Sequence) or [type(n) for n in size] != [int, int] or min(size) < 1:
        raise InputError(f"label_size: {size!r} found, expected (height, width) in pixels, or None")
    return size[0], size[1]
