"""How fast training is: one step of every network, and the input pipeline by itself.

    python scripts/bench_training.py --networks deeplabv3plus_resnet101 --dtypes float32 bfloat16 \
        --source 2x720x1280 --target 2x640x1280 --seconds 10 --json training.json

A step is the recipe's: four losses, their gradients, SGD. It is compiled ahead of time; its state
is donated and carried on, its inputs are on the device and change from step to step. Times are
taken as training runs, one step ahead of what the host waits for. Beside it the same network and
step in PyTorch where that is installed, in the same process.
"""

import argparse
import contextlib
import gc
import importlib.metadata
import importlib.util
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# PyTorch needs some of the device's memory, too.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import numpy as np
from flax import nnx
from harness import product_flops, step_times
from training_rows import DTYPES, Bench, Row, describe, table

from cbda_jax import models, sharding, training

NETWORKS = ("deeplabv3plus_resnet101", "deeplabv2_resnet101", "segformer_b0", "small_unet")
TORCH_VARIANTS = ("eager", "eager-bf16", "compile", "compile-bf16")
CLASSES = 19
INPUTS = 3
# A hundredth of the recipe's: from random weights that one diverges, and numbers that are not
# finite may be faster to compute with.
LEARNING_RATE = 2.5e-6

Size = tuple[int, int, int]
"""Images, height, width."""


def make_batches(source: Size, target: Size) -> list[tuple[Any, Any]]:
    """Host batches of (images, labels) twice: patches of colour and class, targets 5 % labelled."""

    def domain(rng: np.random.Generator, size: Size, labelled: float) -> tuple[Any, Any]:
        count, height, width = size
        coarse = (count, -(-height // 16), -(-width // 16))

        def patches(values: np.ndarray) -> np.ndarray:
            return values.repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width]

        noise = rng.integers(0, 32, (*size, 3), np.uint8)
        images = patches(rng.integers(0, 224, (*coarse, 3), np.uint8)) + noise
        labels = patches(rng.integers(0, CLASSES, coarse, np.uint8))
        return images, np.where(rng.random(size) < labelled, labels, np.uint8(255))

    rngs = [np.random.default_rng(i) for i in range(INPUTS)]
    return [(domain(rng, source, 0.95), domain(rng, target, 0.05)) for rng in rngs]


def run_ours(row: Row, bench: Bench, batches: list[tuple[Any, Any]], profile: Path | None) -> None:
    """Compiles and times our step; fills in the row."""
    mesh = sharding.make_mesh(jax.devices()[:1])
    device = mesh.devices.flat[0]
    optimizer = training.create_optimizer(
        "sgd",
        training.poly_schedule(LEARNING_RATE, power=0.9, steps=62_500),
        head_multiplier=10.0,
        is_head=models.is_head,
    )
    graphdef, state = training.create_state(
        lambda: models.create_model(row.network, CLASSES, rngs=nnx.Rngs(0), dtype=row.dtype),
        optimizer,
    )
    row.parameters = sum(x.size for x in jax.tree.leaves(state.params))
    state = sharding.replicate(mesh, state)
    step: Any = training.make_train_step(
        graphdef, optimizer, mesh, seed=0, weights=training.LossWeights()
    )
    inputs = [
        sharding.shard_batch(mesh, training.Batch(*(training.Examples(*d) for d in pair)))
        for pair in batches
    ]
    row.host_bytes = sum(x.nbytes for x in jax.tree.leaves(inputs[0]))
    start = time.perf_counter()
    traced = step.trace(state, inputs[0])
    compiled = traced.lower().compile()
    row.compile = time.perf_counter() - start
    row.flops = product_flops(traced.jaxpr)
    row.compiled_flops = (compiled.cost_analysis() or {}).get("flops", math.nan)
    memory = compiled.memory_analysis()
    if memory is not None:
        row.temporary_bytes = memory.temp_size_in_bytes
        row.argument_bytes = memory.argument_size_in_bytes
        row.output_bytes = memory.output_size_in_bytes
        row.program_bytes = row.temporary_bytes + row.argument_bytes + row.output_bytes
        row.program_bytes -= memory.alias_size_in_bytes
    losses: dict[str, Any] = {}

    def dispatch(i: int) -> Any:
        nonlocal state, losses
        state, losses = compiled(state, inputs[i % INPUTS])
        return losses

    before = (device.memory_stats() or {}).get("peak_bytes_in_use", 0)
    row.timed(step_times(dispatch, jax.block_until_ready, bench.seconds))
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use", 0)
    # The allocator's peak is the process's: known of the first program that needs so much.
    row.peak_bytes = peak if peak > before else 0
    row.loss = float(losses["loss"])
    if profile:
        name = f"{row.network}-{row.dtype}-{row.batch}".replace(" ", "")
        with jax.profiler.trace(profile / name):
            for i in range(3):
                jax.block_until_ready(dispatch(i))


def run_torch(row: Row, bench: Bench, batches: list[tuple[Any, Any]], variant: str) -> None:
    """Times a variant of the PyTorch step; fills in the row."""
    from baselines import training_torch as baseline

    bench.about["pytorch"] = baseline.settings()
    chosen = baseline.VARIANTS[variant]
    steps = baseline.Steps(row.network, CLASSES, batches, chosen, LEARNING_RATE)
    row.parameters = sum(x.numel() for x in steps.model.parameters())
    if chosen.compiled:
        row.compile = steps.compiling
    row.timed(step_times(steps.dispatch, steps.wait, bench.seconds, first=1))
    row.peak_bytes, row.loss = steps.peak_bytes(), float(steps.loss)
    bench.about["pytorch"] = baseline.settings()


def attempt(bench: Bench, row: Row, run: Any, *arguments: Any) -> None:
    """Runs a measurement; a row that cannot be had says why, and the others go on."""
    try:
        run(row, bench, *arguments)
        if not math.isfinite(row.loss):
            row.note = f"the loss became {row.loss}"
    # Out of memory, no compiler for torch.compile, ...: each library has errors of its own.
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "").replace("|", "/")
        row.note = f"failed: {type(error).__name__}: {first}"[:160]
    bench.add(row)
    gc.collect()
    if torch := sys.modules.get("torch"):
        torch.compiler.reset()
        torch.cuda.empty_cache()


def run_steps(bench: Bench, options: argparse.Namespace) -> None:
    """Every network, batch and precision, PyTorch first: it gives its memory back."""
    for network in options.networks:
        for source, target in zip(options.source, options.target, strict=True):
            batches = make_batches(source, target)
            common = {
                "network": network,
                "batch": describe_batch(source, target),
                "images": source[0] + target[0],
            }
            for variant in options.baselines if network.startswith("deeplab") else []:
                library = f"torch {importlib.metadata.version('torch')}"
                row = Row(
                    variant=f"{library} {variant.removesuffix('-bf16')}",
                    dtype=dtype_of(variant),
                    **common,
                )
                attempt(bench, row, run_torch, batches, variant)
            for dtype in options.dtypes:
                row = Row(variant="jax", dtype=dtype, **common)
                attempt(bench, row, run_ours, batches, options.profile)


def dtype_of(variant: str) -> str:
    """The precision of a PyTorch variant."""
    return "bfloat16" if variant.endswith("-bf16") else "float32"


def describe_batch(source: Size, target: Size) -> str:
    """`2x720x1280 + 2x640x1280`."""
    return " + ".join("x".join(map(str, size)) for size in (source, target))


def run_pipeline(bench: Bench, options: argparse.Namespace) -> None:
    """Images a second of the input pipeline alone, by number of decoding threads."""
    try:
        from cbda_jax.data import pipeline
    except ImportError as error:
        bench.add(Row("input pipeline", "", note=f"not measured: {error.name} is not installed"))
        return
    for source, target in zip(options.source, options.target, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            streams = scene_streams(source, target, options.scenes, folder)
            for threads in options.threads:
                row = Row(
                    "input pipeline",
                    f"{threads} threads",
                    batch=describe_batch(source, target),
                    images=source[0] + target[0],
                )
                with contextlib.closing(
                    pipeline.training_batches(
                        streams, first=0, last=sys.maxsize, seed=0, threads=threads
                    )
                ) as batches:
                    # Past what was loaded ahead, and until target labels are in their cache.
                    for _ in range(16 + options.scenes):
                        batch = next(batches)
                        row.host_bytes = sum(x.nbytes for x in batch.values())
                    times = step_times(lambda _, b=batches: next(b), id, bench.seconds)
                # Several threads deliver in bursts, of which quantiles know nothing.
                row.timed(np.array([np.mean(times)]))
                row.runs, row.p90 = len(times), math.nan
                bench.add(row)


def scene_streams(source: Size, target: Size, scenes: int, folder: str) -> dict[str, Any]:
    """The streams of a run, from drawn scenes prepared in `folder` at the sizes of the batch."""
    from cbda_jax.data import pipeline, records, sampling

    counts: dict[str, Any] = dict.fromkeys(("source_train", "target_train"), scenes)
    counts |= dict.fromkeys(("target_val", "target_test"), 1)

    def prepared(domain: str, size: Size) -> Any:
        height, width = size[1:]
        with contextlib.redirect_stdout(sys.stderr):
            return records.open_records(
                f"synthetic_city/{domain}_train",
                data_dir=folder,
                height=height,
                width=width,
                **counts,
            )

    data = prepared("source", source)
    uniform = sampling.DrawOrder.class_uniform(data.class_pixels, seed=0)
    pool = prepared("target", target)
    return {
        "source": pipeline.Stream(data, uniform, source[0], flip=True),
        "target": pipeline.Stream(
            pool,
            sampling.DrawOrder.shuffled(len(pool), seed=1),
            target[0],
            label=pipeline.LabelCache(pool.label, target[1:]),
            flip=True,
        ),
    }


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=DTYPES)
    parser.add_argument(
        "--source", type=size, nargs="+", default=[(2, 720, 1280)], help="images x height x width"
    )
    parser.add_argument(
        "--target", type=size, nargs="+", default=[(2, 640, 1280)], help="as many as --source"
    )
    parser.add_argument(
        "--baselines",
        nargs="*",
        choices=TORCH_VARIANTS,
        default=["eager", "compile", "compile-bf16"],
        help="PyTorch, of the DeepLabs; none: leave out",
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="for the runs of each row")
    parser.add_argument(
        "--threads", type=int, nargs="*", default=[2], help="that decode; none: no input pipeline"
    )
    parser.add_argument("--scenes", type=int, default=16, help="drawn for the input pipeline")
    parser.add_argument("--profile", type=Path, help="write traces of three of our steps there")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args(arguments)
    if len(options.source) != len(options.target):
        parser.error(
            f"--source and --target: {len(options.source)} and {len(options.target)} sizes found, "
            "expected as many of one as of the other"
        )
    return options


def size(text: str) -> Size:
    """`2x720x1280` to (2, 720, 1280)."""
    images, height, width = text.split("x")
    return int(images), int(height), int(width)


def main() -> None:
    """Measure, print the table, write the JSON."""
    options = parse()
    # Compile times are wanted, not those of reading what was compiled before.
    jax.config.update("jax_enable_compilation_cache", False)
    if not importlib.util.find_spec("torch"):
        options.baselines = []
    dtypes = {*options.dtypes, *map(dtype_of, options.baselines)} if options.networks else ()
    bench = Bench(options.seconds, options.json, sorted(dtypes, reverse=True))
    run_steps(bench, options)
    if options.threads:
        run_pipeline(bench, options)
    print(describe(bench.about), table(bench.rows), sep="\n\n")
    if any(row.note and row.variant == "jax" for row in bench.rows):
        sys.exit("some of our rows failed; see their notes")


if __name__ == "__main__":
    main()
