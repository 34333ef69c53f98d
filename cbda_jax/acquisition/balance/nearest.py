"""The class of the nearest answers: prototypes in the space of the softmax."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32, Float64, Integer

from cbda_jax.errors import InputError

STRENGTH = 10.0
"""How many answers "as predicted, for sure" are added for each class before any is counted."""


def prototypes(
    sums: Float64[np.ndarray, "classes classes"],
    answers: Integer[np.ndarray, " classes"],
    *,
    strength: float = STRENGTH,
) -> Float32[np.ndarray, "classes classes"]:
    """The mean softmax of what was answered as each class (Snell et al., NeurIPS 2017, eq. 1).

    m[t] = (sum of the softmax over the answers of class t + strength e[t]) / (n[t] + strength),
    e[t] the softmax that is sure of t: without answers, the prediction's prototype is the nearest.

    Args:
        sums: `[C, C]`, true class by class of the softmax.
        answers: `[C]`, n.
        strength: above 0, in answers.

    Returns:
        `[C, C]`, a row a prototype, each of sum 1.

    Raises:
        InputError: the strength is not above 0.
    """
    if not strength > 0:
        raise InputError(f"smoothing of prototypes by {strength}: expected a number above 0")
    total = sums + strength * np.eye(len(sums))
    return (total / (answers + strength)[:, None]).astype(np.float32)


def discriminants(
    logits: Float[Array, "*image classes"], prototypes: Float[Array, "classes classes"]
) -> Float[Array, "*image classes"]:
    """2 p . m[t] - |m[t]|^2, p the softmax: the largest is of the prototype nearest to p.

    As |p - m|^2 = |p|^2 - 2 p . m + |m|^2. Linear in p: those of an interpolated softmax are the
    interpolated ones.

    Args:
        logits: `[..., C]`, any floating type.
        prototypes: `[C, C]` float32, a row a prototype.

    Returns:
        `[..., C]` float32.
    """
    softmax = jax.nn.softmax(logits.astype(jnp.float32))
    near = jnp.matmul(softmax, prototypes.T, precision=lax.Precision.HIGHEST)
    own = (prototypes * prototypes).sum(axis=1)
    return 2 * near - jnp.broadcast_to(own, near.shape)
