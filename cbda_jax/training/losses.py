"""The four losses of the recipe, each a total and the number of terms it is the mean of.

These are the definitions, on logits at full resolution. Training computes the same numbers in
blocks of rows (`training.blocks`).

Totals and counts stay apart so that a batch which is spread over devices is averaged as one batch:
sum the totals, sum the counts, divide (`training.step`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Integer, UInt8

from cbda_jax.label_space import IGNORE

EPSILON = 1e-6  # inside the logarithms, as in the reference implementation of RIPU


class Mean(NamedTuple):
    """A mean that is not divided yet: `total / terms` (float32 scalars)."""

    total: Float[Array, ""]
    terms: Float[Array, ""]

    def value(self) -> Float[Array, ""]:
        """The mean, 0 where nothing was counted."""
        return self.total / jnp.maximum(self.terms, jnp.float32(1))


class LossBalance(NamedTuple):
    """What the cross entropy on target labels is balanced by. None of it: not at all.

    Attributes:
        weights: `[C]` float32 above 0. The mean over the labels is weighted by their classes, as
            PyTorch's `CrossEntropyLoss(weight=...)` is: their common scale has no effect.
        offsets: `[C]` float32, added to the logits in this loss alone. tau x log(share of the class
            among the labels) is logit adjustment (Menon et al., "Long-tail learning via logit
            adjustment", ICLR 2021, eq. 10).
    """

    weights: np.ndarray | Array | None = None
    offsets: np.ndarray | Array | None = None

    def of_labels(self) -> Float[Array, " classes"]:
        """The weights with a smallest one of 1: a mean of any labels then has a total of 1 or more.

        Totals below 1 are taken as those of no label at all (`Mean.value`).
        """
        assert self.weights is not None
        weights = jnp.asarray(self.weights)
        return weights / jnp.min(weights)


UNBALANCED = LossBalance()
"""All classes alike."""


def logit_offsets(
    counts: Integer[np.ndarray, " classes"], tau: float, *, prior: float = 0.01
) -> Float32[np.ndarray, " classes"]:
    """`LossBalance.offsets` of logit adjustment: tau x log of every class's share of the labels.

    Every class is first given `prior` times an even share, so that one without labels has a
    logarithm. NumPy, on the host.

    Args:
        counts: `[C]` labelled pixels of every class, not all 0.
        tau: 1 as published, 0 for no adjustment.
        prior: above 0.
    """
    known = counts + prior * counts.mean()
    return (tau * np.log(known / known.sum())).astype(np.float32)


def label_total(
    labels: UInt8[Array, "batch height width"], balance: LossBalance = UNBALANCED
) -> Float[Array, ""]:
    """What the cross entropy of some labels is divided by: their number, or their weights' sum."""
    valid = labels != IGNORE
    if balance.weights is None:
        return jnp.sum(valid, dtype=jnp.float32)
    # Pixels of every class first: whole numbers, whose sums are the same in any order.
    classes = jnp.arange(balance.weights.shape[-1], dtype=jnp.uint8)
    found = jnp.sum(
        labels[..., None] == classes[None, None, None, :], axis=(0, 1, 2), dtype=jnp.float32
    )
    return jnp.sum(found * balance.of_labels())


def _masked(terms: Float[Array, "*shape"], mask: Bool[Array, "*shape"]) -> Mean:
    return Mean(jnp.sum(jnp.where(mask, terms, jnp.float32(0))), jnp.sum(mask, dtype=jnp.float32))


def cross_entropy(
    logits: Float[Array, "batch height width classes"],
    labels: UInt8[Array, "batch height width"],
    balance: LossBalance = UNBALANCED,
) -> Mean:
    """Cross entropy over the pixels whose label is not 255.

    With a balance: sum of w[label] x cross entropy of (logits + offsets), over the sum of w[label].
    """
    logits = logits.astype(jnp.float32)
    if balance.offsets is not None:
        logits = logits + balance.offsets[None, None, None, :]
    valid = labels != IGNORE
    own = jnp.where(valid, labels, jnp.uint8(0)).astype(jnp.int32)
    chosen = jnp.take_along_axis(logits, own[..., None], axis=-1)[..., 0]
    terms = jax.nn.logsumexp(logits, axis=-1) - chosen
    if balance.weights is not None:
        terms = terms * balance.of_labels()[own]
    return Mean(jnp.sum(jnp.where(valid, terms, jnp.float32(0))), label_total(labels, balance))


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
