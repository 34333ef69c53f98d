"""Squares around pixels, against loops over them."""

import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax.acquisition.selection import squares

SHAPE = (9, 13)


@pytest.mark.parametrize("radius", [0, 1, 3, 20])
@pytest.mark.parametrize("axis", [0, 1])
def test_maxima_before_and_after_each_element(radius, axis):
    x = np.random.default_rng(0).integers(-50, 50, SHAPE).astype(np.int32)
    before, after = squares.neighbours(jnp.asarray(x), radius, axis, empty=-99)
    lines, ahead, behind = (np.moveaxis(np.asarray(y), axis, 0) for y in (x, after, before))
    for i in range(len(lines)):
        expected = np.max(lines[max(i - radius, 0) : i], axis=0, initial=-99)
        np.testing.assert_array_equal(behind[i], expected)
        expected = np.max(lines[i + 1 : i + 1 + radius], axis=0, initial=-99)
        np.testing.assert_array_equal(ahead[i], expected)


@pytest.mark.parametrize("radius", [0, 1, 4])
def test_blocked_is_the_square_clipped_at_the_border(radius):
    row, col = np.array([0, 5, 8, -1], np.int32), np.array([0, 6, 12, 3], np.int32)
    expected = np.zeros(SHAPE, bool)
    for r, c in zip(row[:3], col[:3], strict=True):
        expected[max(r - radius, 0) : r + radius + 1, max(c - radius, 0) : c + radius + 1] = True
    found = squares.blocked_mask(jnp.asarray(row), jnp.asarray(col), SHAPE, radius)
    np.testing.assert_array_equal(found, expected)
    # Those of before stay.
    before = jnp.zeros(SHAPE, bool).at[4, 0].set(True)
    expected[4, 0] = True
    found = squares.block(before, jnp.asarray(row), jnp.asarray(col), radius)
    np.testing.assert_array_equal(found, expected)
