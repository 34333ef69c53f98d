"""Compiles the training step before the first one, says what it takes; keeps compiled programs."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax


class Cost(NamedTuple):
    """What a compiled program takes on each device.

    Attributes:
        seconds: that compiling took.
        argument_bytes: of its arguments; for a training step, state and batch.
        temporary_bytes: of intermediate results.
        output_bytes: of results, without those that reuse the memory of an argument.
        flops: floating-point operations as XLA counts them; 0 where it does not.
        limit_bytes: memory of the device that JAX may use; None where the device does not say.
    """

    seconds: float
    argument_bytes: int
    temporary_bytes: int
    output_bytes: int
    flops: float
    limit_bytes: int | None

    @property
    def total_bytes(self) -> int:
        """The most memory that is in use at once."""
        return self.argument_bytes + self.temporary_bytes + self.output_bytes

    @property
    def fits(self) -> bool:
        """Whether the device has that much memory, as far as is known."""
        return self.limit_bytes is None or self.total_bytes <= self.limit_bytes

    def __str__(self) -> str:
        limit = "" if self.limit_bytes is None else f" of {_size(self.limit_bytes)}"
        return (
            f"{_size(self.total_bytes)}{limit} a device ({_size(self.argument_bytes)} state and "
            f"batch, {_size(self.temporary_bytes)} temporary), {self.flops / 1e9:,.4g} GFLOP, "
            f"compiled in {self.seconds:.1f} s"
        )


def compile_ahead(function: Callable[..., Any], *arguments: Any) -> tuple[Callable[..., Any], Cost]:
    """Compiles a function of `jax.jit` for these arguments, without calling it.

    Args:
        function: compiled by `jax.jit`.
        *arguments: arrays; their shapes, types and placement are what counts.

    Returns:
        The compiled function, which takes just such arguments, and what it takes.
    """
    start = time.perf_counter()
    compiled = function.lower(*arguments).compile()  # pyright: ignore[reportFunctionMemberAccess]
    seconds = time.perf_counter() - start
    memory = compiled.memory_analysis()
    counted = compiled.cost_analysis() or {}
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return compiled, Cost(
        seconds,
        memory.argument_size_in_bytes,
        memory.temp_size_in_bytes,
        memory.output_size_in_bytes - memory.alias_size_in_bytes,
        float(counted.get("flops", 0.0)),
        limit,
    )


def keep(folder: str) -> None:
    """Has JAX keep compiled programs in a folder, if it has a name."""
    if folder:
        jax.config.update("jax_compilation_cache_dir", str(Path(folder).expanduser()))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def _size(number: int) -> str:
    return f"{number / 1e9:.2f} GB" if number >= 1e8 else f"{number / 1e6:.1f} MB"
