"""What a budget in pixels, answers or hours means in picks."""

import math
from typing import NamedTuple


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


BUDGET_UNITS = ("pixels", "answers_per_image", "answers_in_all", "hours")
"""What a budget may be counted in."""

_WORDS = {"answers_per_image": " answers an image", "answers_in_all": " answers", "hours": " hours"}


class Budget(NamedTuple):
    """What all rounds of a run together may ask for.

    Attributes:
        amount: a fraction of all pixels; or answers, an image on average or in all; or hours of
            people.
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
