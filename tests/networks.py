"""Networks, images and checkpoints that tests share: shapes and single numbers, little memory."""

import functools

import jax.numpy as jnp
import numpy as np
from flax import nnx

from cbda_jax import models
from cbda_jax.models import weights


def images(*shape):
    """Images, or features, of normal numbers."""
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)


@functools.cache
def _traced(name, num_classes):
    return nnx.split(
        nnx.eval_shape(lambda: models.create_model(name, num_classes, rngs=nnx.Rngs(0)))
    )


def shapes(name, num_classes=19):
    """A network without its numbers."""
    return nnx.merge(*_traced(name, num_classes), copy=True)


def checkpoint(model):
    """Arrays of the names and shapes of a model's torch checkpoint that hold 0.5 everywhere."""
    variables = dict(nnx.to_flat_state(nnx.state(model)))
    return {
        name: np.broadcast_to(
            np.float32(0.5), weights._their_shape(axes, variables[path].get_value().shape)
        )
        for name, path, axes in weights.table(model)
    }
