"""What a run's budget comes to: in the picks of a round, and in what all of them cost."""

import math
from collections import Counter
from collections.abc import Collection, Sequence

from cbda_jax import acquisition, annotation
from cbda_jax.acquisition import Budget
from cbda_jax.methods import Method
from cbda_jax.reporting.tables import count, hours, small_percent
from cbda_jax.run.acquirer import Request, Share


def request(
    method: Method,
    budget: Budget,
    number: int,
    rounds: int,
    sizes: Collection[tuple[int, int]],
) -> Request:
    """What a round asks for.

    A budget in pixels is shared by the rounds and rounded up in every image, as in RIPU. What
    people pay for in answers or hours is never exceeded: it is rounded down, and what is left goes
    to later rounds. Larger images get more of either.

    Args:
        method: what it acquires.
        budget: of all rounds.
        number: of the round, from 1.
        rounds: how many there are.
        sizes: (height, width) of every image's native label; of a budget that is a fraction of
            all pixels, each once is enough.
    """
    found, allocation = {}, method.allocation
    if budget.of_pixels:
        squares = method.scoring.squares
        for size in set(sizes):
            if budget.unit == "pixels":
                picks = acquisition.picks_per_image(budget.amount, size, rounds, squares)
            else:
                picks = acquisition.picks_of_pixels(budget.amount, size, sizes, rounds, squares)
            found[size] = Share(picks, acquisition.capped(picks, method.image_cap))
        return Request(number, found, allocation)
    total, pixels = budget.picks(len(sizes)), sum(map(math.prod, sizes))
    here = acquisition.of_round(total, number, rounds)
    for size in set(sizes):
        if allocation == "per_image":
            own = total * math.prod(size) // pixels
            picks = acquisition.of_round(own, number, rounds)
        else:
            picks = -(-here * math.prod(size) // pixels)
        found[size] = Share(picks, acquisition.capped(picks, method.image_cap))
    return Request(number, found, allocation, here if allocation == "global" else None)


def described(
    method: Method,
    budget: Budget,
    rounds: int,
    sizes: Collection[tuple[int, int]],
    answered: Sequence[annotation.Answers] = (),
) -> str:
    """What all rounds ask for, in pixels, answers and hours; and what was spent of it so far.

    Args:
        method: what it acquires.
        budget: of all rounds.
        rounds: how many there are.
        sizes: (height, width) of every image's native label.
        answered: the answers so far. Where people's time was measured, theirs counts from then on.
    """
    images, estimate = Counter(sizes), budget.seconds_per_answer
    picks = sum(
        request(method, budget, number, rounds, sizes).total(images.elements())
        for number in range(1, rounds + 1)
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
        spent = annotation.cost_of(answered, pace)
        pixels = int(annotation.counts(answered).sum())
        text += (
            f"; spent in {count(len(answered))}: {count(pixels)} pixels, {count(spent.answers)} "
            f"answers, {hours(spent.seconds)} hours"
        )
    return text
