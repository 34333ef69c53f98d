"""Maps of the softmax from logits that are one plane a class, of whatever shape.

What `softmax` and `softmax_tpu` have in common: a plane is a block of an image's rows in one, a few
registers in the other.
"""

import functools
import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

EPSILON = 1e-6
"""What the reference implementation of RIPU adds inside its logarithms."""

# Probabilities below exp(-90) = 8e-40 count as that. It keeps the sum of exponentials above zero
# between two low-resolution pixels that are sure of different classes: the logits of a pixel are
# shifted by the interpolated maximum, which lies up to 8/9 of this above the pixel's own maximum.
LOWEST = -90.0


def centred(logits: jax.Array, axis: int = -1) -> jax.Array:
    """Logits float32 less the largest of their pixel, at least `LOWEST`; classes along `axis`."""
    logits = logits.astype(jnp.float32)
    return jnp.maximum(logits - logits.max(axis=axis, keepdims=True), jnp.float32(LOWEST))


def entropy(planes: list[jax.Array]) -> jax.Array:
    """Entropy from logits that are at most 0 and not all far below it, one plane a class."""
    powers = [jnp.exp(plane) for plane in planes]
    sum_ = total(powers)
    mean = total(power * plane for power, plane in zip(powers, planes, strict=True)) / sum_
    # p log(p + e) = p log p + p log(1 + e/p), and the last term is e p / (p + e/2) to 0.08 e:
    # one division a class instead of one logarithm.
    half = sum_ * jnp.float32(EPSILON / 2)
    present = total(power / (power + half) for power in powers)
    return jnp.log(sum_) - mean - jnp.float32(EPSILON) * present


def mean_weight(planes: list[jax.Array], class_weight: Any) -> jax.Array:
    """Of planes as for `entropy`, whose exponentials the compiler finds to be the same."""
    powers = [jnp.exp(plane) for plane in planes]
    return total(power * class_weight[c] for c, power in enumerate(powers)) / total(powers)


def confidence(planes: list[jax.Array]) -> jax.Array:
    """Probability of the most probable class."""
    powers = [jnp.exp(plane) for plane in planes]
    return functools.reduce(jnp.maximum, powers) / total(powers)


def margin(planes: list[jax.Array]) -> jax.Array:
    """Probability of the most probable class less that of the second-best one."""
    powers = [jnp.exp(plane) for plane in planes]
    best, second = powers[0], jnp.zeros_like(powers[0])
    for power in powers[1:]:
        best, second = jnp.maximum(best, power), jnp.maximum(second, jnp.minimum(best, power))
    return (best - second) / total(powers)


def prediction(planes: list[jax.Array], dtype: DTypeLike = jnp.uint8) -> jax.Array:
    """The most probable class; of equal ones the lower."""
    best, index = planes[0], jnp.zeros(planes[0].shape, dtype)
    for c, plane in enumerate(planes[1:], start=1):
        better = plane > best
        index = jnp.where(better, jnp.asarray(c, dtype), index)
        best = jnp.where(better, plane, best)
    return index


MAPS = {
    "entropy": entropy,
    "prediction": prediction,
    "confidence": confidence,
    "margin": margin,
}
"""By name; "weight" is `mean_weight`, which needs the weights."""


def maps(
    planes: list[jax.Array],
    names: Collection[str],
    class_weight: Any,
    functions: Mapping[str, Callable[[list[jax.Array]], jax.Array]] = MAPS,
) -> dict[str, jax.Array]:
    """The named maps of planes, by functions such as `MAPS`; "weight" if there are weights."""
    found = {name: functions[name](planes) for name in names if name in functions}
    if "weight" in names and class_weight is not None:
        found["weight"] = mean_weight(planes, class_weight)
    return found


def total(terms: Iterable[jax.Array]) -> jax.Array:
    """Their sum, one after the other."""
    return functools.reduce(operator.add, terms)
