"""The losses from low-resolution logits, in blocks of rows: the numbers of `training.losses`.

Logits at full resolution, their softmax and what the backward pass keeps of them are the largest
arrays of a training step. A scan makes them for a few rows at a time, forward and again backward,
so that only the low-resolution logits and the labels are kept.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, UInt8

from cbda_jax import resize
from cbda_jax.platform import resolve
from cbda_jax.training import losses
from cbda_jax.training.losses import UNBALANCED, LossBalance, Mean

# Full-resolution logits of a block. On CPU what the caches hold: half the time of one block for the
# whole batch; elsewhere more, since there every block costs the start of some dozens of kernels.
_ELEMENTS_CPU, _ELEMENTS = 2**19, 2**23


class _Setting(NamedTuple):
    """What is computed, fixed when it is compiled.

    Attributes:
        consistency, threshold: of `block_losses`.
        rows: output rows of a block.
        flat: rows are multiplied with columns and classes as one axis. XLA's compiler for GPUs
            refuses the gradient otherwise ("Couldn't find output tile sizes"); that for TPUs would
            copy everything four times.
    """

    consistency: str | None
    threshold: float | None
    rows: int
    flat: bool


class _Totals(NamedTuple):
    cross_entropy: Array
    local_consistency: Array
    negative_learning: Array
    negative_terms: Array


class _Block(NamedTuple):
    """One block of output rows; all blocks, where there is a leading axis.

    Attributes:
        first: int32, the first of the low-resolution rows that it needs.
        weights: float32 [output rows, low-resolution rows], which makes these of those. With local
            consistency there is one output row more at either end, the image's edges repeated.
        inside: bool [rows], False past the image's last row.
        labels, boundary: uint8 and bool [n, rows, W]: 255 and False past the last row.
    """

    first: Array
    weights: Array
    inside: Array
    labels: Array
    boundary: Array


def block_losses(
    logits: Float[Array, "n h w classes"],
    labels: UInt8[Array, "n height width"],
    *,
    consistency: str | None = None,
    threshold: float | None = None,
    balance: LossBalance = UNBALANCED,
    rows: int | None = None,
    platform: str | None = None,
) -> dict[str, Mean]:
    """Losses of logits that are resized to the size of the labels (`resize.bilinear`).

    Values and gradients are those of `training.losses` on the resized logits, but for the order of
    sums: all from one softmax, a block of rows at a time, made again for the backward pass.

    Args:
        logits: at the network's stride, any floating type; computed in float32.
        labels: train ids, 255 is ignored.
        consistency: "l1" or "kl" adds `local_consistency`.
        threshold: adds `negative_learning` of probabilities below it.
        balance: of the cross entropy; the other losses are not balanced.
        rows: output rows of a block; by default few enough that its logits fit the caches of a CPU
            (2^19 of them), or keep an accelerator busy (2^23).
        platform: that the program is for, of `cbda_jax.platform`; None: that of the first device.

    Returns:
        `cross_entropy`, and those asked for.
    """
    n, height, width = labels.shape
    platform = resolve(platform)
    if rows is None:
        elements = _ELEMENTS_CPU if platform == "cpu" else _ELEMENTS
        rows = -(-height // max(1, round(n * height * width * logits.shape[-1] / elements)))
    setting = _Setting(consistency, threshold, min(rows, height), platform == "gpu")
    boundary = losses.consistency_mask(labels)
    totals: _Totals = _totals(logits, labels, boundary, balance, setting)
    means = {"cross_entropy": Mean(totals.cross_entropy, losses.label_total(labels, balance))}
    if consistency is not None:
        means["local_consistency"] = Mean(totals.local_consistency, _count(boundary))
    if threshold is not None:
        means["negative_learning"] = Mean(totals.negative_learning, totals.negative_terms)
    return means


def _count(mask: Array) -> Array:
    return jnp.sum(mask, dtype=jnp.float32)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _totals(
    logits: Array, labels: Array, boundary: Array, balance: LossBalance, setting: _Setting
) -> _Totals:
    def add(totals: _Totals, block: _Block) -> tuple[_Totals, None]:
        found = _block_totals(_low_rows(logits, block), block, balance, setting)
        return jax.tree.map(jnp.add, totals, found), None

    zeros = _Totals(*[jnp.float32(0)] * len(_Totals._fields))
    return lax.scan(add, zeros, _blocks(logits.shape[1], labels, boundary, setting))[0]


def _forward(
    logits: Array, labels: Array, boundary: Array, balance: LossBalance, setting: _Setting
):
    kept = logits, labels, boundary, balance
    return _totals(*kept, setting), kept


def _backward(setting: _Setting, kept: tuple[Array, Array, Array, LossBalance], cotangent: _Totals):
    logits, labels, boundary, balance = kept

    def add(gradient: Array, block: _Block) -> tuple[Array, None]:
        _, vjp = jax.vjp(
            lambda rows: _block_totals(rows, block, balance, setting), _low_rows(logits, block)
        )
        # Neighbouring blocks share low-resolution rows.
        part = _low_rows(gradient, block) + vjp(cotangent)[0].astype(jnp.float32)
        return lax.dynamic_update_slice_in_dim(gradient, part, block.first, 1), None

    start = jnp.zeros(logits.shape, jnp.float32)
    gradient, _ = lax.scan(add, start, _blocks(logits.shape[1], labels, boundary, setting))
    # The balance follows from counts of labels: nothing is learnt of it.
    return gradient.astype(logits.dtype), None, None, None


_totals.defvjp(_forward, _backward)


def _low_rows(x: Array, block: _Block) -> Array:
    return lax.dynamic_slice_in_dim(x, block.first, block.weights.shape[-1], axis=1)


def _blocks(h: int, labels: Array, boundary: Array, setting: _Setting) -> _Block:
    """All blocks, from the top down; the last one may reach past the image."""
    n, height, width = labels.shape
    rows, halo = setting.rows, int(setting.consistency is not None)
    count = -(-height // rows)
    low, high, _ = resize.taps(h, height)
    wanted = rows * np.arange(count)[:, None] + np.arange(-halo, rows + halo)
    wanted = np.clip(wanted, 0, height - 1)
    needed = int(np.max(high[wanted[:, -1]] - low[wanted[:, 0]])) + 1
    first = np.minimum(low[wanted[:, 0]], h - needed)
    matrix = resize.matrix(h, height)
    weights = [
        matrix[output, start : start + needed] for output, start in zip(wanted, first, strict=True)
    ]

    def split(x: Array, filler: int | bool) -> Array:
        x = jnp.pad(x, ((0, 0), (0, count * rows - height), (0, 0)), constant_values=filler)
        return jnp.moveaxis(x.reshape(n, count, rows, width), 1, 0)

    return _Block(
        first=jnp.asarray(first),
        weights=jnp.asarray(np.stack(weights)),
        inside=jnp.asarray(np.arange(count * rows).reshape(count, rows) < height),
        labels=split(labels, losses.IGNORE),
        boundary=split(boundary, False),
    )


def _block_totals(logits: Array, block: _Block, balance: LossBalance, setting: _Setting) -> _Totals:
    """The totals of a block from the low-resolution rows that it needs."""
    zero = jnp.float32(0)
    # Columns first: few rows are read by the gather, and whole ones by the matrix product.
    logits = resize.bilinear(logits.astype(jnp.float32), (logits.shape[1], block.labels.shape[-1]))
    if setting.flat:
        flat = logits.reshape(*logits.shape[:2], -1)
        flat = jnp.einsum("nhx,Hh->nHx", flat, block.weights, precision="highest")
        logits = flat.reshape(flat.shape[0], flat.shape[1], *logits.shape[2:])
    else:
        logits = jnp.einsum("nhwc,Hh->nHwc", logits, block.weights, precision="highest")
    shifted = logits - lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    exponential = jnp.exp(shifted)
    total = jnp.sum(exponential, axis=-1, keepdims=True)
    probabilities = exponential / total
    log_probabilities = shifted - jnp.log(total)

    def own(x: Array) -> Array:
        return x if setting.consistency is None else x[:, 1:-1]

    classes = jnp.arange(logits.shape[-1], dtype=jnp.uint8)
    chosen = block.labels[..., None] == classes[None, None, None, :]
    surprise = own(log_probabilities)
    if balance.offsets is not None:
        surprise = jax.nn.log_softmax(own(shifted) + balance.offsets[None, None, None, :], axis=-1)
    if balance.weights is not None:
        surprise = surprise * balance.of_labels()[None, None, None, :]
    cross_entropy = -jnp.sum(jnp.where(chosen, surprise, zero))
    consistency = negative = negative_terms = zero
    if setting.consistency is not None:
        rows = probabilities[:, :-2] + probabilities[:, 1:-1] + probabilities[:, 2:]
        mean = losses.sum3(rows, 2) / jnp.float32(9)
        if setting.consistency == "l1":
            terms = jnp.abs(own(probabilities) - mean)
        else:
            ratio = own(log_probabilities) - jnp.log(mean + jnp.float32(losses.EPSILON))
            terms = own(probabilities) * ratio
        consistency = jnp.sum(jnp.where(block.boundary[..., None], terms, zero))
    if setting.threshold is not None:
        unlikely = lax.stop_gradient(own(probabilities)) < jnp.float32(setting.threshold)
        unlikely &= block.inside[None, :, None, None]
        terms = -jnp.log(1 - own(probabilities) + jnp.float32(losses.EPSILON))
        negative, negative_terms = jnp.sum(jnp.where(unlikely, terms, zero)), _count(unlikely)
    return _Totals(cross_entropy, consistency, negative, negative_terms)
