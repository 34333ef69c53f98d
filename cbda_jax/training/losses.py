"""The four losses of the recipe, each a total and the number of terms it is the mean of.

These are the definitions, on logits at full resolution. Training computes the same numbers in
blocks of rows (`training.blocks`).

Totals and counts stay apart so that a batch which is spread over devices is averaged as one batch:
sum the totals, sum the counts, divide (`training.step`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, UInt8

from cbda_jax.label_space import IGNORE

EPSILON = 1e-6  # inside the logarithms, as in the reference implementation of RIPU


class Mean(NamedTuple):
    """A mean that is not divided yet: `total / terms` (float32 scalars)."""

    total: Float[Array, ""]
    terms: Float[Array, ""]

    def value(self) -> Float[Array, ""]:
        """The mean, 0 where nothing was counted."""
        return self.total / jnp.maximum(self.terms, jnp.float32(1))


def _masked(terms: Float[Array, "*shape"], mask: Bool[Array, "*shape"]) -> Mean:
    return Mean(jnp.sum(jnp.where(mask, terms, jnp.float32(0))), jnp.sum(mask, dtype=jnp.float32))


def cross_entropy(
    logits: Float[Array, "batch height width classes"], labels: UInt8[Array, "batch height width"]
) -> Mean:
    """Cross entropy over the pixels whose label is not 255."""
    logits = logits.astype(jnp.float32)
    valid = labels != IGNORE
    own = jnp.where(valid, labels, jnp.uint8(0)).astype(jnp.int32)
    chosen = jnp.take_along_axis(logits, own[..., None], axis=-1)[..., 0]
    return _masked(jax.nn.logsumexp(logits, axis=-1) - chosen, valid)


def label_boundary(
    labels: UInt8[Array, "batch height width"],
) -> Bool[Array, "batch height width"]:
    """Pixels whose label differs from the mean of its eight neighbours.

    The 8-neighbour Laplacian of the zero-padded label map is not 0. The border of the image counts
    as boundary wherever the class is not 0, as in the reference.
    """
    x = jnp.pad(labels.astype(jnp.int32), ((0, 0), (1, 1), (1, 1)))
    return 9 * labels.astype(jnp.int32) != _box3(x)


def consistency_mask(
    labels: UInt8[Array, "batch height width"],
) -> Bool[Array, "batch height width"]:
    """Where local consistency counts: on a label boundary, and not ignored."""
    return label_boundary(labels) & (labels != IGNORE)


def _box3(x: Array) -> Array:
    """Sums over 3 x 3 windows of axes 1 and 2, without padding."""
    rows = x[:, :-2] + x[:, 1:-1] + x[:, 2:]
    return rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]


def _neighbourhood(
    logits: Float[Array, "batch height width classes"],
) -> tuple[Array, Array]:
    """Softmax, and its 3 x 3 mean with replicated edges."""
    probabilities = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
    return probabilities, sum3(sum3(probabilities, 1), 2) / jnp.float32(9)


def sum3(x: Array, axis: int) -> Array:
    """Sums of three neighbours along an axis, the edges replicated.

    By concatenation: through `jnp.pad(mode="edge")` forward and backward take twice as long on CPU.
    """

    def part(first: int, last: int) -> Array:
        return jax.lax.slice_in_dim(x, first, last, axis=axis)

    n = x.shape[axis]
    before = jnp.concatenate([part(0, 1), part(0, n - 1)], axis)
    after = jnp.concatenate([part(1, n), part(n - 1, n)], axis)
    return before + x + after


def local_consistency_l1(
    logits: Float[Array, "batch height width classes"], labels: UInt8[Array, "batch height width"]
) -> Mean:
    """L1 distance between a pixel's softmax and the mean softmax of its 3 x 3 neighbourhood.

    Over the pixels on a label boundary that are not ignored (RIPU, eq. 8).
    """
    probabilities, mean = _neighbourhood(logits)
    distance = jnp.sum(jnp.abs(probabilities - mean), axis=-1)
    return _masked(distance, consistency_mask(labels))


def local_consistency_kl(
    logits: Float[Array, "batch height width classes"], labels: UInt8[Array, "batch height width"]
) -> Mean:
    """As `local_consistency_l1`, with KL(softmax of the pixel || mean of its neighbourhood)."""
    probabilities, mean = _neighbourhood(logits)
    log_ratio = jax.nn.log_softmax(logits.astype(jnp.float32), axis=-1) - jnp.log(
        mean + jnp.float32(EPSILON)
    )
    divergence = jnp.sum(probabilities * log_ratio, axis=-1)
    return _masked(divergence, consistency_mask(labels))


def negative_learning(
    logits: Float[Array, "batch height width classes"], threshold: float = 0.05
) -> Mean:
    """-log(1 - p) of every (pixel, class) with p below the threshold: "surely not this class".

    RIPU, eq. 9. The choice of entries carries no gradient.
    """
    probabilities = jax.nn.softmax(logits.astype(jnp.float32), axis=-1)
    unlikely = jax.lax.stop_gradient(probabilities) < jnp.float32(threshold)
    return _masked(-jnp.log(1 - probabilities + jnp.float32(EPSILON)), unlikely)
