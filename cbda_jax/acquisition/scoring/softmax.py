"""Maps of every pixel's softmax, from logits at the network's resolution, in one pass over them.

The upsampled logits are never in memory. Each is a weighted sum of a few rows of the low-resolution
logits whose columns are already upsampled, and what reads them is in the same loop:

* on CPUs, all pixels of the result that lie between the same low-resolution rows read the same few
  planes, so that XLA fuses the sum, the softmax and the entropy into one loop, vectorised along the
  width, a few rows at a time;
* on GPUs, one kernel reads the rows that each pixel needs, all pixels at once;
* on TPUs, see `softmax_tpu`.
"""

import functools
from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Shaped

from cbda_jax.acquisition.scoring import softmax_tpu
from cbda_jax.acquisition.scoring.planes import centred, maps, total
from cbda_jax.acquisition.scoring.stencil import Stencil
from cbda_jax.platform import resolve

# About how many rows of the result a CPU computes at once: few enough to stay in its caches and to
# bound the memory.
ROWS_AT_ONCE = 64


def softmax_maps(
    logits: Float[Array, "h w classes"],
    names: Collection[str] = ("entropy", "prediction"),
    *,
    class_weight: Float[Array, " classes"] | None = None,
    size: tuple[int, int] | None = None,
    via: tuple[int, int] | None = None,
    platform: str | None = None,
) -> dict[str, Shaped[Array, "height width"]]:
    """Maps of the softmax of every pixel, all in one pass over the logits.

    * "entropy": Shannon entropy in nats, `-sum p log(p + 1e-6)` as in the reference implementation
      of RIPU, to 2e-6.
    * "prediction": the most probable class, uint8. Equal logits go to the lower class.
    * "confidence": its probability.
    * "margin": its probability less that of the second-best class.
    * "weight": the mean weight of the class, `sum over classes of p w`.

    A logit more than 90 below the largest one of its low-resolution pixel counts as 90 below. NaN
    stays NaN.

    Args:
        logits: `[h, w, C]`, any floating type, 2 <= C <= 255.
        names: which maps.
        class_weight: `[C]`, w of "weight".
        size: (H, W) of the result; bilinear, corners aligned. None: (h, w).
        via: a size through which to interpolate first, such as that of the network's input.
        platform: that the program is for, see `platform.resolve`.

    Returns:
        The maps by name, `[H, W]` float32 (the prediction uint8).

    Raises:
        ValueError: an impossible number of classes.
    """
    height, width, classes = logits.shape
    if not 2 <= classes <= 255:
        raise ValueError(f"logits of {classes} classes: expected [h, w, C] with 2 to 255 classes")
    size = (height, width) if size is None else size
    via = size if via is None else via
    target = resolve(platform)
    weight = None if class_weight is None else class_weight.astype(jnp.float32)

    def of_pixels(planes: list[jax.Array]) -> dict[str, jax.Array]:
        return maps(planes, names, weight)

    same = via == size == (height, width)
    if target == "cpu" and same:
        return _as_given(logits, of_pixels)
    rows = Stencil.bilinear((height, via[0], size[0]))
    columns = Stencil.bilinear((width, via[1], size[1]))
    if target == "cpu":
        return _upsampled(centred(logits), rows, columns, of_pixels)
    shifted = centred(logits.transpose(2, 0, 1), axis=0)
    if same:
        return of_pixels(list(shifted))
    if target == "tpu" and softmax_tpu.fits(logits, rows):
        kernel = functools.partial(
            softmax_tpu.upsampled_maps, rows=rows, columns=columns, names=names
        )
        # Elsewhere its operations are interpreted, slowly, to see what a TPU computes.
        return lax.platform_dependent(
            shifted,
            weight,
            tpu=lambda x, weight: kernel(x, class_weight=weight),
            default=lambda x, weight: kernel(x, class_weight=weight, interpret=True),
        )
    return of_pixels(_planes(shifted, rows, columns))


def _planes(logits: jax.Array, rows: Stencil, columns: Stencil) -> list[jax.Array]:
    """Upsampled planes of logits `[C, h, w]`, of which only the columns need be in memory."""
    wide = total(
        logits[:, :, np.minimum(columns.start + j, columns.length - 1)] * weight[None, None, :]
        for j, weight in enumerate(columns.weight)
    )
    # Else a GPU would interpolate the columns again for each of the rows.
    wide = lax.optimization_barrier(wide)
    return [
        total(
            plane[np.minimum(rows.start + j, rows.length - 1)] * weight[:, None]
            for j, weight in enumerate(rows.weight)
        )
        for plane in wide
    ]


def _as_given(logits: jax.Array, of_pixels: Callable) -> dict[str, jax.Array]:
    """Maps of a few rows at a time."""
    height = logits.shape[0]
    at_once = min(ROWS_AT_ONCE, height)
    # The last block starts early and overlaps the one before: no padded copy of the logits.
    first = np.minimum(np.arange(0, height, at_once), height - at_once).astype(np.int32)

    def block(first: jax.Array) -> dict[str, jax.Array]:
        rows = centred(lax.dynamic_slice_in_dim(logits, first, at_once))
        return of_pixels([rows[:, :, c] for c in range(rows.shape[2])])

    found = _blockwise(block, jnp.asarray(first))
    row = np.arange(height)
    place = row + (np.arange(len(first)) * at_once - first)[row // at_once]
    return {name: x.reshape(-1, *x.shape[2:])[place] for name, x in found.items()}


def _upsampled(
    logits: jax.Array,
    rows: Stencil,
    columns: Stencil,
    of_pixels: Callable,
) -> dict[str, jax.Array]:
    """Maps of a few groups of rows at a time."""
    reach = len(rows.weight)
    at_once = min(max(ROWS_AT_ONCE // rows.slots, 1), rows.groups)
    blocks = -(-rows.groups // at_once)
    below = blocks * at_once + reach - 1 - rows.length
    logits = jnp.pad(logits, ((0, max(below, 0)), (0, columns.padding), (0, 0)), "edge")
    logits = logits.transpose(0, 2, 1)
    weight = rows.grouped_weight()
    weight = np.pad(weight, ((0, blocks * at_once - rows.groups), (0, 0), (0, 0)))
    weight = jnp.asarray(weight.reshape(blocks, at_once, reach, rows.slots))

    def block(first_and_weight: tuple[jax.Array, jax.Array]) -> dict[str, jax.Array]:
        first, weight = first_and_weight
        wide = _stretched(lax.dynamic_slice_in_dim(logits, first, at_once + reach - 1), columns)
        return of_pixels([_lines(wide[:, c], weight) for c in range(wide.shape[1])])

    found = _blockwise(block, (at_once * jnp.arange(blocks), weight))
    shape = (blocks * at_once * rows.slots, len(columns.start))
    return {name: x.reshape(shape)[rows.place] for name, x in found.items()}


def _blockwise(function: Callable, xs: Any) -> dict[str, jax.Array]:
    """`lax.map`, which XLA's CPU backend runs on all cores.

    A loop bounds the memory, and keeps XLA from fusing its result into what reads it and computing
    it again for every neighbour that is read. But a result that a loop's body writes straight into
    its place in the output is computed by one thread: here the next turn writes it.
    """
    like = jax.eval_shape(function, jax.tree.map(lambda x: x[0], xs))
    start = jax.tree.map(jnp.zeros_like, like)
    last, before = lax.scan(lambda previous, x: (function(x), previous), start, xs)
    return jax.tree.map(lambda a, b: jnp.concatenate([a[1:], b[None]]), before, last)


def _stretched(logits: jax.Array, columns: Stencil) -> jax.Array:
    return total(
        logits[:, :, columns.start + j] * jnp.asarray(weight)[None, None, :]
        for j, weight in enumerate(columns.weight)
    )


def _lines(plane: jax.Array, weight: jax.Array) -> jax.Array:
    """Rows of one class between those of `plane [groups + reach - 1, W]`: `[groups, slots, W]`.

    Differences from the first row, whose weight is what the others leave of 1: XLA's CPU backend
    computes a value again for each of its readers, and so fuses all of them into one loop, only if
    its last operation has a single operand that is not a broadcast. Slower by 5 times otherwise.
    """
    groups, reach, _ = weight.shape
    first = plane[:groups][:, None, :]
    if reach == 1:
        return jnp.broadcast_to(first, (groups, weight.shape[2], plane.shape[1]))
    return first + total(
        weight[:, j][:, :, None] * (plane[j : j + groups][:, None, :] - first)
        for j in range(1, reach)
    )
