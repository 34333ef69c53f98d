"""Scores as integers in the same order, so that every platform compares them exactly.

Integer comparison knows no flushed denormals, no signed zero and no NaN.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float32, Int32

LOWEST = -2139095041  # the key of -inf
_MAGNITUDE = 0x7FFFFFFF


def to_key(score: Float32[Array, "*shape"]) -> Int32[Array, "*shape"]:
    """int32 keys that compare as the float32 scores do; -0.0 has the key of 0.0.

    NaN has no place in the order: the caller looks for it.
    """
    bits = lax.bitcast_convert_type(score, jnp.int32)
    key = jnp.where(bits < 0, bits ^ jnp.int32(_MAGNITUDE), bits)
    return jnp.where(key == -1, jnp.int32(0), key)


def from_key(key: Int32[Array, "*shape"]) -> Float32[Array, "*shape"]:
    """The float32 scores of keys made by `to_key`, bit for bit (but 0.0 for -0.0)."""
    return lax.bitcast_convert_type(
        jnp.where(key < 0, key ^ jnp.int32(_MAGNITUDE), key), jnp.float32
    )


def from_key_host(key: np.ndarray) -> np.ndarray:
    """`from_key` in NumPy."""
    return np.where(key < 0, key ^ np.int32(_MAGNITUDE), key).astype(np.int32).view(np.float32)
