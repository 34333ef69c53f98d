"""The named methods: what each acquires, and which domains it trains on."""

from collections.abc import Iterator
from dataclasses import dataclass

from cbda_jax import acquisition
from cbda_jax.errors import InputError, near


@dataclass(frozen=True)
class Method:
    """One row of the paper's table.

    Attributes:
        score: "ripu" (impurity x uncertainty), "entropy", "impurity" or "random".
        unit: "region" (a square is labelled) or "pixel" (its centre only).
        radius: k. Regions are (2k + 1)^2 pixels; a pixel blocks (2k + 1)^2 around itself.
        class_balance: "none", "quota", or a scheme of `acquisition.class_weights`.
        allocation: "per_image" (the same budget in every image) or "global".
        class_evidence: of which class a pixel gets the weight: "argmax", the predicted one;
            "expected", the mean weight under its softmax; "corrected", the mean weight of what the
            predicted class turned out to be in the answers so far (with a quota: the predicted
            class counts as the one it mostly turned out to be); "true", its true class, a
            diagnostic that uses what no user has.
        weight_ratio: 0, or the largest class weight is at most this many times the smallest.
        balance_from: round from which classes are balanced; before it, scores are unweighted and
            there is no quota.
        image_cap: 0, or a round picks in one image at most this many times its even share, rounded
            up; of a global allocation.
        impurity_floor: 0, or what is added to the impurity; see `acquisition.score_maps`.
        ties: how regions of one predicted class are ranked: "reference", "random" or
            "class_balanced" (by the inverse frequency of the predicted class among the labels); see
            `acquisition.score_maps`.
        source, target: whether the domain is trained on.
        acquires: whether there are rounds; if not, the target is labelled whole or not at all.
    """

    score: str = "ripu"
    unit: str = "region"
    radius: int = 1
    class_balance: str = "none"
    allocation: str = "per_image"
    class_evidence: str = "argmax"
    weight_ratio: float | int = 0
    balance_from: int = 1
    image_cap: float | int = 0
    impurity_floor: float | int = 0
    ties: str = "reference"
    source: bool = True
    target: bool = True
    acquires: bool = True


METHODS = {
    # Bounds.
    "source_only": Method(target=False, acquires=False),
    "full_supervision": Method(acquires=False),
    # Like-for-like baselines: same budget, no information.
    "random_pixels": Method(score="random", unit="pixel", radius=0),
    "random_regions": Method(score="random"),
    "entropy": Method(score="entropy"),
    # Xie et al., CVPR 2022: "RA" and, with the larger window, "PA".
    "ripu": Method(),
    "ripu_pixel": Method(unit="pixel", radius=32),
    # Schachtsiek et al., 2023, and its two halves.
    "cb": Method(class_balance="exp"),
    "da": Method(allocation="global"),
    # Our choices: the paper leaves open how classes are weighted and by what they are known.
    # docs/results/balance.md has what they were measured against.
    "cbda": Method(
        class_balance="inverse_power",
        weight_ratio=10,
        balance_from=3,
        allocation="global",
        image_cap=2,
    ),
    # The plainest reading of it: weights by the predicted class, no limit per image.
    "cbda_plain": Method(class_balance="exp", allocation="global"),
    "cbda_quota": Method(class_balance="quota", allocation="global"),
    # A diagnostic, not a method: cb whose weights know the true class of every pixel.
    "cb_oracle": Method(class_balance="exp", class_evidence="true"),
}

FIELDS = (
    *("score", "unit", "radius", "class_balance", "allocation", "class_evidence", "weight_ratio"),
    *("balance_from", "image_cap", "impurity_floor", "ties"),
)
"""Those of a method that `config.acquisition` may set by hand."""

CHOICES = {
    "score": acquisition.SCORES,
    "unit": acquisition.UNITS,
    "class_balance": ("none", "quota", *acquisition.SCHEMES),
    "allocation": ("per_image", "global"),
    "class_evidence": acquisition.EVIDENCE,
    "ties": acquisition.TIES,
}


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


def contradictions(method: Method) -> Iterator[str]:
    """What cannot be together in a method that acquires, each as "field: found, expected"."""
    balance, evidence = method.class_balance, method.class_evidence
    weighted = balance not in ("none", "quota")
    drawn = method.ties == "class_balanced"
    if balance == "quota" and method.allocation != "global":
        yield (
            f"acquisition.allocation: {method.allocation!r} found with class_balance 'quota', "
            "expected 'global': a quota is divided over the whole pool"
        )
    if balance == "quota" and evidence in ("expected", "true"):
        yield (
            f"acquisition.class_evidence: {evidence!r} found with class_balance 'quota', expected "
            "'argmax' or 'corrected', which say of which class a pick is"
        )
    if balance == "none" and evidence != "argmax":
        yield (
            f"acquisition.class_evidence: {evidence!r} found with class_balance 'none', expected "
            "a class balance that it can change"
        )
    if method.weight_ratio and not (weighted or drawn):
        yield (
            f"acquisition.weight_ratio: {method.weight_ratio:g} found with class_balance "
            f"{balance!r}, expected a class balance with weights"
        )
    if method.balance_from > 1 and balance == "none" and not drawn:
        yield (
            f"acquisition.balance_from: {method.balance_from} found with class_balance 'none', "
            "expected a class balance that can begin there"
        )
    if method.image_cap and method.allocation != "global":
        yield (
            f"acquisition.image_cap: {method.image_cap:g} found with allocation "
            f"{method.allocation!r}, expected 'global': else every image gets its even share"
        )
    if method.image_cap and balance == "quota":
        yield (
            f"acquisition.image_cap: {method.image_cap:g} found with class_balance 'quota', "
            "expected 0: an image would offer its best pixels only, few of the missing classes"
        )
    impure = method.score in ("ripu", "impurity")
    if method.ties != "reference" and not impure:
        yield (
            f"acquisition.ties: {method.ties!r} found with score {method.score!r}, expected score "
            "'ripu' or 'impurity': others have no ties of regions of one class"
        )
    if method.impurity_floor and not impure:
        yield (
            f"acquisition.impurity_floor: {method.impurity_floor:g} found with score "
            f"{method.score!r}, expected score 'ripu' or 'impurity'"
        )
    if method.impurity_floor and method.ties != "reference":
        yield (
            f"acquisition.impurity_floor: {method.impurity_floor:g} found with ties "
            f"{method.ties!r}, expected one of them alone: both rank the regions of one class"
        )
