"""Prediction at native size, averaged over scales of the image and their mirror images."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float, UInt8

from cbda_jax import models, resize, sharding
from cbda_jax.errors import InputError
from cbda_jax.evaluation.metrics import confusion_matrix

# Heights and widths of scaled images are multiples of it: the distance of SegFormer's keys.
_MULTIPLE = 32


def probabilities(
    model: Any,
    images: UInt8[Array, "batch h w 3"],
    size: tuple[int, int],
    *,
    flip: bool,
    scales: Sequence[float] = (1.0,),
) -> Float[Array, "batch height width classes"]:
    """Softmax of the logits upsampled to `size`, averaged over scales and mirror images.

    As in the reference, each network output is first resized to the size of `images`, then to
    `size`. Scale 1 takes the images as they are. Other scales resize the normalised images, in
    float32, bilinearly with corners aligned, to the nearest height and width that are multiples of
    32: every network takes any size from 32 x 32, but SegFormer's attention, whose keys lie 32
    pixels apart, leaves out the last rows and columns of what is not a multiple.

    Args:
        model: images to logits, such as `models.create_model` gives.
        images: RGB, uint8.
        size: (H, W) of the result.
        flip: average with the mirror image, at every scale.
        scales: of the images; all count alike.

    Returns:
        float32 `[N, H, W, C]`.

    Raises:
        InputError: there is no scale, or one that is not a positive number.
    """
    check_scales(scales)
    at_scale = [functools.partial(_at_scale, model, size, flip, scale) for scale in scales]
    if len(scales) == 1:
        return at_scale[0](images)

    def add(total: Array, which: Array) -> tuple[Array, None]:
        return total + lax.switch(which, at_scale, images), None

    # A loop: else the compiler adds all scales up at the end, and has each in memory until then.
    like = jax.eval_shape(at_scale[0], images)
    start = jnp.zeros(like.shape, like.dtype)
    total, _ = lax.scan(add, start, jnp.arange(len(scales)))
    return total / jnp.float32(len(scales))


def _at_scale(model: Any, size: tuple[int, int], flip: bool, scale: float, images: Array) -> Array:
    input_size = (images.shape[1], images.shape[2])

    def one(images: Array) -> Array:
        x = resize.bilinear(models.normalize(images), _scaled(input_size, scale))
        logits = resize.bilinear(model(x), input_size)
        return jax.nn.softmax(resize.bilinear(logits, size), axis=-1)

    if not flip:
        return one(images)
    return (one(images) + one(images[:, :, ::-1])[:, :, ::-1]) / jnp.float32(2)


def check_scales(scales: Sequence[float]) -> None:
    """Checks the scales of `probabilities`.

    Raises:
        InputError: there is none, or one that is not a positive number.
    """
    if not scales or not all(0 < scale < math.inf for scale in scales):
        raise InputError(
            f"evaluation.scales: {tuple(scales)} found, expected one or more positive"
            " numbers, such as 0.75, 1.0, 1.25"
        )


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    if scale == 1:
        return size
    height, width = (max(math.floor(n * scale / _MULTIPLE + 0.5), 1) * _MULTIPLE for n in size)
    return height, width


def make_evaluate_step(
    graphdef: nnx.GraphDef,
    mesh: Mesh,
    *,
    num_classes: int,
    flip: bool,
    scales: Sequence[float] = (1.0,),
) -> Callable[[Any, Any, Array, Array], tuple[Array, Array]]:
    """Compiles `evaluate(params, frozen, images, labels) -> (confusion, prediction)`.

    Images uint8 [N, h, w, 3] and labels uint8 [N, H, W] are spread over the mesh. The confusion is
    int32 [C, C] of the whole batch; predictions are train ids uint8 [N, H, W] and stay spread. A
    label that is 255 throughout leaves a padding image out. `flip` and `scales` are those of
    `probabilities`.

    Raises:
        InputError: there is no scale, or one that is not a positive number.
    """
    check_scales(scales)

    def replica(params: Any, frozen: Any, images: Array, labels: Array) -> tuple[Array, Array]:
        model = nnx.merge(graphdef, params, frozen)
        _, height, width = labels.shape
        p = probabilities(model, images, (height, width), flip=flip, scales=scales)
        prediction = jnp.argmax(p, axis=-1).astype(jnp.uint8)
        counts = lax.psum(confusion_matrix(prediction, labels, num_classes), sharding.DATA)
        return counts, prediction

    return sharding.per_replica(
        replica,
        mesh,
        in_specs=(sharding.REPLICATED, sharding.REPLICATED, sharding.BATCH, sharding.BATCH),
        out_specs=(sharding.REPLICATED, sharding.BATCH),
    )
