"""Void as a class to be known: which part of an answer was void, where, and of what was predicted.

Void is what a data set has no class for. It is paid for, and nothing is learnt from it. NumPy on
the host, as balance.py.
"""

from typing import Any

import numpy as np
from jaxtyping import Float32, Integer

from cbda_jax.errors import InputError

BANDS = 4
"""Into how many equal bands images are cut from top to bottom."""

Cells = Integer[np.ndarray, "2 bands classes"]


def bands(height: int) -> Integer[np.ndarray, " height"]:
    """The band of each row of an image, from the top: 0 to `BANDS` - 1."""
    return np.arange(height) * BANDS // height


def void_shares(
    void: Cells, answered: Cells, *, strength: float
) -> Float32[np.ndarray, "2 bands classes"]:
    """Which part of an answer is void: P(void | u, b, p).

    Cells are u, whether the window held one predicted class alone, so that it scored 0 or less; b,
    the band of the image; p, the predicted class. Those with few answers borrow from their class,
    and classes with few from all (m-estimates, Cestnik, "Estimating probabilities", ECAI 1990):

        P = v / (n + s),  P(p) = (v[p] + s P) / (n[p] + s),
        P(u, b, p) = (v[u, b, p] + s P(p)) / (n[u, b, p] + s),

    v void and n answered pixels, s the strength. Without answers it is 0, and always below 1.

    Args:
        void: `[2, BANDS, C]` void pixels of the answers.
        answered: `[2, BANDS, C]` pixels of the answers, void ones included.
        strength: of the smoothing, in pixels, above 0.

    Raises:
        InputError: the strength is not above 0.
    """
    if not strength > 0:
        raise InputError(f"smoothing of void by {strength}: expected a number above 0")

    def smoothed(v: Any, n: Any, prior: Any) -> Any:
        return (v + strength * prior) / (n + strength)

    v, n = void.astype(np.float64), answered.astype(np.float64)
    of_all = smoothed(v.sum(), n.sum(), 0.0)
    of_class = smoothed(v.sum(axis=(0, 1)), n.sum(axis=(0, 1)), of_all)
    # Rounded to float32 it would be 1 where all of very many answers are void.
    return np.minimum(smoothed(v, n, of_class), 1 - 2**-20).astype(np.float32)
