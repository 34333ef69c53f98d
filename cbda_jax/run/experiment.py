"""The active-learning loop: train, acquire, ask, train on."""

import functools
from contextlib import nullcontext
from typing import Any

import numpy as np

from cbda_jax import annotation, checkpoints, console, evaluation, platform, reporting, training
from cbda_jax.config import check, flat, settled
from cbda_jax.data import images, labels, pipeline
from cbda_jax.errors import InputError, Paused
from cbda_jax.files import write_bytes
from cbda_jax.reporting import trackers
from cbda_jax.run import assembly, checks, extension, opening, outcome, workdir
from cbda_jax.run.acquirer import Acquirer
from cbda_jax.run.evaluator import Evaluator
from cbda_jax.run.loss_balance import label_counts, loss_balance
from cbda_jax.run.rounds import Rounds
from cbda_jax.run.trainer import Trainer
from cbda_jax.runtime import hosts, lock
from cbda_jax.runtime.preemption import Preemption
from cbda_jax.stores import AnyPath


def run(
    config: assembly.Config,
    folder: AnyPath,
    *,
    mode: str = "train",
    profile: int = 0,
    until: int | None = None,
    wait: bool = False,
    extend: bool = False,
) -> None:
    """Runs the experiment of a workdir, or goes on with it.

    Args:
        config: of `cbda_jax.config`.
        folder: the workdir; everything that the run makes goes here.
        mode: "train" for the whole loop; "evaluate" for the latest checkpoint's figures and
            predictions; "acquire" for one round from the latest checkpoint.
        profile: how many training steps are traced, into the folder of TensorBoard's events.
        until: with mode "train", the step to stop at once its checkpoint is saved, before a round
            that is due there. A later call without it goes on as if this one had never stopped.
            None: the whole loop.
        wait: for people who have yet to answer, in place of stopping.
        extend: with mode "train", of a run that has begun: the config may have more steps, a larger
            budget and further rounds, with which the run goes on from where it is. A later call
            without it goes on with the same.

    Raises:
        InputError: the config, the data, the workdir or `until` is not as expected.
        Paused: the machine is wanted back, or people have yet to answer; everything is saved.
    """
    check(config)
    if config.method is None and config.annotation.oracle == "people":
        console.say("note: people answer and no method is named: ripu_pixel, single pixels")
    config = workdir.as_begun(folder, settled(config))
    if until is not None and (mode != "train" or not 1 <= until <= config.training.steps):
        raise InputError(
            f"--until: step {until} with --mode={mode} found, expected a step from 1 to "
            f"{config.training.steps} (training.steps) with --mode=train"
        )
    method = assembly.resolve_method(config)
    annotation.check_version(folder / "answers", folder / "queries")
    if extend:
        changed = extension.find(folder, config)
    else:
        changed = ()
        workdir.claim(folder, config, write=False, mode=mode)
    if mode != "train":
        workdir.check_run(folder)
    result = workdir.read_result(folder)
    if mode == "train" and result is not None and not changed:
        console.say(f"{folder}: this run has finished; nothing to do\n\n{result['table']}")
        return
    if mode == "train":
        trackers.check_workdir(config.report.tracker, folder)
    assembly.check_files(config, method, mode, begun=(folder / "config.json").exists())
    # Evaluation looks on, also at a run that goes on in another process.
    writes = mode != "evaluate"
    with lock.hold(folder) if writes else nullcontext() as held, Preemption() as preemption:
        if writes:
            hosts.first(lambda: lock.remove_leftovers(folder))
        extended = extension.prepare(folder, config, method) if extend else None
        history = workdir.read_history(folder) + ([] if extended is None else [extended.entry])
        parts = assembly.assemble(config, method, mode, earlier=extension.schedules(history))
        console.say(hosts.devices(platform.of(parts.mesh)))
        rounds = opening.open_rounds(parts, folder, wait=wait, settled=extension.settled(history))
        # Only now: a config that cannot be run leaves no trace.
        if mode == "train":
            where = config.checkpoint.dir
            if where:
                hosts.first(lambda: checkpoints.check_writable(where, "checkpoint.dir"))
            hosts.first(lambda: _record(folder, config, extended))

        def check_writable() -> None:
            """Stops all processes if another run has taken the workdir."""
            if held is not None:
                hosts.first(held.check)

        with opening.open_trainer(
            parts, rounds, folder, preemption, check_writable, mode=mode, profile=profile
        ) as trainer:
            experiment = Experiment(parts, rounds, trainer, folder)
            if mode == "train":
                experiment.train(until)
            elif mode == "evaluate":
                experiment.write_predictions()
            else:
                experiment.acquire_only()


def _record(folder: AnyPath, config: assembly.Config, extended: extension.Extension | None) -> None:
    """Makes the config that of the run; what one that was extended came to is kept."""
    if extended is None:
        workdir.claim(folder, config, write=True)
    else:
        extension.record(folder, extended)
        console.say(f"{folder}: {extended}")
    aside = workdir.put_aside(folder)
    if aside is not None:
        console.say(f"{folder}: what it came to before is kept as {aside.name}")


class Experiment:
    """One run in one workdir, and what can be done with it.

    Args:
        parts: what the config means.
        rounds: what was asked and answered so far.
        trainer: the state, at its latest checkpoint, and where it is saved and measured.
        folder: the workdir.
    """

    def __init__(self, parts: assembly.Parts, rounds: Rounds, trainer: Trainer, folder: AnyPath):
        self.parts = parts
        self.config = parts.config
        self.rounds = rounds
        self.trainer = trainer
        self.folder = folder

    @property
    def step(self) -> int:
        """How many training steps were made."""
        return self.trainer.step

    # --------------------------------------------------------------- training

    def train(self, until: int | None = None) -> None:
        """The whole loop, from the latest checkpoint on: train, acquire, ask, train on.

        A round is held before the step it stands at, from a state that is saved. Its labels are in
        the batches from that step on.

        Args:
            until: the step to stop at instead of the end; see `run`.

        Raises:
            Paused: the machine is wanted back, or people have yet to answer; all is saved.
        """
        end = self.config.training.steps if until is None else until
        self._say_start()
        try:
            if self.trainer.resumed and not self._is_recorded("evaluation"):
                # The run may have been stopped in the middle of it.
                self._evaluate_if_due()
            with console.progress(max(end, self.step), "train", initial=self.step) as progress:
                for last in self._stops(end):
                    self._hold_due_round()
                    self.trainer.train(
                        self._batches(last),
                        last,
                        progress=progress,
                        evaluate=self._evaluate_if_due,
                        balance=self._loss_balance(),
                    )
            if until is None:
                self._finish()
            else:
                self.trainer.checkpoints.wait()
                console.say(f"{self.folder}: step {self.step} is saved, as --until asks")
        except Paused:
            self.trainer.save()
            self.trainer.checkpoints.wait()
            console.say(f"{self.folder}: stopped at step {self.step}, which is saved")
            raise

    def _loss_balance(self) -> training.LossBalance:
        """What the loss is balanced by from this step on, with the labels asked for so far."""
        method, pool = self.parts.method, self.parts.pool
        counts = label_counts(method, pool.class_pixels, self.rounds, self.step)
        return loss_balance(self.config, counts)

    def _say_start(self) -> None:
        if self.parts.method.acquires:
            console.say(self.rounds.cost())
        idle = checks.idle_from(self.config.training, self.parts.round_steps)
        if idle is not None:
            console.say(
                f"note: training.schedule_steps: the learning rate is 0 from step {idle:,} on, so "
                f"that nothing is learnt until {self.config.training.steps:,} (training.steps)"
            )
        if self.trainer.resumed:
            console.say(f"{self.folder}: going on from step {self.step}")
            return
        pixels = self.parts.pool.class_pixels.sum(axis=0).tolist()
        classes = dict(zip(self.parts.space.classes, pixels, strict=True))
        self.trainer.metrics.write("pool", 0, class_pixels=classes)

    def _stops(self, end: int) -> list[int]:
        """The steps to train up to, one after the other: every round still to come, and the end."""
        if self.step >= end:
            return []
        return [*(at for at in self.parts.round_steps if self.step < at < end), end]

    def _hold_due_round(self) -> None:
        """Holds the round of this step, if there is one."""
        if self.step not in self.parts.round_steps:
            return
        self.hold_round(self.parts.round_steps.index(self.step) + 1)
        if self.config.training.restart_each_round and self.step:
            # What is saved at this step is the state before, which held the round.
            step = self.trainer.state.step
            self.trainer.state = self.parts.network.initial()._replace(step=step)

    def _batches(self, last: int) -> Any:
        """Batches of the steps up to `last`, with the labels asked for so far."""
        parts, data = self.parts, self.config.data
        source = None
        if parts.method.source:
            source = parts.dataset("source")
        return pipeline.training_batches(
            assembly.training_streams(
                self.config,
                parts.method,
                source,
                parts.pool,
                functools.partial(self.rounds.label, step=self.step),
            ),
            first=self.step,
            last=last,
            seed=self.config.seed,
            host=parts.host,
            threads=data.threads,
        )

    # ----------------------------------------------------------------- rounds

    def hold_round(self, number: int) -> None:
        """Asks for the pixels of a round, unless the query log has them already."""
        # The picks must be of a state that one can go back to.
        self.trainer.checkpoints.wait()
        self.rounds.hold(
            number,
            # Asked for early, its labels still come in at the round's own step.
            self.parts.round_steps[number - 1],
            self.trainer.state,
            self._acquirer,
            self.trainer.metrics,
            between=self.trainer.preemption.check,
            writable=self.trainer.check_writable,
        )

    @functools.cached_property
    def _acquirer(self) -> Acquirer:
        config, parts = self.config, self.parts
        return Acquirer(
            parts.network.graphdef,
            parts.mesh,
            parts.method.scoring,
            tuple(config.data.target_size),
            flip=parts.method.flip,
            quota=parts.method.balance.shared_out,
            seed=config.seed,
            batch=config.acquisition.batch_per_device * parts.mesh.size,
            host=parts.host,
            threads=config.data.threads,
        )

    def acquire_only(self) -> None:
        """Holds the next round from the latest checkpoint and stops.

        Raises:
            InputError: the method does not acquire, or there is no checkpoint to acquire with.
        """
        if not self.parts.method.acquires or not self.trainer.resumed:
            raise InputError(
                f"{self.folder}: method {self.config.method} at step {self.step} found, expected "
                "a method that acquires and a checkpoint to acquire with; train first"
            )
        count, number = len(self.parts.round_steps), len(self.rounds.answers.rounds) + 1
        if number > count:
            console.say(f"{self.folder}: all {count} rounds are answered")
            return
        self.hold_round(number)
        console.say(f"round {number} of {count}: {self.rounds.log.path(number)}")

    # ------------------------------------------------------------- evaluation

    def _evaluate_if_due(self) -> None:
        every = self.config.evaluation.every
        if every and self.step % every == 0 and 0 < self.step < self.config.training.steps:
            self.evaluate("val")

    def _is_recorded(self, kind: str) -> bool:
        """Whether the metrics have a record of this kind and step; the same in all processes."""
        found = hosts.is_first() and any(
            record["kind"] == kind and record["step"] == self.step
            for record in reporting.read_metrics(self.folder)
        )
        return bool(hosts.of_first(found))

    def evaluate(
        self, role: str, *, final: bool = False, out: AnyPath | None = None
    ) -> dict[str, Any]:
        """Scores a labelled split at native size; records and returns the figures (fractions).

        Args:
            role: which data set, "val" or "test".
            final: whether this is the end of the run.
            out: a folder for every prediction as a PNG of the data set's own label values, if they
                are wanted.
        """
        space, name = self.parts.space, self.config.data[role]
        data = self.parts.dataset(role)

        def keep(index: int, prediction: np.ndarray) -> None:
            height, width = data.native_sizes[index].tolist()
            native = images.resize_label(prediction, (height, width))
            content = labels.write(native, data.encoding, space)
            assert out is not None
            write_bytes(out / f"{data.ids[index]}_pred.png", content)

        with console.progress(
            len(data), f"evaluate {name}", unit="image", enabled=final
        ) as progress:

            def done(images: int) -> None:
                progress.update(images)
                self.trainer.preemption.check()

            # At the end of a run, what it still gets wrong goes to the report.
            judged = final and out is None
            mistakes = evaluation.Mistakes(len(data), self.config.report.worst) if judged else None
            judge = mistakes.add if mistakes else None
            confusion = self._evaluator.confusion(
                self.trainer.state, data, keep=keep if out else None, judge=judge, done=done
            )
        values = outcome.figures(
            confusion,
            space,
            dataset=name,
            labelled_fraction=self.rounds.fraction(self.step),
            final=final,
        )
        if mistakes is not None:
            outcome.keep_mistakes(
                self.folder, data, mistakes, confusion, values["split"], self.step
            )
        self.trainer.metrics.write("evaluation", self.step, **values)
        return {**values, "step": self.step}

    @functools.cached_property
    def _evaluator(self) -> Evaluator:
        config, parts = self.config, self.parts
        return Evaluator(
            parts.network.graphdef,
            parts.mesh,
            num_classes=parts.space.num_classes,
            flip=config.evaluation.flip,
            scales=tuple(config.evaluation.scales),
            batch=config.evaluation.batch_per_device * parts.mesh.size,
            host=parts.host,
            threads=config.data.threads,
        )

    def write_predictions(self) -> None:
        """Evaluates the latest checkpoint on the test split; writes figures and predictions.

        They go to a folder of their own in `evaluations`, named by the step, the split, and what is
        otherwise than in the run: what the run itself came to is not touched.

        Raises:
            InputError: there is no checkpoint.
        """
        if not self.trainer.resumed:
            raise InputError(f"{self.folder}: no checkpoint found; train first")
        unused = ("data.val", "evaluation.every")
        changed = [
            one for one in workdir.differences(self.folder, self.config) if one.name not in unused
        ]
        if changed:
            console.say(f"note: evaluated otherwise than the run ({'; '.join(map(str, changed))})")
        out = outcome.evaluation_folder(self.folder, self.step, self.config.data.test, changed)
        values = self.evaluate("test", final=True, out=out / "predictions")
        hosts.sync("predictions are on the disk")
        if hosts.is_first():
            settings = flat(self.config)
            outcome.write_evaluation(out, values, settings=settings, changed=changed)
        kind = self.parts.dataset("test").encoding.name
        console.say(f"{reporting.result_table(values)}\nfigures and predictions ({kind}): {out}")

    # -------------------------------------------------------------------- end

    def _finish(self) -> None:
        """Final evaluation, result, table and report."""
        # The last of each name: one data set is evaluated once.
        roles = {self.config.data[role]: role for role in ("val", "test")}
        values = [self.evaluate(role, final=True) for role in roles.values()][-1]
        self.trainer.checkpoints.wait()
        if not hosts.is_first():
            return
        self.trainer.metrics.flush()
        outcome.conclude(
            self.folder,
            values,
            settings=flat(self.config),
            space=self.parts.space,
            budget=self.rounds.budget if self.parts.method.acquires else None,
            radius=self.rounds.squares.label_radius,
            devices=self.parts.mesh.size,
            answers=self.rounds.answers.rounds,
            sizes=self.rounds.sizes,
            history=workdir.read_history(self.folder),
        )
        self.trainer.metrics.finish(self.folder / "report")
