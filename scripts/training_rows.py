"""What `bench_training.py` measures, kept, compared, and written as a table."""

import dataclasses
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness import environment, machine, markdown, number, product_rate, write_json

DTYPES = ("float32", "bfloat16")


@dataclasses.dataclass
class Row:
    """One measurement. Seconds, bytes and operations of a step."""

    network: str
    variant: str
    dtype: str = ""
    batch: str = ""
    images: int = 0
    parameters: int = 0
    median: float = math.nan
    p90: float = math.nan
    runs: int = 0
    images_per_second: float = math.nan
    flops: float = math.nan
    compiled_flops: float = math.nan
    peak_fraction: float = math.nan
    compile: float = math.nan
    program_bytes: int = 0
    temporary_bytes: int = 0
    argument_bytes: int = 0
    output_bytes: int = 0
    peak_bytes: int = 0
    host_bytes: int = 0
    loss: float = math.nan
    times_float32: float = math.nan
    times_bfloat16: float = math.nan
    note: str = ""

    def timed(self, times: np.ndarray) -> None:
        """Fills in what follows from the seconds of the steps."""
        self.median, self.p90 = float(np.median(times)), float(np.quantile(times, 0.9))
        self.runs, self.images_per_second = len(times), self.images / self.median


class Bench:
    """The rows so far, kept as JSON after each, and the device's peak in every precision.

    Args:
        seconds: for the runs of each row.
        path: of the JSON, if it is wanted.
        dtypes: precisions of the rows to come, some of `DTYPES`.

    Attributes:
        rows: what was measured so far.
        peak: operations a second of a large matrix product, by precision.
        about: of `harness.environment`.
    """

    def __init__(self, seconds: float, path: Path | None, dtypes: Iterable[str] = DTYPES):
        self.seconds = seconds
        self.path = path
        self.rows: list[Row] = []
        self.peak = {dtype: product_rate(dtype) for dtype in dtypes}
        self.about = environment(peak_flops=self.peak)

    def add(self, row: Row) -> None:
        """Keeps a row, and says so on standard error."""
        self.rows.append(row)
        self._compare()
        if self.path:
            write_json(self.path, self.about, self.rows)
        names = " ".join((row.network, row.variant, row.dtype, row.batch))
        figures = f"{number(row.median * 1e3)} ms, {number(row.images_per_second)} images/s"
        print(f"  {names}: {row.note or figures}", file=sys.stderr, flush=True)

    def _compare(self) -> None:
        """Fills in the share of the peak, and how many times longer a row takes than ours."""
        ours = {(r.network, r.batch, r.dtype): r for r in self.rows if r.variant == "jax"}
        for row in self.rows:
            for dtype in DTYPES:
                mine = ours.get((row.network, row.batch, dtype))
                if mine is not None:
                    setattr(row, f"times_{dtype}", row.median / mine.median)
                    row.flops = mine.flops
            if row.dtype:
                row.peak_fraction = row.flops / row.median / self.peak[row.dtype]


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    header = (
        "network | batch | precision | with | ms a step, median | 90 % | images/s "
        "| times ours float32 | times ours bfloat16 | TFLOP | of peak | compiled TFLOP "
        "| program MB | temporary MB | peak MB | sent MB | compile s | note"
    )

    def mega(x: float) -> str:
        return number(x / 1e6) if x else ""

    cells = [
        [
            r.network,
            r.batch,
            r.dtype,
            r.variant,
            number(r.median * 1e3),
            number(r.p90 * 1e3),
            number(r.images_per_second),
            number(r.times_float32),
            number(r.times_bfloat16),
            number(r.flops / 1e12),
            f"{r.peak_fraction:.1%}" if math.isfinite(r.peak_fraction) else "",
            number(r.compiled_flops / 1e12),
            mega(r.program_bytes),
            mega(r.temporary_bytes),
            mega(r.peak_bytes),
            mega(r.host_bytes),
            number(r.compile),
            r.note,
        ]
        for r in rows
    ]
    return markdown(header, cells)


def describe(about: dict[str, Any]) -> str:
    """The environment in a few lines."""
    peaks = ", ".join(f"{number(v / 1e12)} TFLOP/s {k}" for k, v in about["peak_flops"].items())
    parts = [machine(about), f"Peak, of a large matrix product in JAX: {peaks}." if peaks else ""]
    parts.append(f"{about['pytorch']}." if "pytorch" in about else "")
    return " ".join(filter(None, parts))
