"""Networks, and weights from torch checkpoints. Knows arrays, and no file but those weights."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from cbda_jax.models import adaptsegnet_weights, deeplab_weights, segformer_weights
from cbda_jax.models.deeplab import DeepLabV2, DeepLabV2Caffe, DeepLabV3Plus, DeepLabV3PlusLite
from cbda_jax.models.layers import FrozenStat
from cbda_jax.models.registry import NETWORKS, create_model, register_network
from cbda_jax.models.segformer import SIZES, SegFormer
from cbda_jax.models.torch_export import torch_weights
from cbda_jax.models.torch_names import Layout, TorchWeights, Translation
from cbda_jax.models.unet import SmallUNet
from cbda_jax.models.weights import load_torch_weights

__all__ = [
    "MEAN",
    "NETWORKS",
    "STD",
    "FrozenStat",
    "Layout",
    "TorchWeights",
    "Translation",
    "create_model",
    "is_head",
    "load_torch_weights",
    "normalize",
    "register_network",
    "torch_weights",
]

# In this order checkpoints are told apart.
register_network("small_unet", SmallUNet)
register_network("deeplabv2_resnet101", DeepLabV2, weights=deeplab_weights.V2)
register_network("deeplabv2_resnet101_caffe", DeepLabV2Caffe, weights=adaptsegnet_weights.WEIGHTS)
register_network("deeplabv3plus_resnet101", DeepLabV3Plus, weights=deeplab_weights.V3_PLUS)
register_network(
    "deeplabv3plus_efficientnet_lite0", DeepLabV3PlusLite, weights=deeplab_weights.V3_PLUS_LITE
)
for _name, _size in SIZES.items():
    register_network(
        f"segformer_{_name}",
        partial(SegFormer, size=_size),
        weights=segformer_weights.torch_weights(_size),
    )

MEAN = (0.485, 0.456, 0.406)
"""Mean of ImageNet's red, green and blue, images in 0..1."""

STD = (0.229, 0.224, 0.225)
"""Their standard deviation."""


def normalize(images: UInt8[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
    """RGB images uint8 [..., 3] to float32 of ImageNet's mean 0 and deviation 1."""
    scale = 1 / (255 * jnp.asarray(STD, jnp.float32))
    shift = -jnp.asarray(MEAN, jnp.float32) / jnp.asarray(STD, jnp.float32)
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
