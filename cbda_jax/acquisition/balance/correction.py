"""Class balance corrected by experience: which class a predicted one turned out to be.

The answers of earlier rounds say it for free: the log has the class that was predicted at the
centre of each pick, the answer the true one. Of the centres alone: the prediction is known there,
and the rest of a region, picked at boundaries, is often of another class without the prediction
being wrong. NumPy on the host, as balance.py.
"""

import numpy as np
from jaxtyping import Float32, Float64, Integer, UInt8

from cbda_jax.errors import InputError

STRENGTH = 10.0
"""How many answers "as predicted" are added for each class before any is counted."""


def true_given_predicted(
    confusion: Integer[np.ndarray, "classes classes"], *, strength: float = STRENGTH
) -> Float64[np.ndarray, "classes classes"]:
    """P(t | p) = (n[t, p] + strength [t = p]) / (sum over t of n[t, p] + strength).

    Additive smoothing towards the identity: without answers a prediction is believed.

    Args:
        confusion: `[C, C]` answers, true class by predicted class.
        strength: of the smoothing, in answers a class, above 0.

    Returns:
        `[C, C]` float64, true class by predicted class. Columns sum to 1.

    Raises:
        InputError: the strength is not above 0.
    """
    if not strength > 0:
        raise InputError(f"smoothing of the confusion by {strength}: expected a number above 0")
    smoothed = confusion + strength * np.eye(len(confusion))
    return smoothed / smoothed.sum(axis=0)[None, :]


def corrected_weights(
    weights: Float32[np.ndarray, " classes"],
    confusion: Integer[np.ndarray, "classes classes"],
    *,
    strength: float = STRENGTH,
) -> Float32[np.ndarray, " classes"]:
    """The mean weight of what a predicted class turned out to be: sum over t of P(t | p) w[t].

    Args:
        weights: `[C]` by true class; see `class_weights`.
        confusion: of `true_given_predicted`.
        strength: of `true_given_predicted`.

    Returns:
        `[C]` float32, by predicted class.
    """
    return (weights @ true_given_predicted(confusion, strength=strength)).astype(np.float32)


def corrected_classes(
    confusion: Integer[np.ndarray, "classes classes"], *, strength: float = STRENGTH
) -> UInt8[np.ndarray, " classes"]:
    """The most likely true class of each predicted class: itself in a tie, else the smallest.

    Args:
        confusion: of `true_given_predicted`.
        strength: of `true_given_predicted`.

    Returns:
        `[C]` uint8.
    """
    likely = true_given_predicted(confusion, strength=strength)
    itself = np.arange(len(likely))
    kept = likely[itself, itself] >= likely.max(axis=0)
    return np.where(kept, itself, likely.argmax(axis=0)).astype(np.uint8)


def weights_by_score(
    weights: Float32[np.ndarray, " classes"],
    confusion: Integer[np.ndarray, "2 classes classes"],
    *,
    strength: float = STRENGTH,
) -> Float32[np.ndarray, "2 classes"]:
    """`corrected_weights`, of windows of several predicted classes and of those of one apart.

    At borders most predictions of the asked pixels are wrong, inside of objects most are right; so
    neither kind of window tells much of the other, and one without answers is believed.

    Args:
        weights: `[C]` by true class; see `class_weights`.
        confusion: `[2, C, C]` answers, true class by predicted class: those of windows of several
            classes first, then of one, which score 0 or less.
        strength: of `true_given_predicted`.

    Returns:
        `[2, C]` float32, by kind of window and predicted class.
    """
    return np.stack([corrected_weights(weights, own, strength=strength) for own in confusion])
