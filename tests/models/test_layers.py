import jax
import jax.numpy as jnp
import numpy as np
from networks import images

from cbda_jax.models import layers


def test_dropout_depends_on_the_key_of_the_image_alone():
    keys = jax.random.split(jax.random.key(3), 4)
    x = jnp.ones((4, 2, 3, 64), jnp.bfloat16)
    together = layers.drop_channels(x, keys, 0.25)
    split = [layers.drop_channels(x[i : i + 2], keys[i : i + 2], 0.25) for i in (0, 2)]
    np.testing.assert_array_equal(together, jnp.concatenate(split))
    assert not jnp.array_equal(together[0], together[1])
    assert layers.drop_channels(x, None, 0.25) is x
    plane = np.asarray(together[:, 0, 0].astype(jnp.float32))
    np.testing.assert_array_equal(
        together.astype(jnp.float32), np.broadcast_to(plane[:, None, None], x.shape)
    )
    assert set(np.unique(plane)) == {0, np.float32(jnp.bfloat16(4 / 3))}
    assert 0.1 < np.mean(plane == 0) < 0.4


def test_group_norm():
    x = images(2, 4, 5, 8) * 3 + 1
    norm = layers.GroupNorm(8, 4, dtype=jnp.float32)
    out = np.asarray(norm(x)).reshape(2, 20, 4, 2)
    np.testing.assert_allclose(out.mean((1, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(out.std((1, 3)), 1, atol=1e-3)
