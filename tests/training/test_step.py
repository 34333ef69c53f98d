import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from tiny import Tiny

from cbda_jax import models, sharding, training
from cbda_jax.errors import InputError


def _batch(source=8, target=8, size=(16, 24)):
    rng = np.random.default_rng(3)

    def labels(count, void):
        values = rng.integers(0, 19, size=(count, *size), dtype=np.uint8)
        values[rng.random(values.shape) < void] = 255
        return values

    def examples(count, void):
        images = rng.integers(0, 256, size=(count, *size, 3), dtype=np.uint8)
        return training.Examples(images, labels(count, void))

    return training.Batch(examples(source, 0.1), examples(target, 0.9))


def _tiny():
    return Tiny(rate=0.3, rngs=nnx.Rngs(0))


def _setup(devices, create_model=_tiny, **settings):
    mesh = sharding.make_mesh(jax.devices()[:devices])
    optimizer = training.create_optimizer(
        "sgd",
        training.poly_schedule(0.05, power=0.9, steps=100),
        head_multiplier=10.0,
        is_head=models.is_head,
    )
    graphdef, state = training.create_state(create_model, optimizer)
    step = training.make_train_step(
        graphdef, optimizer, mesh, seed=0, weights=training.LossWeights(), **settings
    )
    return mesh, sharding.replicate(mesh, state), step


def _losses(devices, batch, steps=3, balance=training.UNBALANCED, **settings):
    mesh, state, step = _setup(devices, **settings)
    found, balance = [], sharding.replicate(mesh, balance)
    for _ in range(steps):
        state, losses = step(state, sharding.shard_batch(mesh, batch), balance)
        found.append(jax.device_get(losses))
    return found, jax.device_get(state.params)


def test_eight_devices_compute_what_one_does():
    batch = _batch()
    (one, params_one), (eight, params_eight) = _losses(1, batch), _losses(8, batch)
    for a, b in zip(one, eight, strict=True):
        for name in a:
            np.testing.assert_allclose(a[name], b[name], rtol=2e-5, err_msg=name)
    # Unequal label counts per replica would show here if replicas were averaged.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5),
        params_one,
        params_eight,
    )


def _balance():
    weights = np.geomspace(0.05, 20, 19, dtype=np.float32)
    return training.LossBalance(weights, np.log(weights[::-1] / weights.sum()))


@pytest.mark.parametrize(("devices", "accumulate"), [(8, 1), (2, 4)])
def test_a_balanced_loss_does_not_depend_on_how_the_batch_is_shared(devices, accumulate):
    batch, balance = _batch(), _balance()
    # Negative learning of a batch in parts is another mean, and so is what it leads to.
    whole = accumulate == 1
    steps = 3 if whole else 1
    one, params_one = _losses(1, batch, steps, balance)
    shared, params = _losses(devices, batch, steps, balance, accumulate=accumulate)
    compared = one[0].keys() - (set() if whole else {"negative_learning", "loss"})
    for a, b in zip(one, shared, strict=True):
        for name in compared:
            np.testing.assert_allclose(a[name], b[name], rtol=2e-5, err_msg=name)
    if whole:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5), params_one, params
        )


def test_balance_is_of_the_cross_entropy_on_target_labels_alone():
    batch = _batch()
    plain, balanced = (_losses(1, batch, 1, b)[0][0] for b in (training.UNBALANCED, _balance()))
    for name in ("cross_entropy_source", "local_consistency", "negative_learning"):
        assert plain[name] == balanced[name]
    assert abs(plain["cross_entropy_target"] - balanced["cross_entropy_target"]) > 0.1


def test_no_balance_is_the_very_program_without_one():
    mesh, state, step = _setup(1)
    batch = sharding.shard_batch(mesh, _batch())
    without = step.lower(state, batch).as_text()
    assert step.lower(state, batch, training.UNBALANCED).as_text() == without
    balance = sharding.replicate(mesh, _balance())
    assert step.lower(state, batch, balance).as_text() != without


def test_losses_fall_and_the_total_is_their_weighted_sum():
    found, _ = _losses(1, _batch(), steps=8)
    assert found[-1]["loss"] < found[0]["loss"]
    for losses in found:
        np.testing.assert_allclose(
            losses["loss"],
            losses["cross_entropy_source"]
            + losses["cross_entropy_target"]
            + 0.1 * losses["local_consistency"]
            + losses["negative_learning"],
            rtol=1e-5,
        )


@pytest.mark.parametrize("domain", ["source", "target"])
def test_a_domain_can_rest(domain):
    mesh, state, step = _setup(8)
    batch = _batch()._replace(**{domain: None})
    state, losses = step(state, sharding.shard_batch(mesh, batch))
    assert f"cross_entropy_{domain}" not in losses
    assert np.isfinite(losses["loss"])
    assert state.step == 1


def test_domains_of_different_sizes():
    mesh, state, step = _setup(8)
    other = _batch(size=(12, 20))
    batch = _batch()._replace(target=other.target)
    _, losses = step(state, sharding.shard_batch(mesh, batch))
    assert all(np.isfinite(value) for value in losses.values())


def test_one_compilation_and_donated_state():
    mesh, state, step = _setup(8)
    batch = sharding.shard_batch(mesh, _batch())
    for _ in range(3):
        before = jax.tree.leaves(state.params)
        with jax.transfer_guard("disallow"):
            state, _ = step(state, batch)
        assert all(leaf.is_deleted() for leaf in before)
    assert step._cache_size() == 1


def test_unknown_consistency_is_named():
    with pytest.raises(InputError, match="'l3' found, expected one of l1, kl"):
        _setup(1, consistency="l3")


def test_float32_state_under_bfloat16_compute():
    mesh, state, step = _setup(8, lambda: Tiny(dtype=jnp.bfloat16, rngs=nnx.Rngs(0)))
    state, losses = step(state, sharding.shard_batch(mesh, _batch()))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.params))
    assert np.isfinite(losses["loss"])
