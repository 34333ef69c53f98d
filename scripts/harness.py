"""Measuring a JAX function, and writing down what was measured and where."""

import dataclasses
import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass
class Row:
    """One measurement. Times are seconds an image."""

    stage: str
    variant: str
    batch: int = 1
    picks: int = 0
    median: float = math.nan
    p90: float = math.nan
    runs: int = 0
    extrapolated: bool = False
    compile: float = math.nan
    temporary_bytes: int = 0
    peak_bytes: int = 0
    bytes_moved: int = 0
    pixels_per_second: float = math.nan
    bandwidth_fraction: float = math.nan
    ratio: float = math.nan


def measure(function: Callable, inputs: Sequence[tuple], seconds: float) -> np.ndarray:
    """Seconds of each run, the inputs taken in turn, after one run of each of them."""
    for arguments in inputs:
        jax.block_until_ready(function(*arguments))
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or (time.perf_counter() < end and len(times) < 1000):
        arguments = inputs[len(times) % len(inputs)]
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - start)
    return np.array(times)


def step_times(
    dispatch: Callable[[int], Any], wait: Callable[[Any], Any], seconds: float, *, first: int = 0
) -> np.ndarray:
    """Seconds of each step of a loop that runs one step ahead of what it waits for.

    So does training: the host prepares a step while the device is busy with the one before.

    Args:
        dispatch: starts step i; returns what `wait` takes.
        wait: until a step is done.
        seconds: for all of them; at least three are timed, after two that are not.
        first: number of the first step.
    """
    ends, number, running = [], first + 1, dispatch(first)
    end = time.perf_counter() + seconds
    while len(ends) < 5 or (time.perf_counter() < end and len(ends) < 1000):
        following = dispatch(number)
        wait(running)
        ends.append(time.perf_counter())
        running, number = following, number + 1
    wait(running)
    return np.diff(ends)[1:]


def product_rate(dtype: str) -> float:
    """Floating-point operations a second of a large matrix product: the best run of several sizes.

    With JAX's default precision, which for float32 is TF32 on recent NVIDIA GPUs.
    """
    best, product = 0.0, jax.jit(jnp.matmul)
    for n in (1024, 2048, 4096, 8192, 16384):
        keys = jax.random.split(jax.random.key(0), 2)
        pair = tuple(jax.random.normal(key, (n, n), jnp.dtype(dtype)) for key in keys)
        fastest = measure(product, [pair], 0.5).min()
        best = max(best, 2 * n**3 / float(fastest))
        if fastest > 0.03:  # large enough, and on CPU the next would take long
            break
    return best


def product_flops(jaxpr: Any) -> float:
    """Floating-point operations of the matrix products and convolutions of a traced function.

    Loops count as often as they run (a `while` of unknown length once). Unlike the figure of a
    compiled program, this does not depend on what the compiler replaces by library calls.

    Args:
        jaxpr: of `jax.make_jaxpr(function)(...)` or `jax.jit(function).trace(...)`.
    """
    total = 0.0
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left, out = _shape(equation.invars[0]), _shape(equation.outvars[0])
            total += 2 * math.prod(out) * math.prod(left[i] for i in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            total += _convolution_flops(equation)
        elif equation.primitive.name == "cond":
            total += max(map(product_flops, equation.params["branches"]))
        else:
            times = equation.params["length"] if equation.primitive.name == "scan" else 1
            total += times * sum(product_flops(inner) for inner in _inner(equation.params))
    return total


def _convolution_flops(equation: Any) -> float:
    """Without the taps that meet padding, or the zeros between inputs spread out by a stride."""
    x, kernel, out = map(_shape, (*equation.invars, *equation.outvars))
    options = equation.params
    dims = options["dimension_numbers"]
    total = 2.0 * out[dims.out_spec[0]] * out[dims.out_spec[1]] * kernel[dims.rhs_spec[1]]
    for i, (low, _) in enumerate(options["padding"]):
        spread = options["lhs_dilation"][i]
        output = np.arange(out[dims.out_spec[2 + i]])[:, None] * options["window_strides"][i]
        tap = np.arange(kernel[dims.rhs_spec[2 + i]])[None, :] * options["rhs_dilation"][i]
        position = output + tap - low
        inside = (position >= 0) & (position <= (x[dims.lhs_spec[2 + i]] - 1) * spread)
        total *= np.count_nonzero(inside & (position % spread == 0))
    return total


def _shape(variable: Any) -> tuple[int, ...]:
    return variable.aval.shape


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if hasattr(getattr(item, "jaxpr", item), "eqns"):
                yield item


class Bench:
    """Collects rows; knows the size of an image and the device's copy bandwidth.

    Attributes:
        rows: what was measured so far.
        bandwidth: bytes a second, read and written, of a large array plus one.
    """

    def __init__(self, pixels: int, seconds: float):
        self.pixels, self.seconds = pixels, seconds
        self.rows: list[Row] = []
        self.bandwidth = self._copy_bandwidth()

    def _copy_bandwidth(self) -> float:
        x = jnp.zeros(2**26, jnp.float32)
        times = measure(jax.jit(lambda x: x + 1), [(x,)], seconds=1)
        return 2 * x.nbytes / float(np.median(times))

    def ours(self, stage: str, function: Callable, inputs: Sequence[tuple], **row: Any) -> None:
        """Compile and measure a JAX function whose first argument has a leading batch axis."""
        batch = jax.tree.leaves(inputs[0])[0].shape[0]
        start = time.perf_counter()
        compiled = jax.jit(function).lower(*inputs[0]).compile()
        compiling = time.perf_counter() - start
        times = measure(compiled, inputs, self.seconds) / batch
        memory = compiled.memory_analysis()
        assert memory is not None
        moved = (memory.argument_size_in_bytes + memory.output_size_in_bytes) // batch
        stats = jax.devices()[0].memory_stats() or {}
        self.add(
            Row(
                stage,
                "jax",
                batch,
                compile=compiling,
                temporary_bytes=memory.temp_size_in_bytes,
                peak_bytes=stats.get("peak_bytes_in_use", 0),
                bytes_moved=moved,
                bandwidth_fraction=moved / float(np.median(times)) / self.bandwidth,
                **row,
            ),
            times,
        )

    def add(self, row: Row, times: np.ndarray) -> None:
        """Keep a row with these times, and say so on standard error."""
        row.median, row.p90 = float(np.median(times)), float(np.quantile(times, 0.9))
        row.runs, row.pixels_per_second = len(times), self.pixels / row.median
        self.rows.append(row)
        print(f"  {row.stage} {row.variant} batch {row.batch}: {row.median:.6f} s", file=sys.stderr)

    def finish(self) -> None:
        """Fill in how many times longer each row takes than ours for one image."""
        ours = {
            (r.stage, r.picks): r.median for r in self.rows if r.variant == "jax" and r.batch == 1
        }
        for row in self.rows:
            row.ratio = row.median / ours.get((row.stage, row.picks), math.nan)


def environment(**more: Any) -> dict[str, Any]:
    """The command, the device and the versions behind the figures, and what the caller adds."""
    device = jax.devices()[0]
    names = ("jax", "jaxlib", "flax", "optax", "numpy", "torch")
    packages = [name for name in names if importlib.util.find_spec(name)]
    return {
        "command": "python " + " ".join(sys.argv),
        "device": device.device_kind if device.platform != "cpu" else cpu_name(),
        "platform": device.platform,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {p: importlib.metadata.version(p) for p in packages},
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        **more,
    }


def machine(about: dict[str, Any]) -> str:
    """The command, and device, versions and flags, as a document begins with them."""
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
    flags = f", XLA_FLAGS {about['xla_flags']}" if about["xla_flags"] else ""
    return (
        f"`{about['command']}`\n\n"
        f"{about['device']}, {about['cores']} CPU cores; Python {about['python']}, "
        f"{versions}{flags}."
    )


def cpu_name() -> str:
    """What /proc says of the processor, its best vector instructions included."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    about = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    vectors = [v for v in ("avx512f", "avx2", "asimd") if v in about.get("flags", "").split()]
    return " ".join([about.get("model name", platform.machine()), *vectors[:1]])


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    header = (
        "stage | picks | batch | with | ms an image, median | 90 % | times ours | Mpixel/s "
        "| compulsory MB | of copy bandwidth | temporary MB | compile s"
    )
    cells = [
        [
            r.stage,
            str(r.picks or ""),
            str(r.batch),
            r.variant,
            ("~ " if r.extrapolated else "") + number(r.median * 1e3),
            number(r.p90 * 1e3),
            number(r.ratio),
            number(r.pixels_per_second / 1e6),
            number(r.bytes_moved / 1e6) if r.bytes_moved else "",
            f"{r.bandwidth_fraction:.0%}" if r.bytes_moved else "",
            number(r.temporary_bytes / 1e6) if r.bytes_moved else "",
            number(r.compile),
        ]
        for r in rows
    ]
    return markdown(header, cells)


def markdown(header: str, rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of cells, under names that ` | ` divides."""
    lines = [f"| {header} |", "|" + " --- |" * (header.count(" | ") + 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def number(x: float) -> str:
    """Three significant digits, no exponent; empty for NaN."""
    if not math.isfinite(x):
        return ""
    digits = max(2 - math.floor(math.log10(abs(x))), 0) if x else 0
    return f"{x:,.{digits}f}"


def write_json(path: Path, environment: dict[str, Any], rows: Sequence[Any]) -> None:
    """Rows, dataclasses of plain values, for programs. What does not apply to a row is null."""
    plain = [{k: None if v != v else v for k, v in dataclasses.asdict(row).items()} for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"environment": environment, "rows": plain}, indent=1) + "\n")
