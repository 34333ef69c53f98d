"""A network for tests that are about other things."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx

from cbda_jax import sharding
from cbda_jax.models import layers


class Tiny(nnx.Module):
    """A convolution of stride 2, dropout of channels, logits: compiled in no time."""

    def __init__(self, num_classes=19, *, rate=0.0, dtype=jnp.float32, rngs):
        self.rate, self.dtype = rate, dtype
        self.backbone = layers.conv(3, 16, 3, stride=2, dtype=dtype, rngs=rngs)
        self.head = layers.Classifier(16, num_classes, rngs=rngs)

    def __call__(self, images, keys=None):
        features = nnx.relu(self.backbone(images.astype(self.dtype)))
        return self.head(layers.drop_channels(features, keys, self.rate))


def use(monkeypatch, devices=1):
    """Has every run train this network, whatever its config names, on so many devices."""
    monkeypatch.setattr(
        "cbda_jax.models.create_model", lambda _, *given, **named: Tiny(*given, **named)
    )
    mesh = functools.partial(sharding.make_mesh, jax.devices()[:devices])
    monkeypatch.setattr(sharding, "make_mesh", mesh)
