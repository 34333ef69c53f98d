"""Images cut into strips of columns, which a TPU takes for more images.

A TPU works on the channels and on eight to sixteen images at once, so that of a batch of two most
of it would idle: its compiler cuts images up itself, but joins them again before nearly every
layer, and half of the time goes into copies. Here they are cut once. A strip's neighbours lend it
the few columns that a convolution sees beyond its edge, so nothing changes but the shape:
[images * strips, rows, columns / strips, channels], the strips of an image one after the other.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from cbda_jax import platform, resize

# Of images and strips together: rows of a TPU's registers, two numbers of 16 bits in each.
_MOST = 16
# Columns of a strip at stride 8: a neighbour lends no more than it has, the widest dilation is 18.
_LEAST_COLUMNS = 18
_STRIDE = 8


def count(images: Any, width: int) -> int:
    """Strips of an image, for a network of stride 8: 1 (whole images) but on TPUs.

    Args:
        images: of the batch; a symbol of `jax.export` in programs that are for CPUs.
        width: of an image.
    """
    strips = 1
    if platform.resolve() != "tpu":
        return strips
    while images * 2 * strips <= _MOST:
        columns, rest = divmod(width, 2 * strips * _STRIDE)
        if rest or columns < _LEAST_COLUMNS:
            break
        strips *= 2
    return strips


def cut(x: Float[Array, "n h w c"], strips: int) -> Float[Array, "m h v c"]:
    """Whole images to strips."""
    if strips == 1:
        return x
    n, h, w, c = x.shape
    return jnp.moveaxis(x.reshape(n, h, strips, w // strips, c), 2, 1).reshape(
        -1, h, w // strips, c
    )


def join(x: Float[Array, "m h v c"], strips: int) -> Float[Array, "n h w c"]:
    """Strips to whole images."""
    if strips == 1:
        return x
    m, h, w, c = x.shape
    return jnp.moveaxis(x.reshape(-1, strips, h, w, c), 1, 2).reshape(m // strips, h, -1, c)


def extend(
    x: Float[Array, "m h v c"], strips: int, before: int, after: int, filler: float = 0
) -> Float[Array, "m h u c"]:
    """Columns added to either side of every strip: its neighbours', at an image's edge `filler`."""
    if before == after == 0:
        return x
    fill = jnp.asarray(filler, x.dtype)
    if strips == 1:
        return lax.pad(x, fill, ((0, 0, 0), (0, 0, 0), (before, after, 0), (0, 0, 0)))
    m, h, w, c = x.shape
    if max(before, after) > w:
        raise ValueError(f"{max(before, after)} columns of neighbours wanted, strips have {w}")
    by_image = x.reshape(-1, strips, h, w, c)
    parts = [by_image]
    none = (0, 0, 0)
    if before:
        left = by_image[:, :-1, :, w - before :]
        parts.insert(0, lax.pad(left, fill, (none, (1, 0, 0), none, none, none)))
    if after:
        right = by_image[:, 1:, :, :after]
        parts.append(lax.pad(right, fill, (none, (0, 1, 0), none, none, none)))
    return jnp.concatenate(parts, axis=3).reshape(m, h, -1, c)


def convolve(
    x: Float[Array, "m h v c"],
    kernel: Float[Array, "size size c k"],
    strips: int = 1,
    *,
    stride: int = 1,
    dilation: int = 1,
    padding: int | str = 0,
) -> Float[Array, "m h2 v2 k"]:
    """A convolution of whole images, given and returned in strips.

    Args:
        x: strips, of a width that the stride divides.
        kernel: of the type of x.
        strips: of an image.
        stride: distance of the results.
        dilation: distance of the taps.
        padding: zeros on every side, or "SAME".
    """
    reach = (kernel.shape[0] - 1) * dilation + 1
    pads = [(padding, padding)] * 2 if isinstance(padding, int) else None
    if pads is None:
        wide = (x.shape[1], x.shape[2] * strips)
        pads = list(lax.padtype_to_pads(wide, (reach,) * 2, (stride,) * 2, str(padding)))
    if strips > 1:
        before = pads[1][0]
        after = max(0, x.shape[2] - stride + reach - before - x.shape[2])
        x, pads[1] = extend(x, strips, before, after), (0, 0)
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        pads,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def bilinear(
    x: Float[Array, "m h v c"], size: tuple[int, int], strips: int
) -> Float[Array, "m h2 v2 c"]:
    """`resize.bilinear` of whole images, given and returned in strips.

    Args:
        x: strips.
        size: height and width of the resized images, at least as large.
        strips: of an image.
    """
    if strips == 1:
        return resize.bilinear(x, size)
    old = (x.shape[1], x.shape[2] * strips)
    y: jax.Array = extend(x, strips, 1, 1).astype(jnp.float32)
    y = _map(y, 2, ("columns", old[1], size[1], strips))
    y = _map(y, 1, ("rows", old[0], size[0], 1))
    return y.astype(x.dtype)


@functools.cache
def _matrices(kind: str, old: int, new: int, strips: int) -> np.ndarray:
    """Of every strip, extended by a column on either side: [strips, results, inputs]."""
    whole = resize.matrix(old, new)
    if kind == "rows":
        return whole[None]
    whole = np.pad(whole, ((0, 0), (1, 1)))
    wide, step = new // strips, old // strips
    parts = [whole[s * wide : (s + 1) * wide, s * step : (s + 1) * step + 2] for s in range(strips)]
    return np.stack(parts)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _map(x: jax.Array, axis: int, which: tuple[str, int, int, int]) -> jax.Array:
    """A banded linear map along an axis, another one for every strip of an image."""
    return _banded(x, axis, _matrices(*which))


def _banded(x: jax.Array, axis: int, matrices: np.ndarray) -> jax.Array:
    # Few inputs make up a result, and nearly the same ones in every strip: a sum of shifted parts.
    used = np.any(matrices != 0, axis=0)
    first = np.where(used.any(1), used.argmax(1), 0)
    last = np.where(used.any(1), used.shape[1] - 1 - used[:, ::-1].argmax(1), 0)
    total = jnp.zeros((), jnp.float32)
    for tap in range(int(np.max(last - first)) + 1):
        at = np.minimum(first + tap, matrices.shape[2] - 1)
        weight = np.where(first + tap <= last, matrices[:, np.arange(len(at)), at], np.float32(0))
        weight = np.tile(weight, (x.shape[0] // len(matrices), 1) if len(matrices) > 1 else (1, 1))
        shape = [1, 1, 1, 1]
        shape[0], shape[axis] = weight.shape
        total = total + jnp.take(x, at, axis=axis, mode="clip") * weight.reshape(shape)
    return total


def _map_forward(x: jax.Array, axis: int, which: tuple[str, int, int, int]):
    return _map(x, axis, which), None


def _map_backward(axis: int, which: tuple[str, int, int, int], kept: None, gradient: jax.Array):
    del kept
    return (_banded(gradient, axis, _matrices(*which).swapaxes(1, 2)),)


_map.defvjp(_map_forward, _map_backward)
