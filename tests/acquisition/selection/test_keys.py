"""Scores as integers: the same order, and the same bits back."""

import jax.numpy as jnp
import numpy as np

from cbda_jax.acquisition.selection import keys

SCORES = np.array(
    [-np.inf, -3.4e38, -1.5, -1e-45, -0.0, 0.0, 1e-45, 1e-38, 1.5, 3.4e38, np.inf], np.float32
)


def test_keys_order_as_scores_do_denormals_included():
    found = np.asarray(keys.to_key(jnp.asarray(SCORES)))
    assert found.dtype == np.int32
    assert found[0] == keys.LOWEST
    zero = 4
    assert found[zero] == found[zero + 1]
    assert (np.diff(np.delete(found, zero)) > 0).all()


def test_scores_come_back_bit_for_bit():
    made = keys.to_key(jnp.asarray(SCORES))
    expected = (SCORES + np.float32(0)).view(np.int32)
    expected[4] = 0
    expected[[3, 6, 7]] = SCORES[[3, 6, 7]].view(np.int32)
    for found in (np.asarray(keys.from_key(made)), keys.from_key_host(np.asarray(made))):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found.view(np.int32), expected)
