"""The active-learning loop: train, acquire, ask, train on.

The only module that knows all rooms; of them, only this and `assembly` see the config.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from cbda_jax import annotation, console, ranges, reporting, sharding
from cbda_jax.checkpoints import Checkpoints
from cbda_jax.data import labels, pipeline, png, records
from cbda_jax.errors import InputError, Paused
from cbda_jax.files import write_atomic
from cbda_jax.methods import Method
from cbda_jax.run import assembly, outcome
from cbda_jax.run import workdir as workdirs
from cbda_jax.run.acquirer import Acquirer, Scoring
from cbda_jax.run.evaluator import Evaluator
from cbda_jax.run.rounds import Plan, Rounds
from cbda_jax.run.trainer import Trainer
from cbda_jax.runtime import hosts, lock
from cbda_jax.runtime.preemption import Preemption
from cbda_jax.runtime.trace import StepTrace


def run(
    config: assembly.Config,
    workdir: Path,
    *,
    mode: str = "train",
    profile: int = 0,
    until: int | None = None,
) -> None:
    """Runs, or goes on with, the experiment of a workdir.

    Args:
        config: see `configs/common.py`.
        workdir: everything that the run makes goes here.
        mode: "train" for the whole loop; "evaluate" for the latest checkpoint's figures and
            predictions; "acquire" for one round from the latest checkpoint.
        profile: how many training steps are traced, into the folder of TensorBoard's events.
        until: of "train", the step to stop at once its checkpoint is saved, before a round that is
            due there; a later call without it goes on as if this one had never stopped. None: the
            whole loop.

    Raises:
        InputError: the config, the data, the workdir or `until` is not as expected.
    """
    ranges.check(config)
    if until is not None and (mode != "train" or not 1 <= until <= config.training.steps):
        raise InputError(
            f"--until: step {until} with --mode={mode} found, expected a step from 1 to "
            f"{config.training.steps} (training.steps) with --mode=train"
        )
    method = assembly.resolve_method(config)
    annotation.check_version(workdir / "answers", workdir / "queries")
    workdirs.claim(workdir, config, write=False)
    if mode != "train":
        workdirs.check_run(workdir)
    result = workdirs.read_result(workdir)
    if mode == "train" and result is not None:
        console.say(f"{workdir}: this run has finished; nothing to do\n\n{result['table']}")
        return
    # Evaluation looks on, also at a run that goes on in another process.
    writes = mode != "evaluate"
    with lock.hold(workdir) if writes else nullcontext() as held, Preemption() as preemption:
        if writes:
            hosts.first(lambda: lock.remove_leftovers(workdir))
        experiment = Experiment(config, method, workdir, preemption, held, profile=profile)
        # Only now: a config that cannot be run leaves no trace.
        if mode == "train":
            hosts.first(lambda: workdirs.claim(workdir, config, write=True))
        with experiment.open(mode):
            {
                "train": functools.partial(experiment.train, until),
                "evaluate": experiment.write_predictions,
                "acquire": experiment.acquire_only,
            }[mode]()


class Experiment:
    """One run in one workdir: its parts, and the phases that use them."""

    def __init__(
        self,
        config: assembly.Config,
        method: Method,
        workdir: Path,
        preemption: Preemption,
        held: lock.WorkdirLock | None,
        *,
        profile: int = 0,
    ):
        self.preemption = preemption
        self.held = held
        self.config = config
        self.method = method
        self.workdir = workdir
        self.space = labels.label_space(config.num_classes)
        self.round_steps = assembly.round_steps(config, method)
        self.mesh = sharding.make_mesh()
        self.host = (jax.process_index(), jax.process_count())
        self.is_first = self.host[0] == 0
        if method.source:
            sharding.check_batch(config.data.source_batch, self.mesh, "data.source_batch")
        if method.target:
            sharding.check_batch(config.data.target_batch, self.mesh, "data.target_batch")
        self.pool = self._open(config.data.target, config.data.target_size)
        self.rounds = Rounds(
            workdir,
            self.pool,
            self.space,
            assembly.create_oracle(config, workdir, self.pool, self.space),
            Plan(config.method, method, config.acquisition.budget, len(self.round_steps)),
            gallery=config.report.gallery,
            first=self.is_first,
        )
        if method.acquires:
            assembly.check_budget(config.acquisition.budget, method, self.rounds.native)
        self.network = assembly.create_network(config, self.space.num_classes, self.mesh)
        self.trace = StepTrace(workdir / "tensorboard", profile if self.is_first else 0)

    @contextmanager
    def open(self, mode: str) -> Iterator[None]:
        """Goes on from the latest whole checkpoint; at the end, waits for what is being written.

        Args:
            mode: figures go to the run's metrics only if it is "train"; these are cut back to the
                checkpoint first. "evaluate" leaves the checkpoints alone, damaged ones too.
        """
        checkpoints = Checkpoints(
            self.config.checkpoint.dir or self.workdir / "checkpoints",
            keep=self.config.checkpoint.keep,
            writable=mode != "evaluate",
        )
        try:
            self.checkpoints = checkpoints
            initial = self.network.initial()
            found = checkpoints.restore_latest(initial)
            self.resumed = found is not None
            step, state = found or (0, initial)
            if self.method.acquires:
                self.rounds.check_steps(self.round_steps, step)
            with reporting.MetricWriter(
                self.workdir,
                resume_step=step if self.resumed else -1,
                enabled=self.is_first and mode == "train",
            ) as self.metrics:
                self.trainer = Trainer(
                    self.network.train_step,
                    step,
                    state,
                    mesh=self.mesh,
                    checkpoints=checkpoints,
                    metrics=self.metrics,
                    preemption=self.preemption,
                    trace=self.trace,
                    writable=self._check_writable,
                    log_every=self.config.report.log_every,
                    save_every=self.config.checkpoint.every,
                )
                # The trainer's alone, or the device would hold the state twice.
                del initial, found, state
                yield
        finally:
            checkpoints.close()

    # --------------------------------------------------------------- training

    @property
    def step(self) -> int:
        """How many training steps were made."""
        return self.trainer.step

    def train(self, until: int | None = None) -> None:
        """From the latest checkpoint to the end: trains, holds the rounds, evaluates, reports.

        Args:
            until: the step to stop at instead, saved; see `run`.
        """
        total = self.config.training.steps
        end = total if until is None else until
        if self.resumed:
            console.say(f"{self.workdir}: going on from step {self.step}")
        else:
            classes = self.pool.class_pixels.sum(axis=0).tolist()
            self.metrics.write(
                "pool", 0, class_pixels=dict(zip(self.space.classes, classes, strict=True))
            )
        try:
            if self.resumed and not self._is_recorded("evaluation"):
                # The run may have been stopped in the middle of it.
                self._evaluate_if_due()
            with console.progress(
                max(end, self.step), "train", initial=self.step, enabled=self.is_first
            ) as progress:
                while (until is None or self.step < end) and self._hold_due_round() < end:
                    last = next((at for at in self.round_steps if self.step < at < end), end)
                    self.trainer.train(
                        self._batches(last),
                        last,
                        progress=progress,
                        evaluate=self._evaluate_if_due,
                    )
            if until is None:
                self._finish()
                return
            self.checkpoints.wait()
            if self.is_first:
                console.say(f"{self.workdir}: step {self.step} is saved, as --until asks")
        except Paused:
            self.trainer.save()
            self.checkpoints.wait()
            if self.is_first:
                console.say(f"{self.workdir}: stopped at step {self.step}, which is saved")
            raise

    def _hold_due_round(self) -> int:
        """Holds the round of this step, if there is one; the step."""
        if self.step in self.round_steps:
            self.hold_round(self.round_steps.index(self.step) + 1)
            if self.config.training.restart_each_round and self.step:
                # What is saved at this step is the state before, which held the round.
                step = self.trainer.state.step
                self.trainer.state = self.network.initial()._replace(step=step)
        return self.step

    def _batches(self, last: int) -> Any:
        """Batches of the steps up to `last`, with the labels asked for so far."""
        config = self.config
        source = None
        if self.method.source:
            source = self._open(config.data.source, config.data.source_size)
        return pipeline.training_batches(
            assembly.training_streams(
                config,
                self.method,
                source,
                self.pool,
                functools.partial(self.rounds.label, step=self.step),
            ),
            first=self.step,
            last=last,
            seed=config.seed,
            host=self.host,
            threads=config.data.threads,
        )

    def _evaluate_if_due(self) -> None:
        every = self.config.evaluation.every
        if every and self.step % every == 0 and 0 < self.step < self.config.training.steps:
            self.evaluate(self.config.data.val)

    def _is_recorded(self, kind: str) -> bool:
        """Whether the metrics have a record of this kind and step; the same in all processes."""
        found = self.is_first and any(
            record["kind"] == kind and record["step"] == self.step
            for record in reporting.read_metrics(self.workdir)
        )
        return bool(multihost_utils.broadcast_one_to_all(np.int32(found)))

    @functools.cache  # noqa: B019 - an Experiment lives as long as the run
    def _open(self, name: str, size: tuple[int, int]) -> records.Records:
        """A data set, prepared and opened when it is first needed, once."""
        return assembly.open_records(self.config, name, size)

    # ----------------------------------------------------------------- rounds

    def hold_round(self, number: int) -> None:
        """Asks for the pixels of a round, unless the query log has them already."""
        # The picks must be of a state that one can go back to.
        self.checkpoints.wait()
        self.rounds.hold(
            number,
            # Asked for early, its labels still come in at the round's own step.
            self.round_steps[number - 1],
            self.trainer.state,
            self._acquirer,
            self.metrics,
            between=self.preemption.check,
            writable=self._check_writable,
        )

    def _check_writable(self) -> None:
        """Stops all processes if another run has taken the workdir."""
        held = self.held
        if held is not None:
            hosts.first(held.check)

    @functools.cached_property
    def _acquirer(self) -> Acquirer:
        config = self.config
        return Acquirer(
            self.network.graphdef,
            self.mesh,
            Scoring(
                native=self.rounds.native,
                via=tuple(config.data.target_size),
                unit=self.method.unit,
                score=self.method.score,
                radius=self.method.radius,
                clamp_impurity=config.acquisition.clamp_impurity,
                seed=config.seed,
                class_evidence=self.method.class_evidence,
                impurity_floor=self.method.impurity_floor,
                ties=self.method.ties,
            ),
            num_classes=self.space.num_classes,
            batch=config.acquisition.batch_per_device * self.mesh.size,
            host=self.host,
            threads=config.data.threads,
        )

    def acquire_only(self) -> None:
        """Holds the next round from the latest checkpoint and stops."""
        if not self.method.acquires or not self.resumed:
            raise InputError(
                f"{self.workdir}: method {self.config.method} at step {self.step} found, expected "
                "a method that acquires and a checkpoint to acquire with; train first"
            )
        number = len(self.rounds.answers.rounds) + 1
        if number > len(self.round_steps):
            console.say(f"{self.workdir}: all {len(self.round_steps)} rounds are answered")
            return
        self.hold_round(number)
        console.say(f"round {number} of {len(self.round_steps)}: {self.rounds.log.path(number)}")

    # ------------------------------------------------------------- evaluation

    def evaluate(self, name: str, *, final: bool = False, write: bool = False) -> dict[str, Any]:
        """Scores a labelled split at native size; records and returns the figures (fractions).

        Args:
            name: of the data set and split.
            final: whether this is the end of the run.
            write: also write every prediction as a PNG of Cityscapes label ids.
        """
        data = self._open(name, self.config.data.target_size)

        def keep(index: int, prediction: np.ndarray) -> None:
            content = png.encode(self.space.to_label_id[prediction])
            path = self.workdir / "predictions" / f"{data.ids[index]}_pred.png"
            write_atomic(path, lambda file: file.write(content))

        with console.progress(
            len(data), f"evaluate {name}", unit="image", enabled=self.is_first and final
        ) as progress:

            def done(images: int) -> None:
                progress.update(images)
                self.preemption.check()

            confusion = self._evaluator.confusion(
                self.trainer.state, data, keep=keep if write else None, done=done
            )
        values = outcome.figures(
            confusion,
            self.space,
            dataset=name,
            labelled_fraction=self.rounds.fraction(self.step),
            final=final,
        )
        self.metrics.write("evaluation", self.step, **values)
        return {**values, "step": self.step}

    @functools.cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(
            self.network.graphdef,
            self.mesh,
            num_classes=self.space.num_classes,
            flip=self.config.evaluation.flip,
            scales=tuple(self.config.evaluation.scales),
            batch=self.config.evaluation.batch_per_device * self.mesh.size,
            host=self.host,
            threads=self.config.data.threads,
        )

    def write_predictions(self) -> None:
        """Evaluates the latest checkpoint on the test split and writes its predictions."""
        if not self.resumed:
            raise InputError(f"{self.workdir}: no checkpoint found; train first")
        values = self.evaluate(self.config.data.test, final=True, write=True)
        console.say(
            f"{reporting.result_table(values)}\n"
            f"predictions (Cityscapes label ids): {self.workdir / 'predictions'}"
        )

    # -------------------------------------------------------------------- end

    def _finish(self) -> None:
        """Final evaluation, result, table and report."""
        names = dict.fromkeys((self.config.data.val, self.config.data.test))
        values = [self.evaluate(name, final=True) for name in names][-1]
        self.checkpoints.wait()
        if not self.is_first:
            return
        outcome.conclude(
            self.workdir,
            values,
            config=self.config,
            space=self.space,
            budget=self.config.acquisition.budget if self.method.acquires else None,
            radius=self.rounds.squares.label_radius,
            devices=self.mesh.size,
            answers=self.rounds.answers.rounds,
            shape=self.rounds.native,
        )
