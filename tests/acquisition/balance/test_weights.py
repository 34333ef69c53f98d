import sys
import types

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cbda_jax.acquisition.balance.weights import (
    SCHEMES,
    class_quota,
    class_weights,
    clip_weights,
    register_scheme,
)
from cbda_jax.errors import InputError

LONG_TAIL = np.array([900_000, 90_000, 9_000, 900, 90, 0])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rarer_classes_weigh_more_and_the_mean_is_one(scheme):
    weight = class_weights(LONG_TAIL, scheme)
    assert weight.dtype == np.float32
    assert np.isfinite(weight).all()
    assert weight.mean() == pytest.approx(1, abs=1e-6)
    assert (np.diff(weight) > -1e-6).all()
    assert weight[-1] > weight[0] * 1.5


@pytest.mark.parametrize("scheme", SCHEMES)
def test_no_labels_and_equal_labels_give_ones(scheme):
    np.testing.assert_array_equal(class_weights(np.zeros(19, int), scheme), 1)
    np.testing.assert_allclose(class_weights(np.full(19, 7), scheme), 1, rtol=1e-6)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_single_labelled_pixel(scheme):
    weight = class_weights(np.array([0, 1, 0]), scheme)
    assert np.isfinite(weight).all()
    assert weight[0] == weight[2] > weight[1] > 0


def test_formulas():
    n = np.array([600, 300, 100])
    p = n / n.sum()

    def proportional(weight, formula):
        np.testing.assert_allclose(weight, formula / formula.mean(), rtol=1e-5)

    proportional(class_weights(n, "exp"), np.exp(-p))
    proportional(class_weights(n, "inverse_log"), 1 / np.log(1.02 + p))
    tiny = 1e-12
    proportional(class_weights(n, "inverse_power", prior=tiny), 1 / p)
    proportional(class_weights(n, "inverse_power", power=0.5, prior=tiny), p**-0.5)
    proportional(class_weights(n, "median_frequency", prior=tiny), 0.3 / p)
    proportional(class_weights(n, "effective_number", beta=0.99, prior=tiny), 0.01 / (1 - 0.99**n))
    assert class_weights(n, "effective_number", beta=0.0) == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scheme": "inverse_powr"}, "did you mean 'inverse_power'"),
        ({"scheme": "exp", "counts": np.array([3, -1])}, "-1 of class 1"),
        ({"scheme": "exp", "prior": 0.1}, "'prior' found with class_balance 'exp', expected noth"),
        ({"scheme": "inverse_power", "prior": 0.0}, "prior 0 found, expected a number above 0"),
        ({"scheme": "inverse_power", "power": -1.0}, "power -1 found, expected a number of 0 or"),
        ({"scheme": "effective_number", "beta": 1.0}, "beta 1 found, expected a number from 0 to"),
        ({"scheme": "effective_number", "betta": 0.5}, "some of beta, prior; did you mean 'beta'"),
        ({"scheme": "math:pi"}, "'math:pi' found, a float, expected a function"),
        (
            {"scheme": "math:pie"},
            "expected an object of the module math; did you mean 'pi'",
        ),
    ],
)
def test_bad_input_is_one_line(arguments, message):
    arguments = {"counts": np.array([1, 2]), **arguments}
    with pytest.raises(InputError, match=message) as error:
        class_weights(arguments.pop("counts"), **arguments)
    assert "\n" not in str(error.value)


def test_clipped_weights():
    weights = np.array([0.25, 1, 1, 4], np.float32)  # geometric mean 1
    clipped = clip_weights(weights, 4.0)
    np.testing.assert_allclose(clipped, np.array([0.5, 1, 1, 2]) / 1.125, rtol=1e-6)
    assert clipped.dtype == np.float32
    assert clip_weights(weights, 16.0) is weights
    np.testing.assert_array_equal(clip_weights(weights, 1.0), 1)
    with pytest.raises(InputError, match=r"ratio 0.5: expected 1 or more"):
        clip_weights(weights, 0.5)


def one_at_a_time(counts, available, budget):
    quota = np.zeros_like(counts)
    for _ in range(budget):
        total = np.where(quota < available, counts + quota, np.iinfo(np.int64).max)
        if (quota >= available).all():
            break
        quota[total.argmin()] += 1
    return quota


numbers = st.lists(
    st.tuples(st.integers(0, 30) | st.just(5), st.integers(0, 30)), min_size=1, max_size=8
)


@settings(max_examples=300, deadline=None)
@given(numbers, st.integers(0, 200))
def test_quota_equals_giving_one_after_the_other(pairs, budget):
    counts, available = np.array(pairs, np.int64).T
    quota = class_quota(counts, available, budget)
    np.testing.assert_array_equal(quota, one_at_a_time(counts, available, budget))
    assert quota.sum() == min(budget, available.sum())


def test_quota_of_large_numbers():
    counts = np.array([10**12, 0, 5])
    quota = class_quota(counts, np.array([10**12, 10**11, 3]), 2 * 10**11)
    np.testing.assert_array_equal(quota, [10**11 - 3, 10**11, 3])


def test_quota_of_bad_numbers():
    with pytest.raises(InputError, match="available: -2 of class 0"):
        class_quota(np.array([1]), np.array([-2]), 3)
    with pytest.raises(InputError, match="budget of -1"):
        class_quota(np.array([1]), np.array([2]), -1)


def test_a_scheme_by_import_path_and_by_name(monkeypatch):
    def squares(counts, *, power=2.0):
        return 1 / (1 + counts) ** power

    module = types.ModuleType("a_users_schemes")
    module.squares = squares  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "a_users_schemes", module)
    found = class_weights(LONG_TAIL, "a_users_schemes:squares", power=1.0)
    expected = 1 / (1 + LONG_TAIL)
    np.testing.assert_allclose(found, expected / expected.mean(), rtol=1e-6)
    with pytest.raises(InputError, match=r"'beta' found.*expected some of power"):
        class_weights(LONG_TAIL, "a_users_schemes:squares", beta=1.0)
    register_scheme("squares")(squares)
    try:
        np.testing.assert_array_equal(class_weights(LONG_TAIL, "squares", power=1.0), found)
        with pytest.raises(InputError, match="class balance 'squares': a taken name found"):
            register_scheme("squares", lambda counts: counts)
    finally:
        del SCHEMES["squares"]


@pytest.mark.parametrize(
    "scheme", [lambda counts: counts, lambda counts: 1 / counts, lambda counts: counts[:2]]
)
def test_a_scheme_that_gives_no_weights_is_one_line(scheme, monkeypatch):
    monkeypatch.setitem(SCHEMES, "mine", scheme)
    with np.errstate(divide="ignore"), pytest.raises(InputError, match="finite weights above 0"):
        class_weights(np.array([3, 0, 1]), "mine")
