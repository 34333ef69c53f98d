"""Training steps one after the other, and what they leave: state, checkpoints, losses."""

import math
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from cbda_jax import console, reporting, sharding, training
from cbda_jax.checkpoints import Checkpoints
from cbda_jax.data import pipeline
from cbda_jax.errors import InputError
from cbda_jax.runtime.compilation import compile_ahead
from cbda_jax.runtime.preemption import Preemption
from cbda_jax.runtime.trace import StepTrace


class _Losses(NamedTuple):
    """Losses of a step that are still on the device."""

    step: int
    values: dict[str, jax.Array]


class Trainer:
    """The state of a run and the steps that change it.

    Args:
        train_step: of `training.make_train_step`.
        step, state: where it starts.
        mesh: over which batches are spread.
        checkpoints: where states are saved.
        metrics: get the losses.
        preemption: asked after every step.
        trace: of some steps.
        check_writable: raises where nothing may be written any more; called before every save.
        log_every: steps between records of the losses.
        save_every: steps between checkpoints.
        resumed: whether the state is that of a checkpoint.

    Attributes:
        step: how many were made.
        state: after them.
        checkpoints, metrics, preemption, check_writable, resumed: as given.
    """

    def __init__(
        self,
        train_step: Callable[..., Any],
        step: int,
        state: training.TrainState,
        *,
        mesh: Mesh,
        checkpoints: Checkpoints,
        metrics: reporting.MetricWriter,
        preemption: Preemption,
        trace: StepTrace,
        check_writable: Callable[[], None],
        log_every: int,
        save_every: int,
        resumed: bool = False,
    ):
        self.step = step
        self.state = state
        self._jitted = train_step
        self._compiled: Callable[..., Any] | None = None
        self._balance = training.UNBALANCED
        self._mesh = mesh
        self.checkpoints = checkpoints
        self.metrics = metrics
        self.preemption = preemption
        self.check_writable = check_writable
        self.resumed = resumed
        self._trace = trace
        self._log_every = log_every
        self._save_every = save_every
        self._losses: dict[str, jax.Array] = {}
        self._pending: _Losses | None = None

    def train(
        self,
        batches: Any,
        last: int,
        *,
        progress: console.Progress,
        evaluate: Callable[[], None],
        balance: training.LossBalance = training.UNBALANCED,
    ) -> None:
        """Steps up to `last`.

        The order matters: evaluate, save, then load and step. So a checkpoint of step s is the
        state before batch s, and a run that goes on from it repeats nothing and skips nothing.

        Args:
            batches: of `pipeline.training_batches`, for the steps from `step` to `last`.
            last: the step after them.
            progress: told of the steps made.
            evaluate: called after every step.
            balance: of the classes in the loss, in these steps.

        Raises:
            InputError: the losses are not finite, or a checkpoint cannot be written.
            Preempted: the machine is wanted back; nothing is saved yet.
        """
        balance = sharding.replicate(self._mesh, balance)
        if jax.tree.structure(balance) != jax.tree.structure(self._balance):
            # Another program: one without balance knows nothing of it.
            self._compiled = None
        self._balance = balance
        since, start = self.step, time.perf_counter()
        with pipeline.Prefetch(batches, self._place) as placed:
            for batch in placed:
                compiled = self._compiled or self._compile(batch)
                with self._trace.step(self.step), jax.transfer_guard("disallow"):
                    self.state, self._losses = compiled(self.state, batch, balance)
                self.step += 1
                if traced := self._trace.finish(self._losses, now=self.step == last):
                    console.say(f"trace: {traced}")
                if self._pending is not None:
                    # Of a step before: it is done by now, so the device is not waited for.
                    steps, seconds = self.step - since, time.perf_counter() - start
                    loss = self._record(
                        steps_per_second=steps / seconds,
                        data_wait_ms=1000 * placed.waited / steps,
                    )
                    progress.update(steps, loss=loss)
                    since, start, placed.waited = self.step, time.perf_counter(), 0.0
                if self.step % self._log_every == 0:
                    self._pending = _Losses(self.step, self._losses)
                self.preemption.check()
                evaluate()
                if self.step == last or self.step % self._save_every == 0:
                    self.save()
        progress.update(self.step - since)

    def save(self) -> None:
        """Starts to save the state; the losses of its step are recorded first.

        A run that goes on from the checkpoint does not make that step again.

        Raises:
            InputError: the losses are not finite, or the checkpoint cannot be written.
        """
        self._record()
        if self._losses:
            self._check_finite(self._losses)
        self.check_writable()
        # Before the checkpoint: a run that goes on from it does not measure that again.
        self.metrics.flush()
        self.checkpoints.save(self.step, self.state)

    def _compile(self, batch: training.Batch) -> Callable[..., Any]:
        """Compiles the step, and says what it takes before it is first made."""
        self._compiled, cost = compile_ahead(self._jitted, self.state, batch, self._balance)
        params = sum(x.size for x in jax.tree.leaves(self.state.params))
        console.say(f"training step: {params / 1e6:.2f} M parameters, {cost}")
        if not cost.fits:
            console.say(
                "note: that may be more than the device has; smaller batches or "
                "training.accumulate take less"
            )
        return self._compiled

    def _place(self, batch: dict[str, np.ndarray]) -> training.Batch:
        placed = sharding.shard_batch(self._mesh, batch)
        return training.Batch(
            *(
                training.Examples(placed[f"{domain}_image"], placed[f"{domain}_label"])
                if f"{domain}_image" in placed
                else None
                for domain in training.Batch._fields
            )
        )

    def _record(self, **measured: float) -> float:
        """Writes down the losses that were kept back, if any; their weighted sum."""
        if self._pending is None:
            return math.nan
        values = self._check_finite(self._pending.values)
        self.metrics.write("train", self._pending.step, **values, **measured)
        self._pending = None
        return values["loss"]

    def _check_finite(self, losses: dict[str, jax.Array]) -> dict[str, float]:
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
