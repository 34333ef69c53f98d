"""What a field of a config is: its name, default, meaning, what it may hold, when it may change."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from ml_collections import ConfigDict

from cbda_jax.errors import near
from cbda_jax.plugins import is_path

Change = Literal["never", "resume", "evaluate", "extend", "moved"]
"""When a field of a run that has begun may change.

"never"; "resume": whenever the run is started again, as no result depends on it; "extend": with
--extend, which records it; "evaluate": with --extend too, and freely with --mode=evaluate; "moved":
it names a file, which may lie elsewhere if it holds the same.
"""


class Rule(NamedTuple):
    """What a field may hold.

    Attributes:
        expected: in words, for errors and the reference.
        holds: whether a value is allowed.
        known: names that a mistyped one is compared with.
    """

    expected: str
    holds: Callable[[Any], bool]
    known: tuple[str, ...] = ()


@dataclass(frozen=True)
class Field:
    """One field of a config.

    Attributes:
        name: with dots.
        default: a value; a type where nothing is set by default and a value has to be of that type.
        rule: what it may hold.
        meaning: one or two sentences.
        change: when it may change.
    """

    name: str
    default: Any
    rule: Rule
    meaning: str
    change: Change = "never"

    @property
    def is_unset(self) -> bool:
        """Whether the default is that nothing is set."""
        return isinstance(self.default, type)

    @property
    def is_open(self) -> bool:
        """Whether it holds names that are not known beforehand, each with a value."""
        return isinstance(self.default, dict)

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value, "FIELD: FOUND found, expected EXPECTED"; None if nothing."""
        if self.rule.holds(value):
            return None
        # Of "cityscape/val" the name of the data set is compared.
        meant = near(value.partition("/")[0], self.rule.known) if isinstance(value, str) else ""
        return f"{self.name}: {value!r} found, expected {self.rule.expected}{meant}"


# ------------------------------------------------------------------------ rules


def whole(least: int, most: int = 2**31 - 1) -> Rule:
    """A whole number between two, both included."""
    # True is 1 to Python, and a mistake here.
    return Rule(
        f"a whole number from {least} to {most}",
        lambda value: type(value) is int and least <= value <= most,
    )


def number(expected: str, holds: Callable[[float], bool]) -> Rule:
    """A finite number of which something holds."""
    return Rule(expected, lambda value: is_finite(value) and holds(value))


def at_least_0() -> Rule:
    """A finite number of 0 or more."""
    return number("a number of 0 or more", lambda value: value >= 0)


def share() -> Rule:
    """A number from 0 to 1, both included."""
    return number("a number from 0 to 1", lambda value: 0 <= value <= 1)


def decay() -> Rule:
    """A number from 0 to below 1."""
    return number("a number from 0 to below 1", lambda value: 0 <= value < 1)


def switch() -> Rule:
    """True or False."""
    return Rule("True or False", lambda value: type(value) is bool)


def text(expected: str = "a text") -> Rule:
    """A text of any kind."""
    return Rule(expected, lambda value: isinstance(value, str))


def one_of(names: Iterable[str]) -> Rule:
    """One of some names."""
    known = tuple(names)
    # A list has no hash, so no set of names.
    shown = ", ".join(name or '""' for name in known)
    return Rule(f"one of {shown}", lambda value: value in known, known)


def registered(names: Callable[[], Iterable[str]], example: str) -> Rule:
    """A name of an open table, or the import path of what is in none.

    Args:
        names: gives those of the table, as it is when a value is checked.
        example: of an import path.
    """
    known = tuple(names())
    return Rule(
        f"one of {', '.join(known)}, or an import path such as {example}",
        lambda value: isinstance(value, str) and (is_path(value) or value in names()),
        known,
    )


def data_set() -> Rule:
    """DATASET or DATASET/SPLIT; whether there is one of this name depends on the whole config."""
    return Rule(
        "DATASET or DATASET/SPLIT",
        lambda value: isinstance(value, str) and value.partition("/")[0] != "",
    )


def named_values(expected: str) -> Rule:
    """Names with their values, none at first."""
    return Rule(expected, lambda value: isinstance(value, Mapping | ConfigDict))


def several(
    expected: str, each: Callable[[Any], bool], *, least: int = 1, most: int | None = None
) -> Rule:
    """A tuple or list of things of which something holds."""

    def holds(value: Any) -> bool:
        return (
            isinstance(value, tuple | list)
            and least <= len(value) <= (len(value) if most is None else most)
            and all(map(each, value))
        )

    return Rule(expected, holds)


def size() -> Rule:
    """The height and width of an image in pixels."""
    return several(
        "(height, width), whole numbers of 32 to 16384 pixels",
        lambda side: type(side) is int and 32 <= side <= 16384,
        least=2,
        most=2,
    )


def of_method(rule: Rule) -> Rule:
    """As a rule says, or None where the method's own value is meant."""
    return default_of(rule, "the method's")


def default_of(rule: Rule, meant: str) -> Rule:
    """As a rule says, or None, which means something that depends on other fields."""
    return Rule(
        f"{rule.expected}, or None for {meant}",
        lambda value: value is None or rule.holds(value),
        rule.known,
    )


def limit() -> Rule:
    """A ratio of 1 or more, or 0 for none."""
    return number("0 or a number from 1", lambda value: value == 0 or value >= 1)


def is_finite(value: Any) -> bool:
    """Whether a value is a number, and neither infinite nor NaN; True and False are none."""
    return type(value) in (int, float) and math.isfinite(value)
