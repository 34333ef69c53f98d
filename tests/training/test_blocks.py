"""The losses in blocks of rows are those on full-size logits (`training.losses`, golden there)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax import resize
from cbda_jax.training import blocks, losses

# Low-resolution size, size, rows of a block, consistency.
CASES = [
    ((6, 9), (24, 33), None, "l1"),
    ((6, 9), (24, 33), 4, "kl"),
    ((5, 7), (17, 24), 4, "l1"),  # the last block is not full
    ((11, 8), (11, 8), 3, "l1"),  # no enlargement
    ((1, 4), (9, 12), 1, "l1"),  # a single low-resolution row
    ((9, 8), (7, 6), 2, "l1"),  # made smaller
]


def _example(low, size, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    logits = jnp.asarray(2 * rng.normal(size=(2, *low, classes)), jnp.float32)
    labels = rng.integers(0, classes, size=(2, *size), dtype=np.uint8)
    labels[:, : size[0] // 2] = labels[:, :1, :1]
    labels[rng.random(labels.shape) < 0.2] = 255
    return logits, jnp.asarray(labels)


def _full(logits, labels, consistency, threshold, balance=losses.UNBALANCED):
    logits = resize.bilinear(logits, labels.shape[1:])
    means = {"cross_entropy": losses.cross_entropy(logits, labels, balance)}
    if consistency is not None:
        function = getattr(losses, f"local_consistency_{consistency}")
        means["local_consistency"] = function(logits, labels)
    if threshold is not None:
        means["negative_learning"] = losses.negative_learning(logits, threshold)
    return means


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize(("low", "size", "rows", "consistency"), CASES)
def test_every_value_and_gradient(low, size, rows, consistency, platform):
    logits, labels = _example(low, size)

    def evaluate(function):
        """Totals and numbers of terms, and the gradient of every total."""

        def totals(x):
            means = function(x)
            names = ["cross_entropy", "local_consistency", "negative_learning"]
            stacked = jnp.stack([means[name].total for name in names])
            return stacked, (stacked, jnp.stack([means[name].terms for name in names]))

        gradients, found = jax.jit(jax.jacrev(totals, has_aux=True))(logits)
        return *found, gradients

    ours = evaluate(
        lambda x: blocks.block_losses(
            x, labels, consistency=consistency, threshold=0.1, rows=rows, platform=platform
        )
    )
    theirs = evaluate(lambda x: _full(x, labels, consistency, 0.1))
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5)
    np.testing.assert_array_equal(ours[1], theirs[1])
    for found, expected in zip(ours[2], theirs[2], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize(("weighted", "adjusted"), [(True, False), (False, True), (True, True)])
def test_a_balanced_cross_entropy_beside_the_others(weighted, adjusted, platform):
    logits, labels = _example((6, 9), (24, 33))
    balance = losses.LossBalance(
        jnp.asarray([0.1, 0.5, 1.0, 2.0, 4.0], jnp.float32) if weighted else None,
        jnp.asarray([-0.2, -3.0, -1.5, -5.0, -2.0], jnp.float32) if adjusted else None,
    )

    def evaluate(function):
        def loss(x):
            means = function(x)
            return sum((mean.value() for mean in means.values()), jnp.float32(0)), means

        return jax.jit(jax.value_and_grad(loss, has_aux=True))(logits)

    (_, ours), gradient = evaluate(
        lambda x: blocks.block_losses(
            x, labels, threshold=0.1, balance=balance, rows=5, platform=platform
        )
    )
    (_, theirs), expected = evaluate(lambda x: _full(x, labels, None, 0.1, balance))
    for name, mean in theirs.items():
        np.testing.assert_allclose(ours[name].total, mean.total, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(ours[name].terms, mean.terms, rtol=1e-6, err_msg=name)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    plain = losses.cross_entropy(resize.bilinear(logits, labels.shape[1:]), labels)
    assert abs(plain.value() - ours["cross_entropy"].value()) > 1e-3


@pytest.mark.parametrize(("consistency", "threshold"), [("l1", None), (None, 0.1), (None, None)])
def test_only_what_is_asked_for(consistency, threshold):
    logits, labels = _example((6, 9), (24, 33))
    ours = blocks.block_losses(logits, labels, consistency=consistency, threshold=threshold, rows=7)
    theirs = _full(logits, labels, consistency, threshold)
    assert ours.keys() == theirs.keys()
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5)


def test_default_blocks_are_as_many_as_the_size_asks_for(monkeypatch):
    logits, labels = _example((6, 8), (24, 32))
    visited = []
    plan = blocks._blocks
    monkeypatch.setattr(blocks, "_blocks", lambda *args: visited.append(plan(*args)) or visited[-1])
    blocks.block_losses(logits, labels)
    monkeypatch.setattr(blocks, "_ELEMENTS_CPU", 1000)
    blocks.block_losses(logits, labels)
    assert [len(found.first) for found in visited] == [1, 8]  # 2 x 24 x 32 x 5 = 7680


def test_bfloat16_logits_are_computed_in_float32():
    logits, labels = _example((6, 8), (24, 32))
    logits = logits.astype(jnp.bfloat16)

    def value(x):
        return blocks.block_losses(x, labels, rows=5)["cross_entropy"].total

    found, gradient = jax.value_and_grad(value)(logits)
    np.testing.assert_allclose(found, value(logits.astype(jnp.float32)), rtol=1e-6)
    assert gradient.dtype == jnp.bfloat16


def test_nothing_of_full_size_is_kept():
    logits, labels = _example((16, 32), (128, 256), classes=19)

    def temporaries(function):
        def loss(x):
            means = function(x)
            return sum((mean.value() for mean in means.values()), jnp.float32(0))

        compiled = jax.jit(jax.grad(loss)).lower(logits).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    for consistency, threshold in (("l1", None), (None, 0.05)):
        full = temporaries(lambda x, c=consistency, t=threshold: _full(x, labels, c, t))
        ours = temporaries(
            lambda x, c=consistency, t=threshold: blocks.block_losses(
                x, labels, consistency=c, threshold=t, rows=8
            )
        )
        assert full > labels.size * 19 * 4  # at least the full-size logits
        assert ours < full / 5
