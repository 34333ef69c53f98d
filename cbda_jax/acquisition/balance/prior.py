"""A softmax under other class frequencies than those that the network was trained on."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Integer

STEPS = 100
"""Of the EM algorithm; it moves little after a few dozen."""

MOST_RATIO = 100.0
"""A class is thought at most so many times more, or less, frequent than in the source."""

_SMALLEST = 0.01  # of an even share, as the frequency of a class that the source does not have


def source_prior(pixels: Integer[np.ndarray, " classes"]) -> Float32[np.ndarray, " classes"]:
    """Class frequencies of labels; at least a hundredth of an even share, and then a sum of 1.

    Args:
        pixels: `[C]` of every class, not all 0.
    """
    share = np.maximum(pixels / pixels.sum(), _SMALLEST / len(pixels))
    return (share / share.sum()).astype(np.float32)


@jax.jit
def target_prior(
    posterior: Float[Array | np.ndarray, "pixels classes"],
    source: Float[Array | np.ndarray, " classes"],
) -> Float[Array, " classes"]:
    """Class frequencies of a sample of unlabelled pixels, by EM.

    Saerens, Latinne and Decaestecker, "Adjusting the outputs of a classifier to new a priori
    probabilities: a simple procedure", Neural Computation 14(1), 2002, eq. 2.9. From q = source on,
    `STEPS` times

        q[c] <- mean over pixels of  (q[c] / source[c]) p[c] / sum over d of (q[d] / source[d]) p[d]

    It assumes that images of a class look the same in both domains. One program on one device, so
    that all processes find the same.

    Args:
        posterior: `[n, C]` float32 p, softmax of the network.
        source: `[C]` float32 above 0, class frequencies of its training data.

    Returns:
        `[C]` float32, a sum of 1.
    """

    def step(_, q):
        weighted = posterior * (q / source)[None, :]
        return (weighted / weighted.sum(axis=1, keepdims=True)).mean(axis=0)

    return jax.lax.fori_loop(0, STEPS, step, jnp.asarray(source, jnp.float32))


def log_ratio(
    target: Float[np.ndarray, " classes"], source: Float[np.ndarray, " classes"]
) -> Float32[np.ndarray, " classes"]:
    """What is added to logits so that their softmax is that under other class frequencies.

    log(target / source), as p(c | x) under `target` is proportional to p(c | x) target[c] /
    source[c] (Saerens et al., 2002, eq. 2.4); kept between -log and log of `MOST_RATIO`, or a class
    that EM gives up could never be seen again.

    Args:
        target: `[C]` of `target_prior`.
        source: `[C]` above 0.
    """
    ratio = np.clip(np.asarray(target) / np.asarray(source), 1 / MOST_RATIO, MOST_RATIO)
    return np.log(ratio).astype(np.float32)
