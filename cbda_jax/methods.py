"""The named methods: what each acquires, and which domains it trains on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from cbda_jax.acquisition import TIES_WITH_WEIGHTS, Balance, Scoring
from cbda_jax.errors import InputError, near

ALLOCATIONS = ("per_image", "global")


@dataclass(frozen=True)
class Method:
    """One row of the paper's table.

    Attributes:
        scoring: how pixels are scored.
        balance: how classes are balanced.
        allocation: "per_image" (the same budget in every image) or "global".
        image_cap: 0, or a round picks in one image at most this many times its even share, rounded
            up; of a global allocation.
        sub_rounds: how many small rounds a round is held as, without training in between: each
            asks for its share, and is balanced by all answers so far, those to the small rounds
            before it included.
        flip: whether predictions are averaged over an image and its mirror image, to score.
        source, target: whether the domain is trained on.
        acquires: whether there are rounds; if not, the target is labelled whole or not at all.

    Raises:
        InputError: an unknown allocation, or no small round.
    """

    scoring: Scoring = field(default_factory=Scoring)
    balance: Balance = field(default_factory=Balance)
    allocation: str = "per_image"
    image_cap: float | int = 0
    sub_rounds: int = 1
    flip: bool = False
    source: bool = True
    target: bool = True
    acquires: bool = True

    def __post_init__(self) -> None:
        if self.allocation not in ALLOCATIONS:
            raise InputError(
                f"acquisition.allocation: {self.allocation!r} found, expected one of "
                f"{', '.join(ALLOCATIONS)}{near(self.allocation, ALLOCATIONS)}"
            )
        if self.sub_rounds < 1:
            raise InputError(f"acquisition.sub_rounds: {self.sub_rounds} found, expected 1 or more")


_EXP = Balance(class_balance="exp")
_LATE = Balance(class_balance="inverse_power", weight_ratio=10, balance_from=3)

METHODS = {
    # Bounds.
    "source_only": Method(target=False, acquires=False),
    "full_supervision": Method(acquires=False),
    # Like-for-like baselines: same budget, no information.
    "random_pixels": Method(Scoring(score="random", unit="pixel", radius=0)),
    "random_regions": Method(Scoring(score="random")),
    "entropy": Method(Scoring(score="entropy")),
    # Shin et al., ICCV Workshops 2021: random pixels among the 5 % of least margin.
    "pixelpick": Method(Scoring(score="pixelpick", unit="pixel", radius=0)),
    # Xie et al., CVPR 2022: "RA" and, with the larger window, "PA".
    "ripu": Method(),
    "ripu_pixel": Method(Scoring(unit="pixel", radius=32)),
    # Schachtsiek et al., 2023, and its two halves.
    "cb": Method(balance=_EXP),
    "da": Method(allocation="global"),
    # Our choices: the paper leaves open how classes are weighted and by what they are known, and by
    # the reference's ties, weights are against rare classes where boundaries are used up.
    # docs/results/balance.md has what they were measured against.
    "cbda": Method(
        Scoring(class_evidence="nearest", ties="balanced_uncertainty"),
        _LATE,
        allocation="global",
        image_cap=2,
        flip=True,
    ),
    # The same by the predicted class, with the reference's ties: one pass of the network.
    "cbda_predicted": Method(balance=_LATE, allocation="global", image_cap=2),
    # The plainest reading of it: weights by the predicted class, no limit per image.
    "cbda_plain": Method(balance=_EXP, allocation="global"),
    "cbda_quota": Method(balance=Balance(class_balance="quota"), allocation="global"),
    # A diagnostic, not a method: cb whose weights know the true class of every pixel.
    "cb_oracle": Method(Scoring(class_evidence="true"), _EXP),
}

_SCORING, _BALANCE = (tuple(f.name for f in fields(part)) for part in (Scoring, Balance))
_OWN = ("allocation", "image_cap", "sub_rounds", "flip")
FIELDS = (*_SCORING, *_BALANCE, *_OWN)
"""Those of a method that `config.acquisition` may set by hand, by the same names."""


def get_method(name: str) -> Method:
    """The method called `name`.

    Raises:
        InputError: there is none; the message lists all and suggests the nearest.
    """
    if name in METHODS:
        return METHODS[name]
    raise InputError(
        f"method: {name!r} found, expected one of {', '.join(METHODS)}{near(name, METHODS)}"
    )


def changed(method: Method, values: Mapping[str, Any]) -> Method:
    """A method with some of `FIELDS` set by hand.

    The method's own ties give way where another field says how regions of one class are ranked, or
    a score has none.

    Raises:
        InputError: a name that is unknown, or a number out of its range.
    """
    scoring, balance, own = (
        {name: values[name] for name in names if name in values}
        for names in (_SCORING, _BALANCE, _OWN)
    )
    if "ties" not in scoring and not _has_ties(scoring):
        scoring["ties"] = Scoring().ties
    return replace(
        method,
        scoring=replace(method.scoring, **scoring),
        balance=replace(method.balance, **balance),
        **own,
    )


def values(method: Method) -> dict[str, Any]:
    """The values of `FIELDS` in a method."""
    parts = ((_SCORING, method.scoring), (_BALANCE, method.balance), (_OWN, method))
    return {name: getattr(part, name) for names, part in parts for name in names}


def _has_ties(scoring: Mapping[str, Any]) -> bool:
    """Whether fields that are set by hand leave regions of one class to a rule for ties."""
    if scoring.get("impurity_floor") or scoring.get("clamp_impurity"):
        return False
    return "score" not in scoring or "impurity" in Scoring(score=scoring["score"]).function.names


def contradictions(method: Method) -> Iterator[str]:
    """What cannot be together in a method that acquires, each as "field: found, expected"."""
    balance, evidence = method.balance.class_balance, method.scoring.class_evidence
    ratio, begins = method.balance.weight_ratio, method.balance.balance_from
    drawn, quota = method.scoring.ties in TIES_WITH_WEIGHTS, method.balance.shared_out
    if quota and method.allocation != "global":
        yield (
            f"acquisition.allocation: {method.allocation!r} found with class_balance 'quota', "
            "expected 'global': a quota is divided over the whole pool"
        )
    if quota and evidence not in ("argmax", "corrected"):
        yield (
            f"acquisition.class_evidence: {evidence!r} found with class_balance 'quota', expected "
            "'argmax' or 'corrected', which say of which class a pick is"
        )
    if balance == "none" and evidence != "argmax":
        yield (
            f"acquisition.class_evidence: {evidence!r} found with class_balance 'none', expected "
            "a class balance that it can change"
        )
    if ratio and not (method.balance.weighted or drawn):
        yield (
            f"acquisition.weight_ratio: {ratio:g} found with class_balance "
            f"{balance!r}, expected a class balance with weights"
        )
    if begins > 1 and balance == "none" and not drawn:
        yield (
            f"acquisition.balance_from: {begins} found with class_balance 'none', "
            "expected a class balance that can begin there"
        )
    if method.image_cap and method.allocation != "global":
        yield (
            f"acquisition.image_cap: {method.image_cap:g} found with allocation "
            f"{method.allocation!r}, expected 'global': else every image gets its even share"
        )
    if method.image_cap and quota:
        yield (
            f"acquisition.image_cap: {method.image_cap:g} found with class_balance 'quota', "
            "expected 0: an image would offer its best pixels only, few of the missing classes"
        )
