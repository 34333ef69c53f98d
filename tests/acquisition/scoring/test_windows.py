"""Sums and means over clipped windows, against loops over them."""

import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax.acquisition.scoring import windows

SHAPE = (7, 11)


@pytest.mark.parametrize("radius", [0, 1, 2, 5, 32])
def test_sums_are_exact_and_in_the_type_given(radius):
    x = np.random.default_rng(0).integers(0, 9, SHAPE).astype(np.int32)
    for axis in (0, 1):
        lines = np.moveaxis(x, axis, 0)
        expected = [
            lines[max(i - radius, 0) : i + radius + 1].sum(axis=0) for i in range(len(lines))
        ]
        found = windows.window_sum(jnp.asarray(x), radius, axis)
        assert found.dtype == jnp.int32
        np.testing.assert_array_equal(np.moveaxis(np.asarray(found), axis, 0), expected)


@pytest.mark.parametrize("radius", [0, 1, 4, 32])
def test_means_are_over_the_pixels_that_are_there(radius):
    x = np.random.default_rng(1).random(SHAPE, np.float32)
    expected = [
        [
            x[max(i - radius, 0) : i + radius + 1, max(j - radius, 0) : j + radius + 1].mean()
            for j in range(SHAPE[1])
        ]
        for i in range(SHAPE[0])
    ]
    np.testing.assert_allclose(windows.window_mean(jnp.asarray(x), radius), expected, rtol=1e-5)


def test_equal_windows_have_equal_means_to_the_last_bit():
    x = np.tile(np.random.default_rng(2).random((1, 4), np.float32), (7, 5))
    found = np.asarray(windows.window_mean(jnp.asarray(x), 1))[1:-1, 1:-1]
    np.testing.assert_array_equal(found[:, 4:8], found[:, 8:12])
