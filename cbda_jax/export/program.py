"""What is exported of a network: photographs in, logits out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import nnx
from jaxtyping import Array, Float, UInt8

from cbda_jax import models, platform, resize
from cbda_jax.label_space import LabelSpace


class Exportable(NamedTuple):
    """A trained network, and what its numbers mean.

    Attributes:
        model: of `models.create_model`; `models.torch_weights` names its arrays.
        name: of the network, such as "segformer_b0".
        space: the classes of its logits.
        size: (height, width) of the images that it was trained on.
        step: of training.
        dtype: of its computation.
    """

    model: nnx.Module
    name: str
    space: LabelSpace
    size: tuple[int, int]
    step: int
    dtype: str = "float32"


def logits_of(
    model: Any,
) -> Callable[[UInt8[Array, "batch h w 3"]], Float[Array, "batch h w classes"]]:
    """The function that is exported: RGB uint8 [N, H, W, 3] to logits float32 [N, H, W, C].

    Images are normalised within; logits are resized, bilinearly with corners aligned, from the
    network's stride to the size of the images, as in `evaluation.probabilities`.

    Args:
        model: of `models.create_model`.
    """
    graphdef, state = nnx.split(model)

    def logits(images: jax.Array) -> jax.Array:
        network: Any = nnx.merge(graphdef, state)
        # What is exported depends on no device: neither on those here nor on those it runs on.
        with platform.compiling_for("cpu"):
            return resize.bilinear(network(models.normalize(images)), images.shape[1:3])

    return logits
