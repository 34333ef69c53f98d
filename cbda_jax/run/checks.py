"""Checks of what a config alone cannot tell: the files it names, and what its images allow."""

import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from cbda_jax import acquisition, console
from cbda_jax.data import prepare
from cbda_jax.errors import InputError, near
from cbda_jax.methods import Method
from cbda_jax.stores import to_path


@runtime_checkable
class LabelledRecords(Protocol):
    """What is counted of a data set, as `cbda_jax.data.records.Records` does."""

    @property
    def labelled(self) -> bool:
        """Whether its images have labels."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, by train id."""
        ...

    @property
    def class_pixels(self) -> Int64[np.ndarray, "images classes"]:
        """Labelled pixels of every class in every image."""
        ...


def check_data_set(
    field: str, name: str, known: dict[str, tuple[str, ...]] | None = None, **location: Any
) -> None:
    """Looks for a split of a data set, prepared or as its files; prepares nothing.

    Args:
        field: of the config, that names it.
        name: of the data set and split.
        known: the splits by prepared folder that were looked for by now; gets those of this one.
        location: where and how it is prepared, of `prepare.create_builder`.

    Raises:
        InputError: naming the field: it has no such split, is not there, or is damaged.
    """
    dataset, _, split = name.partition("/")
    try:
        builder = prepare.create_builder(**location)
        known = {} if known is None else known
        place = str(builder.data_dir)
        if place not in known:
            known[place] = prepare.find_splits(builder)
        splits = known[place]
    except InputError as error:
        raise InputError(f"{field}: {name!r} found, but {error}") from error
    split = split or "train"
    if split not in splits:
        raise InputError(
            f"{field}: {name!r} found, expected one of the splits {', '.join(splits)} of {dataset}"
            f"{builder.about_split(split)}{near(split, splits)}"
        )


def check_labelled(field: str, name: str, labelled: LabelledRecords) -> None:
    """Checks that a data set says something, before hours are spent with it.

    Args:
        field: of the config, that names it.
        name: of the data set and split.
        labelled: the data set.

    Raises:
        InputError: it has no labels, or no labelled pixel.
    """
    pixels = labelled.class_pixels
    if not labelled.labelled or not pixels.any():
        found = (
            f"{len(pixels)} images whose labels are void everywhere"
            if labelled.labelled
            else f"{len(pixels)} images without labels"
        )
        raise InputError(
            f"{field}: {name!r} with {found} found, expected labelled pixels of "
            f"{', '.join(labelled.classes)}; name another data set, or correct its labels and "
            "what is declared of them (scripts/prepare_data.py --inspect shows both)"
        )
    present = np.flatnonzero(pixels.any(axis=0))
    if len(pixels) > 1 and len(present) == 1:
        console.say(
            f"note: {field}: all labelled pixels of {name!r} are of one class, "
            f"{labelled.classes[present[0]]!r}; are its labels placeholders?"
        )


def check_pretrained(path: str) -> None:
    """Looks for the file of pretrained weights, or the workdir of the run that trained them.

    Raises:
        InputError: it is not there, or the folder holds no checkpoints.
    """
    found = to_path(path, "pretrained")
    if found.is_dir():
        if not (found / "checkpoints").is_dir():
            raise InputError(
                f"pretrained: {found} is a folder without checkpoints/, expected the workdir of a "
                "run, or a .safetensors or .pth file"
            )
    elif not (isinstance(found, Path) and found.is_file()):
        raise InputError(
            f"pretrained: {found} not found, expected a .safetensors or .pth file or the workdir "
            "of a run; get the weights (docs/guide/weights.md), or set pretrained to an empty text "
            "for random ones"
        )


def check_balance(method: Method, num_classes: int) -> None:
    """Tries the scheme that classes are balanced by, which is first needed rounds later.

    Args:
        method: what it acquires.
        num_classes: that are told apart.

    Raises:
        InputError: it fails, or makes no weights.
    """
    balance = method.balance
    if balance.weighted:
        counts = np.arange(num_classes, dtype=np.int64)  # of one class, nothing
        acquisition.class_weights(counts, balance.class_balance, **balance.options)


def check_accumulate(field: str, batch: int, devices: int, accumulate: int) -> None:
    """Checks that every device's part of a batch can be cut.

    Args:
        field: of the config, that says how large the batch is.
        batch: images a step, of all devices.
        devices: that share it equally.
        accumulate: into how many equal parts.

    Raises:
        InputError: it cannot be.
    """
    if batch // devices % accumulate:
        raise InputError(
            f"training.accumulate: {accumulate} found with {field} {batch} on {devices} devices, "
            f"expected a number that divides the {batch // devices} images of a device; change one"
        )


def idle_from(training: Any, rounds: Sequence[int]) -> int | None:
    """The step from which on the learning rate is 0, so that nothing is learnt to the end.

    Args:
        training: the fields of this section.
        rounds: the steps before which rounds are held.

    Returns:
        None where the schedule lasts to the end.
    """
    start = rounds[-1] if rounds and training.restart_each_round else 0
    end = start + training.schedule_steps
    return end if end < training.steps and training.schedule_power else None


def say_pixels(name: str, method: Method) -> None:
    """Says how many pixels people are to answer for every query, if it is more than one.

    Args:
        name: of the method.
        method: whose picks they are.
    """
    side = 2 * method.scoring.squares.label_radius + 1
    if side > 1:
        console.say(
            f"note: annotation.oracle people and method {name}: every query is {side} x {side} = "
            f"{side * side:,} pixels, which people answer one by one; "
            "--config.acquisition.unit=pixel asks about single ones"
        )


def check_budget(
    budget: acquisition.Budget,
    method: Method,
    sizes: Collection[tuple[int, int]],
    rounds: int = 1,
) -> None:
    """Says when the blocking of picks may leave a part of the budget.

    Of images of several sizes, those count in which picks reach least.

    Args:
        budget: of all rounds.
        method: whose picks they are.
        sizes: (height, width) of every native label; of a budget that is a fraction of
            all pixels, each once is enough.
        rounds: how many share it.

    Raises:
        InputError: the budget is not above 0, or above what picks can reach at all; in answers or
            hours, it does not pay for a pick in each round, and image if the allocation is by them.
    """
    reach = {size: acquisition.reach(size, method.scoring.squares) for size in sorted(sizes)}
    (height, width), limits = min(reach.items(), key=lambda found: found[1].most)
    of_pick = method.scoring.squares.pixels
    if budget.unit == "pixels":
        fraction, found = budget.amount, f"{budget.amount:g}"
        most = f"{limits.most:.4g}"
    elif budget.of_pixels:
        fraction, found = budget.fraction(sizes, of_pick), str(budget)
        amount = limits.most / fraction * budget.amount if fraction else 0
        most = budget.words(_digits(amount, math.floor))
    else:
        _check_least(budget, method, sizes, rounds)
        fraction, found = budget.fraction(sizes, of_pick), str(budget)
        picks = limits.most * sum(map(math.prod, sizes)) / of_pick
        most = budget.words(_digits(picks * budget.price(len(sizes)), math.floor))
    if not 0 < fraction <= limits.most:
        raise InputError(
            f"acquisition.budget: {found} found, expected above 0 and at most "
            f"{most}, all that picks of unit {method.scoring.unit} and radius "
            f"{method.scoring.radius} reach in an image of {height} x {width}"
        )
    if fraction > limits.always:
        found += "" if budget.unit == "pixels" else f", {fraction:.2g} of all pixels,"
        console.say(
            f"note: acquisition.budget of {found} is above {limits.always:.2g}: picks block "
            "their surroundings, so some of it may stay unspent; every round says how much"
        )


def _check_least(
    budget: acquisition.Budget, method: Method, sizes: Collection[tuple[int, int]], rounds: int
) -> None:
    """Checks that a budget in answers or hours leaves no round, and no image, without a pick."""
    least, each = rounds, "each round"
    if method.allocation == "per_image":
        # The smallest image gets the fewest.
        smallest = min(map(math.prod, sizes))
        least = -(-rounds * sum(map(math.prod, sizes)) // smallest)
        each = "each image and round"
    if budget.picks(len(sizes)) >= least:
        return
    other = ", or set acquisition.allocation to global" if each != "each round" else ""
    raise InputError(
        f"acquisition.budget: {budget} found, expected at least "
        f"{budget.words(_digits(least * budget.price(len(sizes)), math.ceil))}: {rounds} rounds, "
        f"{len(sizes)} images, a pick or more in {each}, {budget.answers_per_pick} answers a pick; "
        f"raise it, hold fewer rounds{other}"
    )


def _digits(value: float | int, towards: Callable[[float | int], int]) -> float:
    """A number with few digits behind the point, rounded up or down."""
    return towards(round(value * 1000, 3)) / 1000
