"""Class balance: weights for the scores, and quotas for the picks, from what is labelled so far.

Both take counts of labelled pixels per class. They are NumPy on the host: 19 numbers a round.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Integer

from cbda_jax import plugins
from cbda_jax.errors import InputError, near

Counts = Float64[np.ndarray, " classes"]

_WHERE = "acquisition.class_balance_options"


def exp(counts: Counts) -> np.ndarray:
    """e^-p, which asks gently: at most e times as much for one class as for another."""
    return np.exp(-counts / counts.sum())


def inverse_power(counts: Counts, *, power: float = 1.0, prior: float = 0.01) -> np.ndarray:
    """p^-power: 1 is the inverse frequency, 0.5 its square root (Mahajan et al., ECCV 2018).

    Args:
        counts: n, sum above 0.
        power: 0 or more.
        prior: see `SCHEMES`.
    """
    _check("power", power, "a number of 0 or more", power >= 0)
    return (_known(counts, prior) / counts.mean()) ** -power


def inverse_log(counts: Counts) -> np.ndarray:
    """1 / log(1.02 + p) (ENet, Paszke et al. 2016, section 4; at most 50 to 1)."""
    return 1 / np.log(1.02 + counts / counts.sum())


def median_frequency(counts: Counts, *, prior: float = 0.01) -> np.ndarray:
    """median(p) / p (Eigen & Fergus, ICCV 2015, section 6.3.2).

    The frequency is taken over all labels and the median over the classes that have any. Ranks, and
    so picks, as "inverse_power" of 1 does.
    """
    known = _known(counts, prior)
    return np.median(known[counts > 0]) / known


def effective_number(
    counts: Counts, *, beta: float | None = None, prior: float = 0.01
) -> np.ndarray:
    """(1 - beta) / (1 - beta^n) (Cui et al., CVPR 2019, eq. 2).

    About 1 / n for classes with fewer labels than 1 / (1 - beta) and flat above.

    Args:
        counts: n, sum above 0.
        beta: in [0, 1). The default puts 1 / (1 - beta) at N / C, an even share (2 at least).
        prior: see `SCHEMES`.
    """
    _check("beta", beta, "a number from 0 to below 1", beta is None or 0 <= beta < 1)
    # 1 - beta^n by expm1, which is exact where beta is close to 1. Zero has no logarithm.
    base = 1 - 1 / max(float(counts.mean()), 2.0) if beta is None else max(beta, 1e-300)
    return -1 / np.expm1(_known(counts, prior) * np.log(base))


SCHEMES: dict[str, Callable[..., np.ndarray]] = {
    "exp": exp,
    "inverse_power": inverse_power,
    "inverse_log": inverse_log,
    "median_frequency": median_frequency,
    "effective_number": effective_number,
}
"""Name -> function of counts `[C]` float64, not all 0, and of parameters with a default, to weights
`[C]` above 0. `register_scheme` adds to it.

With n the count of a class, N the sum over the C classes and p = n / N. Where a weight has no
finite value at n = 0, every class is first given `prior` times an even share, n + prior N / C.
"""

_OURS = frozenset(SCHEMES.values())


def register_scheme(
    name: str, function: Callable[..., np.ndarray] | None = None
) -> Callable[..., Any]:
    """Adds a scheme to `SCHEMES`: `register_scheme("mine", function)`, or a decorator.

    Args:
        name: for `class_weights`, `Balance.class_balance` and the config.
        function: of the counts, `[C]` float64 that are not all 0, and of named parameters that have
            a default, to weights `[C]`, finite and above 0. Their scale is free. NumPy, on the
            host, once a round.

    Returns:
        The function, or the decorator.

    Raises:
        InputError: another function has the name already.
    """
    if function is None:
        return lambda function: register_scheme(name, function)
    return plugins.register(SCHEMES, name, function, "class balance")


def check_scheme(scheme: str, parameters: Mapping[str, float]) -> Callable[..., np.ndarray]:
    """The function of a scheme.

    Args:
        scheme: a key of `SCHEMES`, or an import path "module:function".
        parameters: that it will be called with.

    Raises:
        InputError: there is no such scheme, or it has no such parameter; of the schemes that are
            here, a parameter out of its range.
    """
    where, others = "acquisition.class_balance", ("none", "quota")
    function = plugins.find_function(SCHEMES, scheme, where, others=others)
    _, *known = inspect.signature(function).parameters.values()
    names = [p.name for p in known if p.kind is not p.VAR_KEYWORD]
    unknown = [name for name in parameters if name not in names]
    if unknown and len(names) == len(known):
        some = f"some of {', '.join(names)}" if names else "nothing: it has no parameters"
        raise InputError(
            f"{_WHERE}: {unknown[0]!r} found with class_balance {scheme!r}, expected {some}"
            f"{near(unknown[0], names)}"
        )
    if function in _OURS:
        function(np.array([1.0, 2.0]), **parameters)  # looks at their ranges
    return function


def class_weights(
    counts: Integer[np.ndarray, " classes"], scheme: str, **parameters: float
) -> Float32[np.ndarray, " classes"]:
    """Weights that are larger the rarer a class is among the labels collected so far.

    The mean weight is 1. Selection only compares scores, so their common scale is free; this one
    keeps weighted scores in the range of unweighted ones and equal counts equal to no weights.
    Without any label all weights are 1.

    Args:
        counts: `[C]` labelled pixels per class.
        scheme: a key of `SCHEMES`, or an import path "module:function".
        **parameters: of the scheme.

    Returns:
        `[C]` float32.

    Raises:
        InputError: for an unknown scheme or parameter, negative counts, a parameter out of its
            range, a scheme that fails, or weights that are no numbers above 0.
    """
    function = check_scheme(scheme, parameters)
    n = _counts("labelled pixels", counts).astype(np.float64)
    if n.sum() == 0:
        return np.ones(len(n), np.float32)
    try:
        weight = np.asarray(function(n, **parameters))
    except InputError:
        raise
    # Whatever a function of the user's raises.
    except Exception as error:
        raise InputError(
            f"acquisition.class_balance: {scheme!r} found, which fails with "
            f"{plugins.one_line(error)}, expected {len(n)} weights, one a class; mend the function"
        ) from error
    if weight.shape != n.shape or not (np.isfinite(weight) & (weight > 0)).all():
        raise InputError(
            f"acquisition.class_balance: {scheme!r} found, which makes {weight.dtype} "
            f"{[*weight.shape]} with a smallest of {np.min(weight, initial=np.inf):g}, expected "
            f"{len(n)} finite weights above 0, one a class; mend the function or its parameters"
        )
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
    # The highest water level that the budget pays for, by bisection.
    low, high = 0, int((have + spare).max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        paid = _filled(middle, have, spare).sum() <= budget
        low, high = (middle, high) if paid else (low, middle - 1)
    quota = _filled(low, have, spare)
    open_to_more = np.flatnonzero((have + quota == low) & (quota < spare))
    quota[open_to_more[: budget - int(quota.sum())]] += 1
    return quota


def _filled(level: int, have: np.ndarray, spare: np.ndarray) -> np.ndarray:
    """What each class gets so that none is below the level, as far as it has candidates."""
    return np.clip(level - have, 0, spare)


def _counts(what: str, counts: np.ndarray) -> np.ndarray:
    counts = np.asarray(counts, np.int64)
    if counts.min(initial=0) < 0:
        c = int(counts.argmin())
        raise InputError(f"{what}: {counts[c]} of class {c}, expected 0 or more")
    return counts


def _known(counts: Counts, prior: float) -> Counts:
    """Counts above 0."""
    _check("prior", prior, "a number above 0", prior > 0)
    return counts + prior * counts.mean()


def _check(name: str, value: float | None, expected: str, holds: bool) -> None:
    if not holds:
        raise InputError(f"{_WHERE}: {name} {value:g} found, expected {expected}")
