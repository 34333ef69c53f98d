"""Networks, and weights from torch checkpoints. Knows arrays, and no file but those weights."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, UInt8

from cbda_jax.errors import InputError
from cbda_jax.models.deeplab import DeepLabV2, DeepLabV3Plus, DeepLabV3PlusLite
from cbda_jax.models.layers import FrozenStat
from cbda_jax.models.segformer import SIZES, SegFormer
from cbda_jax.models.unet import SmallUNet
from cbda_jax.models.weights import load_torch_weights

__all__ = ["NETWORKS", "FrozenStat", "create_model", "is_head", "load_torch_weights", "normalize"]

NETWORKS: dict[str, Callable[..., nnx.Module]] = {
    "small_unet": SmallUNet,
    "deeplabv2_resnet101": DeepLabV2,
    "deeplabv3plus_resnet101": DeepLabV3Plus,
    "deeplabv3plus_efficientnet_lite0": DeepLabV3PlusLite,
    **{f"segformer_{name}": partial(SegFormer, size=size) for name, size in SIZES.items()},
}

# Mean and standard deviation of ImageNet's red, green and blue, images in 0..1.
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def create_model(
    name: str, num_classes: int, *, rngs: nnx.Rngs, dtype: DTypeLike = jnp.float32
) -> nnx.Module:
    """A network with random weights.

    Its parameters (`nnx.Param`) are float32 and trained; `FrozenStat`s are float32 and not. Call
    it inside `jax.jit` or `nnx.eval_shape`: one by one the initial values take seconds.

    Args:
        name: "small_unet", "deeplabv2_resnet101", "deeplabv3plus_resnet101",
            "deeplabv3plus_efficientnet_lite0", or "segformer_b0" to "segformer_b5".
        num_classes: number of logits.
        rngs: stream "params".
        dtype: of the computation, float32 or bfloat16.

    Returns:
        `model(images, keys=None)`: normalised images float [N, H, W, 3] to logits float32
        [N, h, w, num_classes] at the network's stride. `keys` [N], a random key an image, turns
        dropout on. The last layers are `model.head`, the rest `model.backbone`.

    Raises:
        InputError: unknown name.
    """
    if name not in NETWORKS:
        raise InputError(f"network {name!r} found, expected one of {', '.join(sorted(NETWORKS))}")
    return NETWORKS[name](num_classes, dtype=jnp.dtype(dtype), rngs=rngs)


def normalize(images: UInt8[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
    """RGB images uint8 [..., 3] to float32 of ImageNet's mean 0 and deviation 1."""
    scale = 1 / (255 * jnp.asarray(_STD, jnp.float32))
    shift = -jnp.asarray(_MEAN, jnp.float32) / jnp.asarray(_STD, jnp.float32)
    channels = (1,) * (images.ndim - 1) + (3,)
    return images.astype(jnp.float32) * scale.reshape(channels) + shift.reshape(channels)


def is_head(path: tuple[Any, ...]) -> bool:
    """Whether a parameter belongs to `model.head`, whose learning rate is higher in the recipe.

    Args:
        path: of the parameter in the model's state: of `jax.tree_util.tree_map_with_path`, or a
            tuple of names.
    """
    first = path[0]
    name = getattr(first, "key", getattr(first, "name", first))
    return name == "head"
