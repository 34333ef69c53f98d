"""A network for tests that are about other things."""

import jax
import jax.numpy as jnp
from flax import nnx

from cbda_jax import sharding
from cbda_jax.models import layers
from configs import synthetic


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
    make_mesh = sharding.make_mesh
    monkeypatch.setattr(
        sharding, "make_mesh", lambda given=None: make_mesh(given or jax.devices()[:devices])
    )


def scenes(argument, data_dir, *, size=(32, 64), native=1):
    """The config of a run on two drawn scenes a split; seconds, with the tiny network.

    Args:
        argument: of configs/synthetic.py, such as "method=ripu,steps=6".
        data_dir: where the scenes are prepared.
        size: that the network sees.
        native: how many times as large they are asked about.
    """
    config = synthetic.get_config(argument)
    config.data.dir = str(data_dir)
    config.data.source_size = config.data.target_size = size
    config.data.synthetic_city.native = native
    for split in ("source_train", "target_train", "target_val", "target_test"):
        config.data.synthetic_city[split] = 2
    config.data.source_batch = config.data.target_batch = 2
    # Of the optimizers, the one that keeps types as strictly as the tests do.
    config.training.optimizer = "sgd"
    config.acquisition.rounds = (2, 4)
    config.evaluation.every = config.report.gallery = 0
    config.report.log_every = 1
    return config
