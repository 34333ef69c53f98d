"""How fast acquisition is: score maps, selection, and both together.

    python scripts/bench_acquisition.py --size 1024x2048 --classes 19 --budget 0.01 0.04 \
        --radius 1 --batch 1 8 --stages score,pixel,select,round --json acquisition.json

Times are of one image, from inputs on the device until the result is there: the median and the 90th
percentile of many runs that take other inputs in turn, after a warm-up. Beside them: the sequential
formulation in NumPy, and in PyTorch where it is installed, on the same inputs in the same process.
"""

import argparse
import functools
import importlib.metadata
import importlib.util
import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from baselines import sequential_numpy
from harness import Bench, Row, environment, number, table, write_json
from jax import lax

from cbda_jax.acquisition.scoring.maps import pixel_scores, region_scores
from cbda_jax.acquisition.selection.select import Picks, greedy_picks
from cbda_jax.platform import resolve
from cbda_jax.resize import bilinear

STAGES = ("score", "pixel", "select", "round")
PIXEL_RADIUS = 32
INPUTS = 3


def make_logits(low: tuple[int, int], classes: int, seed: int) -> np.ndarray:
    """Logits like a network's: several scales of smooth noise, some classes rare. `[h, w, C]`.

    With 160 x 320 of them for 1024 x 2048 pixels, 10 to 20 % of the 3 x 3 windows are impure and
    the class frequencies spread over two orders of magnitude.
    """
    rng = np.random.default_rng(seed)
    total = jnp.asarray(-0.3 * np.arange(classes), jnp.float32)[None, None, :]
    for cells, amplitude in ((3, 4.0), (8, 3.0), (20, 2.0), (60, 1.2), (160, 0.7)):
        noise = rng.normal(size=(cells, 2 * cells, classes), scale=amplitude)
        total = total + bilinear(jnp.asarray(noise, jnp.float32), low)
    return np.asarray(1.5 * total)


def batched(function: Callable) -> Callable:
    """Over a leading axis: one image after the other on CPU, where memory bounds the speed."""
    if resolve() == "cpu":
        return lambda *arguments: lax.map(lambda x: function(*x), arguments)
    return jax.vmap(function)


def picks_of(options: argparse.Namespace) -> list[int]:
    """The budgets in regions."""
    side = 2 * options.radius + 1
    return [math.ceil(b * math.prod(options.size) / side**2) for b in options.budget]


def run_ours(bench: Bench, images: list[np.ndarray], options: argparse.Namespace) -> None:
    """Every stage, batch size and budget."""
    weight = jnp.linspace(0.5, 1.5, options.classes)
    region = functools.partial(region_scores, radius=options.radius, size=options.size)

    def score(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
        maps = region(logits, class_weight=weight)
        return maps.score, maps.prediction

    def pixel(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
        maps = pixel_scores(logits, radius=PIXEL_RADIUS, size=options.size)
        return maps.score, maps.prediction

    def select(score: jax.Array, blocked: jax.Array | None = None, *, n: int) -> Picks:
        return greedy_picks(score, n, radius=2 * options.radius, capacity=n, blocked=blocked)

    def all_of_it(logits: jax.Array, blocked: jax.Array, *, n: int) -> tuple[Picks, jax.Array]:
        score_map, prediction = score(logits)
        picks = select(score_map, blocked, n=n)
        return picks, prediction[picks.row, picks.col]

    for batch in options.batch:
        stacks = [
            jnp.stack([jnp.asarray(images[(i + j) % INPUTS]) for j in range(batch)])
            for i in range(INPUTS)
        ]
        if "score" in options.stages:
            bench.ours("score", batched(score), [(x,) for x in stacks])
        if "pixel" in options.stages:
            bench.ours("pixel", batched(pixel), [(x,) for x in stacks])
        for n in picks_of(options):
            if "select" in options.stages:
                maps = [(jax.jit(batched(lambda x: region(x).score))(x),) for x in stacks]
                bench.ours("select", batched(functools.partial(select, n=n)), maps, picks=n)
            if "round" in options.stages:
                blocked = jnp.zeros((batch, *options.size), bool)
                both = [(x, blocked) for x in stacks]
                bench.ours("round", batched(functools.partial(all_of_it, n=n)), both, picks=n)


def run_baseline(
    bench: Bench, images: list[np.ndarray], options: argparse.Namespace, name: str
) -> None:
    """The sequential formulation. Its loop over picks is timed for the first picks only."""
    images = [np.ascontiguousarray(x.transpose(2, 0, 1)) for x in images]
    if name == "torch":
        from baselines import sequential_torch as library

        variant = f"torch {importlib.metadata.version('torch')}"
        if "pixel" in options.stages:
            one = functools.partial(library.score, size=options.size, unit="pixel")
            bench.add(
                Row("pixel", variant), timed(lambda x: one(x, radius=PIXEL_RADIUS), images[:1])
            )
        score = functools.partial(library.score, unit="region")
    else:
        library, score, variant = sequential_numpy, sequential_numpy.score, "numpy"
    score = functools.partial(score, size=options.size, radius=options.radius)
    score_times = timed(score, images)
    if "score" in options.stages:
        bench.add(Row("score", variant), score_times)

    score_map, sample = score(images[0]), min(options.sample_picks, *picks_of(options))

    def select(n: int) -> list[tuple[int, int]]:
        return library.select(score_map, n, 2 * options.radius)

    agree(select(sample), np.asarray(score_map), options)
    pick_times = timed(select, [sample] * 3) / sample
    for n in picks_of(options):
        if "select" in options.stages:
            row = Row("select", variant, picks=n, extrapolated=n > sample)
            bench.add(row, pick_times * n)
        if "round" in options.stages:
            row = Row("round", variant, picks=n, extrapolated=n > sample)
            bench.add(row, np.median(score_times) + pick_times * n)


def timed(function: Callable, inputs: Sequence) -> np.ndarray:
    """Seconds of one run for each input, after a run of the first."""
    function(inputs[0])
    times = []
    for x in inputs:
        start = time.perf_counter()
        function(x)
        times.append(time.perf_counter() - start)
    return np.array(times)


def agree(picks: list[tuple[int, int]], score_map: np.ndarray, options: argparse.Namespace) -> None:
    """Stop unless the sequential picks are ours on the same score map."""
    n = len(picks)
    ours = greedy_picks(jnp.asarray(score_map), n, radius=2 * options.radius, capacity=n)
    if not np.array_equal(np.stack([ours.row, ours.col], axis=1), picks):
        sys.exit("the sequential picks and ours differ: this would compare different things")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--size", type=height_and_width, default=(1024, 2048), help="of the image")
    parser.add_argument("--low", type=height_and_width, default=(160, 320), help="of the logits")
    parser.add_argument("--classes", type=int, default=19)
    parser.add_argument("--radius", type=int, default=1, help="of a region")
    parser.add_argument(
        "--budget", type=float, nargs="+", default=[0.01, 0.04], help="of the pixels"
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--stages", type=lambda x: x.split(","), default=list(STAGES))
    parser.add_argument("--baselines", choices=("all", "numpy", "none"), default="all")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="for the runs of each of our rows"
    )
    parser.add_argument("--sample-picks", type=int, default=50, help="timed of a sequential loop")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args(arguments)
    if unknown := set(options.stages) - set(STAGES):
        parser.error(f"--stages: unknown {', '.join(unknown)}; expected some of {','.join(STAGES)}")
    if 1 not in options.batch:
        options.batch.insert(0, 1)
    return options


def height_and_width(text: str) -> tuple[int, int]:
    """`1024x2048` to (1024, 2048)."""
    height, width = text.split("x")
    return int(height), int(width)


def main() -> None:
    """Measure, print the table, write the JSON."""
    options = parse()
    images = [make_logits(options.low, options.classes, i) for i in range(INPUTS)]
    bench = Bench(math.prod(options.size), options.seconds)
    run_ours(bench, images, options)
    if options.baselines != "none":
        run_baseline(bench, images, options, "numpy")
    if options.baselines == "all" and importlib.util.find_spec("torch"):
        run_baseline(bench, images, options, "torch")
    bench.finish()
    impurity = region_scores(jnp.asarray(images[0]), size=options.size).impurity
    about = environment(
        size=options.size,
        low=options.low,
        classes=options.classes,
        impure_share=float((impurity > 1e-4).mean()),
        copy_bandwidth=bench.bandwidth,
        floor_low_resolution=images[0].nbytes / bench.bandwidth,
        floor_full_size=bench.pixels * options.classes * 4 / bench.bandwidth,
    )
    print(describe(about), table(bench.rows), sep="\n\n")
    if options.json:
        write_json(options.json, about, bench.rows)


def describe(about: dict[str, Any]) -> str:
    """The environment in a few lines."""
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
    height, width = about["size"]
    return (
        f"`{about['command']}`\n\n"
        f"{about['device']}, {about['cores']} CPU cores; Python {about['python']}, {versions}. "
        f"{height} x {width} pixels, {about['classes']} classes, "
        f"{about['impure_share']:.0%} of the windows impure. "
        f"Copy bandwidth {about['copy_bandwidth'] / 1e9:.1f} GB/s; one read of the logits takes "
        f"{number(about['floor_low_resolution'] * 1e3)} ms at low resolution, "
        f"{number(about['floor_full_size'] * 1e3)} ms at full size. "
        "~: extrapolated from the first picks."
    )


if __name__ == "__main__":
    main()
