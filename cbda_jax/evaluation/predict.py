"""Prediction at native size, averaged over the image and its mirror image."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float, UInt8

from cbda_jax import models, resize, sharding
from cbda_jax.evaluation.metrics import confusion_matrix


def probabilities(
    model: Any, images: UInt8[Array, "batch h w 3"], size: tuple[int, int], *, flip: bool
) -> Float[Array, "batch height width classes"]:
    """Softmax of the logits upsampled to `size`; with `flip`, its mean over image and mirror image.

    As in the reference, each network output is first upsampled to its input's size, then to `size`.
    """

    def one(images: Array) -> Array:
        logits = resize.bilinear(model(models.normalize(images)), images.shape[1:3])
        return jax.nn.softmax(resize.bilinear(logits, size), axis=-1)

    if not flip:
        return one(images)
    return (one(images) + one(images[:, :, ::-1])[:, :, ::-1]) / jnp.float32(2)


def make_evaluate_step(
    graphdef: nnx.GraphDef, mesh: Mesh, *, num_classes: int, flip: bool
) -> Callable[[Any, Any, Array, Array], tuple[Array, Array]]:
    """Compiles `evaluate(params, frozen, images, labels) -> (confusion, prediction)`.

    Images uint8 [N, h, w, 3] and labels uint8 [N, H, W] are spread over the mesh. The confusion is
    int32 [C, C] of the whole batch; predictions are train ids uint8 [N, H, W] and stay spread. A
    label that is 255 throughout leaves a padding image out.
    """

    def replica(params: Any, frozen: Any, images: Array, labels: Array) -> tuple[Array, Array]:
        model = nnx.merge(graphdef, params, frozen)
        _, height, width = labels.shape
        p = probabilities(model, images, (height, width), flip=flip)
        prediction = jnp.argmax(p, axis=-1).astype(jnp.uint8)
        counts = lax.psum(confusion_matrix(prediction, labels, num_classes), sharding.DATA)
        return counts, prediction

    return sharding.per_replica(
        replica,
        mesh,
        in_specs=(sharding.REPLICATED, sharding.REPLICATED, sharding.BATCH, sharding.BATCH),
        out_specs=(sharding.REPLICATED, sharding.BATCH),
    )
