"""Fields and rules: what they hold, and how a value that they do not is told."""

import math

import pytest

from cbda_jax import fields
from cbda_jax.fields import Field


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (fields.whole(1, 3), (1, 3), (0, 4, True, 2.0, "2", None)),
        (fields.at_least_0(), (0, 0.5, 1e38), (-1e-9, math.inf, math.nan, True, "1", None)),
        (fields.decay(), (0, 0.999), (1, -0.1, math.nan)),
        (fields.limit(), (0, 1, 7.5), (0.5, -1, math.inf)),
        (fields.switch(), (True, False), (0, 1, "True", None)),
        (fields.text(), ("", "a"), (3, None, ("a",))),
        (fields.one_of(("a", "b")), ("a", "b"), ("c", "", None, ["a"])),
        (fields.registered(lambda: ("a",), "m:x"), ("a", "my:own"), ("b", "", 3, None)),
        (fields.several("words", str.isalpha), (("a",), ["a", "b"]), ((), ("1",), "ab", None)),
        (fields.several("two", str.isalpha, least=2, most=2), (("a", "b"),), (("a",), ("a",) * 3)),
        (fields.size(), ((32, 16384), [64, 64]), ((31, 64), (64,), (64, 64.0), (True, 64), 64)),
        (fields.of_method(fields.whole(0)), (None, 3), (-1, "3")),
    ],
)
def test_rules(rule, good, bad):
    field = Field("some.field", None, rule, "What it means.")
    for value in good:
        assert field.problem(value) is None
    for value in bad:
        told = field.problem(value)
        assert told.startswith(f"some.field: {value!r} found, expected {rule.expected}")


def test_the_nearest_name_is_suggested():
    field = Field("some.field", "first", fields.one_of(("first", "second")), "What it means.")
    assert field.problem("frist") == (
        "some.field: 'frist' found, expected one of first, second; did you mean 'first'?"
    )
    assert field.problem("frist/of") == (
        "some.field: 'frist/of' found, expected one of first, second; did you mean 'first'?"
    )
    assert field.problem("third").endswith("first, second")


def test_defaults_may_be_unset_or_open():
    rule = fields.text()
    assert Field("a", str, rule, "Unset.").is_unset
    assert not Field("a", "", rule, "Set.").is_unset
    assert Field("a", {}, rule, "Open.").is_open
    assert not Field("a", (), rule, "Set.").is_open


def test_an_open_table_is_asked_when_a_value_is_checked():
    table = {"a": 1}
    rule = fields.registered(lambda: table, "m:x")
    assert not rule.holds("b")
    table["b"] = 2
    assert rule.holds("b")
