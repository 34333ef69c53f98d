"""Pairing images with labels by their names, and lists of the images to use."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from cbda_jax.data.datasets.trees import File
from cbda_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Pair:
    """An image and its label, not yet read."""

    image_id: str
    image: File
    label: File


def match(
    images: Mapping[str, File], targets: Mapping[str, File], image_ending: str, label_ending: str
) -> list[Pair]:
    """Pairs images with labels by what their names say before the ending, sorted by image id.

    Raises:
        InputError: an image has no label, or the reverse, or two images have the same name.
    """
    by_id = [_by_id(images, image_ending), _by_id(targets, label_ending)]
    for ours, theirs, kind, missing in (
        (by_id[0], by_id[1], "image", "label"),
        (by_id[1], by_id[0], "label", "image"),
    ):
        alone = sorted(ours.keys() - theirs.keys())
        if alone:
            ending = label_ending if missing == "label" else image_ending
            raise InputError(
                f"{ours[alone[0]].where}: {kind} without {missing} ({len(alone)} such {kind}s) "
                f"found, expected its {missing} {alone[0]}{ending}; copy it, or remove the {kind}"
            )
    return [Pair(name, by_id[0][name], by_id[1][name]) for name in sorted(by_id[0])]


def select(pairs: list[Pair], files: str | os.PathLike[str] | None) -> list[Pair]:
    """Keeps the pairs that a list file names; None keeps all.

    Raises:
        InputError: a listed image does not exist.
    """
    if files is None:
        return pairs
    wanted = set(read_list(files))
    unknown = sorted(wanted - {pair.image_id for pair in pairs})
    if unknown:
        raise InputError(
            f"{files}: {len(unknown)} of {len(wanted)} listed images that are not there, such as "
            f"{unknown[0]!r}, found, expected names of images of the data set; mend the list"
        )
    return [pair for pair in pairs if pair.image_id in wanted]


def read_list(path: str | os.PathLike[str]) -> list[str]:
    """Reads a list of image names, one a line, with or without folders and .png, as sorted ids.

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
    names = sorted({Path(line.strip()).name.removesuffix(".png") for line in lines if line.strip()})
    if not names:
        raise InputError(
            f"{path}: no image found, expected one image name a line; write some into it"
        )
    return names


def _by_id(files: Mapping[str, File], ending: str) -> dict[str, File]:
    found: dict[str, File] = {}
    for name, file in files.items():
        image_id = Path(name).name.removesuffix(ending)
        # Names of other encodings arrive with halves of surrogates, which no record can hold.
        if not image_id or not image_id.isprintable():
            raise InputError(
                f"{file.where}: a name that no image can have found, expected printable characters "
                f"before {ending}; give it another name"
            )
        if image_id in found:
            raise InputError(
                f"{file.where}: the same name as {found[image_id].where} found, expected every "
                "image once; remove one"
            )
        found[image_id] = file
    return found
