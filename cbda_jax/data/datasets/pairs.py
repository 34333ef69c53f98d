"""Pairing images with labels, and lists of the images to use."""

import dataclasses
import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cbda_jax.data.datasets.patterns import Pattern
from cbda_jax.data.datasets.trees import File
from cbda_jax.errors import InputError

_ENDING = re.compile(r"\.(png|jpe?g)$", re.IGNORECASE)
# What browsers and file managers call a second copy: "00002 (1)", "00002 - Copy", "00002 copy".
_COPY = re.compile(r"( \(\d+\)| - Copy( \(\d+\))?| copy( \d+)?)$")


def _silent(note: str) -> None:
    """Nobody is told."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """An image and its label, not yet read; `label` is None where there is none to learn from."""

    image_id: str
    image: File
    label: File | None


def match(
    images: Mapping[str, File],
    targets: Mapping[str, File],
    image_ending: str,
    label_ending: str,
    note: Callable[[str], None] = _silent,
    *,
    listed: bool = False,
) -> list[Pair]:
    """Pairs images with labels by what their names say before the ending, sorted by image id.

    Args:
        images: by path.
        targets: the labels, by path.
        image_ending: of the images' names.
        label_ending: of the labels' names.
        note: is told of files that are left out, as by `join`.
        listed: as of `join`.

    Raises:
        InputError: an image has no label, or the reverse, or two images have the same name.
    """
    by_id = _by_name(images, image_ending), _by_name(targets, label_ending)
    return join(*by_id, label_ending, note, listed=listed)


def join(
    images: Mapping[str, File],
    labels: Mapping[str, File],
    missing: str,
    note: Callable[[str], None] = _silent,
    *,
    listed: bool = False,
) -> list[Pair]:
    """Pairs images with labels of the same id, sorted by it.

    Files are left out, and `note` is told, that are called like a second copy ("00002 (1).png"),
    or like another kind of label of an image ("00002_labelTrainIds.png" beside "00002.png").

    Args:
        images: by id.
        labels: by id.
        missing: what the label of an image is called, after its id, for errors.
        note: is told, in a line.
        listed: whether a list says later which of the pairs are used, so that those that are not
            may lack the other half.

    Raises:
        InputError: an image has no label, or the reverse.
    """
    for ours, theirs, kind, other in (
        (images, labels, "image", "label"),
        (labels, images, "label", "image"),
    ):
        alone = sorted(ours.keys() - theirs.keys())
        extra = [image_id for image_id in alone if _is_extra(image_id, theirs)]
        if extra and not listed:
            note(f"{_some(extra, ours)} without {other}, left out")
        wrong = sorted(set(alone) - set(extra))
        if wrong and not listed:
            end = missing if other == "label" else ""
            more = ", ".join(ours[image_id].where for image_id in wrong[1:5])
            raise InputError(
                f"{ours[wrong[0]].where}: {kind} without {other} ({len(wrong)} such {kind}s"
                f"{': also ' * bool(more)}{more}{', ...' * (len(wrong) > 5)}) found, expected its "
                f"{other} {wrong[0]}{end}; copy it, remove the {kind}, or list the images to use "
                "in a file"
            )
    return [Pair(name, images[name], labels[name]) for name in sorted(images) if name in labels]


def _is_extra(image_id: str, others: Mapping[str, File]) -> bool:
    """Whether a file without its other half is one that tools or people put beside another."""
    if _COPY.search(image_id):
        return True
    # "aachen_1_labelTrainIds" beside the image "aachen_1": the parts up to each "_" or ".".
    return any(image_id[: m.start()] in others for m in re.finditer(r"[_.]", image_id))


def _some(ids: Sequence[str], files: Mapping[str, File]) -> str:
    shown = ", ".join(files[image_id].where for image_id in ids[:3])
    return f"{len(ids)} file{'s' * (len(ids) > 1)} ({shown}{', ...' * (len(ids) > 3)})"


def by_parts(files: Mapping[str, File], pattern: Pattern, order: Sequence[str]) -> dict[str, File]:
    """Files by their ids: the named parts of their paths, joined by "/".

    Args:
        files: of `pattern.find`.
        pattern: that they match.
        order: the names of the parts, in the order of the id.

    Raises:
        InputError: two files have the same id, or one has a name that no image can have.
    """
    found: dict[str, File] = {}
    for path, file in files.items():
        parts = pattern.match(path)
        assert parts is not None
        _put(found, "/".join(parts[name] for name in order), file, f"before {_ending(path)}")
    return found


def _by_name(files: Mapping[str, File], ending: str) -> dict[str, File]:
    found: dict[str, File] = {}
    for name, file in files.items():
        _put(found, Path(name).name.removesuffix(ending), file, f"before {ending}")
    return found


def _put(found: dict[str, File], image_id: str, file: File, place: str) -> None:
    # Names of other encodings arrive with halves of surrogates, which no record can hold.
    if not image_id or not image_id.isprintable():
        raise InputError(
            f"{file.where}: a name that no image can have found, expected printable characters "
            f"{place}; give it another name"
        )
    if image_id in found:
        raise InputError(
            f"{file.where}: the same name as {found[image_id].where} found, expected every "
            "image once; remove one"
        )
    found[image_id] = file


def _ending(path: str) -> str:
    return Path(path).suffix


# ------------------------------------------------------------------------ lists


def select(
    splits: Mapping[str, list[Pair]], files: str | os.PathLike[str] | None
) -> dict[str, list[Pair]]:
    """Keeps the pairs that a list file names; None keeps all.

    A line is an image's id, its name or its path or the end of one, with or without an ending. A
    split of which the list names no image stays whole.

    Args:
        splits: name -> pairs.
        files: the list.

    Raises:
        InputError: a listed image does not exist, or a line could mean several.
    """
    if files is None:
        return dict(splits)
    known: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for split, pairs in splits.items():
        for pair in pairs:
            for name in _names(pair):
                known[name].add((split, pair.image_id))
    wanted: set[tuple[str, str]] = set()
    unknown = []
    lines = read_list(files)
    for line in lines:
        # Of "images/00001" the longest end that is known.
        ends = [line, *(line[i + 1 :] for i, letter in enumerate(line) if letter == "/")]
        meant = next((known[end] for end in ends if end in known), None)
        if meant is None:
            unknown.append(line)
        elif len(meant) > 1:
            raise InputError(
                f"{files}: {line!r} found, which {len(meant)} images are called, expected a line "
                "for each with its folders; mend the list"
            )
        else:
            wanted |= meant
    if unknown:
        raise InputError(
            f"{files}: {len(unknown)} of {len(lines)} listed images that are not there, such as "
            f"{unknown[0]!r}, found, expected names of images of the data set; mend the list"
        )
    named = {split for split, _ in wanted}
    return {
        split: [p for p in pairs if split not in named or (split, p.image_id) in wanted]
        for split, pairs in splits.items()
    }


def _names(pair: Pair) -> set[str]:
    """All that a list may call an image: its id, and the ends of its path."""
    path = _ENDING.sub("", Path(pair.image.where).as_posix().rpartition(":")[2])
    ends = {path[i + 1 :] for i, letter in enumerate(path) if letter == "/"}
    return {pair.image_id, path, *ends}


def read_list(path: str | os.PathLike[str]) -> list[str]:
    """Reads a list of images, one a line: names with their folders, without .png or .jpg, sorted.

    Raises:
        InputError: the list cannot be read or is empty.
    """
    try:
        # A device or a named pipe could be read for ever. A mark at the start is of some editors.
        file = Path(path).expanduser()
        if not file.is_file():
            raise FileNotFoundError("no such file")
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: a list that cannot be read ({error}) found, expected a text file, one image "
            "name a line; correct the path, or write the list again"
        ) from error
    # Lists of image and label, as of SegNet: the first of a line. A name may hold spaces.
    stripped = (re.split(r"(?<=\.png|\.jpg) ", line.strip(), maxsplit=1)[0] for line in lines)
    names = sorted({_ENDING.sub("", name).strip("/") for name in stripped if name} - {""})
    if not names:
        raise InputError(
            f"{path}: no image found, expected one image name a line; write some into it"
        )
    return names
