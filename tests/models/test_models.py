import jax.numpy as jnp
import numpy as np

from cbda_jax import models


def test_normalize():
    image = np.array([[[0, 128, 255]]], np.uint8)
    expected = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    out = models.normalize(jnp.asarray(image))
    assert out.dtype == jnp.float32
    np.testing.assert_allclose(out, expected, rtol=1e-5)
