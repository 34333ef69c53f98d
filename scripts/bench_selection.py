"""Time greedy_picks on easy and on hard score maps, and the pool over more and more images.

    python scripts/bench_selection.py --size 1024x2048 --budget 0.01 0.04 --json selection.json
    python scripts/bench_selection.py --size 256x512 --budget 0.01 --maps scores --pool 10 100 1000

The budget is a fraction of the pixels, spent in 3 x 3 regions (blocking radius 2). `rounds` is the
number of rounds of parallel local maxima that an accelerator needs (counted with `--rounds`: on a
CPU a thousand of them take a minute); the tournament, which CPUs use, takes one step a pick
whatever the map.
"""

import argparse
import json
import platform
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cbda_jax.acquisition import Pool, greedy_picks, region_scores
from cbda_jax.acquisition.pool.candidates import SLOT_BYTES
from cbda_jax.acquisition.selection import local_maxima, vector_memory
from cbda_jax.acquisition.selection.keys import LOWEST, to_key

RADIUS = 2


def score_maps(height: int, width: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Score maps by name, `[height, width]` float32."""
    rng = np.random.default_rng(seed)
    row, col = np.mgrid[:height, :width].astype(np.float32)
    logits = sum(
        np.kron(
            rng.standard_normal((-(-height // cell), -(-width // cell), 19)),
            np.ones((cell // 8, cell // 8, 1)),
        )[: height // 8, : width // 8]
        * strength
        for cell, strength in ((256, 4), (64, 2), (8, 0.3))
    )
    score = np.asarray(region_scores(jnp.asarray(logits, jnp.float32), size=(height, width)).score)
    smooth = np.sin(row / 41) * np.cos(col / 57)
    plateau = np.where(rng.random(score.shape) < 0.5, np.quantile(score, 0.6), score)
    return {
        "scores": score,
        "noise": rng.standard_normal((height, width)).astype(np.float32),
        "smooth": smooth,
        "ramp right": col,
        "ramp down": row,
        "diagonal": row + col,
        "checkerboard": (row + col) % 2,
        "60 % equal": np.maximum(score, np.quantile(score, 0.6)),
        "half equal, scattered": plateau.astype(np.float32),
        "constant": np.zeros((height, width), np.float32),
    }


def timed(function, repeats: int) -> float:
    """Median seconds of a call, after one that compiles."""
    jax.block_until_ready(function())
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function())
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def pool_seconds(shape: tuple[int, int], images: int, share: int) -> tuple[float, float, int]:
    """Seconds an image of selecting and adding, seconds of the final choice, and the pool's slots.

    Every image offers up to four times its share of the budget, the best first.
    """
    capacity = 4 * share
    scores = [jnp.asarray(score_maps(*shape, seed=seed)["scores"])[None] for seed in range(4)]

    def one(score, floor):
        return greedy_picks(score, capacity, radius=RADIUS, capacity=capacity, floor=floor)

    select = jax.jit(jax.vmap(one, in_axes=(0, None)))
    best = []
    for _ in range(3):  # the first compiles
        pool = Pool(images * share)
        start = time.perf_counter()
        for image in range(images):
            picks = select(scores[image % 4], pool.threshold)
            pool.add(np.array([image]), picks)
        jax.block_until_ready(pool.threshold)
        middle = time.perf_counter()
        pool.finish(accept_truncated=True)
        best.append(((middle - start) / images, time.perf_counter() - middle, pool.slots))
    return min(best[1:])


def main() -> None:
    """Print a table and write JSON."""
    parser = argparse.ArgumentParser(
        description="Time greedy_picks on easy and on hard score maps."
    )
    parser.add_argument("--size", default="1024x2048", help="height x width")
    parser.add_argument("--budget", type=float, nargs="+", default=[0.01, 0.04])
    parser.add_argument("--algorithms", nargs="+", default=["auto"])
    parser.add_argument("--rounds", action="store_true", help="count those in parallel, too")
    parser.add_argument("--maps", nargs="+", help="default: all")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pool", type=int, nargs="*", default=[], help="numbers of images")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    height, width = map(int, options.size.split("x"))
    device = jax.devices()[0]
    machine = f"{device.device_kind} ({platform.machine()}), jax {jax.__version__}"
    print(f"{machine}, {height} x {width}, blocking radius {RADIUS}")
    print(f"{'map':24}{'budget':>8}{'picks':>8}{'rounds':>8}{'kernel':>8}", end="")
    print("".join(f"{name + ' [ms]':>16}" for name in options.algorithms))
    rows = []
    for budget in options.budget:
        capacity = -(-int(height * width * budget) // (RADIUS + 1) ** 2)
        count_rounds = jax.jit(
            partial(local_maxima.select_counting, radius=RADIUS, capacity=capacity)
        )
        # The kernel of TPUs goes down the map, and can do with fewer.
        count_kernel = jax.jit(
            partial(vector_memory.select_counting, radius=RADIUS, capacity=capacity, interpret=True)
        )
        for name, score in score_maps(height, width).items():
            if options.maps and name not in options.maps:
                continue
            score = jnp.asarray(score)
            row = {"map": name, "budget": budget, "picks": capacity}
            row |= {"rounds": -1, "kernel": -1}
            if options.rounds:
                for kind, count in (("rounds", count_rounds), ("kernel", count_kernel)):
                    result = count(to_key(score), jnp.int32(capacity), jnp.int32(LOWEST + 1))
                    row[kind] = int(result[4])
            for algorithm in options.algorithms:
                select = jax.jit(
                    partial(greedy_picks, radius=RADIUS, capacity=capacity, algorithm=algorithm)
                )
                row[algorithm] = timed(partial(select, score, capacity), options.repeats)
            rows.append(row)
            print(f"{name:24}{budget:8.2%}{row['picks']:8}", end="")
            print(f"{row['rounds']:8}{row['kernel']:8}", end="")
            print("".join(f"{row[a] * 1e3:16.2f}" for a in options.algorithms), flush=True)
    pools = []
    for images in options.pool:
        share = -(-int(height * width * options.budget[0]) // 9)
        each, last, slots = pool_seconds((height, width), images, share)
        pools.append({"images": images, "image": each, "finish": last, "slots": slots})
        print(
            f"pool of {images:6} images: {each * 1e3:8.3f} ms an image, final choice "
            f"{last * 1e3:8.2f} ms, {slots * SLOT_BYTES / 2**20:8.2f} MiB"
        )
    if options.json:
        report = {"machine": machine, "size": [height, width], "rows": rows, "pools": pools}
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
