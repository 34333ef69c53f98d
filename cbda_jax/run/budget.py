"""What a run's budget comes to: in the picks of a round, and in what all of them cost."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from cbda_jax import acquisition, annotation
from cbda_jax.acquisition import Budget
from cbda_jax.errors import InputError
from cbda_jax.methods import Method
from cbda_jax.reporting.tables import count, hours, small_percent
from cbda_jax.run.request import Request, Share


class Spent(NamedTuple):
    """What rounds have asked for under another budget; it stays, and the others share the rest.

    Attributes:
        rounds: how many of them there are.
        picks: of all images of a size together, by (height, width).
    """

    rounds: int
    picks: Mapping[tuple[int, int], int]


NOTHING = Spent(0, {})
"""Of a run that has had one budget from its beginning."""


def request(
    method: Method,
    budget: Budget,
    number: int,
    rounds: int,
    sizes: Collection[tuple[int, int]],
    spent: Spent = NOTHING,
) -> Request:
    """What a round asks for.

    A budget in pixels is shared by the rounds and rounded up in every image, as in RIPU. What
    people pay for in answers or hours is never exceeded: it is rounded down, and what is left goes
    to later rounds. Larger images get more of either.

    Args:
        method: what it acquires.
        budget: of all rounds.
        number: of the round, from 1; none of those whose picks are spent.
        rounds: how many there are.
        sizes: (height, width) of every image's native label; of a budget that is a fraction of
            all pixels, and of which nothing is spent, each once is enough.
        spent: by rounds before the budget was what it is.
    """
    if budget.of_pixels:
        picks = _picks_of_pixels(method, budget, rounds, Counter(sizes), spent)
        return _request(method, number, picks, None)
    images, total, pixels = Counter(sizes), budget.picks(len(sizes)), sum(map(math.prod, sizes))
    place, left = number - spent.rounds, rounds - spent.rounds
    if method.allocation == "per_image":
        picks = {}
        for size, count_ in images.items():
            own = total * math.prod(size) // pixels - -(-spent.picks.get(size, 0) // count_)
            picks[size] = acquisition.of_round(max(own, 0), place, left)
        return _request(method, number, picks, None)
    here = acquisition.of_round(max(total - sum(spent.picks.values()), 0), place, left)
    picks = {size: -(-here * math.prod(size) // pixels) for size in images}
    return _request(method, number, picks, here)


def _picks_of_pixels(
    method: Method, budget: Budget, rounds: int, images: Counter[tuple[int, int]], spent: Spent
) -> dict[tuple[int, int], int]:
    """Picks of a round in an image of each size, of a budget in pixels."""
    squares, left = method.scoring.squares, rounds - spent.rounds
    sizes = [*images.elements()]
    if not spent.rounds:
        return {size: _share_of_pixels(budget, size, sizes, rounds, squares) for size in images}
    fraction = budget.fraction(sizes, squares.pixels)
    whole = {size: fraction * math.prod(size) / squares.pixels for size in images}
    if method.allocation == "per_image":
        rest = {size: whole[size] - spent.picks.get(size, 0) / images[size] for size in images}
    else:
        paid = sum(whole[size] * images[size] for size in images)
        part = 1 - sum(spent.picks.values()) / paid
        rest = {size: whole[size] * part for size in images}
    # 0.3 - 0.1 is 0.19999999999999998 in floating point.
    return {size: math.ceil(round(max(rest[size], 0) / left, 6)) for size in images}


def _share_of_pixels(
    budget: Budget,
    size: tuple[int, int],
    sizes: Collection[tuple[int, int]],
    rounds: int,
    squares: acquisition.Geometry,
) -> int:
    """Picks of a round in an image, of a budget in pixels that the rounds share equally."""
    if budget.unit == "pixels":
        return acquisition.picks_per_image(budget.amount, size, rounds, squares)
    return acquisition.picks_of_pixels(budget.amount, size, sizes, rounds, squares)


def _request(
    method: Method, number: int, picks: Mapping[tuple[int, int], int], total: int | None
) -> Request:
    shares = {
        size: Share(each, acquisition.capped(each, method.image_cap))
        for size, each in picks.items()
    }
    return Request(number, shares, method.allocation, total)


def check_rest(
    method: Method,
    budget: Budget,
    rounds: int,
    sizes: Collection[tuple[int, int]],
    spent: Spent,
) -> None:
    """Checks that rounds before have left something of a budget to every round to come.

    Args:
        method: what it acquires.
        budget: of all rounds.
        rounds: how many there are.
        sizes: (height, width) of every image's native label.
        spent: by rounds before the budget was what it is.

    Raises:
        InputError: a round, or an image of a round, would get no pick.
    """
    if not spent.rounds:
        return
    images = Counter(sizes)
    for number in range(spent.rounds + 1, rounds + 1):
        asked = request(method, budget, number, rounds, sizes, spent)
        least = min(share.picks for share in asked.shares.values())
        if (least if method.allocation == "per_image" else asked.total(images.elements())) > 0:
            continue
        picks = sum(spent.picks.values())
        if budget.of_pixels:
            pixels = picks * method.scoring.squares.pixels
            amount = pixels / (
                sum(map(math.prod, sizes)) if budget.unit == "pixels" else len(sizes)
            )
            there = f"{budget.amount:g}" if budget.unit == "pixels" else str(budget)
            used = f"{amount:.4g}"
        else:
            there, used = str(budget), budget.words(picks * budget.price(len(sizes)))
        first = "round 1" if spent.rounds == 1 else f"rounds 1 to {spent.rounds}"
        raise InputError(
            f"acquisition.budget: {there} found, of which {first} took {used}, so that nothing is "
            f"left for round {number}; expected more, as it is that of all {rounds} rounds, those "
            "held included; raise it"
        )


def described(
    method: Method,
    budget: Budget,
    rounds: int,
    sizes: Collection[tuple[int, int]],
    answered: Sequence[annotation.Answers] = (),
    spent: Spent = NOTHING,
) -> str:
    """What all rounds ask for, in pixels, answers and hours; and what was spent of it so far.

    Args:
        method: what it acquires.
        budget: of all rounds.
        rounds: how many there are.
        sizes: (height, width) of every image's native label.
        answered: the answers so far. Where people's time was measured, theirs counts from then on.
        spent: by rounds before the budget was what it is.
    """
    images, estimate = Counter(sizes), budget.seconds_per_answer
    picks = sum(spent.picks.values()) + sum(
        request(method, budget, number, rounds, sizes, spent).total(images.elements())
        for number in range(spent.rounds + 1, rounds + 1)
    )
    pixels, answers = picks * method.scoring.squares.pixels, picks * budget.answers_per_pick
    share = small_percent(pixels / sum(map(math.prod, sizes)))
    measured = [a for a in answered if annotation.cost_of([a], estimate).measured]
    known = annotation.cost_of(measured, estimate)
    pace = known.seconds / known.answers if known.answers else estimate
    kind = "measured" if known.answers else "estimated"
    whole = budget.whole(sizes, method.scoring.squares.pixels)
    text = (
        f"budget of {whole} in {count(rounds)} rounds: {count(picks)} picks, {count(pixels)} "
        f"pixels ({share} %), {count(answers)} answers, {hours(answers * pace)} hours at "
        f"{pace:.2g} s an answer ({kind})"
    )
    if answered:
        paid = annotation.cost_of(answered, pace)
        pixels = int(annotation.counts(answered).sum())
        text += (
            f"; spent in {count(len(answered))}: {count(pixels)} pixels, {count(paid.answers)} "
            f"answers, {hours(paid.seconds)} hours"
        )
    return text
