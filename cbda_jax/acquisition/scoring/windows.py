"""Sums over the square window around every pixel, clipped at the border of the image."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cbda_jax.platform import resolve

# Radius up to which all pixels of a window are added up at once.
_SMALL = 2


def window_sum(x: jax.Array, radius: int, axis: int) -> jax.Array:
    """Sum of the `2 radius + 1` samples around each one along an axis; none beyond the border.

    Sums of 1, 2, 4, ... samples, each from two of the one before, so that the cost grows with the
    logarithm of the radius, no rounding error accumulates along the axis, and equal windows have
    equal sums to the last bit. Computed in the type of `x`.
    """
    length, left = x.shape[axis], 2 * radius + 1
    padding = [(radius, radius) if i == axis else (0, 0) for i in range(x.ndim)]
    block, width, offset, total = jnp.pad(x, padding), 1, 0, None
    while True:
        if left & 1:
            part = lax.slice_in_dim(block, offset, offset + length, axis=axis)
            total = part if total is None else total + part
            offset += width
        left >>= 1
        if not left:
            assert total is not None
            return total
        shorter = block.shape[axis] - width
        block = lax.slice_in_dim(block, 0, shorter, axis=axis) + lax.slice_in_dim(
            block, width, width + shorter, axis=axis
        )
        width *= 2


def window_share(shape: tuple[int, int], radius: int) -> jax.Array:
    """One over the number of pixels in the clipped window around each pixel: `[H, W]` float32."""
    rows, columns = (
        np.minimum(np.arange(n) + radius, n - 1) - np.maximum(np.arange(n) - radius, 0) + 1
        for n in shape
    )
    # From its two axes, so that a compiled program holds H + W constants instead of H * W.
    count = jnp.asarray(rows, jnp.float32)[:, None] * jnp.asarray(columns, jnp.float32)[None, :]
    return 1 / count


def window_mean(x: jax.Array, radius: int, platform: str | None = None) -> jax.Array:
    """Mean over the clipped window of `(2 radius + 1)^2` pixels: `[H, W]` float32.

    Args:
        x: `[H, W]` float32.
        radius: of the window.
        platform: that the program is for, see `platform.resolve`.
    """
    height, width = x.shape
    if resolve(platform) != "cpu" and radius <= _SMALL:
        # One pass of accelerators, whose shifts by a few columns cost more than the sums.
        side, margin = 2 * radius + 1, (radius, radius)
        zero = np.zeros((), x.dtype)
        total = lax.reduce_window(x, zero, lax.add, (side, side), (1, 1), (margin, margin))
    else:
        total = window_sum(window_sum(x, radius, 1), radius, 0)
    return total * window_share((height, width), radius)
