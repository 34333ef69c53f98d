"""How pixels are scored: the one description of it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from cbda_jax.acquisition.budget import Geometry, geometry
from cbda_jax.acquisition.scoring.scores import Score, find_score
from cbda_jax.errors import InputError, near

UNITS = ("region", "pixel")
EVIDENCE = (
    "argmax",
    "expected",
    "corrected",
    "corrected_by_score",
    "prior_corrected",
    "nearest",
    "true",
)
TIES = ("reference", "random", "class_balanced", "balanced_uncertainty")
DRAWN = ("random", "class_balanced")
"""Ties that are drawn at random."""

SHARE = 0.05
"""Of PixelPick, as published."""


@dataclass(frozen=True)
class Scoring:
    """How pixels are scored. Sizes, seeds and what was answered so far are no part of it.

    Attributes:
        unit: "region" (a square is labelled) or "pixel" (its centre only).
        score: a key of `SCORES`, or the import path "module:function" of another one.
        radius: k, of the window. Regions are its (2k + 1)^2 pixels; a pixel blocks (2k + 1)^2
            around itself.
        class_evidence: of which class a pixel gets the weight: "argmax", the predicted one;
            "expected", the mean weight under its softmax; "corrected", the mean weight of what the
            predicted class turned out to be in the answers so far (with a quota: the predicted
            class counts as the one it mostly turned out to be); "corrected_by_score", the same of
            windows of several predicted classes and of one apart (`weights_by_score`);
            "prior_corrected", the best class of the softmax under the class frequencies of the
            target, as EM estimates them (`target_prior`); "nearest", the class whose answers so far
            have the mean softmax that is nearest to the pixel's (`prototypes`); "true", its true
            class, a diagnostic that uses what no user has.
        ties: of pixels whose window holds one predicted class, and so no impurity, of scores that
            name the impurity. "reference": nothing is done, so that they rank by -3e-7 x
            uncertainty x class weight, the least uncertain first: the larger a class's weight, the
            later its windows come. "random": they rank below all others, in a random order.
            "class_balanced": the same, drawn without replacement with probabilities proportional
            to a weight w of the predicted class: in the order of u^(1/w), u uniform (Efraimidis &
            Spirakis, "Weighted random sampling with a reservoir", 2006). Their score is
            -e / (e + w), e = -log u, the same order within (-1, 0) without underflow.
            "balanced_uncertainty": they rank below all others, by x = uncertainty x w, the largest
            first, w the weight that scores are multiplied by (of the class that the evidence names)
            or, where they are not, that of class-balanced ties. Their score is -1 / (1 + 2^20 x),
            the same order within [-1, 0).
        impurity_floor: 0, or what is added to the impurity, itself at least 0, that a score gets:
            max(impurity, 0) + floor. In the unit of the impurity: of log C for regions, nats for
            pixels. Pixels in windows of one class then compete by uncertainty and weight.
        clamp_impurity: the 1e-6 inside the reference's logarithms makes the impurity of a window of
            one class slightly negative (-3e-7), so that it prefers the least uncertain one of them,
            and the one of the least weight. True: the impurity is 0 there.
        share: of a score that names it ("pixelpick"): which part of an image's pixels it draws
            from, above 0 and at most 1.

    Raises:
        InputError: an unknown name, a number out of its range, settings that cannot be together;
            every one is named.
    """

    unit: str = "region"
    score: str = "ripu"
    radius: int = 1
    class_evidence: str = "argmax"
    ties: str = "reference"
    impurity_floor: float | int = 0
    clamp_impurity: bool = False
    share: float | int = SHARE

    def __post_init__(self) -> None:
        if problems := [*self._problems()]:
            raise InputError("; ".join(problems))

    @property
    def function(self) -> Score:
        """The score, and what it names."""
        return find_score(self.score, self.settings)

    @property
    def settings(self) -> Mapping[str, Any]:
        """The fields that a score may name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "score"}

    @property
    def squares(self) -> Geometry:
        """What a pick labels and blocks."""
        return geometry(self.unit, self.radius)

    def _problems(self) -> Iterator[str]:
        choices = {"unit": UNITS, "class_evidence": EVIDENCE, "ties": TIES}
        for field, known in choices.items():
            value = getattr(self, field)
            if value not in known:
                yield (
                    f"acquisition.{field}: {value!r} found, expected one of {', '.join(known)}"
                    f"{near(value, known)}"
                )
        if self.radius < 0:
            yield f"acquisition.radius: {self.radius} found, expected 0 or more pixels"
        if not self.impurity_floor >= 0:
            yield f"acquisition.impurity_floor: {self.impurity_floor:g} found, expected 0 or more"
        if not 0 < self.share <= 1:
            yield (f"acquisition.share: {self.share:g} found, expected a number above 0, at most 1")
        names = self.function.names
        if self.ties != "reference" and "impurity" not in names:
            yield (
                f"acquisition.ties: {self.ties!r} found with score {self.score!r}, expected a "
                "score of the impurity: others have no ties of regions of one class"
            )
        if self.impurity_floor and "impurity" not in names:
            yield (
                f"acquisition.impurity_floor: {self.impurity_floor:g} found with score "
                f"{self.score!r}, expected a score of the impurity"
            )
        plain = self.ties == "reference"
        hidden = plain and (self.clamp_impurity or self.impurity_floor)
        if self.class_evidence == "corrected_by_score" and ("impurity" not in names or hidden):
            yield (
                "acquisition.class_evidence: 'corrected_by_score' found with score "
                f"{self.score!r}, clamp_impurity {self.clamp_impurity} and impurity_floor "
                f"{self.impurity_floor:g}, expected a score of the impurity without the other two: "
                "regions of one class are told by a score of 0 or less"
            )
        if self.share != SHARE and "share" not in names:
            yield (
                f"acquisition.share: {self.share:g} found with score {self.score!r}, expected a "
                "score that draws from a share of the pixels, such as 'pixelpick'"
            )
        if self.impurity_floor and self.ties != "reference":
            yield (
                f"acquisition.impurity_floor: {self.impurity_floor:g} found with ties "
                f"{self.ties!r}, expected one of them alone: both rank the regions of one class"
            )
