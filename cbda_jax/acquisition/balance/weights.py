"""Class balance: weights for the scores, and quotas for the picks, from what is labelled so far.

Both take counts of labelled pixels per class. They are NumPy on the host: 19 numbers a round.
"""

import numpy as np
from jaxtyping import Float32, Integer

from cbda_jax.errors import InputError, near

SCHEMES = ("exp", "inverse_power", "inverse_log", "median_frequency", "effective_number")


def class_weights(
    counts: Integer[np.ndarray, " classes"],
    scheme: str,
    *,
    power: float = 1.0,
    beta: float | None = None,
    prior: float = 0.01,
) -> Float32[np.ndarray, " classes"]:
    """Weights that are larger the rarer a class is among the labels collected so far.

    With n the count of a class, N the sum over the C classes and p = n / N:

    * "exp": exp(-p), which asks gently: at most e times as much for one class as for another.
    * "inverse_power": p^-power. 1 is the inverse frequency, 0.5 its square root (Mahajan et al.,
      ECCV 2018, for sampling).
    * "inverse_log": 1 / log(1.02 + p) (ENet, Paszke et al. 2016, section 4; at most 50 to 1).
    * "median_frequency": median(p) / p (Eigen & Fergus, ICCV 2015, section 6.3.2), the frequency
      taken over all labels and the median over the classes that have any. Ranks, and so picks, as
      "inverse_power" of 1 does.
    * "effective_number": (1 - beta) / (1 - beta^n) (Cui et al., CVPR 2019, eq. 2). About 1 / n for
      classes with fewer labels than 1 / (1 - beta) and flat above. The default puts that at N / C,
      an even share (2 at least).

    In the last two and in "inverse_power", which have no finite value at n = 0, every class is
    first given `prior` times an even share, n + prior N / C. Without any label all weights are 1.

    The mean weight is 1. Selection only compares scores, so their common scale is free; this one
    keeps weighted scores in the range of unweighted ones and equal counts equal to no weights.

    Args:
        counts: `[C]` labelled pixels per class.
        scheme: one of `SCHEMES`.
        power: of "inverse_power".
        beta: of "effective_number", in [0, 1).
        prior: of the schemes that are infinite at 0, above 0.

    Returns:
        `[C]` float32.

    Raises:
        InputError: for an unknown scheme, negative counts or a parameter out of its range.
    """
    if scheme not in SCHEMES:
        raise InputError(
            f"unknown class-balance scheme {scheme!r}: expected one of {', '.join(SCHEMES)}"
            f"{near(scheme, SCHEMES)}"
        )
    if not prior > 0:
        raise InputError(f"class-balance prior {prior}: expected a number above 0")
    if beta is not None and not 0 <= beta < 1:
        raise InputError(f"class-balance beta {beta}: expected 0 <= beta < 1")
    n = _counts("labelled pixels", counts).astype(np.float64)
    total, even = n.sum(), n.mean()
    if total == 0:
        return np.ones(len(n), np.float32)
    p = n / total
    known = n + prior * even
    if scheme == "exp":
        weight = np.exp(-p)
    elif scheme == "inverse_log":
        weight = 1 / np.log(1.02 + p)
    elif scheme == "inverse_power":
        weight = (known / even) ** -power
    elif scheme == "median_frequency":
        weight = np.median(known[n > 0]) / known
    else:
        # 1 - beta^n by expm1, which is exact where beta is close to 1. Zero has no logarithm.
        base = 1 - 1 / max(float(even), 2.0) if beta is None else max(beta, 1e-300)
        weight = -1 / np.expm1(known * np.log(base))
    return (weight / weight.mean()).astype(np.float32)


def clip_weights(
    weights: Float32[np.ndarray, " classes"], ratio: float | int
) -> Float32[np.ndarray, " classes"]:
    """Weights of which the largest is at most `ratio` times the smallest.

    If they are so already, they are returned as they are; else they are clipped to
    [g / sqrt(ratio), g sqrt(ratio)], g their geometric mean, and scaled to a mean of 1 again.

    Args:
        weights: `[C]` of `class_weights`, all above 0.
        ratio: 1 or more.

    Raises:
        InputError: the ratio is below 1.
    """
    if not ratio >= 1:
        raise InputError(f"class-weight ratio {ratio}: expected 1 or more")
    if weights.max() <= ratio * weights.min():
        return weights
    logs = np.log(weights.astype(np.float64))
    half = np.log(ratio) / 2
    clipped = np.exp(np.clip(logs, logs.mean() - half, logs.mean() + half))
    return (clipped / clipped.mean()).astype(np.float32)


def class_quota(
    counts: Integer[np.ndarray, " classes"],
    available: Integer[np.ndarray, " classes"],
    budget: int,
) -> Integer[np.ndarray, " classes"]:
    """How many picks of each class make the classes' cumulative counts as equal as possible.

    Water-filling, in integers: the same as giving one pick after the other to the class with the
    smallest cumulative count that still has candidates, ties to the smaller class. So the result
    maximises the smallest count, then the next one, and so on. What a class cannot use goes to the
    others.

    Args:
        counts: `[C]` of what is labelled so far, in the unit of the budget.
        available: `[C]` candidates of each class.
        budget: how many picks to share out.

    Returns:
        `[C]` int64. The sum is min(budget, sum of available): what is missing could not be spent.

    Raises:
        InputError: for negative numbers.
    """
    have, spare = _counts("labelled", counts), _counts("available", available)
    if budget < 0:
        raise InputError(f"class quota of a budget of {budget}: expected 0 or more")
    budget = min(int(budget), int(spare.sum()))

    def fill(level: int) -> np.ndarray:
        return np.clip(level - have, 0, spare)

    # The highest water level that the budget pays for, by bisection.
    low, high = 0, int((have + spare).max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fill(middle).sum() <= budget else (low, middle - 1)
    quota = fill(low)
    open_to_more = np.flatnonzero((have + quota == low) & (quota < spare))
    quota[open_to_more[: budget - int(quota.sum())]] += 1
    return quota


def _counts(what: str, counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts, np.int64)
    if counts.min(initial=0) < 0:
        c = int(counts.argmin())
        raise InputError(f"{what}: {counts[c]} of class {c}, expected 0 or more")
    return counts
