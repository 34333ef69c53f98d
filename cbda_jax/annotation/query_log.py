"""The query log: one immutable file per round that says which pixels were asked about.

The log is the state of an active-learning run. Masks and labels are derived from it, so a run that
is stopped and started again asks for nothing twice.
"""

import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

from cbda_jax.errors import InputError
from cbda_jax.files import write_atomic

_VERSION = 1
_NAME = re.compile(r"round_(\d+)\.npz")


@dataclass(frozen=True, eq=False)
class Queries:
    """What one round asked for, in canonical order: score descending, then image, then position.

    Attributes:
        round: number of the round, from 1.
        step: training step before which the round was held.
        image_ids: ids of the pool's images, sorted.
        image: index into `image_ids` of each query.
        row, col: centre of each query, in pixels of the native label.
        score: acquisition score (weighted, where classes were balanced).
        predicted: class that the network predicted at the centre.
        radius: a query covers the (2 radius + 1)^2 square around its centre, clipped at the border.
        about: anything else worth keeping (method, budget, ...); JSON values.
    """

    round: int
    step: int
    image_ids: tuple[str, ...]
    image: Int32[np.ndarray, " n"]
    row: Int32[np.ndarray, " n"]
    col: Int32[np.ndarray, " n"]
    score: Float32[np.ndarray, " n"]
    predicted: UInt8[np.ndarray, " n"]
    radius: int
    about: dict[str, Any]

    def __len__(self) -> int:
        return len(self.image)

    @cached_property
    def by_image(self) -> dict[str, tuple[Int32[np.ndarray, " m"], Int32[np.ndarray, " m"]]]:
        """(row, col) of the queries of each image that has any."""
        order = np.argsort(self.image, kind="stable")
        images, starts = np.unique(self.image[order], return_index=True)
        groups = np.split(order, starts[1:])
        return {
            self.image_ids[image]: (self.row[group], self.col[group])
            for image, group in zip(images, groups, strict=True)
        }


class QueryLog:
    """The rounds asked so far, in a folder of `round_NN.npz` files.

    Reading is eager and strict: labels are money, so a file that cannot be read stops the run.

    Args:
        folder: where the files are; made at the first write.

    Raises:
        InputError: a file is corrupt, is of another version, or a round is missing in between.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        found = {}
        if self.folder.is_dir():
            for path in sorted(self.folder.iterdir()):
                if match := _NAME.fullmatch(path.name):
                    found[int(match[1])] = path
        if sorted(found) != list(range(1, len(found) + 1)):
            raise InputError(
                f"{self.folder}: rounds {sorted(found)} found, expected 1 to {len(found)} without "
                "a gap; restore the missing round_NN.npz from a backup"
            )
        self.rounds: list[Queries] = [_read(path, number) for number, path in sorted(found.items())]

    def path(self, number: int) -> Path:
        """The file of round `number`."""
        return self.folder / f"round_{number:02d}.npz"

    def append(self, queries: Queries, *, write: bool = True) -> None:
        """Writes the next round, whole or not at all.

        Args:
            queries: of the round that comes next.
            write: False on all hosts but one, which then only remember it.

        Raises:
            InputError: the round is not the next one, is there already, or cannot be written.
        """
        path = self.path(queries.round)
        if queries.round != len(self.rounds) + 1 or (write and path.exists()):
            raise InputError(
                f"{path}: round {queries.round} cannot be added to a log of {len(self.rounds)} "
                "rounds; rounds are added in order and never replaced"
            )
        header = {
            **queries.about,
            "version": _VERSION,
            "round": queries.round,
            "step": queries.step,
            "radius": queries.radius,
        }
        if write:
            write_atomic(path, lambda file: _write(file, queries, header))
        self.rounds.append(queries)

    def centres(
        self, image_id: str, *, until_step: int | None = None
    ) -> tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " n"]]:
        """(row, col) of all queries of an image, of the rounds held at or before `until_step`."""
        nothing = np.zeros(0, np.int32), np.zeros(0, np.int32)
        parts = [
            queries.by_image.get(image_id, nothing)
            for queries in self.rounds
            if until_step is None or queries.step <= until_step
        ] or [nothing]
        rows, cols = zip(*parts, strict=True)
        return np.concatenate(rows), np.concatenate(cols)


def _write(file: IO[bytes], queries: Queries, header: dict[str, Any]) -> None:
    np.savez_compressed(
        file,
        header=np.array(json.dumps(header, sort_keys=True)),
        image_ids=np.array(queries.image_ids, dtype=np.str_),
        image=queries.image,
        row=queries.row,
        col=queries.col,
        score=queries.score,
        predicted=queries.predicted,
    )


def _read(path: Path, number: int) -> Queries:
    columns = {"image": "i4", "row": "i4", "col": "i4", "score": "f4", "predicted": "u1"}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            header = json.loads(str(arrays["header"]))
            image_ids = tuple(str(name) for name in arrays["image_ids"])
            values = {name: arrays[name] for name in columns}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(
            f"{path}: the query log of round {number} cannot be read ({error}); restore the file "
            "from a backup, the run will not go on without the labels that were asked for"
        ) from error
    if header.get("version") != _VERSION or header.get("round") != number:
        raise InputError(
            f"{path}: version {header.get('version')} of round {header.get('round')} found, "
            f"expected version {_VERSION} of round {number}; restore the file from a backup"
        )
    sizes = {len(value) for value in values.values()}
    wrong = [name for name, kind in columns.items() if values[name].dtype != np.dtype(kind)]
    image = values["image"]
    if (
        len(sizes) != 1
        or wrong
        or (image.size and not 0 <= image.min() <= image.max() < len(image_ids))
    ):
        raise InputError(
            f"{path}: the columns do not fit together (lengths {sorted(sizes)}, wrong types "
            f"{wrong}); restore the file from a backup"
        )
    about = {k: v for k, v in header.items() if k not in ("version", "round", "step", "radius")}
    return Queries(
        round=number,
        step=header["step"],
        radius=header["radius"],
        image_ids=image_ids,
        about=about,
        **values,
    )


def queried_mask(
    row: Int32[np.ndarray, " n"], col: Int32[np.ndarray, " n"], shape: Sequence[int], radius: int
) -> Bool[np.ndarray, "height width"]:
    """The union of the (2 radius + 1)^2 squares around the centres, clipped at the border."""
    height, width = shape
    # Corners of each square enter a 2-D difference image; its double running sum counts coverage.
    edges = np.zeros((height + 1, width + 1), np.int32)
    top, bottom = np.maximum(row - radius, 0), np.minimum(row + radius + 1, height)
    left, right = np.maximum(col - radius, 0), np.minimum(col + radius + 1, width)
    np.add.at(edges, (top, left), 1)
    np.add.at(edges, (bottom, right), 1)
    np.add.at(edges, (top, right), -1)
    np.add.at(edges, (bottom, left), -1)
    return edges.cumsum(0).cumsum(1)[:height, :width] > 0
