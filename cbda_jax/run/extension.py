"""A run that goes on beyond its end, or with more to spend: what may change, and what stays."""

import contextlib
import datetime
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from cbda_jax import __version__, annotation
from cbda_jax.checkpoints import open_checkpoints
from cbda_jax.errors import InputError
from cbda_jax.methods import Method
from cbda_jax.run import checks, workdir
from cbda_jax.run.workdir import Difference
from cbda_jax.stores import AnyPath

_OF_ROUNDS = ("acquisition.budget", "acquisition.rounds")


class Extension(NamedTuple):
    """Fields of a run that get other values, and when.

    Attributes:
        changed: the fields, with the values of before and now.
        step: how many steps were made by then.
        rounds: how many rounds were asked for by then.
    """

    changed: tuple[Difference, ...]
    step: int
    rounds: int

    @property
    def entry(self) -> dict[str, Any]:
        """Of the history of the run, see `workdir.read_history`."""
        return {
            "step": self.step,
            "rounds": self.rounds,
            "changed": {found.name: [found.there, found.here] for found in self.changed},
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "version": __version__,
        }

    def __str__(self) -> str:
        changed = "; ".join(f"{f.name}: {f.there!r} -> {f.here!r}" for f in self.changed)
        return f"extended at step {self.step:,}, after {self.rounds} rounds ({changed})"


def find(folder: AnyPath, config: Any) -> tuple[Difference, ...]:
    """The fields in which a config extends the run of a workdir; none where it is the same.

    Raises:
        InputError: it differs in a field that says how what was done already came about.
    """
    workdir.check_run(folder)
    found = workdir.differences(folder, config)
    refused = [one for one in found if one.change not in workdir.EXTENDS]
    if refused:
        raise InputError(
            f"--extend: {'; '.join(map(str, refused))} found, expected what {folder} was made "
            "with, as that is done already; set it back, or start in a new --workdir"
        )
    return tuple(found)


def prepare(folder: AnyPath, config: Any, method: Method) -> Extension | None:
    """Checks what a config makes of what a run has done; changes nothing.

    Args:
        folder: the workdir, locked.
        config: of this start.
        method: of the config.

    Returns:
        None where the config is that of the run.

    Raises:
        InputError: as `find`, or the config does not go on from where the run is.
    """
    changed = find(folder, config)
    if not changed:
        return None
    result = workdir.read_result(folder)
    where = config.checkpoint.dir or folder / "checkpoints"
    with contextlib.closing(open_checkpoints(where, writable=False)) as checkpoints:
        step = checkpoints.latest or 0
        if result is not None and step != result["evaluation"]["step"]:
            raise InputError(
                f"{checkpoints.folder}: step {step} found as the latest checkpoint, expected "
                f"{result['evaluation']['step']}, where the run has finished, to go on from; "
                "restore it from a backup"
            )
    held = [queries.step for queries in annotation.QueryLog(folder / "queries").rounds]
    check(config, method, step=step, held=held, finished=result is not None)
    return Extension(changed, step, len(held))


def check(
    config: Any, method: Method, *, step: int, held: Sequence[int], finished: bool = False
) -> None:
    """Checks that a config goes on from where a run is.

    Args:
        config: what it is to be from now on.
        method: of the config.
        step: how many steps were made.
        held: the steps of the rounds that were asked for.
        finished: whether the run has.

    Raises:
        InputError: naming the field: fewer steps than were made, rounds before the step or other
            ones than those held, steps at which nothing is learnt.
    """
    training, rounds = config.training, list(config.acquisition.rounds)
    if training.steps < step or (finished and training.steps == step):
        at_least = f"more than {step}, as the run has finished" if finished else f"{step} or more"
        raise InputError(
            f"training.steps: {training.steps} found, expected {at_least}: so many were made; "
            "raise it (for other evaluations alone there is --mode=evaluate)"
        )
    if method.acquires:
        if rounds[: len(held)] != list(held):
            raise InputError(
                f"acquisition.rounds: {tuple(rounds)} found, expected {tuple(held)} first, the "
                "rounds that were held; put further ones behind them"
            )
        early = [at for at in rounds[len(held) :] if at < step]
        if early:
            raise InputError(
                f"acquisition.rounds: a round before step {early[0]} found, expected step {step} "
                "or later, as so many steps were made; hold it later"
            )
    idle = checks.idle_from(training, rounds if method.acquires else ())
    if idle is not None:
        raise InputError(
            f"training.schedule_steps: {training.schedule_steps} found, expected {training.steps} "
            f"or so, as many as training.steps: the learning rate is 0 from step {idle} on; set it "
            "too, and the schedule of that many steps holds from here on"
        )


def record(folder: AnyPath, extended: Extension) -> None:
    """Makes the extension part of the run: from now on the same command goes on with it.

    Raises:
        InputError: it cannot be written; the run is as it was then.
    """
    workdir.amend(folder, extended.changed, extended.entry)


def schedules(history: Sequence[Mapping[str, Any]]) -> tuple[tuple[int, int], ...]:
    """(until, schedule_steps) of the schedules that were in force before, for `poly_schedule`."""
    name = "training.schedule_steps"
    return tuple(
        (entry["step"], entry["changed"][name][0]) for entry in history if name in entry["changed"]
    )


def settled(history: Sequence[Mapping[str, Any]]) -> int:
    """How many rounds were asked for before the budget and the rounds were what they are."""
    return next(
        (
            entry["rounds"]
            for entry in reversed(history)
            if any(name in entry["changed"] for name in _OF_ROUNDS)
        ),
        0,
    )
