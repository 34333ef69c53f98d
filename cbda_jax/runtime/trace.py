"""A trace of some training steps, for TensorBoard and Perfetto."""

from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax

from cbda_jax.stores import AnyPath, is_store, upload_folder


class StepTrace:
    """Traces a few steps with JAX's profiler, once this process has made some others.

    The trace goes where TensorBoard finds it (with the `xprof` plugin); `perfetto_trace.json.gz`
    beside it opens in ui.perfetto.dev.

    Args:
        folder: of TensorBoard's events.
        steps: how many are traced; 0: none.
        skip: how many are made before, in which caches and buffers fill.
    """

    def __init__(self, folder: AnyPath, steps: int, skip: int = 3):
        self._folder = folder
        self._first, self._last = skip, skip + steps
        self._made = 0
        self._tracing = False
        self._local = folder
        self._kept = ExitStack()

    def step(self, number: int) -> AbstractContextManager[Any]:
        """Wraps one step: names it, and starts the trace before the first step that is wanted."""
        if self._first <= self._made < self._last and not self._tracing:
            # The profiler knows folders alone.
            self._kept = ExitStack()
            self._local = self._folder
            if is_store(self._folder):
                self._local = Path(self._kept.enter_context(TemporaryDirectory()))
            jax.profiler.start_trace(self._local, create_perfetto_trace=True)
            self._tracing = True
        self._made += 1
        return jax.profiler.StepTraceAnnotation("train", step_num=number)

    def finish(self, results: Any, *, now: bool = False) -> AnyPath | None:
        """Ends the trace after the last of its steps.

        Args:
            results: of the step before; waited for, so that the device's work is in the trace.
            now: end it even if it has fewer steps than wanted.

        Returns:
            Its folder, when it has been written.
        """
        if not self._tracing or (self._made < self._last and not now):
            return None
        jax.block_until_ready(results)
        jax.profiler.stop_trace()
        self._tracing = False
        with self._kept:
            if isinstance(self._local, Path) and self._local != self._folder:
                upload_folder(self._local, self._folder)
        return self._folder / "plugins" / "profile"
