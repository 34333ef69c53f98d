"""p values against tables, brute force and definitions."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from cbda_jax.sweep.significance import MOST_FLIPS, holm, paired_t, sign_flips


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 9, 12])
def test_the_t_test_is_that_of_scipy(n):
    rng = np.random.default_rng(n)
    for shift in (0.0, 0.5, 3.0, -20.0):
        differences = rng.normal(shift, 1, n).tolist()
        expected = stats.ttest_1samp(differences, 0).pvalue
        np.testing.assert_allclose(paired_t(differences), expected, rtol=1e-9, atol=1e-13)


def test_the_t_test_of_nothing_to_test():
    assert math.isnan(paired_t([]))
    assert math.isnan(paired_t([0.3]))
    assert paired_t([0.0, 0.0, 0.0]) == 1
    assert paired_t([0.5, 0.5]) == 0


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_sign_flips_are_all_of_them(n):
    rng = np.random.default_rng(n)
    for _ in range(5):
        # Few values, so that sums tie.
        differences = rng.integers(-3, 4, n) / 10
        flipped = [abs(np.dot(s, differences)) for s in itertools.product((1, -1), repeat=n)]
        expected = np.mean(np.array(flipped) >= abs(differences.sum()) - 1e-12)
        assert sign_flips(differences.tolist()) == expected


def test_the_smallest_p_of_n_pairs():
    assert sign_flips([0.1, 0.2, 0.3]) == 0.25
    assert sign_flips([0.1, 0.2, 0.3, 0.1, 0.7]) == 0.0625
    assert sign_flips([0.0, 0.0]) == 1
    assert math.isnan(sign_flips([]))
    assert math.isnan(sign_flips([0.1] * (MOST_FLIPS + 1)))


def test_looks_are_counted():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    found = holm([0.02, math.nan, 0.5])
    assert found[0] == 0.04
    assert math.isnan(found[1])
    assert found[2] == 0.5
    assert holm([]) == []
