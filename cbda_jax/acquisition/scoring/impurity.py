"""Impurity of a window: the entropy of the predicted classes of its pixels."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, UInt8

from cbda_jax.acquisition.scoring.planes import EPSILON
from cbda_jax.acquisition.scoring.windows import window_share, window_sum
from cbda_jax.acquisition.selection.squares import neighbours

# -log(1 + 1e-6) in float32, as the reference computes it for a window of one class.
PURE = -float(np.log(np.float32(1) + np.float32(EPSILON)))

_OUTSIDE = 255


def window_impurity(
    prediction: UInt8[Array, "height width"], *, radius: int, classes: int
) -> Float[Array, "height width"]:
    """Entropy, in nats, of the predicted classes in the window around every pixel.

    `-sum over classes of q log(q + 1e-6)`, q the share of a class among the `(2 radius + 1)^2`
    pixels of the window, or those of them that lie in the image (Xie et al. 2022, eq. 5). The 1e-6
    of the reference implementation makes it -9.5e-7 where the window holds one class.

    Args:
        prediction: `[H, W]` classes below `classes`.
        radius: of the window, 0 or more.
        classes: number of classes, at most 255.

    Returns:
        `[H, W]` float32.
    """
    if radius == 0:
        return jnp.full(prediction.shape, jnp.float32(PURE))
    if radius == 1:
        return _of_nine(prediction)
    return _of_many(prediction, radius, classes)


def one_class(
    prediction: UInt8[Array, "height width"], *, radius: int
) -> Bool[Array, "height width"]:
    """Whether the window around every pixel holds a single predicted class, exactly.

    Args:
        prediction: `[H, W]` classes below 255.
        radius: of the window, clipped at the border, 0 or more.
    """

    def largest(x: jax.Array) -> jax.Array:
        for axis in (0, 1):
            before, after = neighbours(x, radius, axis, empty=0)
            x = jnp.maximum(x, jnp.maximum(before, after))
        return x

    # The largest class is the smallest one.
    last = jnp.uint8(_OUTSIDE)
    return largest(prediction) == last - largest(last - prediction)


def _of_nine(prediction: jax.Array) -> jax.Array:
    """Without counting classes: the mean over the window's pixels of -log of their own share.

    How many pixels share a pixel's class takes 36 comparisons of bytes a window, and the sum of
    nine logarithms is the logarithm of a product.
    """
    height, width = prediction.shape
    padded = jnp.pad(prediction, 1, constant_values=_OUTSIDE)
    window = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    same = [jnp.ones((height, width), jnp.uint8)] * 9
    for i, j in itertools.combinations(range(9), 2):
        equal = (window[i] == window[j]).astype(jnp.uint8)
        same[i], same[j] = same[i] + equal, same[j] + equal
    share = window_share((height, width), 1)
    centre = same[4].astype(jnp.float32) * share
    product = centre + jnp.float32(EPSILON)
    for i in (0, 1, 2, 3, 5, 6, 7, 8):
        factor = same[i].astype(jnp.float32) * share + jnp.float32(EPSILON)
        product = product * jnp.where(window[i] == _OUTSIDE, jnp.float32(1), factor)
    # A constant, so that windows of one class tie exactly, at the border too.
    pure = centre > jnp.float32(1 - 0.5 / 9)
    return jnp.where(pure, jnp.float32(PURE), -jnp.log(product) * share)


def _of_many(prediction: jax.Array, radius: int, classes: int) -> jax.Array:
    """Class after class, so that memory does not grow with their number. Counts are exact."""
    side = 2 * radius + 1
    height, width = prediction.shape
    share = window_share((height, width), radius)

    def add(total: jax.Array, c: jax.Array) -> tuple[jax.Array, None]:
        member = (prediction == c).astype(_counter(side))
        count = window_sum(member, radius, 1).astype(_counter(side * side))
        q = window_sum(count, radius, 0).astype(jnp.float32) * share
        return total - q * jnp.log(q + jnp.float32(EPSILON)), None

    start = jnp.zeros_like(prediction, dtype=jnp.float32)
    return lax.scan(add, start, jnp.arange(classes, dtype=jnp.uint8))[0]


def _counter(largest: int) -> type[np.unsignedinteger]:
    return next(t for t in (np.uint8, np.uint16, np.uint32) if largest <= np.iinfo(t).max)
