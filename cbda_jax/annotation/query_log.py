"""The query log: one immutable file per round that says which pixels were asked about.

The log is the state of an active-learning run. Masks and labels are derived from it, so a run that
is stopped and started again asks for nothing twice.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from cbda_jax.annotation.queries import Queries, difference, problem, repeated, where
from cbda_jax.errors import InputError
from cbda_jax.files import read_npz, write_npz

_VERSION = 1
_NAME = re.compile(r"round_(\d+)\.npz")
_COLUMNS = {"image": "i4", "row": "i4", "col": "i4", "score": "f4", "predicted": "u1"}
_RESTORE = "restore the file from a backup"


class QueryLog:
    """The rounds asked so far, in a folder of `round_NN.npz` files.

    Reading is eager and strict: labels are money, so a file that cannot be read, or that says what
    cannot be, stops the run. Every byte is under a checksum.

    Args:
        folder: where the files are; made at the first write.

    Raises:
        InputError: a file is corrupt, is of another version, or a round is missing in between; the
            rounds contradict each other, or a centre is asked for twice.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        found = []
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if match := _NAME.fullmatch(path.name):
                    found.append((int(match[1]), path))
        found.sort()
        numbers = [number for number, _ in found]
        if numbers != list(range(1, len(found) + 1)):
            raise InputError(
                f"{self.folder}: rounds {numbers} found, expected 1 to {len(found)} without "
                "a gap, each once; restore the missing round_NN.npz from a backup"
            )
        self.rounds: list[Queries] = []
        for number, path in found:
            queries = _read(path, number)
            self._check(path, queries)
            self.rounds.append(queries)
        self._check_repeated(self.rounds)

    def path(self, number: int) -> Path:
        """The file of round `number`."""
        return self.folder / f"round_{number:02d}.npz"

    def append(self, queries: Queries, *, write: bool = True) -> None:
        """Writes the next round, whole or not at all.

        Args:
            queries: of the round that comes next.
            write: False on all hosts but one, which then only remember it.

        Raises:
            InputError: the round is not the next one, is there already, asks for a centre again or
                cannot be written. The log is as it was then.
        """
        path = self.path(queries.round)
        if queries.round != len(self.rounds) + 1 or (write and path.exists()):
            raise InputError(
                f"{path}: round {queries.round} cannot be added to a log of {len(self.rounds)} "
                "rounds; rounds are added in order and never replaced"
            )
        self._check(path, queries)
        self._check_repeated([*self.rounds, queries])
        if write:
            header = {
                **queries.about,
                "version": _VERSION,
                "round": queries.round,
                "step": queries.step,
                "radius": queries.radius,
            }
            write_npz(
                path,
                header=np.array(json.dumps(header, sort_keys=True)),
                image_ids=np.array(queries.image_ids, dtype=np.str_),
                **{name: getattr(queries, name) for name in _COLUMNS},
            )
        self.rounds.append(queries)

    def check_pool(self, image_ids: Sequence[str], shape: Sequence[int]) -> None:
        """Checks that the queries are about a pool's images and lie inside of them.

        Args:
            image_ids: of the pool, in any order.
            shape: (height, width) of the native labels.

        Raises:
            InputError: they are of other images, or outside.
        """
        height, width = shape
        for queries in self.rounds:
            path = self.path(queries.round)
            if queries.image_ids != tuple(sorted(image_ids)):
                raise InputError(
                    f"{path}: queries of {difference(queries.image_ids, image_ids)} in the target "
                    f"data set; name the data it was asked about, or {_RESTORE}"
                )
            outside = np.flatnonzero((queries.row >= height) | (queries.col >= width))
            if len(outside):
                raise InputError(
                    f"{path}: {len(outside)} queries outside of their images, such as "
                    f"{where(queries, int(outside[0]))}; expected labels of {height} x {width} "
                    f"(height x width); name the data it was asked about, or {_RESTORE}"
                )

    def check_steps(self, steps: Sequence[int], step: int) -> None:
        """Checks that all rounds are there that a checkpoint was trained with.

        Args:
            steps: before which rounds are held.
            step: of the checkpoint.

        Raises:
            InputError: one is missing, or was held before another step.
        """
        before = sum(at < step for at in steps)
        if len(self.rounds) < before or len(self.rounds) > len(steps):
            raise InputError(
                f"{self.folder}: {len(self.rounds)} rounds found, expected {before} to "
                f"{len(steps)} with a checkpoint of step {step} (rounds before steps "
                f"{', '.join(map(str, steps))}); restore the round_NN.npz files from a backup"
            )
        for queries, expected in zip(self.rounds, steps, strict=False):
            if queries.step != expected:
                raise InputError(
                    f"{self.path(queries.round)}: held before step {queries.step}, expected "
                    f"{expected}; {_RESTORE}"
                )

    def _check(self, path: Path, queries: Queries) -> None:
        found = problem(queries, self.rounds[-1] if self.rounds else None)
        if found is not None:
            raise InputError(f"{path}: {found}; {_RESTORE}")

    def _check_repeated(self, rounds: Sequence[Queries]) -> None:
        found = repeated(rounds)
        if found is not None:
            queries, place = found
            raise InputError(
                f"{self.path(queries.round)}: {where(queries, place)} is asked for twice, "
                f"expected every centre once in all rounds; {_RESTORE}"
            )

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


def _read(path: Path, number: int) -> Queries:
    try:
        arrays = read_npz(path)
        header = json.loads(str(arrays.pop("header")))
        ids = arrays.pop("image_ids")
        if not isinstance(header, dict) or arrays.keys() != _COLUMNS.keys():
            raise ValueError(f"its members are not those of version {_VERSION}")
        if ids.dtype.kind != "U" or ids.ndim != 1:
            raise ValueError("its image ids are no list of texts")
    except (OSError, ValueError, KeyError, RecursionError) as error:
        raise InputError(
            f"{path}: the query log of round {number} cannot be read "
            f"({' '.join(str(error).split())}); restore the file from a backup, the run will not "
            "go on without the labels that were asked for"
        ) from error
    if header.get("version") != _VERSION or header.get("round") != number:
        raise InputError(
            f"{path}: version {header.get('version')!r} of round {header.get('round')!r} found, "
            f"expected version {_VERSION} of round {number}; {_RESTORE}"
        )
    wrong = [
        f"{name} {arrays[name].dtype}{list(arrays[name].shape)}"
        for name, kind in _COLUMNS.items()
        if arrays[name].dtype != np.dtype(kind) or arrays[name].shape != arrays["image"].shape[:1]
    ]
    if wrong:
        raise InputError(
            f"{path}: the columns do not fit together ({', '.join(wrong)}), expected one length "
            f"and the types of version {_VERSION}; {_RESTORE}"
        )
    for name in ("step", "radius"):
        if type(header.get(name)) is not int or header[name] < 0:
            raise InputError(
                f"{path}: {name} {header.get(name)!r} found, expected 0 or more; {_RESTORE}"
            )
    about = {k: v for k, v in header.items() if k not in ("version", "round", "step", "radius")}
    return Queries(
        round=number,
        step=header["step"],
        radius=header["radius"],
        image_ids=tuple(ids.tolist()),
        about=about,
        **arrays,
    )
