"""Folders of `round_NN.npz` files, one a round, each written once: what both logs share."""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from cbda_jax.errors import InputError
from cbda_jax.files import read_npz, write_npz
from cbda_jax.stores import AnyPath

RESTORE = "restore the file from a backup"
"""What to do about a file that is not as it was written."""

_NAME = re.compile(r"round_(\d+)\.npz")


def round_path(folder: AnyPath, number: int) -> AnyPath:
    """The file of round `number`."""
    return folder / f"round_{number:02d}.npz"


def round_paths(folder: AnyPath) -> list[AnyPath]:
    """The files of rounds 1, 2, ... of a folder, which need not be there.

    Raises:
        InputError: a round is missing in between, or is there twice.
    """
    found = []
    if folder.is_dir():
        for path in folder.iterdir():
            if match := _NAME.fullmatch(path.name):
                found.append((int(match[1]), path))
    found.sort()
    numbers = [number for number, _ in found]
    if numbers != list(range(1, len(found) + 1)):
        raise InputError(
            f"{folder}: rounds {numbers} found, expected 1 to {len(found)} without a gap, each "
            "once; restore the missing round_NN.npz from a backup"
        )
    return [path for _, path in found]


def write_round(path: AnyPath, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a header of JSON values and arrays, whole or not at all.

    An object store itself sees to it that no other file is replaced, whoever holds the lock.

    Raises:
        InputError: it cannot be written.
    """
    write_npz(path, new=True, header=np.array(json.dumps(header, sort_keys=True)), **arrays)


def read_round(
    path: AnyPath, number: int, *, version: int, members: Collection[str]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The header and the arrays of a file, every byte of it compared with its checksum.

    Args:
        path: of the file.
        number: of the round that it must be of.
        version: of the format that it must have.
        members: names of the arrays.

    Raises:
        InputError: the file is damaged, of another version or of another round.
    """
    try:
        arrays = read_npz(path)
        header = json.loads(str(arrays.pop("header")))
        if not isinstance(header, dict) or arrays.keys() != set(members):
            raise ValueError(f"its members are not those of version {version}")
    except (OSError, ValueError, KeyError, RecursionError) as error:
        raise InputError(
            f"{path}: round {number} cannot be read ({' '.join(str(error).split())}); {RESTORE}, "
            "the run will not go on without the labels that were asked for"
        ) from error
    if header.get("version") != version or header.get("round") != number:
        raise InputError(
            f"{path}: version {header.get('version')!r} of round {header.get('round')!r} found, "
            f"expected version {version} of round {number}; {RESTORE}"
        )
    return header, arrays
