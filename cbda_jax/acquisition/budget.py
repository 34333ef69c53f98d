"""What a budget in pixels, answers or hours means in picks."""

import math
import re
from collections.abc import Collection
from fractions import Fraction
from typing import NamedTuple

from cbda_jax.errors import InputError


class Geometry(NamedTuple):
    """The squares of a pick.

    Attributes:
        label_radius: the (2 label_radius + 1)^2 square around a pick is labelled.
        block_radius: no other pick is centred in the (2 block_radius + 1)^2 square around it.
    """

    label_radius: int
    block_radius: int

    @property
    def pixels(self) -> int:
        """Pixels that a pick labels, away from the border."""
        return (2 * self.label_radius + 1) ** 2


BUDGET_UNITS = ("pixels", "pixels_per_image", "answers_per_image", "answers_in_all", "hours")
"""What a budget may be counted in; "pixels" are a fraction of all."""

_WORDS = {
    "pixels_per_image": " pixels an image",
    "answers_per_image": " answers an image",
    "answers_in_all": " answers",
    "hours": " hours",
}
_NUMBER = r"(\d+\.?\d*(?:e[-+]?\d{1,2})?|\.\d+)"
_TEXTS = {
    # Of what is said of pixels and of answers, the papers mean pixels by image (PixelPick, RIPU).
    rf"{_NUMBER} ?%": "pixels",
    rf"{_NUMBER} ?(?:px|pixels?)(?: ?/ ?image)?": "pixels_per_image",
    rf"{_NUMBER} ?answers? ?/ ?image": "answers_per_image",
    rf"{_NUMBER} ?answers?": "answers_in_all",
    rf"{_NUMBER} ?(?:h|hours?)": "hours",
    _NUMBER: None,
}
BUDGET_EXAMPLES = "0.05, 5%, 40px (an image), 100answers, 100answers/image or 3h"
"""What `read_budget` understands, for messages."""


def read_budget(text: str) -> tuple[float, str | None]:
    """A budget as people say it: "5%" is (0.05, "pixels").

    "40px" is 40 pixels in every image, of all rounds together, at the size of its label file;
    "100answers" are those of all images, "100answers/image" of each on average; "3h" are hours of
    people, all together. Small and large letters and a space before the unit mean the same.

    Returns:
        The amount, and one of `BUDGET_UNITS`; None of a number alone, which leaves it open.

    Raises:
        InputError: it is none of these.
    """
    said = " ".join(text.lower().split())
    for pattern, unit in _TEXTS.items():
        if found := re.fullmatch(pattern, said):
            # 2.2 / 100 is not 0.022 in floating point: the same budget is to be the same number.
            amount = Fraction(found[1]) / (100 if unit == "pixels" else 1)
            return float(amount), unit
    raise InputError(f"budget {text!r} found, expected one such as {BUDGET_EXAMPLES}")


class Budget(NamedTuple):
    """What all rounds of a run together may ask for.

    Attributes:
        amount: a fraction of all pixels; or pixels an image on average; or answers, an image on
            average or in all; or hours of people.
        unit: one of `BUDGET_UNITS`.
        answers_per_pick: keys of a person that the answer to a pick takes.
        seconds_per_answer: that a person needs for each.
    """

    amount: float | int
    unit: str = "pixels"
    answers_per_pick: int = 1
    seconds_per_answer: float | int = 2.0

    def __str__(self) -> str:
        if self.unit == "pixels":
            return f"{100 * self.amount:.4g} % of all pixels"
        return self.words(self.amount)

    def words(self, amount: float | int) -> str:
        """An amount in the unit, such as "12,000 answers"."""
        return f"{amount:,.10g}{_WORDS.get(self.unit, '')}"

    @property
    def of_pixels(self) -> bool:
        """Whether it counts pixels: what is to be labelled, not what people pay."""
        return self.unit in ("pixels", "pixels_per_image")

    def fraction(self, sizes: Collection[tuple[int, int]], pixels_of_pick: int) -> float:
        """Which part of all pixels it comes to, before picks are rounded.

        Args:
            sizes: (height, width) of every image's native label.
            pixels_of_pick: that a pick labels.
        """
        if self.unit == "pixels":
            return float(self.amount)
        pixels = sum(height * width for height, width in sizes)
        if self.unit == "pixels_per_image":
            return self.amount * len(sizes) / pixels
        return self.picks(len(sizes)) * pixels_of_pick / pixels

    def whole(self, sizes: Collection[tuple[int, int]], pixels_of_pick: int) -> str:
        """In its own words and as a part of all pixels: "40 pixels an image (0.0019 % of ...)".

        Args:
            sizes: (height, width) of every image's native label.
            pixels_of_pick: that a pick labels.
        """
        if self.unit == "pixels":
            return f"{self} ({self.amount:.4g})"
        fraction = self.fraction(sizes, pixels_of_pick)
        return f"{self} ({100 * fraction:.3g} % of all pixels, {fraction:.3g})"

    def picks(self, images: int) -> int:
        """Picks that it pays for, of all images and rounds; of a budget in answers or hours.

        Args:
            images: how many there are.
        """
        # 0.015 hours are 35.99999999999999 answers of 1.5 s in floating point.
        return math.floor(round(self.amount / self.price(images), 6))

    def price(self, images: int) -> float | int:
        """What a pick costs in the unit; of a budget in answers or hours.

        Args:
            images: how many there are.
        """
        return {
            "answers_per_image": self.answers_per_pick / images,
            "answers_in_all": self.answers_per_pick,
            "hours": self.answers_per_pick * self.seconds_per_answer / 3600,
        }[self.unit]


def of_round(total: int, number: int, rounds: int) -> int:
    """The part of round `number`, from 1, of what all rounds share: as equal as can be."""
    return total * number // rounds - total * (number - 1) // rounds


def geometry(unit: str, radius: int) -> Geometry:
    """Regions of radius k label themselves and block 2k; pixels label one pixel and block k."""
    return Geometry(radius, 2 * radius) if unit == "region" else Geometry(0, radius)


def picks_per_image(budget: float, shape: tuple[int, int], rounds: int, squares: Geometry) -> int:
    """Picks of a round in an image: ceil(H W budget / rounds / pixels of a pick), as in RIPU.

    Args:
        budget: fraction of all pixels, over all rounds.
        shape: (height, width) of the native label.
        rounds: how many rounds share the budget equally.
        squares: of a pick.
    """
    height, width = shape
    return math.ceil(height * width * budget / rounds / squares.pixels)


def picks_of_pixels(
    budget: float | int,
    shape: tuple[int, int],
    sizes: Collection[tuple[int, int]],
    rounds: int,
    squares: Geometry,
) -> int:
    """Picks of a round in an image of a budget in pixels an image, rounded up as of fractions.

    Args:
        budget: pixels an image on average, over all rounds; larger images get more.
        shape: (height, width) of the native label.
        sizes: those of all images.
        rounds: how many rounds share the budget equally.
        squares: of a pick.
    """
    share = Fraction(math.prod(shape) * len(sizes), sum(map(math.prod, sizes)))
    # Exact: 40 pixels are not to become 41 picks by rounding.
    return math.ceil(Fraction(str(budget)) * share / (rounds * squares.pixels))


def capped(share: int, cap: float | int) -> int | None:
    """Most picks of a round in an image: ceil(cap x share); None without a cap.

    Args:
        share: picks of an image if all had as many.
        cap: 1 or more, or 0: none.
    """
    # 1.1 x 10 is 11.000000000000002 in floating point.
    return math.ceil(round(cap * share, 6)) if cap else None


class Reach(NamedTuple):
    """Which fraction of an image's pixels can be labelled at all.

    Attributes:
        always: whatever the scores, picks for this much are found, because picks stop only when
            every pixel lies in the blocked square of one.
        most: no arrangement of picks reaches more.
    """

    always: float
    most: float


def reach(shape: tuple[int, int], squares: Geometry) -> Reach:
    """Bounds on the labelled fraction that come from the blocked squares alone."""
    most = most_picks(shape, squares) * squares.pixels / math.prod(shape)
    least = squares.pixels / (2 * squares.block_radius + 1) ** 2
    return Reach(always=least, most=min(1.0, most))


def most_picks(shape: tuple[int, int], squares: Geometry) -> int:
    """No image has room for more picks: two of them are block_radius + 1 apart or more."""
    side = squares.block_radius + 1
    return math.ceil(shape[0] / side) * math.ceil(shape[1] / side)
