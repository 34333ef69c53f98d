"""The range of every number, size and switch of a config, checked before anything starts.

Names (method, network, optimizer, ...) are checked where they are looked up.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from cbda_jax.errors import InputError

_ABSENT = "nothing"


class Rule(NamedTuple):
    """What a field may hold.

    Attributes:
        field: its name, with dots.
        expected: the same in words.
        holds: whether a value is allowed.
    """

    field: str
    expected: str
    holds: Callable[[Any], bool]


def _whole(field: str, least: int, most: int = 2**31 - 1) -> Rule:
    return Rule(
        field,
        f"a whole number from {least} to {most}",
        # True is 1 to Python, and a mistake here.
        lambda value: type(value) is int and least <= value <= most,
    )


def _number(field: str, expected: str, holds: Callable[[float], bool] = lambda _: True) -> Rule:
    return Rule(field, expected, lambda value: _finite(value) and holds(value))


def _finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _at_least_0(field: str) -> Rule:
    return _number(field, "a number of 0 or more", lambda value: value >= 0)


def _switch(field: str) -> Rule:
    return Rule(field, "True or False", lambda value: type(value) is bool)


def _several(
    field: str, expected: str, each: Callable[[Any], bool], *, length: int | None = None
) -> Rule:
    def holds(value: Any) -> bool:
        return (
            isinstance(value, tuple | list)
            and (len(value) == length if length else len(value) > 0)
            and all(map(each, value))
        )

    return Rule(field, expected, holds)


def _of_method(field: str, expected: str, holds: Callable[[Any], bool]) -> Rule:
    return Rule(
        field,
        f"{expected}, or None for the method's",
        lambda value: value is None or holds(value),
    )


def _limit(field: str) -> Rule:
    return _of_method(
        field,
        "0 or a number from 1",
        lambda value: _finite(value) and (value == 0 or value >= 1),
    )


def _size(field: str) -> Rule:
    return _several(
        field,
        "(height, width), whole numbers of 32 to 16384 pixels",
        lambda side: type(side) is int and 32 <= side <= 16384,
        length=2,
    )


RULES = (
    _whole("seed", 0),
    _size("data.source_size"),
    _size("data.target_size"),
    _whole("data.source_batch", 1),
    _whole("data.target_batch", 1),
    _switch("data.flip"),
    _number("data.rare_class_temperature", "a number above 0", lambda value: value > 0),
    _switch("data.source_free"),
    _whole("data.threads", 1, 1024),
    _whole("training.steps", 1),
    _at_least_0("training.learning_rate"),
    _at_least_0("training.head_multiplier"),
    _number("training.momentum", "a number from 0 to below 1", lambda value: 0 <= value < 1),
    _at_least_0("training.weight_decay"),
    _whole("training.schedule_steps", 1),
    _at_least_0("training.schedule_power"),
    _whole("training.warmup", 0),
    _switch("training.restart_each_round"),
    _whole("training.accumulate", 1),
    _number("training.ema", "a number from 0 to below 1", lambda value: 0 <= value < 1),
    _number("training.colour_jitter", "a number from 0 to 1", lambda value: 0 <= value <= 1),
    Rule(
        "training.scale_range",
        "two numbers above 0, the smaller first",
        lambda value: (
            isinstance(value, tuple | list)
            and len(value) == 2
            and all(map(_finite, value))
            and 0 < value[0] <= value[1]
        ),
    ),
    _at_least_0("training.source_weight"),
    _at_least_0("training.target_weight"),
    _at_least_0("training.consistency_weight"),
    _at_least_0("training.negative_weight"),
    _number(
        "training.negative_threshold",
        "a number above 0 and below 1",
        lambda value: 0 < value < 1,
    ),
    # What picks can reach depends on the method and the images; see `assembly.check_budget`.
    _number("acquisition.budget", "a number from 0 to 1", lambda value: 0 <= value <= 1),
    Rule(
        "acquisition.rounds",
        "whole numbers, the steps before which rounds are held",
        lambda value: isinstance(value, tuple | list) and all(type(at) is int for at in value),
    ),
    _of_method(
        "acquisition.radius",
        "a whole number from 0 to 512",
        lambda value: type(value) is int and 0 <= value <= 512,
    ),
    _limit("acquisition.weight_ratio"),
    _of_method(
        "acquisition.balance_from",
        "a whole number from 1 to 1000",
        lambda value: type(value) is int and 1 <= value <= 1000,
    ),
    _limit("acquisition.image_cap"),
    _of_method(
        "acquisition.impurity_floor",
        "a number from 0 to 1",
        lambda value: _finite(value) and 0 <= value <= 1,
    ),
    _switch("acquisition.clamp_impurity"),
    _whole("acquisition.batch_per_device", 1),
    _whole("evaluation.every", 0),
    _switch("evaluation.flip"),
    _several(
        "evaluation.scales",
        "at least one number, all above 0",
        lambda scale: _finite(scale) and scale > 0,
    ),
    _whole("evaluation.batch_per_device", 1),
    _whole("checkpoint.every", 1),
    _whole("checkpoint.keep", 1),
    _whole("report.log_every", 1),
    _whole("report.gallery", 0),
)
"""All of them, in the order of `configs/common.py`."""


def check(config: Any) -> None:
    """Checks every number, size and switch of a config.

    Args:
        config: an `ml_collections.ConfigDict`; see `configs/common.py`.

    Raises:
        InputError: naming every field that is out of its range, or not there.
    """
    problems = [
        f"{rule.field}: {value if value is _ABSENT else repr(value)} found, expected "
        f"{rule.expected}"
        for rule in RULES
        if (value := _value(config, rule.field)) is _ABSENT or not rule.holds(value)
    ]
    problems += _contradictions(config) if not problems else ()
    if problems:
        raise InputError(f"{'; '.join(problems)}; correct the config, or set --config.FIELD=VALUE")


def _contradictions(config: Any) -> Iterable[str]:
    if config.training.warmup > config.training.schedule_steps:
        yield (
            f"training.warmup: {config.training.warmup} steps found, expected at most "
            f"training.schedule_steps, {config.training.schedule_steps}"
        )


def _value(config: Any, field: str) -> Any:
    for part in field.split("."):
        if part not in config:
            return _ABSENT
        config = config[part]
    return config
