"""What a round is balanced by: settings, and what follows from the answers to earlier rounds."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import jax
import numpy as np
from jaxtyping import Float32, Int64, Integer, UInt8

from cbda_jax.acquisition.balance.correction import (
    corrected_classes,
    corrected_weights,
    weights_by_score,
)
from cbda_jax.acquisition.balance.weights import check_scheme, class_weights, clip_weights
from cbda_jax.errors import InputError

TIE_SCHEME = "inverse_power"
"""Class-balanced ties are drawn by the inverse frequency of their class among the labels."""

TIES_WITH_WEIGHTS = ("class_balanced", "balanced_uncertainty")
"""Ways of ranking windows of one class that look at weights of classes."""

T = TypeVar("T")

Confusion = Int64[np.ndarray, "classes classes"]


@dataclass(frozen=True)
class Balance:
    """How classes are balanced.

    Attributes:
        class_balance: "none", "quota" (the budget is shared out by `class_quota`), or what scores
            are weighted by: a key of `SCHEMES`, or the import path "module:function" of another
            scheme.
        class_balance_options: parameters of the scheme, as "power=0.5,prior=0.1"; those left out
            keep the scheme's defaults.
        weight_ratio: 0, or the largest class weight is at most this many times the smallest.
        balance_from: round from which classes are balanced; before it, scores are unweighted and
            there is no quota.
        avoid_void: whether scores are lowered by which part of an answer is void in what was
            answered so far; see `void_shares`. In every round.

    Raises:
        InputError: an unknown scheme or parameter, or a number out of its range.
    """

    class_balance: str = "none"
    class_balance_options: str = ""
    weight_ratio: float | int = 0
    balance_from: int = 1
    avoid_void: bool = False

    def __post_init__(self) -> None:
        if problems := [*self._problems()]:
            raise InputError("; ".join(problems))

    @property
    def weighted(self) -> bool:
        """Whether scores are multiplied by weights of classes."""
        return self.class_balance not in ("none", "quota")

    @property
    def shared_out(self) -> bool:
        """Whether the budget is shared out by a quota."""
        return self.class_balance == "quota"

    def weighs_ties(self, ties: str) -> bool:
        """Whether windows of one class have weights of their own: `RoundBalance.tie_weights`.

        Args:
            ties: `Scoring.ties`; "balanced_uncertainty" takes the weights of scores where there
                are any.
        """
        return ties == "class_balanced" or (ties == "balanced_uncertainty" and not self.weighted)

    @property
    def options(self) -> Mapping[str, float]:
        """`class_balance_options`, read.

        Raises:
            InputError: a part of it is no "name=number".
        """
        options = {}
        for part in filter(None, self.class_balance_options.split(",")):
            name, _, value = part.partition("=")
            try:
                options[name.strip()] = float(value)
            except ValueError as error:
                raise InputError(
                    f"acquisition.class_balance_options: {part!r} found, expected name=number, "
                    "several with commas between"
                ) from error
        return options

    def _problems(self) -> Iterator[str]:
        options = self.options
        if self.weighted:
            check_scheme(self.class_balance, options)
        elif options:
            yield (
                f"acquisition.class_balance_options: {self.class_balance_options!r} found with "
                f"class_balance {self.class_balance!r}, expected a scheme that they belong to"
            )
        if self.weight_ratio and not self.weight_ratio >= 1:
            yield (
                f"acquisition.weight_ratio: {self.weight_ratio:g} found, expected 0 or a number "
                "from 1"
            )
        if self.balance_from < 1:
            yield f"acquisition.balance_from: {self.balance_from} found, expected 1 or more"


class RoundBalance(NamedTuple):
    """What a round is balanced by. None of it: not at all.

    Attributes:
        weights: `[C]` float32, multiply the score, by the class that the evidence names; `[2, C]`
            for class evidence "corrected_by_score": first those of windows of several predicted
            classes, then of one.
        tie_weights: `[C]` float32 above 0, by predicted class, of class-balanced ties; `[2, C]` as
            the weights.
        counts: `[C]` integers, pixels of every class labelled so far: the budget is spent by a
            quota of every predicted class.
        group_of: `[C]` uint8, as which class a predicted one counts in the quota; None: as itself.
        void: `[2, BANDS, C]` float32 of `void_shares`; scores are lowered by it.
        log_ratio: `[C]` float32 of `log_ratio`, for class evidence "prior_corrected".
        prototypes: `[C, C]` float32 of `prototypes`, for class evidence "nearest".
    """

    weights: np.ndarray | jax.Array | None = None
    tie_weights: np.ndarray | jax.Array | None = None
    counts: Integer[np.ndarray, " classes"] | None = None
    group_of: UInt8[np.ndarray, " classes"] | None = None
    void: np.ndarray | jax.Array | None = None
    log_ratio: np.ndarray | jax.Array | None = None
    prototypes: np.ndarray | jax.Array | None = None


UNBALANCED = RoundBalance()
"""All classes alike."""


def round_balance(
    balance: Balance,
    number: int,
    *,
    counts: Callable[[], Int64[np.ndarray, " classes"]],
    confusion: Callable[[], Confusion],
    by_score: Callable[[], Int64[np.ndarray, "2 classes classes"]] | None = None,
    void: Callable[[], Float32[np.ndarray, "2 bands classes"]] | None = None,
    evidence: str = "argmax",
    ties: str = "reference",
) -> RoundBalance:
    """What round `number` is balanced by, but for what the network itself is looked at for.

    A method that weighs has weights in every round, equal ones before its balance begins: so all
    rounds are the same program.

    Args:
        balance: the settings.
        number: of the round, from 1.
        counts: gives the pixels of every class in the answers so far, `[C]`; called if needed.
        confusion: gives the true by predicted classes of the picks so far, `[C, C]`; called if
            needed.
        by_score: gives the same of windows of several predicted classes, and of one.
        void: gives the `void_shares` of the answers so far; called if needed.
        evidence: `Scoring.class_evidence`; "corrected" reads the confusion, "corrected_by_score"
            that by score.
        ties: `Scoring.ties`; "class_balanced" ones have weights, and "balanced_uncertainty" ones
            where scores have none.

    Raises:
        ValueError: what is needed is not given.
    """
    drawn = balance.weighs_ties(ties)
    quota = balance.shared_out
    if not (balance.weighted or drawn or quota or balance.avoid_void):
        return UNBALANCED
    begun, corrected = number >= balance.balance_from, evidence == "corrected"

    def weights(
        scheme: str, options: Mapping[str, float]
    ) -> Float32[np.ndarray, " classes"] | Float32[np.ndarray, "2 classes"]:
        """By predicted class."""
        if not begun:
            ones = np.ones(len(counts()), np.float32)
            return np.stack([ones, ones]) if evidence == "corrected_by_score" else ones
        found = class_weights(counts(), scheme, **options)
        if balance.weight_ratio:
            found = clip_weights(found, balance.weight_ratio)
        if evidence == "corrected_by_score":
            return weights_by_score(found, _given(by_score, "by_score"))
        return corrected_weights(found, confusion()) if corrected else found

    return RoundBalance(
        weights=weights(balance.class_balance, balance.options) if balance.weighted else None,
        tie_weights=weights(TIE_SCHEME, {}) if drawn else None,
        counts=counts() if quota and begun else None,
        group_of=corrected_classes(confusion()) if quota and begun and corrected else None,
        void=_given(void, "void") if balance.avoid_void else None,
    )


def _given(function: Callable[[], T] | None, name: str) -> T:
    if function is None:
        raise ValueError(f"a balance that reads {name}: needs it")
    return function()
