import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cbda_jax.errors import InputError
from cbda_jax.models import is_head
from cbda_jax.training import create_optimizer, poly_schedule


def test_poly_schedule_is_the_recipes():
    schedule = poly_schedule(2.5e-4, power=0.9, steps=62_500)
    for step in (0, 1, 20_000, 39_999):
        np.testing.assert_allclose(
            schedule(jnp.int32(step)), 2.5e-4 * (1 - step / 62_500) ** 0.9, rtol=1e-5
        )
    assert schedule(jnp.int32(70_000)) == 0


def test_warmup_rises_linearly():
    schedule = poly_schedule(1.0, power=0.0, steps=100, warmup=3)
    np.testing.assert_allclose([schedule(jnp.int32(i)) for i in range(5)], [0.25, 0.5, 0.75, 1, 1])


def test_sgd_steps_as_torch_does():
    """v = momentum v + (g + decay p); p -= rate v, by hand; the head ten times as fast."""
    rng = np.random.default_rng(0)
    start = {k: rng.normal(size=(3, 2)).astype(np.float32) for k in ("backbone", "head")}
    gradients = [{k: rng.normal(size=(3, 2)).astype(np.float32) for k in start} for _ in range(3)]
    rates = [0.1 * (1 - i / 10) ** 0.9 for i in range(3)]

    optimizer = create_optimizer(
        "sgd",
        poly_schedule(0.1, power=0.9, steps=10),
        head_multiplier=10.0,
        is_head=is_head,
        momentum=0.9,
        weight_decay=5e-4,
    )
    params = jax.tree.map(jnp.asarray, start)
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update(jax.tree.map(jnp.asarray, gradient), state, params)
        params = optax.apply_updates(params, updates)

    for name, multiplier in (("backbone", 1), ("head", 10)):
        p, v = start[name].astype(np.float64), 0.0
        for gradient, rate in zip(gradients, rates, strict=True):
            v = 0.9 * v + gradient[name] + 5e-4 * p
            p = p - multiplier * rate * v
        np.testing.assert_allclose(params[name], p, rtol=1e-5)


def test_adamw_decays_matrices_only_and_follows_the_schedule():
    params = {"backbone": jnp.ones((2, 3)), "head": jnp.ones((2,))}
    optimizer = create_optimizer(
        "adamw",
        poly_schedule(0.1, power=1.0, steps=10),
        head_multiplier=10.0,
        is_head=is_head,
        weight_decay=0.5,
    )
    gradients = jax.tree.map(jnp.ones_like, params)
    with jax.numpy_dtype_promotion("standard"):  # optax mixes types in its bias correction
        updates, _ = optimizer.update(gradients, optimizer.init(params), params)
    # Adam's first step is the gradient's sign; decay is added to it for the matrix alone.
    np.testing.assert_allclose(updates["backbone"], -0.1 * (1 + 0.5), rtol=1e-4)
    np.testing.assert_allclose(updates["head"], -0.1 * 10, rtol=1e-4)


def test_adamw_steps_as_segformer_is_trained():
    """AdamW by hand (Loshchilov and Hutter, 2019): linear warm-up, poly power 1, head x 10.

    A larger rate and decay and a shorter warm-up than the recipe's 6e-5, 0.01 and 1500, so that
    four steps show in float32.
    """
    rng = np.random.default_rng(0)
    shapes = {"backbone": {"kernel": (3, 2), "scale": (2,)}, "head": {"kernel": (2, 4)}}
    leaf = {"is_leaf": lambda x: isinstance(x, tuple)}
    start = jax.tree.map(lambda shape: rng.normal(size=shape).astype(np.float32), shapes, **leaf)
    gradients = [jax.tree.map(lambda x: rng.normal(size=x.shape), start) for _ in range(4)]

    optimizer = create_optimizer(
        "adamw",
        poly_schedule(6e-2, power=1.0, steps=40, warmup=2),
        head_multiplier=10.0,
        is_head=is_head,
        momentum=0.9,
        weight_decay=0.1,
    )
    params = jax.tree.map(jnp.asarray, start)
    state = optimizer.init(params)
    for gradient in gradients:
        gradient = jax.tree.map(lambda g: jnp.asarray(g, jnp.float32), gradient)
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)

    for part, name in (("backbone", "kernel"), ("backbone", "scale"), ("head", "kernel")):
        p, m, v = start[part][name].astype(np.float64), 0.0, 0.0
        for step, gradient in enumerate(gradients):
            g = gradient[part][name]
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            rate = 6e-2 * (1 - step / 40) * min((step + 1) / 3, 1)
            rate *= 10 if part == "head" else 1
            direction = (
                m / (1 - 0.9 ** (step + 1)) / (np.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8)
            )
            p = p - rate * (direction + (0.1 * p if p.ndim > 1 else 0))
        moved = np.asarray(params[part][name], np.float64) - start[part][name]
        np.testing.assert_allclose(moved, p - start[part][name], rtol=1e-4, atol=1e-6)


def test_unknown_optimizer_is_named():
    with pytest.raises(InputError, match="'sdg' found, expected 'sgd' or 'adamw'"):
        create_optimizer("sdg", lambda _: 0.1, head_multiplier=1.0, is_head=is_head)
