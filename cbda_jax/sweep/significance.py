"""How likely differences of paired runs are by chance, and how many of them were looked at."""

import math
import statistics
from collections.abc import Sequence

import numpy as np

MOST_FLIPS = 20
"""Beyond so many pairs, `sign_flips` is not worked out: it visits 2^n assignments."""


def paired_t(differences: Sequence[float]) -> float:
    """Two-sided p of Student's paired t test: the mean difference is 0.

    It takes the differences as normally distributed, which a few seeds cannot show.

    Args:
        differences: of each pair, finite.

    Returns:
        p from 0 to 1; NaN for fewer than two pairs. Where all differences are the same, 1 if they
        are 0, else 0.
    """
    n = len(differences)
    if n < 2:
        return math.nan
    mean, deviation = statistics.fmean(differences), statistics.stdev(differences)
    if deviation == 0:
        return float(mean == 0)
    return _two_sided(abs(mean) / (deviation / math.sqrt(n)), n - 1)


def _two_sided(t: float, freedom: int) -> float:
    """P(|T| >= t) of Student's T: Abramowitz & Stegun, 26.7.3 and 26.7.4, exact."""
    angle = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    # cos + 2/3 cos^3 + 2 4/(3 5) cos^5 ... or 1 + 1/2 cos^2 + 1 3/(2 4) cos^4 ...
    for k in range(freedom // 2):
        total += term
        term *= (
            cosine**2 * (2 * k + 2) / (2 * k + 3) if odd else cosine**2 * (2 * k + 1) / (2 * k + 2)
        )
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return min(max(1 - inside, 0.0), 1.0)


def sign_flips(differences: Sequence[float]) -> float:
    """Exact two-sided p of the paired permutation test (Fisher, 1935): which is which is chance.

    The share of all 2^n ways to exchange the two runs of a pair, or not, in which the sum of the
    differences is at least as far from 0. Nothing is assumed of their distribution; n pairs give
    no p below 2 / 2^n: 0.25 for three, 0.0625 for five.

    Args:
        differences: of each pair, finite.

    Returns:
        p above 0, at most 1; NaN without a pair, or with more than `MOST_FLIPS`.
    """
    n = len(differences)
    if not 1 <= n <= MOST_FLIPS:
        return math.nan
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    # Sums of the same terms in other orders round differently.
    close = 1e-9 * sum(map(abs, differences))
    return float(np.mean(np.abs(sums) >= abs(sum(differences)) - close))


def holm(p_values: Sequence[float]) -> list[float]:
    """P values of so many looks: of any that is below a level, the chance that one is by chance.

    Holm's step-down correction ("A simple sequentially rejective multiple test procedure", 1979),
    which holds however the tests depend on each other.

    Args:
        p_values: of all tests; NaN are none, and stay.

    Returns:
        Corrected ones, in the same order, at most 1.
    """
    order = sorted(
        (i for i, p in enumerate(p_values) if not math.isnan(p)), key=p_values.__getitem__
    )
    corrected, largest = list(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected
