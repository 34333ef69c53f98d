"""Bilinear resizing with corners aligned, to the last bit of torch's sampling coordinates."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def taps(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where each of `m` output samples lies among `n` input samples, corners aligned.

    Output sample i is `(1 - weight[i]) * x[low[i]] + weight[i] * x[high[i]]`. The position is
    `float32((n - 1) / (m - 1)) * i` rounded to float32, as `torch.nn.functional.interpolate(
    mode="bilinear", align_corners=True)` has it: positions in float64 differ by up to 6e-5 in the
    result. A single output sample (m = 1) is the first input sample.

    Args:
        n: length of the input axis.
        m: length of the output axis.

    Returns:
        low int32 [m], high int32 [m], weight float32 [m] in [0, 1).

    Raises:
        ValueError: if a length is not positive.
    """
    if n < 1 or m < 1:
        raise ValueError(f"cannot resize an axis of {n} samples to {m}: both must be at least 1")
    scale = np.float32(n - 1) / np.float32(m - 1) if m > 1 else np.float32(0)
    position = scale * np.arange(m, dtype=np.float32)
    low = np.minimum(position.astype(np.int32), n - 1)
    high = np.minimum(low + 1, n - 1)
    weight = np.clip(position - low.astype(np.float32), np.float32(0), np.float32(1))
    return low, high.astype(np.int32), weight


def matrix(n: int, m: int) -> np.ndarray:
    """The same as a linear map: float32 [m, n], output samples by input samples."""
    low, high, weight = taps(n, m)
    weights = np.zeros((m, n), np.float32)
    np.add.at(weights, (np.arange(m), low), 1 - weight)
    np.add.at(weights, (np.arange(m), high), weight)
    return weights


def bilinear(
    x: Float[Array, "*batch h w channels"], size: Sequence[int]
) -> Float[Array, "*batch height width channels"]:
    """Resize the two axes before the last one, bilinearly, with corners aligned.

    Computes in float32 whatever the input, and equals torch's `interpolate(...,
    align_corners=True)` to float32 rounding. The backward pass is two matrix products instead of
    a scatter, about five times faster on CPU. Reverse-mode differentiation, jit and vmap work;
    forward-mode does not.

    Args:
        x: [..., h, w, C], any floating type.
        size: (H, W), the wanted height and width. Static.

    Returns:
        [..., H, W, C] in the type of `x`; `x` itself where the size is the same.

    Raises:
        ValueError: if an axis is empty.
    """
    height, width = (int(n) for n in size)
    if x.shape[-3:-1] == (height, width):
        return x
    return _bilinear(x, (x.shape[-3], x.shape[-2]), (height, width))


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _bilinear(x: jax.Array, old: tuple[int, int], new: tuple[int, int]) -> jax.Array:
    y = x.astype(jnp.float32)
    # Columns first: the full-size pass then reads whole rows.
    y = _interpolate(y, old[1], new[1], axis=x.ndim - 2)
    y = _interpolate(y, old[0], new[0], axis=x.ndim - 3)
    return y.astype(x.dtype)


def _interpolate(x: jax.Array, n: int, m: int, axis: int) -> jax.Array:
    if n == m:
        return x
    low, high, weight = taps(n, m)
    share = jnp.asarray(weight.reshape([m if i == axis else 1 for i in range(x.ndim)]))
    start = jnp.take(x, low, axis=axis, mode="clip")
    end = jnp.take(x, high, axis=axis, mode="clip")
    return (1 - share) * start + share * end


def _forward(x: jax.Array, old: tuple[int, int], new: tuple[int, int]) -> tuple[jax.Array, None]:
    return _bilinear(x, old, new), None


def _backward(
    old: tuple[int, int], new: tuple[int, int], residual: None, g: jax.Array
) -> tuple[jax.Array]:
    del residual
    out = g.astype(jnp.float32)
    # Full precision, or a GPU would round the gradient to TF32 and a TPU to bfloat16.
    if old[0] != new[0]:
        out = jnp.einsum("...HWc,Hh->...hWc", out, matrix(old[0], new[0]), precision="highest")
    if old[1] != new[1]:
        out = jnp.einsum("...hWc,Ww->...hwc", out, matrix(old[1], new[1]), precision="highest")
    return (out.astype(g.dtype),)


_bilinear.defvjp(_forward, _backward)
