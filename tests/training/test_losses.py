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
