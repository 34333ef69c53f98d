"""A config from its fields: made, changed by an argument, and checked."""

import copy
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import ml_collections
from ml_collections import config_dict

from cbda_jax import acquisition
from cbda_jax.config import data_sets
from cbda_jax.config.class_weights import class_weights_of
from cbda_jax.config.fields import FIELDS
from cbda_jax.config.rules import Field
from cbda_jax.errors import InputError, near
from cbda_jax.methods import METHODS

ARGUMENTS = {
    "method": "method",
    "network": "network",
    "seed": "seed",
    "budget": "acquisition.budget",
    "steps": "training.steps",
    "class_balance": "acquisition.class_balance",
    "allocation": "acquisition.allocation",
    "pretrained": "pretrained",
    "dtype": "dtype",
}
"""Short names for `--config=FILE:name=value,name=value`."""


def base() -> ml_collections.ConfigDict:
    """A config with every field at its default."""
    config: Any = ml_collections.ConfigDict()
    for field in FIELDS.values():
        *sections, name = field.name.split(".")
        holder: Any = config
        for section in sections:
            if section not in holder:
                holder[section] = ml_collections.ConfigDict()
            holder = holder[section]
        holder[name] = _start(field)
    config.data.dir = os.environ.get("TFDS_DATA_DIR", config.data.dir)
    return config


def _start(field: Field) -> Any:
    if field.is_unset:
        return config_dict.placeholder(field.default)
    return ml_collections.ConfigDict(field.default) if field.is_open else field.default


def field_of(name: str) -> Field | None:
    """The field of a name with dots, or the open one that the name is within; None if none is."""
    if name in FIELDS:
        return FIELDS[name]
    # An open field may hold names within names, and names with dots.
    ends = (i for i, letter in enumerate(name) if letter == ".")
    holders = (FIELDS.get(name[:end]) for end in ends)
    return next((field for field in holders if field is not None and field.is_open), None)


def flat(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """The values of all fields, by their names with dots."""
    values = {}
    for name, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            values |= {f"{name}.{inner}": found for inner, found in flat(value).items()}
        else:
            values[name] = value
    return values


def method_of(config: Any) -> str:
    """The name of the method that a config means, whether it names one or not."""
    if config.method is not None:
        return config.method
    return "ripu_pixel" if config.annotation.oracle == "people" else "cbda"


def settled(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """A copy of a checked config that leaves nothing open which depends on other fields."""
    found = copy.deepcopy(config)
    found.method = method_of(config)
    return found


# ----------------------------------------------------------------------- checks


def check(config: Any) -> None:
    """Checks all that a config says by itself: that nothing is missing, unknown or out of range.

    What its method makes of it is for `methods` to say; which files it names, for `run.checks`.

    Args:
        config: an `ml_collections.ConfigDict`, of `base`.

    Raises:
        InputError: naming every field that is wrong, in one line.
    """
    problems = [*_wrong(config)]
    problems = problems or [*_contradictions(config)]
    if problems:
        raise InputError(f"{'; '.join(problems)}; correct the config, or set --config.FIELD=VALUE")


def _wrong(config: Any) -> Iterator[str]:
    for field in FIELDS.values():
        holder = config
        *sections, name = field.name.split(".")
        for section in sections:
            holder = holder.get(section, {})
        if name not in holder:
            yield f"{field.name}: nothing found, expected {field.rule.expected}"
        elif problem := field.problem(holder[name]):
            yield problem
    for name in flat(config):
        if field_of(name) is None:
            yield f"{name}: unknown field found, expected one that exists{near(name, FIELDS)}"


def _contradictions(config: Any) -> Iterator[str]:
    training, rounds = config.training, tuple(config.acquisition.rounds)
    if training.warmup > training.schedule_steps:
        yield (
            f"training.warmup: {training.warmup} steps found, expected at most "
            f"training.schedule_steps, {training.schedule_steps}"
        )
    if config.acquisition.budget_in == "pixels" and config.acquisition.budget > 1:
        yield (
            f"acquisition.budget: {config.acquisition.budget!r} found, expected a number from 0 to "
            f"1, a fraction of all pixels, or a unit, such as {acquisition.BUDGET_EXAMPLES}"
        )
    if config.acquisition.budget_in == "pixels_per_image" and config.acquisition.budget < 1:
        yield (
            f"acquisition.budget: {config.acquisition.budget!r} pixels an image found, expected 1 "
            f"or more, or another unit, such as {acquisition.BUDGET_EXAMPLES}"
        )
    yield from data_sets.problems(config)
    try:
        class_weights_of(config)
    except InputError as error:
        yield str(error)
    # Random weights have nothing to say; pretrained ones may.
    first, last = (0 if config.pretrained else 1), training.steps - 1
    increasing = all(a < b for a, b in itertools.pairwise(rounds))
    within = rounds and first <= rounds[0] <= rounds[-1] <= last
    if METHODS[method_of(config)].acquires and not (increasing and within):
        yield (
            f"acquisition.rounds: {rounds} found, expected increasing steps from {first} to {last} "
            "(training.steps - 1)"
        )


# -------------------------------------------------------------------- arguments


def budget_fields(text: str) -> dict[str, float | str]:
    """The fields of a budget as people say it, "5%" or "40px": what is the same has the same.

    A number alone leaves `acquisition.budget_in` as it is.

    Raises:
        InputError: it is not understood; see `acquisition.read_budget`.
    """
    amount, unit = acquisition.read_budget(text)
    fields: dict[str, float | str] = {"acquisition.budget": amount}
    return fields if unit is None else {**fields, "acquisition.budget_in": unit}


def apply_argument(
    config: ml_collections.ConfigDict,
    argument: str | None,
    recipe: Callable[[ml_collections.ConfigDict], None] = lambda _: None,
) -> None:
    """Applies `name=value,name=value` of `--config=FILE:...`; names are those of `ARGUMENTS`.

    Args:
        config: changed in place.
        argument: what stands behind the colon, if anything.
        recipe: changes the config once the network is known; what is asked for wins over it.

    Raises:
        ValueError: unknown name, or a value of the wrong type.
    """
    _apply(config, argument)  # the recipe depends on the network that is asked for
    recipe(config)
    _apply(config, argument)


def _apply(config: ml_collections.ConfigDict, argument: str | None) -> None:
    for part in (argument or "").split(","):
        if not part:
            continue
        name, equals, value = part.partition("=")
        if not equals or name not in ARGUMENTS:
            raise ValueError(
                f"config argument {part!r} found, expected name=value with name one of "
                f"{', '.join(ARGUMENTS)}{near(name, ARGUMENTS)} "
                "(other fields: --config.FIELD=VALUE)"
            )
        if name == "budget":
            try:
                config.update_from_flattened_dict(budget_fields(value))
            except InputError as error:
                raise ValueError(f"config argument {part!r}: {error}") from error
            continue
        default = FIELDS[ARGUMENTS[name]].default
        kind = default if isinstance(default, type) else type(default)
        try:
            converted = kind(value)
        except ValueError as error:
            raise ValueError(
                f"config argument {part!r} found, expected a value of type {kind.__name__}"
            ) from error
        config.update_from_flattened_dict({ARGUMENTS[name]: converted})
