"""The query log: one immutable file per round that says which pixels were asked about.

With the answers beside it, the log is the state of an active-learning run. Labels are derived from
both, so a run that is stopped and started again asks for nothing twice.
"""

from collections.abc import Sequence

import numpy as np

from cbda_jax.annotation.queries import (
    ImageSizes,
    Queries,
    difference,
    own_sizes,
    problem,
    repeated,
    where,
)
from cbda_jax.annotation.round_files import (
    RESTORE,
    read_round,
    round_path,
    round_paths,
    write_round,
)
from cbda_jax.errors import InputError
from cbda_jax.stores import AnyPath, to_path

_VERSION = 1
_COLUMNS = {"image": "i4", "row": "i4", "col": "i4", "score": "f4", "predicted": "u1"}


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

    def __init__(self, folder: AnyPath):
        self.folder = to_path(folder)
        self.rounds: list[Queries] = []
        for number, path in enumerate(round_paths(self.folder), 1):
            queries = _read(path, number)
            self._check(path, queries)
            self.rounds.append(queries)

    def path(self, number: int) -> AnyPath:
        """The file of round `number`."""
        return round_path(self.folder, number)

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
        if write:
            header = {
                **queries.about,
                "version": _VERSION,
                "round": queries.round,
                "step": queries.step,
                "radius": queries.radius,
            }
            columns = {name: getattr(queries, name) for name in _COLUMNS}
            ids = np.array(queries.image_ids, dtype=np.str_)
            write_round(path, header, {"image_ids": ids, **columns})
        self.rounds.append(queries)

    def check_pool(self, sizes: ImageSizes) -> None:
        """Checks that the queries are about a pool's images and lie inside of them.

        Args:
            sizes: of the pool's images, in any order.

        Raises:
            InputError: they are of other images, or outside.
        """
        for queries in self.rounds:
            path = self.path(queries.round)
            if queries.image_ids != tuple(sorted(sizes)):
                differing = difference(queries.image_ids, tuple(sizes))
                raise InputError(
                    f"{path}: queries of {differing} in the target data set; name the data it was "
                    f"asked about, or {RESTORE}"
                )
            height, width = own_sizes(queries, sizes)
            outside = np.flatnonzero((queries.row >= height) | (queries.col >= width))
            if len(outside):
                first = int(outside[0])
                raise InputError(
                    f"{path}: {len(outside)} queries outside of their images, such as "
                    f"{where(queries, first)}; expected labels of {height[first]} x {width[first]} "
                    f"(height x width); name the data it was asked about, or {RESTORE}"
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
                    f"{expected}; {RESTORE}"
                )

    def _check(self, path: AnyPath, queries: Queries) -> None:
        found = problem(queries, self.rounds[-1] if self.rounds else None)
        if found is not None:
            raise InputError(f"{path}: {found}; {RESTORE}")
        place = repeated([queries])
        if place is not None:
            raise InputError(
                f"{path}: {where(*place)} is asked for twice, expected every centre once in a "
                f"round; {RESTORE}"
            )


def _read(path: AnyPath, number: int) -> Queries:
    header, arrays = read_round(path, number, version=_VERSION, members=("image_ids", *_COLUMNS))
    ids = arrays.pop("image_ids")
    if ids.dtype.kind != "U" or ids.ndim != 1:
        raise InputError(
            f"{path}: image ids {ids.dtype}{list(ids.shape)} found, expected a list of texts; "
            f"{RESTORE}"
        )
    wrong = [
        f"{name} {arrays[name].dtype}{list(arrays[name].shape)}"
        for name, kind in _COLUMNS.items()
        if arrays[name].dtype != np.dtype(kind) or arrays[name].shape != arrays["image"].shape[:1]
    ]
    if wrong:
        raise InputError(
            f"{path}: the columns do not fit together ({', '.join(wrong)}), expected one length "
            f"and the types of version {_VERSION}; {RESTORE}"
        )
    for name in ("step", "radius"):
        if type(header.get(name)) is not int or header[name] < 0:
            raise InputError(
                f"{path}: {name} {header.get(name)!r} found, expected 0 or more; {RESTORE}"
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
