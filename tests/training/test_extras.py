"""Accumulated gradients, averaged parameters and augmentation in the step, on a tiny network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny import Tiny

from cbda_jax import models, platform, sharding, training
from cbda_jax.errors import InputError

NO_NEGATIVE = training.LossWeights(negative_learning=0.0)


def _batch(count=8, size=(12, 20)):
    rng = np.random.default_rng(3)

    def examples(void):
        images = rng.integers(0, 256, size=(count, *size, 3), dtype=np.uint8)
        labels = rng.integers(0, 19, size=(count, *size), dtype=np.uint8)
        # Images differ in how much is labelled, so that a mean of means would show.
        chance = np.linspace(void, 1, count)[:, None, None]
        labels[rng.random(labels.shape) < chance] = 255
        return training.Examples(images, labels)

    return training.Batch(examples(0.1), examples(0.5))


def _setup(devices, *, rate=0.3, ema=0.0, weights=NO_NEGATIVE, **settings):
    mesh = sharding.make_mesh(jax.devices()[:devices])
    optimizer = training.create_optimizer(
        "sgd", lambda _: jnp.float32(0.05), head_multiplier=10.0, is_head=models.is_head
    )
    graphdef, state = training.create_state(
        lambda: Tiny(rate=rate, rngs=nnx.Rngs(0)), optimizer, ema=ema > 0
    )
    step = training.make_train_step(
        graphdef, optimizer, mesh, seed=0, weights=weights, ema=ema, **settings
    )
    return mesh, sharding.replicate(mesh, state), step


def _train(devices, batch, *, steps=2, **settings):
    """The states, that of step 0 first, and the losses."""
    mesh, state, step = _setup(devices, **settings)
    batch = sharding.shard_batch(mesh, batch)
    states, losses = [jax.device_get(state)], []
    for _ in range(steps):
        state, found = step(state, batch)
        states.append(jax.device_get(state))
        losses.append(jax.device_get(found))
    assert step._cache_size() == 1
    return states, losses


@pytest.fixture(scope="module")
def whole():
    """Two steps on eight devices, one image of a domain each."""
    return _train(8, _batch())


def _assert_close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


@pytest.mark.parametrize(("devices", "parts"), [(1, 2), (4, 2)])
@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_accumulated_gradients_are_those_of_the_whole_batch(
    whole, devices, parts, backend, monkeypatch
):
    monkeypatch.setattr(platform, "of", lambda mesh: backend)  # a loop, but on CPU
    states, losses = _train(devices, _batch(), accumulate=parts)
    _assert_close(states[-1].params, whole[0][-1].params, rtol=1e-4, atol=1e-6)
    for found, expected in zip(losses, whole[1], strict=True):
        for name in expected.keys() - {"negative_learning"}:
            np.testing.assert_allclose(found[name], expected[name], rtol=2e-5, err_msg=name)


def test_negative_learning_is_the_average_of_the_parts():
    def loss(batch, **settings):
        weights = training.LossWeights()
        _, (losses,) = _train(1, batch, steps=1, rate=0.0, weights=weights, **settings)
        return losses["negative_learning"]

    batch = _batch(2)
    batch.target.image[1] = 128  # flat: no class is unlikely
    first, second = (jax.tree.map(lambda x, i=i: x[i : i + 1], batch) for i in (0, 1))
    expected = (loss(first) + loss(second)) / 2
    np.testing.assert_allclose(loss(batch, accumulate=2), expected, rtol=1e-5)
    assert abs(loss(batch) - expected) > 0.01 * expected


def test_accumulation_takes_less_memory(monkeypatch):
    monkeypatch.setattr(platform, "of", lambda mesh: "gpu")

    def temporaries(parts):
        _, state, step = _setup(1, accumulate=parts)
        compiled = step.lower(state, _batch(8, (64, 96))).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(4) < 0.5 * temporaries(1)


def test_batch_that_cannot_be_cut_is_an_error():
    with pytest.raises(InputError, match="accumulate: 3 found, but every device has 4 images"):
        _train(2, _batch(), accumulate=3)
    with pytest.raises(InputError, match="accumulate: 0 found"):
        _setup(1, accumulate=0)


def test_averaged_parameters_follow_the_recursion(whole):
    states, _ = _train(8, _batch(), ema=0.15)
    average = states[0].params
    for decay, state in zip((1 / 10, 0.15), states[1:], strict=True):  # 2 / 11 is above 0.15
        average = jax.tree.map(
            lambda old, new, d=decay: d * old + (1 - d) * new, average, state.params
        )
        _assert_close(state.ema, average, rtol=1e-5, atol=1e-7)
        assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(state.ema))
    assert states[-1].inference_params is states[-1].ema
    # What is trained is not changed by it.
    plain = whole[0][-1]
    _assert_close(states[-1].params, plain.params, rtol=1e-6)
    assert plain.ema is None
    assert plain.inference_params is plain.params


def test_average_in_the_state_and_its_decay_go_together():
    _, averaged, _ = _setup(1, ema=0.9)
    _, _, step = _setup(1)
    with pytest.raises(ValueError, match="needs both"):
        step(averaged, _batch())
    with pytest.raises(InputError, match=r"ema: 1.0 found, expected a decay below 1"):
        _setup(1, ema=1.0)


def test_augmentation_does_not_depend_on_the_devices(whole):
    augment = training.Augment(colour=0.5, scale=(0.5, 2.0))
    one, eight = (_train(devices, _batch(), augment=augment) for devices in (1, 8))
    for found, expected in zip(one[1], eight[1], strict=True):
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], rtol=2e-5, err_msg=name)
    _assert_close(one[0][-1].params, eight[0][-1].params, rtol=1e-3, atol=1e-5)
    # And it does something.
    assert abs(one[1][0]["loss"] - whole[1][0]["loss"]) > 1e-3


@pytest.mark.parametrize(
    ("augment", "message"),
    [
        (training.Augment(colour=1.5), "colour_jitter: 1.5 found"),
        (training.Augment(scale=(2.0, 0.5)), r"scale_range: \(2.0, 0.5\) found"),
        (training.Augment(scale=(0.0, 1.0)), r"scale_range: \(0.0, 1.0\) found"),
    ],
)
def test_augmentation_out_of_range_is_named(augment, message):
    with pytest.raises(InputError, match=message):
        _setup(1, augment=augment)
