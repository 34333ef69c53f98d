"""The squares around pixels: maxima over them, and masks of them."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int32, Shaped


def neighbours(
    x: Shaped[Array, "height width"], radius: int, axis: int, empty: int | bool
) -> tuple[Shaped[Array, "height width"], Shaped[Array, "height width"]]:
    """Maxima of the `radius` elements before, and of those after, each element along an axis.

    Args:
        x: `[H, W]`.
        radius: how many elements.
        axis: 0 or 1.
        empty: the maximum of no elements.
    """
    if radius == 0:
        nothing = jnp.full_like(x, empty)
        return nothing, nothing
    pad = [(0, 0), (0, 0)]
    pad[axis] = (radius, radius)
    window = jnp.pad(x, pad, constant_values=empty)
    length = x.shape[axis]
    width = 1
    while width < radius:
        step = min(width, radius - width)
        window = jnp.maximum(
            lax.slice_in_dim(window, 0, window.shape[axis] - step, axis=axis),
            lax.slice_in_dim(window, step, None, axis=axis),
        )
        width += step
    return (
        lax.slice_in_dim(window, 0, length, axis=axis),
        lax.slice_in_dim(window, radius + 1, radius + 1 + length, axis=axis),
    )


def dilate(mask: Bool[Array, "height width"], radius: int) -> Bool[Array, "height width"]:
    """True in the (2 radius + 1)^2 square around every True, clipped at the border."""
    for axis in (0, 1):
        before, after = neighbours(mask, radius, axis, empty=False)
        mask = mask | before | after
    return mask


def blocked_mask(
    row: Int32[Array, " picks"], col: Int32[Array, " picks"], shape: tuple[int, int], radius: int
) -> Bool[Array, "height width"]:
    """`[H, W]` bool: the squares around picks, where no later pick may be centred.

    Args:
        row: `[n]` int32, negative entries (the padding of `Picks`) are ignored.
        col: `[n]` int32.
        shape: (H, W).
        radius: the blocking radius.
    """
    row = jnp.where(row < 0, shape[0], row)  # beyond the end, where nothing is written
    return dilate(jnp.zeros(shape, bool).at[row, col].set(True, mode="drop"), radius)


def block(
    blocked: Bool[Array, "height width"],
    row: Int32[Array, " picks"],
    col: Int32[Array, " picks"],
    radius: int,
) -> Bool[Array, "height width"]:
    """A mask of blocked pixels with the squares around more picks; see `blocked_mask`."""
    return blocked | blocked_mask(row, col, (blocked.shape[0], blocked.shape[1]), radius)
