"""ResNet-101 at output stride 8 (He et al., 2016; dilated as in DeepLab), frozen batch norm.

In two arithmetics of the same layers: torchvision's, and that of the Caffe networks from which
AdaptSegNet (Tsai et al., CVPR 2018) and most of what followed it start.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cbda_jax.models import layers, strips

# Of the four stages: blocks, channels inside a block, stride, dilation of the first block and of
# the others. A dilated stage begins with the dilation of the stage before.
_STAGES = ((3, 64, 1, 1, 1), (4, 128, 2, 1, 1), (23, 256, 1, 1, 2), (3, 512, 1, 2, 4))
_EXPANSION = 4

# Of Caffe's networks: images are 0..255, blue first, less this mean; batch norm has an epsilon.
_CAFFE_MEAN = np.array((122.67891434, 116.66876762, 104.00698793), np.float32)
_CAFFE_EPSILON = 1e-5
_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
_STD = np.array((0.229, 0.224, 0.225), np.float32)

FEATURES = 2048
LOW_FEATURES = 256


class Features(NamedTuple):
    """low [N, H / 4, W / 4, 256]: after the first stage. out [N, H / 8, W / 8, 2048].

    Both are cut into so many `strips` an image (`models.strips`).
    """

    low: Float[Array, "n h4 w4 256"]
    out: Float[Array, "n h8 w8 2048"]
    strips: int = 1


class ResNet101(nnx.Module):
    """The feature extractor; the layout and the arithmetic are torchvision's.

    Args:
        caffe: the arithmetic of AdaptSegNet instead: the stride of a block in its first
            convolution, all blocks of a stage of one dilation, max-pooling that rounds sizes up,
            batch norm with an epsilon of 1e-5, and images as Caffe has them: blue first, 0..255
            less a mean.
        dtype: of the computation and of the features.
        rngs: stream "params".
    """

    def __init__(self, *, caffe: bool = False, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.dtype = dtype
        self.caffe = caffe
        epsilon = _CAFFE_EPSILON if caffe else 0.0
        self.conv1 = layers.conv(3, 64, 7, stride=2, dtype=dtype, rngs=rngs)
        self.bn1 = layers.FrozenBatchNorm(64, epsilon=epsilon, dtype=dtype)
        self.stages = nnx.List()
        features = 64
        for count, width, stride, first, dilation in _STAGES:
            stage = nnx.List()
            for block in range(count):
                stage.append(
                    Bottleneck(
                        features,
                        width,
                        1 if block else stride,
                        dilation if block or caffe else first,
                        caffe=caffe,
                        dtype=dtype,
                        rngs=rngs,
                    )
                )
                features = width * _EXPANSION
            self.stages.append(stage)

    def __call__(self, images: Float[Array, "n h w 3"]) -> Features:
        """Features of normalised images (`models.normalize`); sizes are rounded up."""
        if self.caffe:
            images = caffe_images(images)
        cut = 1 if self.caffe else strips.count(images.shape[0], images.shape[2])
        x = strips.cut(images.astype(self.dtype), cut)
        x = nnx.relu(layers.conv_norm(self.conv1, self.bn1, x, cut))
        x = layers.max_pool(x, cut, ceil=self.caffe)
        low = x
        # Unrolled: a scan over the blocks makes the backward pass ten times slower on CPU.
        for number, stage in enumerate(self.stages):
            for block in stage:
                x = block(x, cut)
            if number == 0:
                low = x
        return Features(low, x, cut)


def caffe_images(images: Float[Array, "n h w 3"]) -> Float[Array, "n h w 3"]:
    """Normalised images (`models.normalize`) as Caffe's networks expect them, float32.

    Not to be folded into the first convolution, whose padding is zero after this.
    """
    scale, shift = 255 * _STD, 255 * _MEAN - _CAFFE_MEAN
    images = images.astype(jnp.float32) * scale[None, None, None] + shift[None, None, None]
    return images[..., ::-1]


class Bottleneck(nnx.Module):
    """1 x 1, 3 x 3 (strided and dilated), 1 x 1, and the shortcut.

    With `caffe` the first convolution has the stride, and batch norm its epsilon.
    """

    def __init__(
        self,
        features: int,
        width: int,
        stride: int,
        dilation: int,
        *,
        caffe: bool = False,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        wide = width * _EXPANSION
        epsilon = _CAFFE_EPSILON if caffe else 0.0
        first, second = (stride, 1) if caffe else (1, stride)
        self.conv1 = layers.conv(features, width, 1, stride=first, dtype=dtype, rngs=rngs)
        self.bn1 = layers.FrozenBatchNorm(width, epsilon=epsilon, dtype=dtype)
        self.conv2 = layers.conv(
            width, width, 3, stride=second, dilation=dilation, dtype=dtype, rngs=rngs
        )
        self.bn2 = layers.FrozenBatchNorm(width, epsilon=epsilon, dtype=dtype)
        self.conv3 = layers.conv(width, wide, 1, dtype=dtype, rngs=rngs)
        # No statistics rein in random weights: at 1, every block would double the variance, and
        # 33 blocks would overflow bfloat16's precision long before the head. At 0.2 the variance
        # grows by a few percent a block.
        self.bn3 = layers.FrozenBatchNorm(wide, scale=0.2, epsilon=epsilon, dtype=dtype)
        self.downsample = nnx.List()
        if stride != 1 or features != wide:
            self.downsample.append(
                layers.conv(features, wide, 1, stride=stride, dtype=dtype, rngs=rngs)
            )
            self.downsample.append(layers.FrozenBatchNorm(wide, epsilon=epsilon, dtype=dtype))

    def __call__(self, x: Float[Array, "n h w c"], strips: int = 1) -> Float[Array, "n h2 w2 c2"]:
        """Features of 4 * `width` channels, of images or of strips of them."""
        y = nnx.relu(layers.conv_norm(self.conv1, self.bn1, x, strips))
        y = nnx.relu(layers.conv_norm(self.conv2, self.bn2, y, strips))
        y = layers.conv_norm(self.conv3, self.bn3, y, strips)
        if self.downsample:
            conv, norm = self.downsample
            x = layers.conv_norm(conv, norm, x, strips)
        return nnx.relu(x + y)
