"""A network of your own: one class, and the one line that registers it.

    python examples/a_new_network.py

It makes two training steps on random squares. A whole run names the class by its import path:

    PYTHONPATH=examples python -m cbda_jax.main \
        --config=configs/synthetic.py:network=a_new_network:TinyNet
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from cbda_jax import models, sharding, training
from cbda_jax.models import layers


class TinyNet(nnx.Module):
    """Two strided convolutions and a classifier; logits at stride 4."""

    def __init__(self, num_classes: int, *, dtype=jnp.float32, rngs: nnx.Rngs):
        self.dtype = dtype
        self.backbone = nnx.List(
            [
                layers.conv(3, 16, 3, stride=2, use_bias=True, dtype=dtype, rngs=rngs),
                layers.conv(16, 32, 3, stride=2, use_bias=True, dtype=dtype, rngs=rngs),
            ]
        )
        # `head` has a learning rate of its own in the recipe.
        self.head = layers.Classifier(32, num_classes, rngs=rngs)

    def __call__(self, images, keys=None):
        """Normalised images [N, H, W, 3] to logits float32 [N, H / 4, W / 4, C]."""
        del keys  # A random key an image; a network with dropout uses it.
        x = images.astype(self.dtype)
        for layer in self.backbone:
            x = nnx.relu(layer(x))
        return self.head(x)


models.register_network("tiny_net", TinyNet)


def main() -> list[float]:
    """Two steps of training; gives their cross entropies."""
    mesh = sharding.make_mesh(jax.devices()[:1])
    optimizer = training.create_optimizer(
        "sgd",
        training.poly_schedule(0.02, power=0.9, steps=10),
        head_multiplier=1.0,
        is_head=models.is_head,
    )
    graphdef, state = training.create_state(
        lambda: models.create_model("tiny_net", 5, rngs=nnx.Rngs(0)), optimizer
    )
    step = training.make_train_step(
        graphdef, optimizer, mesh, seed=0, weights=training.LossWeights()
    )

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (2, 4, 8, 3), dtype=np.uint8)
    images = images.repeat(8, axis=1).repeat(8, axis=2)
    labels = images[..., 0] // 52  # five classes, by how red a square is
    examples = training.Examples(images, labels)
    batch = sharding.shard_batch(mesh, training.Batch(source=examples, target=None))
    state, losses = sharding.replicate(mesh, state), []
    for number in range(2):
        state, values = step(state, batch)
        losses.append(float(values["cross_entropy_source"]))
        print(f"step {number}: cross entropy {losses[-1]:.3f}")
    return losses


if __name__ == "__main__":
    main()
