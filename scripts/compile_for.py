"""Compiles a run's programs for accelerators that are not here, and says what the compiler says.

    python scripts/compile_for.py --target=v5e --config=configs/gta2city.py:dtype=bfloat16 \
        --config.data.source_batch=2 --config.data.target_batch=2 [--programs=train,acquire]

Whether they fit the device's memory, and which field mends it; operations, bytes and collectives;
the compiler's own estimate of the time, with the trips of loops counted in; the ops that cost most.
All figures are of one device and the compiler's estimates: nothing is measured.
docs/accelerators.md has what they are worth. No data, no weights and no accelerator are needed; the
TPU compiler is the extra `targets`.
"""

import dataclasses
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import described  # before JAX: it says which devices not to look for
import jax
import schedule
from absl import app, flags
from harness import markdown, number, product_flops
from listing import Listing
from ml_collections import config_flags

from cbda_jax import sharding
from cbda_jax.config import check
from cbda_jax.config import files as config_files
from cbda_jax.errors import InputError
from cbda_jax.run.programs import NAMES, PARTS, Program, programs

_CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment.")
_TARGET = flags.DEFINE_string(
    "target", None, "v5e, v5e:2x4, v5p:2x2x1, v6e:16x16, h100, or a GPU's target file."
)
_PROGRAMS = flags.DEFINE_list(
    "programs", list(NAMES), f"Some of {', '.join((*NAMES, *PARTS))}; the last two are of acquire."
)
_NATIVE = flags.DEFINE_string("native", "1024x2048", "Height x width of target labels.")
_TOP = flags.DEFINE_integer("top", 8, "How many of the costliest ops are listed.", lower_bound=0)
_SCHEDULE = flags.DEFINE_bool(
    "schedule",
    False,
    "Add the schedules of what the listing has no estimate for (TPUs). They are gigabytes on disk "
    "while a network is compiled; score and select are quick.",
)
_JSON = flags.DEFINE_string("json", None, "Write the figures there.")
_TEXT = flags.DEFINE_string("text", None, "Write the compiler's listings into this folder.")

# What to change where a program does not fit.
_MENDS = {
    "train": "lower data.source_batch and data.target_batch, raise training.accumulate, or use "
    "more devices",
    "acquire": "lower acquisition.batch_per_device",
    "evaluate": "lower evaluation.batch_per_device",
    "score": "lower data.target_size",
    "select": "lower data.target_size",
}


@dataclasses.dataclass
class Opaque:
    """An op that the listing has no estimate for.

    Attributes:
        name: in the listing.
        source: where it comes from.
        bundles: of its schedule, loops of unknown trips once; 0 if it was not read.
        turn: bundles of one turn of the outermost of these loops; 0 if there is none.
    """

    name: str
    source: str
    bundles: int = 0
    turn: int = 0


@dataclasses.dataclass
class Report:
    """What the compiler says of one program. Bytes, operations and cycles of one device, a call.

    NaN and 0 where it says nothing.
    """

    program: str
    images: int
    argument_bytes: int
    output_bytes: int
    temporary_bytes: int
    peak_bytes: int
    memory_bytes: float
    product_flops: float
    compiled_flops: float
    bytes_accessed: float
    kernels: int
    cycles: int
    opaque: list[Opaque]
    seconds: float
    peak_fraction: float
    collectives: dict[str, tuple[int, int]]
    unknown_loops: int
    compile_s: float
    costly: list[tuple[float, int, str, str]]

    @property
    def fits(self) -> bool:
        """Whether a device's memory holds it."""
        return not self.memory_bytes or self.peak_bytes <= self.memory_bytes


def inspect(name: str, program: Program, target: described.Target, top: int) -> tuple[Report, str]:
    """Compiles a program; gives what there is to say of it, and the listing."""
    start = time.perf_counter()
    traced = program.function.trace(*program.arguments)
    compiled = traced.lower().compile()
    seconds = time.perf_counter() - start
    memory = compiled.memory_analysis()
    cost = compiled.cost_analysis() or {}
    text = compiled.as_text()
    listing = Listing(text)
    flops = product_flops(traced.jaxpr)
    time_ = listing.cycles / target.chip.clock if target.chip.clock else math.nan
    opaque = [_priced(op.name, op.source) for op in listing.opaque]
    costly = sorted(listing.executed, key=lambda e: -e.op.cycles * e.times)[:top]
    report = Report(
        program=name,
        images=program.images,
        argument_bytes=memory.argument_size_in_bytes,
        output_bytes=memory.output_size_in_bytes,
        temporary_bytes=memory.temp_size_in_bytes,
        peak_bytes=memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
        + memory.generated_code_size_in_bytes,
        memory_bytes=target.chip.memory,
        product_flops=flops,
        compiled_flops=cost.get("flops", math.nan),
        bytes_accessed=cost.get("bytes accessed", math.nan),
        kernels=listing.kernels,
        cycles=listing.cycles,
        opaque=opaque,
        seconds=time_,
        peak_fraction=flops / time_ / target.chip.flops if listing.cycles else math.nan,
        collectives=listing.collectives(),
        unknown_loops=len({loop for e in listing.executed for loop in e.loops}),
        compile_s=seconds,
        costly=[
            (e.op.cycles * e.times, e.times, f"{e.op.opcode} {e.op.name}", e.op.source[-80:])
            for e in costly
            if e.op.cycles
        ],
    )
    return report, text


def _priced(name: str, source: str) -> Opaque:
    path = described.SCHEDULES and schedule.find(described.SCHEDULES, name)
    if not path:
        return Opaque(name, source)
    found = schedule.read(path)
    return Opaque(name, source, found.bundles, found.turn)


def table(reports: list[Report]) -> str:
    """The figures as a Markdown table."""
    header = (
        "program | images | arguments MB | temporary MB | peak MB | of the memory | fits "
        "| products TFLOP | accessed MB | ops | cycles M | ms | of peak | compile s"
    )

    def mega(x: float) -> str:
        return number(x / 1e6)

    cells = [
        [
            r.program,
            str(r.images),
            mega(r.argument_bytes),
            mega(r.temporary_bytes),
            mega(r.peak_bytes),
            f"{r.peak_bytes / r.memory_bytes:.0%}" if r.memory_bytes else "",
            "yes" if r.fits else "no",
            number(r.product_flops / 1e12),
            mega(r.bytes_accessed),
            f"{r.kernels:,}",
            mega(r.cycles) if r.cycles else "",
            number(r.seconds * 1e3) if r.cycles else "",
            f"{r.peak_fraction:.0%}" if r.cycles else "",
            number(r.compile_s),
        ]
        for r in reports
    ]
    return markdown(header, cells)


def notes(report: Report, target: described.Target) -> list[str]:
    """What the table has no room for, a sentence each."""
    found = []
    if not report.fits:
        found.append(
            f"{report.program} does not fit: {number(report.peak_bytes / 1e9)} GB of "
            f"{number(report.memory_bytes / 1e9)} GB; {_MENDS[report.program]}."
        )
    for kind, (count, size) in sorted(report.collectives.items()):
        line = f"{report.program}: {count} {kind} of {number(size / 1e6)} MB"
        if kind == "all-reduce" and target.chip.link:
            # A ring sends and receives everything twice, whatever the number of devices.
            seconds = 2 * size / target.chip.link
            line += f", about {number(seconds * 1e3)} ms at the links' published speed"
            if report.seconds > 0:
                line += f" ({seconds / report.seconds:.0%} of the step, if nothing overlaps)"
        found.append(line + ".")
    if report.unknown_loops:
        found.append(
            f"{report.program}: {report.unknown_loops} loops whose trips depend on data count once."
        )
    if report.opaque and report.cycles:
        found.append(
            f"{report.program}: {len(report.opaque)} ops (kernels, sorts, windows) that the "
            "listing has no estimate for count nothing"
            + (":" if _SCHEDULE.value else "; see --schedule.")
        )
    for op in report.opaque if _SCHEDULE.value else ():
        turn = f", {number(op.turn / 1e3)} k of them a turn of a loop that counts once"
        found.append(
            f"* {op.name} (`{op.source[-60:]}`): {number(op.bundles / 1e3)} k bundles"
            + (turn if op.turn > 1000 else "")
        )
    return found


def costly(report: Report) -> str:
    """The ops that cost most, as a Markdown table; empty where the compiler gives no cycles."""
    if not report.costly:
        return ""
    cells = [
        [number(cycles / 1e3), f"{cycles / report.cycles:.1%}", str(times), op, f"`{source}`"]
        for cycles, times, op, source in report.costly
    ]
    title = f"{report.program}, the costliest ops:\n\n"
    return title + markdown("cycles k | of all | times | op | from", cells)


def main(_: list[str]) -> None:
    """Compile, print, and write down."""
    # What is kept of a program for devices that are not here cannot be read again.
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        known = (*NAMES, *PARTS)
        unknown = [name for name in _PROGRAMS.value if name not in known]
        if unknown:
            raise InputError(
                f"--programs: {', '.join(unknown)} found, expected some of {', '.join(known)}"
            )
        native = _size(_NATIVE.value)
        config = _CONFIG.value
        check(config)
        target = described.describe(str(_TARGET.value))
        mesh = sharding.make_mesh(target.devices)
        chosen = programs(config, mesh, native, tuple(_PROGRAMS.value))
    except InputError as error:
        sys.exit(f"error: {error}")
    reports = []
    for name, program in chosen.items():
        report, text = inspect(name, program, target, _TOP.value)
        reports.append(report)
        print(f"  {name}: compiled in {number(report.compile_s)} s", file=sys.stderr, flush=True)
        if _TEXT.value:
            folder = Path(_TEXT.value)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.txt").write_text(text)
    devices = f"{len(target.devices)} device" + "s" * (len(target.devices) > 1)
    said = [
        f"Estimates of the compiler ({target.compiler}) for {devices} of {target.name}, each with "
        f"{number(target.chip.memory / 1e9)} GB; of one device, a call. Nothing is measured.",
        table(reports),
        "\n\n".join(line for report in reports for line in notes(report, target)),
        *(costly(report) for report in reports),
    ]
    print("\n\n".join(filter(None, said)))
    if _JSON.value:
        rows = [_plain(dataclasses.asdict(report)) for report in reports]
        about = {"target": target.name, "compiler": target.compiler, "devices": len(mesh.devices)}
        Path(_JSON.value).write_text(json.dumps({"about": about, "programs": rows}, indent=1))


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = map(int, text.split("x"))
    except ValueError as error:
        raise InputError(f"--native: {text!r} found, expected HEIGHTxWIDTH") from error
    return height, width


def _plain(report: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in report.items()
    }


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "target"])
    app.run(main, flags_parser=lambda args: flags.FLAGS(config_files.complete_command(args)))
