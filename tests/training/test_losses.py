import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax.training import losses

NAMES = ["cross_entropy", "local_consistency_l1", "local_consistency_kl", "negative_learning"]


def _loss(name, labels):
    if name == "negative_learning":
        return lambda logits: losses.negative_learning(logits, 0.05).value()
    return lambda logits: getattr(losses, name)(logits, labels).value()


@pytest.mark.parametrize("name", NAMES)
def test_value_and_gradient_are_the_references(name, golden):
    arrays = golden("losses")
    logits = jnp.asarray(arrays["logits"].transpose(0, 2, 3, 1))
    labels = jnp.asarray(arrays["labels"].astype(np.uint8))
    value, gradient = jax.jit(jax.value_and_grad(_loss(name, labels)))(logits)
    np.testing.assert_allclose(value, arrays[name], rtol=1e-5)
    expected = arrays[f"{name}_grad"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def _balanced(logits, labels, weights, offsets):
    """The balanced cross entropy and its gradient, pixel by pixel, in float64."""
    total, terms, gradient = 0.0, 0.0, np.zeros(logits.shape)
    for place in np.argwhere(labels != 255):
        own = labels[tuple(place)]
        adjusted = logits[tuple(place)].astype(np.float64) + offsets
        probability = np.exp(adjusted - adjusted.max())
        probability /= probability.sum()
        total -= weights[own] * np.log(probability[own])
        terms += weights[own]
        gradient[tuple(place)] = weights[own] * (probability - np.eye(len(weights))[own])
    return total / terms, gradient / terms


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("adjusted", [False, True])
def test_a_balanced_cross_entropy_is_the_slow_one(weighted, adjusted):
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(2, 5, 6, 4)).astype(np.float32)
    labels = rng.choice([0, 0, 0, 1, 2, 255], size=(2, 5, 6)).astype(np.uint8)
    weights = np.array([0.02, 0.5, 3.0, 7.0], np.float32)  # any scale
    offsets = losses.logit_offsets(np.array([90, 9, 1, 0]), 1.0)
    balance = losses.LossBalance(
        jnp.asarray(weights) if weighted else None, jnp.asarray(offsets) if adjusted else None
    )

    def loss(x):
        return losses.cross_entropy(x, jnp.asarray(labels), balance).value()

    value, gradient = jax.jit(jax.value_and_grad(loss))(jnp.asarray(logits))
    expected = _balanced(
        logits, labels, weights if weighted else np.ones(4), offsets if adjusted else np.zeros(4)
    )
    np.testing.assert_allclose(value, expected[0], rtol=1e-5)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-4, atol=1e-7)


def test_a_single_label_of_a_small_weight_counts_whole():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(1, 2, 3, 3)), jnp.float32)
    labels = jnp.full((1, 2, 3), 255, jnp.uint8).at[0, 1, 1].set(0)
    balance = losses.LossBalance(jnp.asarray([0.001, 1.0, 2.0], jnp.float32))
    found = losses.cross_entropy(logits, labels, balance).value()
    np.testing.assert_allclose(found, losses.cross_entropy(logits, labels).value(), rtol=1e-6)


def test_offsets_are_logarithms_of_shares():
    found = losses.logit_offsets(np.array([60, 30, 10, 0]), 2.0)
    share = np.array([60.25, 30.25, 10.25, 0.25]) / 101
    np.testing.assert_allclose(found, 2 * np.log(share), rtol=1e-6)


def test_nothing_labelled_is_zero_and_has_no_gradient():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(1, 4, 5, 3)), jnp.float32)
    labels = jnp.full((1, 4, 5), 255, jnp.uint8)
    for name in NAMES[:3]:
        value, gradient = jax.jit(jax.value_and_grad(_loss(name, labels)))(logits)
        assert value == 0
        assert not np.any(gradient)


def test_boundary_is_where_the_eight_neighbours_differ():
    labels = np.zeros((1, 5, 6), np.uint8)
    labels[0, 2, 2] = 1
    expected = np.zeros((1, 5, 6), bool)
    expected[0, 1:4, 1:4] = True
    np.testing.assert_array_equal(losses.label_boundary(jnp.asarray(labels)), expected)


def test_border_counts_as_boundary_except_of_class_0():
    boundary = losses.label_boundary
    ones = np.asarray(boundary(jnp.ones((1, 4, 4), jnp.uint8)))
    assert ones[0, 0].all()
    assert not ones[0, 1:-1, 1:-1].any()
    assert not boundary(jnp.zeros((1, 4, 4), jnp.uint8)).any()


def test_a_batch_in_parts_is_the_batch():
    rng = np.random.default_rng(1)
    logits = jnp.asarray(rng.normal(size=(4, 6, 7, 5)), jnp.float32)
    labels = jnp.asarray(rng.choice([0, 1, 2, 3, 4, 255], size=(4, 6, 7)).astype(np.uint8))
    whole = losses.cross_entropy(logits, labels)
    parts = [losses.cross_entropy(logits[i : i + 2], labels[i : i + 2]) for i in (0, 2)]
    np.testing.assert_allclose(
        whole.value(), sum(p.total for p in parts) / sum(p.terms for p in parts), rtol=1e-6
    )
