"""The losses from low-resolution logits, in blocks of rows and at full size: time and memory.

    python scripts/bench_losses.py --size 720x1280 --stride 4 --images 2 --rows 10 40 80

Loss and gradient alone, of random logits. The variants are timed in turn, round after round, so
that a ratio is of the same minutes.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
from harness import environment, markdown, number

from cbda_jax import resize
from cbda_jax.training import losses
from cbda_jax.training.blocks import block_losses

CLASSES = 19


def make_loss(domain: str, rows: int | None, *, blocks: bool):
    """A function of logits and labels: the losses of a domain, as the training step has them."""
    consistency, threshold = ("l1", None) if domain == "source" else (None, 0.05)

    def loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
        if blocks:
            means = block_losses(
                logits, labels, consistency=consistency, threshold=threshold, rows=rows
            )
            return sum((mean.value() for mean in means.values()), start=jnp.float32(0))
        logits = resize.bilinear(logits, labels.shape[1:])
        total = losses.cross_entropy(logits, labels).value()
        if domain == "source":
            return total + losses.local_consistency_l1(logits, labels).value()
        return total + losses.negative_learning(logits, 0.05).value()

    return loss


def main() -> None:
    """Compiles, times in turn, prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="720x1280", help="height x width of the labels")
    parser.add_argument("--stride", type=int, default=4, help="of the logits")
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--rows", type=int, nargs="*", default=[], help="beside the automatic one")
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    height, width = (int(n) for n in options.size.split("x"))
    rng = np.random.default_rng(0)
    low = (options.images, height // options.stride, width // options.stride, CLASSES)
    logits = jnp.asarray(rng.normal(size=low), jnp.float32)
    patches = rng.integers(0, CLASSES, (options.images, height // 8, width // 8), np.uint8)
    labels = jnp.asarray(patches.repeat(8, 1).repeat(8, 2))
    rows = []
    for domain in ("source", "target"):
        variants = {"full size": make_loss(domain, None, blocks=False)}
        for count in (None, *options.rows):
            name = "blocks, automatic" if count is None else f"blocks of {count} rows"
            variants[name] = make_loss(domain, count, blocks=True)
        compiled = {
            name: jax.jit(jax.value_and_grad(function)).lower(logits, labels).compile()
            for name, function in variants.items()
        }
        times = {name: [] for name in compiled}
        for repeat in range(options.repeats + 1):
            for name, function in compiled.items():
                start = time.perf_counter()
                jax.block_until_ready(function(logits, labels))
                if repeat:
                    times[name].append(time.perf_counter() - start)
        for name, function in compiled.items():
            memory = function.memory_analysis()
            ratio = np.median(np.divide(times[name], times["full size"]))
            rows.append(
                [
                    domain,
                    name,
                    number(1e3 * float(np.median(times[name]))),
                    number(float(ratio)),
                    number(memory.temp_size_in_bytes / 1e6) if memory is not None else "",
                ]
            )
    about = environment()
    print(f"`{about['command']}`\n")
    print(f"{about['device']}, {about['cores']} cores, jax {jax.__version__}\n")
    print(markdown("domain | losses | ms, median | of full size | temporary MB", rows))


if __name__ == "__main__":
    main()
