import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from networks import images

from cbda_jax import models


@pytest.fixture(scope="module")
def unet():
    return jax.jit(lambda: models.create_model("small_unet", 7, rngs=nnx.Rngs(0)))()


def test_bfloat16_is_close_to_float32(unet):
    graphdef, state = nnx.split(
        nnx.eval_shape(
            lambda: models.create_model("small_unet", 7, rngs=nnx.Rngs(0), dtype=jnp.bfloat16)
        )
    )
    del state
    x = images(2, 32, 48, 3)
    exact = jax.jit(lambda x: unet(x))(x)
    rough = jax.jit(lambda x: nnx.merge(graphdef, nnx.state(unet))(x))(x)
    assert exact.shape == (2, 16, 24, 7)
    error = float(jnp.max(jnp.abs(exact - rough)) / jnp.max(jnp.abs(exact)))
    assert 1e-4 < error < 0.05


def test_unet_learns_a_toy_problem(unet):
    """A dozen steps of gradient descent on two colours."""
    graphdef, params, _ = nnx.split(unet, nnx.Param, ...)
    x = images(4, 32, 32, 3)
    x = jax.image.resize(x[:, ::8, ::8], x.shape, "nearest")
    y = (x[:, ::2, ::2, 0] > 0).astype(jnp.int32)

    @jax.jit
    def step(params):
        def loss(params):
            log = jax.nn.log_softmax(nnx.merge(graphdef, params, copy=True)(x))
            return -jnp.mean(jnp.take_along_axis(log, y[..., None], axis=-1))

        value, gradient = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - jnp.float32(0.2) * g, params, gradient), value

    losses = []
    for _ in range(12):
        params, value = step(params)
        losses.append(float(value))
    assert losses[-1] < 0.4 * losses[0]


def test_images_do_not_see_each_other(unet):
    x = images(3, 32, 32, 3)
    together = jax.jit(lambda x: unet(x))(x)
    alone = jax.jit(lambda x: unet(x))(x[1:2])
    np.testing.assert_allclose(together[1:2], alone, rtol=1e-4, atol=1e-5)
