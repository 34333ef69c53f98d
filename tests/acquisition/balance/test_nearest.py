import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax.acquisition import prototypes
from cbda_jax.acquisition.balance.nearest import discriminants
from cbda_jax.errors import InputError


def softmax(logits):
    powers = np.exp(np.asarray(logits, np.float64))
    return powers / powers.sum(-1, keepdims=True)


def test_prototypes_are_smoothed_means():
    rng = np.random.default_rng(0)
    answered = rng.integers(0, 3, 50)
    found = softmax(rng.normal(size=(50, 4)))
    sums = np.zeros((4, 4))
    np.add.at(sums, answered, found)
    means = prototypes(sums, np.bincount(answered, minlength=4), strength=2.0)
    assert means.dtype == np.float32
    for t in range(4):
        own = [*found[answered == t], *[np.eye(4)[t]] * 2]
        np.testing.assert_allclose(means[t], np.mean(own, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(means[3], [0, 0, 0, 1])


def test_the_largest_discriminant_is_of_the_nearest_prototype():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(20, 30, 5), scale=2).astype(np.float32)
    means = softmax(rng.normal(size=(5, 5)) + 2 * np.eye(5)).astype(np.float32)
    found = np.asarray(jax.jit(discriminants)(jnp.asarray(logits), jnp.asarray(means)))
    distance = ((softmax(logits)[:, :, None] - means) ** 2).sum(-1)
    np.testing.assert_array_equal(found.argmax(-1), distance.argmin(-1))
    length = (softmax(logits) ** 2).sum(-1)
    np.testing.assert_allclose(length[..., None] - found, distance, atol=1e-5)


def test_without_answers_the_prediction_is_believed():
    logits = np.random.default_rng(2).normal(size=(9, 9, 6)).astype(np.float32)
    means = prototypes(np.zeros((6, 6)), np.zeros(6, np.int64))
    found = discriminants(jnp.asarray(logits), jnp.asarray(means))
    np.testing.assert_array_equal(np.asarray(found).argmax(-1), logits.argmax(-1))


def test_smoothing_must_be_above_0():
    with pytest.raises(InputError, match="smoothing of prototypes by 0"):
        prototypes(np.zeros((2, 2)), np.zeros(2, np.int64), strength=0.0)
