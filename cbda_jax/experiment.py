"""The active-learning loop: train, acquire, ask, train on.

The only module that knows all rooms; of them, only this and `assembly` see the config.
"""

import functools
import math
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from cbda_jax import (
    __version__,
    assembly,
    evaluation,
    reporting,
    sharding,
    training,
)
from cbda_jax import (
    workdir as workdirs,
)
from cbda_jax.acquirer import Acquirer, Scoring
from cbda_jax.checkpoint import Checkpoints
from cbda_jax.data import labels, pipeline, png, records, sampling
from cbda_jax.errors import InputError
from cbda_jax.evaluator import Evaluator
from cbda_jax.files import write_atomic
from cbda_jax.methods import Method
from cbda_jax.rounds import Rounds


def run(config: assembly.Config, workdir: Path, *, mode: str = "train") -> None:
    """Runs, or goes on with, the experiment of a workdir.

    Args:
        config: see `configs/common.py`.
        workdir: everything that the run makes goes here.
        mode: "train" for the whole loop; "evaluate" for the latest checkpoint's figures and
            predictions; "acquire" for one round from the latest checkpoint.

    Raises:
        InputError: the config, the data or the workdir is not as expected.
    """
    method = assembly.resolve_method(config)
    workdirs.claim(workdir, config, write=False)
    if mode != "train":
        workdirs.check_run(workdir)
    result = workdirs.read_result(workdir)
    if mode == "train" and result is not None:
        reporting.say(f"{workdir}: this run has finished; nothing to do\n\n{result['table']}")
        return
    experiment = Experiment(config, method, workdir)
    # Only now: a config that cannot be run leaves no trace.
    if mode == "train" and jax.process_index() == 0:
        workdirs.claim(workdir, config, write=True)
    multihost_utils.sync_global_devices("the workdir is claimed")
    with experiment.open(record=mode == "train"):
        {
            "train": experiment.train,
            "evaluate": experiment.write_predictions,
            "acquire": experiment.acquire_only,
        }[mode]()


class Experiment:
    """One run in one workdir: its parts, and the phases that use them."""

    def __init__(self, config: assembly.Config, method: Method, workdir: Path):
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
            name=config.method,
            method=method,
            budget=config.acquisition.budget,
            count=len(self.round_steps),
            gallery=config.report.gallery,
            first=self.is_first,
        )
        if method.acquires:
            assembly.check_budget(config.acquisition.budget, method, self.rounds.native)
        self.graphdef, self.state, self.train_step = assembly.create_network(
            config, self.space.num_classes, self.mesh
        )

    @contextmanager
    def open(self, *, record: bool) -> Iterator[None]:
        """Goes on from the latest checkpoint; at the end, waits for what is being written.

        Args:
            record: whether figures go to the run's metrics, which are cut back to the checkpoint
                first. Only training may: another process may be training in this workdir.
        """
        checkpoints = Checkpoints(self.workdir / "checkpoints", keep=self.config.checkpoint.keep)
        try:
            self.checkpoints = checkpoints
            self.step = checkpoints.latest or 0
            if self.step:
                self.state = checkpoints.restore(self.state)
            with reporting.MetricWriter(
                self.workdir, resume_step=self.step or -1, enabled=self.is_first and record
            ) as self.metrics:
                yield
        finally:
            checkpoints.close()

    # --------------------------------------------------------------- training

    def train(self) -> None:
        """From the latest checkpoint to the end: trains, holds the rounds, evaluates, reports."""
        total = self.config.training.steps
        if self.step:
            reporting.say(f"{self.workdir}: going on from step {self.step}")
        else:
            classes = self.pool.class_pixels.sum(axis=0).tolist()
            self.metrics.write(
                "pool", 0, class_pixels=dict(zip(self.space.classes, classes, strict=True))
            )
        with reporting.progress(
            total, "train", initial=self.step, enabled=self.is_first
        ) as progress:
            while True:
                if self.step in self.round_steps:
                    self.hold_round(self.round_steps.index(self.step) + 1)
                if self.step == total:
                    break
                last = next((at for at in self.round_steps if at > self.step), total)
                self._train_until(last, progress)
        self._finish()

    def _train_until(self, last: int, progress: reporting.Progress) -> None:
        """Steps up to `last` with the labels asked for so far.

        The order matters: evaluate, save, then load and step. So a checkpoint of step s is the
        state before batch s, and a run that goes on from it repeats nothing and skips nothing.
        """
        batches = pipeline.training_batches(
            self._streams(),
            first=self.step,
            last=last,
            seed=self.config.seed,
            host=self.host,
            threads=self.config.data.threads,
        )
        losses: dict[str, jax.Array] = {}
        since, start = self.step, time.perf_counter()
        with pipeline.Prefetch(batches, self._place) as ahead:
            for batch in ahead:
                previous, (self.state, losses) = losses, self.train_step(self.state, batch)
                self.step += 1
                if self.step % self.config.report.log_every == 0 and previous:
                    # Of the step before: it is done by now, so the device is not waited for.
                    values = self._finite(previous)
                    steps, seconds = self.step - since, time.perf_counter() - start
                    self.metrics.write(
                        "train",
                        self.step - 1,
                        **values,
                        steps_per_second=steps / seconds,
                        data_wait_ms=1000 * ahead.waited / steps,
                    )
                    progress.update(steps, loss=values["loss"])
                    since, start, ahead.waited = self.step, time.perf_counter(), 0.0
                if self.step < last:
                    self._evaluate_and_save(losses)
        progress.update(self.step - since)
        self._evaluate_and_save(losses, always=True)

    def _evaluate_and_save(self, losses: dict[str, jax.Array], *, always: bool = False) -> None:
        every = self.config.evaluation.every
        if every and self.step % every == 0 and self.step < self.config.training.steps:
            self.evaluate(self.config.data.val)
        if always or self.step % self.config.checkpoint.every == 0:
            self._finite(losses)
            self.checkpoints.save(self.step, self.state)

    def _finite(self, losses: dict[str, jax.Array]) -> dict[str, float]:
        values = {name: float(value) for name, value in jax.device_get(losses).items()}
        if not math.isfinite(values["loss"]):
            good = self.checkpoints.latest
            raise InputError(
                f"training diverged: found {', '.join(f'{k} {v:.4g}' for k, v in values.items())} "
                f"at about step {self.step}, expected finite numbers; lower "
                "training.learning_rate and start in a new --workdir (last good checkpoint: "
                f"{self.checkpoints.folder / str(good) if good else 'none'})"
            )
        return values

    def _streams(self) -> dict[str, pipeline.Stream]:
        data, seed = self.config.data, self.config.seed
        streams = {}
        if self.method.source:
            source = self._open(data.source, data.source_size)
            order = (
                sampling.DrawOrder.class_uniform(source.class_pixels, seed=seed)
                if data.class_uniform
                else sampling.DrawOrder.shuffled(len(source), seed=seed)
            )
            streams["source"] = pipeline.Stream(source, order, data.source_batch, flip=data.flip)
        if self.method.target:
            streams["target"] = pipeline.Stream(
                self.pool,
                sampling.DrawOrder.shuffled(len(self.pool), seed=seed + 1),
                data.target_batch,
                label=pipeline.LabelCache(
                    functools.partial(self.rounds.label, step=self.step), tuple(data.target_size)
                ),
                flip=data.flip,
            )
        return streams

    @functools.cache  # noqa: B019 - an Experiment lives as long as the run
    def _open(self, name: str, size: tuple[int, int]) -> records.Records:
        """A data set, prepared and opened when it is first needed, once."""
        return assembly.open_records(self.config, name, size)

    def _place(self, batch: dict[str, np.ndarray]) -> training.Batch:
        placed = sharding.shard_batch(self.mesh, batch)
        return training.Batch(
            *(
                training.Examples(placed[f"{domain}_image"], placed[f"{domain}_label"])
                if f"{domain}_image" in placed
                else None
                for domain in training.Batch._fields
            )
        )

    # ----------------------------------------------------------------- rounds

    def hold_round(self, number: int) -> None:
        """Asks for the pixels of a round, unless the query log has them already."""
        # The picks must be of a state that one can go back to.
        self.checkpoints.wait()
        self.rounds.hold(number, self.step, self.state, self._acquirer, self.metrics)

    @functools.cached_property
    def _acquirer(self) -> Acquirer:
        config = self.config
        return Acquirer(
            self.graphdef,
            self.mesh,
            Scoring(
                native=self.rounds.native,
                via=tuple(config.data.target_size),
                unit=self.method.unit,
                score=self.method.score,
                radius=self.method.radius,
                clamp_impurity=config.acquisition.clamp_impurity,
                seed=config.seed,
            ),
            num_classes=self.space.num_classes,
            batch=config.acquisition.batch_per_device * self.mesh.size,
            host=self.host,
            threads=config.data.threads,
        )

    def acquire_only(self) -> None:
        """Holds the next round from the latest checkpoint and stops."""
        if not self.method.acquires or self.checkpoints.latest is None:
            raise InputError(
                f"{self.workdir}: method {self.config.method} at step {self.step} found, expected "
                "a method that acquires and a checkpoint to acquire with; train first"
            )
        number = len(self.rounds.log.rounds) + 1
        if number > len(self.round_steps):
            reporting.say(
                f"{self.workdir}: all {len(self.round_steps)} rounds are in the query log"
            )
            return
        self.hold_round(number)
        reporting.say(f"round {number} of {len(self.round_steps)}: {self.rounds.log.path(number)}")

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

        with reporting.progress(
            len(data), f"evaluate {name}", unit="image", enabled=self.is_first and final
        ) as progress:
            confusion = self._evaluator.confusion(
                self.state, data, keep=keep if write else None, done=progress.update
            )
        found = evaluation.scores(confusion)
        values = {
            "split": name.partition("/")[2] or name,
            "miou": found.miou,
            "min_iou": found.min_iou,
            "worst5_iou": found.worst5_iou,
            "pixel_accuracy": found.pixel_accuracy,
            "iou": dict(zip(self.space.classes, found.iou.tolist(), strict=True)),
            "subsets": {
                subset: found.subset(classes)
                for subset, classes in self.space.reported_subsets.items()
            },
            "labelled_fraction": self.rounds.fraction(self.step),
            "final": final,
        }
        self.metrics.write("evaluation", self.step, **values)
        return {**values, "step": self.step}

    @functools.cached_property
    def _evaluator(self) -> Evaluator:
        return Evaluator(
            self.graphdef,
            self.mesh,
            num_classes=self.space.num_classes,
            flip=self.config.evaluation.flip,
            batch=self.config.evaluation.batch_per_device * self.mesh.size,
            host=self.host,
            threads=self.config.data.threads,
        )

    def write_predictions(self) -> None:
        """Evaluates the latest checkpoint on the test split and writes its predictions."""
        if self.checkpoints.latest is None:
            raise InputError(f"{self.workdir}: no checkpoint found; train first")
        values = self.evaluate(self.config.data.test, final=True, write=True)
        reporting.say(
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
        held = [r for r in reporting.read_metrics(self.workdir) if r["kind"] == "round"]
        budget = self.config.acquisition.budget if self.method.acquires else None
        name = f"{self.config.method} on {self.config.data.target.partition('/')[0]}"
        table = reporting.result_table(values, held, budget=budget, title=name)
        report = reporting.write_report(
            self.workdir,
            class_names=self.space.classes,
            palette=self.space.palette,
            title=name,
            config_text=self.config.to_yaml(),
            radius=self.rounds.squares.label_radius,
            budget=budget,
            versions={
                "device": f"{self.mesh.size} x {jax.devices()[0].device_kind}",
                "hosts": str(self.host[1]),
                "jax": jax.__version__,
                "python": platform.python_version(),
                "cbda_jax": __version__,
            },
        )
        # Last of all: the run counts as finished from here on.
        workdirs.write_json(
            self.workdir / "result.json",
            {
                "method": self.config.method,
                "seed": self.config.seed,
                "evaluation": values,
                "rounds": held,
                "table": table,
            },
        )
        reporting.say(f"{table}\nreport: {report}")
