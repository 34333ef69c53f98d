"""What a run has so far, opened: its rounds, and its state with all that measures and saves it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from cbda_jax import reporting
from cbda_jax.checkpoints import open_checkpoints
from cbda_jax.config import flat
from cbda_jax.reporting.trackers import Tracker
from cbda_jax.run import assembly, checks
from cbda_jax.run.budget import check_rest
from cbda_jax.run.loss_balance import loss_balance
from cbda_jax.run.plan import Plan
from cbda_jax.run.rounds import Rounds
from cbda_jax.run.trainer import Trainer
from cbda_jax.runtime import hosts
from cbda_jax.runtime.preemption import Preemption
from cbda_jax.runtime.trace import StepTrace
from cbda_jax.stores import AnyPath

_WAIT_S = 5.0  # between two looks for the answers of people


def open_rounds(parts: assembly.Parts, folder: AnyPath, *, wait: bool, settled: int = 0) -> Rounds:
    """What was asked and answered so far.

    Args:
        parts: what the config means.
        folder: the workdir.
        wait: for people who have yet to answer, in place of stopping.
        settled: how many rounds were held before the budget was this one.

    Raises:
        InputError: queries or answers cannot be read, or the budget does not fit the images or what
            was spent of it.
    """
    config, method = parts.config, parts.method
    rounds = Rounds(
        folder,
        parts.pool,
        parts.space,
        assembly.create_oracle(config, folder, parts.pool, parts.space),
        Plan(
            config.method,
            method,
            config.acquisition.budget,
            len(parts.round_steps),
            config.acquisition.budget_in,
            config.annotation.seconds_per_answer,
            settled,
            lambda: parts.dataset("source").class_pixels.sum(axis=0),
        ),
        gallery=config.report.gallery,
        wait_s=_WAIT_S if wait else None,
    )
    if method.target:
        # Tried, as it is first needed when there are answers.
        loss_balance(config, np.arange(parts.space.num_classes))
    if method.acquires:
        if config.annotation.oracle == "people":
            checks.say_pixels(config.method, method)
        count = len(parts.round_steps)
        checks.check_balance(method, parts.space.num_classes)
        sizes = rounds.sizes.values()
        checks.check_budget(rounds.budget, method, sizes, count)
        check_rest(method, rounds.budget, count, sizes, rounds.spent())
    return rounds


@contextmanager
def open_trainer(
    parts: assembly.Parts,
    rounds: Rounds,
    folder: AnyPath,
    preemption: Preemption,
    check_writable: Callable[[], None],
    *,
    mode: str,
    profile: int,
) -> Iterator[Trainer]:
    """The state of the latest whole checkpoint; at the end, waits for what is being written.

    Figures go to the run's metrics only if the mode is "train"; these are cut back to the
    checkpoint first. "evaluate" leaves the checkpoints alone, damaged ones too.

    Args:
        parts: what the config means.
        rounds: what was asked and answered so far.
        folder: the workdir.
        preemption: asked after every step.
        check_writable: raises where nothing may be written any more.
        mode: of the run.
        profile: how many training steps are traced.

    Raises:
        InputError: the checkpoints cannot be used, or rounds are missing that one was trained with.
    """
    config = parts.config
    checkpoints = open_checkpoints(
        config.checkpoint.dir or folder / "checkpoints",
        keep=config.checkpoint.keep,
        writable=mode != "evaluate",
    )
    try:
        initial = parts.network.initial()
        found = checkpoints.restore_latest(initial)
        resumed = found is not None
        step, state = found or (0, initial)
        if parts.method.acquires:
            rounds.check_steps(parts.round_steps, step)
        writes = hosts.is_first() and mode == "train"
        tracker = Tracker(config.report.tracker if writes else "", folder, flat(config))
        with reporting.MetricWriter(
            folder,
            resume_step=step if resumed else -1,
            last_step=config.training.steps,
            enabled=writes,
            tracker=tracker,
        ) as metrics:
            trainer = Trainer(
                parts.network.train_step,
                step,
                state,
                mesh=parts.mesh,
                checkpoints=checkpoints,
                metrics=metrics,
                preemption=preemption,
                trace=StepTrace(folder / "tensorboard", profile if hosts.is_first() else 0),
                check_writable=check_writable,
                log_every=config.report.log_every,
                save_every=config.checkpoint.every,
                resumed=resumed,
            )
            # The trainer's alone, or the device would hold the state twice.
            del initial, found, state
            yield trainer
    finally:
        checkpoints.close()
