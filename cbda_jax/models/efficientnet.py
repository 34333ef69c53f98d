"""EfficientNet-lite0 (Tan and Le, 2019; the lite variant) to stride 16, with frozen batch norm.

Lite0 is EfficientNet-B0 without squeeze-and-excitation and with ReLU6 for swish.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from cbda_jax.models import layers

# Of the stages: blocks, kernel, stride of the first block, expansion, channels of the result. The
# two that follow at stride 32 are left out: 2.2 of 2.9 million weights and half of the time, and on
# small scenes mIoU was no higher with them.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
)
_STEM = 32
# How many stages stay as they are, with the stem: at strides 2 and 4, a third of the backward pass.
_FROZEN = 2
# Of the published weights' batch norm.
_EPSILON = 1e-3

# Channels after the stages at stride 2 and at stride 4, and at the end.
FINE_FEATURES = 16
LOW_FEATURES = 24
FEATURES = 112

# The published weights expect (image - 127) / 128 of images in 0..255. This makes it of images
# of ImageNet's mean 0 and deviation 1. Folded into the stem it would be wrong at the borders, where
# the padding is zero after it.
_MEAN = np.array((0.485, 0.456, 0.406), np.float32)
_STD = np.array((0.229, 0.224, 0.225), np.float32)
_SCALE = 255 * _STD / 128
_SHIFT = (255 * _MEAN - 127) / 128


class Features(NamedTuple):
    """fine [N, H / 2, W / 2, 16], low [N, H / 4, W / 4, 24], out [N, H / 16, W / 16, 112]."""

    fine: Float[Array, "n h2 w2 16"]
    low: Float[Array, "n h4 w4 24"]
    out: Float[Array, "n hs ws 112"]


class EfficientNetLite0(nnx.Module):
    """The feature extractor: the stem and five of the seven stages.

    The stem and the first two stages are not trained. The padding is TensorFlow's "SAME", which at
    stride 2 pads an even size at the end only. Where `output_stride` leaves out a stride, the
    convolutions after it are dilated: each position that the strided network has gets the same
    features, and those between them are added.

    Args:
        output_stride: of the features: 8 or 16.
        dtype: of the computation and of the features.
        rngs: stream "params".
    """

    def __init__(self, *, output_stride: int = 16, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.dtype = dtype
        self.stem = layers.conv(3, _STEM, 3, stride=2, padding="SAME", dtype=dtype, rngs=rngs)
        self.norm = layers.FrozenBatchNorm(_STEM, epsilon=_EPSILON, dtype=dtype)
        self.stages = nnx.List()
        features, at, dilation = _STEM, 2, 1
        for count, size, stride, expansion, wide in _STAGES:
            stage = nnx.List()
            for block in range(count):
                step = stride if block == 0 else 1
                cut = step > 1 and at >= output_stride
                stage.append(
                    InvertedBottleneck(
                        features,
                        wide,
                        size,
                        expansion,
                        stride=1 if cut else step,
                        dilation=dilation,
                        residual=step == 1 and features == wide,
                        dtype=dtype,
                        rngs=rngs,
                    )
                )
                features = wide
                at, dilation = (at, dilation * step) if cut else (at * step, dilation)
            self.stages.append(stage)
        for part in (self.stem, *self.stages[:_FROZEN]):
            layers.freeze(part)

    def __call__(self, images: Float[Array, "n h w 3"]) -> Features:
        """Features of normalised images (`models.normalize`); sizes are rounded up."""
        x = images.astype(jnp.float32) * _SCALE[None, None, None, :] + _SHIFT[None, None, None, :]
        x = nnx.relu6(layers.conv_norm(self.stem, self.norm, x.astype(self.dtype)))
        after = []
        for stage in self.stages:
            for block in stage:
                x = block(x)
            after.append(x)
        return Features(after[0], after[1], x)


class InvertedBottleneck(nnx.Module):
    """1 x 1 to more channels, depthwise, 1 x 1 to few channels without ReLU, and the shortcut.

    Sandler et al., 2018 (MobileNetV2).

    Args:
        features: number of input channels.
        out_features: of the result.
        size: of the depthwise kernel.
        expansion: channels inside over those of the input; 1: no first convolution.
        stride: of the depthwise convolution.
        dilation: of it.
        residual: whether the input is added to the result.
        dtype: of the computation.
        rngs: stream "params".
    """

    def __init__(
        self,
        features: int,
        out_features: int,
        size: int,
        expansion: int,
        *,
        stride: int,
        dilation: int,
        residual: bool,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        wide = features * expansion
        self.expand = nnx.List()
        if expansion > 1:
            self.expand.append(layers.pointwise(features, wide, dtype=dtype, rngs=rngs))
            self.expand.append(layers.FrozenBatchNorm(wide, epsilon=_EPSILON, dtype=dtype))
        self.depthwise = layers.DepthwiseConv(wide, dilation, size=size, stride=stride, rngs=rngs)
        self.norm = layers.FrozenBatchNorm(wide, epsilon=_EPSILON, dtype=dtype)
        self.project = layers.pointwise(wide, out_features, dtype=dtype, rngs=rngs)
        # No statistics rein in random weights: these keep their variance about the same.
        scale = 0.2 if residual else 0.7
        self.project_norm = layers.FrozenBatchNorm(
            out_features, scale=scale, epsilon=_EPSILON, dtype=dtype
        )
        self.residual = residual

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c2"]:
        """Features of `out_features` channels."""
        y = x
        if self.expand:
            conv, norm = self.expand
            y = nnx.relu6(layers.conv_norm(conv, norm, y))
        y = nnx.relu6(layers.depthwise_norm(self.depthwise, self.norm, y))
        y = layers.conv_norm(self.project, self.project_norm, y)
        return x + y if self.residual else y
