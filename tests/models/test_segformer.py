import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from networks import images

from cbda_jax import models
from cbda_jax.models import segformer


@pytest.mark.parametrize(
    ("size", "millions"),
    [("b0", 3.8), ("b1", 13.7), ("b2", 27.5), ("b3", 47.3), ("b4", 64.1), ("b5", 84.7)],
)
def test_segformer_is_as_large_as_published(size, millions, monkeypatch):
    """Table 1 of the paper: encoder and decoder, with 150 classes."""
    # Counting parameters needs no random numbers, whose tracing would take most of the time.
    monkeypatch.setattr(nnx.RngStream, "__call__", lambda self: jax.random.key(0))
    model = nnx.eval_shape(lambda: models.create_model(f"segformer_{size}", 150, rngs=nnx.Rngs(0)))
    count = sum(x.size for x in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert round(count / 1e6, 1) == millions


def test_dropout_of_a_network_depends_on_the_key_of_the_image_alone():
    # A block a stage: what drops is in the last three, and before the classifier.
    size = segformer.SIZES["b0"]._replace(depths=(1, 1, 1, 1))
    model = jax.jit(lambda: segformer.SegFormer(5, size=size, rngs=nnx.Rngs(0)))()
    keys = jax.random.split(jax.random.key(3), 2)
    x = jnp.repeat(images(1, 32, 32, 3), 2, axis=0)
    forward = jax.jit(lambda x, keys: model(x, keys))
    together = forward(x, keys)
    assert not jnp.allclose(together[0], together[1])
    swapped = forward(x, keys[::-1])
    np.testing.assert_allclose(together, swapped[::-1], rtol=1e-4, atol=1e-5)
