"""DeepLab-v2 (Chen et al., 2017) and v3+ (Chen et al., 2018).

On ResNet-101 as RIPU trains them, v2 as AdaptSegNet does too, and a small v3+ on
EfficientNet-lite0.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from cbda_jax import resize
from cbda_jax.models import efficientnet, layers, strips
from cbda_jax.models.depthwise import depthwise
from cbda_jax.models.efficientnet import EfficientNetLite0
from cbda_jax.models.resnet import FEATURES, LOW_FEATURES, Features, ResNet101

_GROUPS = 8  # of group norm in the small decoder


class DeepLabV2(nnx.Module):
    """Four dilated 3 x 3 classifiers, summed; logits at stride 8.

    Args:
        num_classes: number of logits.
        dtype: of the computation; parameters and logits are float32.
        rngs: stream "params".
    """

    def __init__(self, num_classes: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.backbone = ResNet101(dtype=dtype, rngs=rngs)
        self.head = AtrousClassifier(FEATURES, num_classes, (6, 12, 18, 24), rngs=rngs)

    def __call__(
        self, images: Float[Array, "n h w 3"], keys: Key[Array, " n"] | None = None
    ) -> Float[Array, "n h8 w8 classes"]:
        """Logits float32 [N, H / 8, W / 8, C] (rounded up). `keys` is not used: no dropout."""
        del keys
        features = self.backbone(images)
        return self.head(strips.join(features.out, features.strips))


class DeepLabV2Caffe(nnx.Module):
    """`DeepLabV2` in the arithmetic of AdaptSegNet (Tsai et al., CVPR 2018) and its descendants.

    The weights of one give other features in the other: see `ResNet101`.

    Args:
        num_classes: number of logits.
        dtype: of the computation; parameters and logits are float32.
        rngs: stream "params".
    """

    def __init__(self, num_classes: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.backbone = ResNet101(caffe=True, dtype=dtype, rngs=rngs)
        self.head = AtrousClassifier(FEATURES, num_classes, (6, 12, 18, 24), rngs=rngs)

    def __call__(
        self, images: Float[Array, "n h w 3"], keys: Key[Array, " n"] | None = None
    ) -> Float[Array, "n h8 w8 classes"]:
        """Logits float32 [N, h, w, C] with h about H / 8. `keys` is not used: no dropout."""
        del keys
        return self.head(self.backbone(images).out)


class DeepLabV3Plus(nnx.Module):
    """Depthwise separable ASPP and a decoder with the first stage's features; logits at stride 4.

    The layout of the published RIPU checkpoints: 512 channels, rates 6, 12 and 18 at stride 8,
    frozen batch norm in the head too, dropout of a tenth of the channels before the classifier.

    Args:
        num_classes: number of logits.
        dtype: of the computation; parameters and logits are float32.
        rngs: stream "params".
    """

    def __init__(self, num_classes: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.backbone = ResNet101(dtype=dtype, rngs=rngs)
        self.head = _Decoder(num_classes, dtype=dtype, rngs=rngs)

    def __call__(
        self, images: Float[Array, "n h w 3"], keys: Key[Array, " n"] | None = None
    ) -> Float[Array, "n h4 w4 classes"]:
        """Logits float32 [N, H / 4, W / 4, C] (rounded up); dropout if there are keys."""
        return self.head(self.backbone(images), keys)


class DeepLabV3PlusLite(nnx.Module):
    """EfficientNet-lite0 with a small decoder of the kind of v3+; logits at stride 2.

    For small images and training on CPU: features at stride 16, a decoder that goes one step
    further than v3+ since objects are few pixels wide, group norm in it so that it learns from
    nothing.

    Args:
        num_classes: number of logits.
        dtype: of the computation; parameters and logits are float32.
        rngs: stream "params".
    """

    def __init__(self, num_classes: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.backbone = EfficientNetLite0(output_stride=16, dtype=dtype, rngs=rngs)
        self.head = _SmallDecoder(num_classes, dtype=dtype, rngs=rngs)

    def __call__(
        self, images: Float[Array, "n h w 3"], keys: Key[Array, " n"] | None = None
    ) -> Float[Array, "n h2 w2 classes"]:
        """Logits float32 [N, H / 2, W / 2, C] (rounded up); dropout if there are keys."""
        return self.head(self.backbone(images), keys)


class AtrousClassifier(nnx.Module):
    """The sum of 3 x 3 convolutions at several dilations, as one matrix product.

    All taps of all branches are products of the same features: one product gives all of them,
    and shifting and adding its narrow results is cheap. Forward on CPU a third of the time of four
    convolutions with 19 outputs each.

    Args:
        features: number of input channels.
        num_classes: number of logits.
        dilations: of the branches.
        rngs: stream "params".
    """

    def __init__(
        self, features: int, num_classes: int, dilations: tuple[int, ...], *, rngs: nnx.Rngs
    ):
        init = nnx.initializers.normal(0.01)
        self.dilations = dilations
        shape = (3, 3, features, num_classes)
        self.kernels = nnx.List(
            [nnx.Param(init(rngs.params(), shape, jnp.float32)) for _ in dilations]
        )
        self.biases = nnx.List(
            [nnx.Param(jnp.zeros((num_classes,), jnp.float32)) for _ in dilations]
        )

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w classes"]:
        """Logits float32 of features of any floating type."""
        _, height, width, _ = x.shape
        offsets, taps = [], []
        for dilation, kernel in zip(self.dilations, self.kernels, strict=True):
            for i, dy in enumerate((-dilation, 0, dilation)):
                for j, dx in enumerate((-dilation, 0, dilation)):
                    # A tap further off than the image is large meets padding only.
                    if abs(dy) < height and abs(dx) < width:
                        offsets.append((dy, dx))
                        taps.append(kernel[...][i, j])
        kernel = jnp.stack(taps, axis=1).astype(x.dtype)
        parts = jnp.einsum("nhwc,ctk->nhwtk", x, kernel, preferred_element_type=jnp.float32)
        logits = sum((bias[...] for bias in self.biases), start=jnp.float32(0))
        logits = jnp.broadcast_to(logits[None, None, None, :], (*x.shape[:3], logits.shape[0]))
        for t, (dy, dx) in enumerate(offsets):
            shift = ((0, 0, 0), (-dy, dy, 0), (-dx, dx, 0), (0, 0, 0))
            logits += lax.pad(parts[:, :, :, t], jnp.float32(0), shift)
        return logits


class _Decoder(nnx.Module):
    """The head of v3+: ASPP, bottleneck, low-level features, two separable convolutions."""

    def __init__(self, num_classes: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        wide, narrow = 512, 48
        self.point = _ConvNorm(FEATURES, wide, 1, dtype=dtype, rngs=rngs)
        self.atrous = nnx.List(
            [_Separable(FEATURES, wide, rate, dtype=dtype, rngs=rngs) for rate in (6, 12, 18)]
        )
        self.pooled = _ConvNorm(FEATURES, wide, 1, dtype=dtype, rngs=rngs)
        self.bottleneck = _ConvNorm(5 * wide, wide, 3, dtype=dtype, rngs=rngs)
        self.shortcut = _ConvNorm(LOW_FEATURES, narrow, 1, dtype=dtype, rngs=rngs)
        self.refine = nnx.List(
            [
                _Separable(wide + narrow, wide, 1, dtype=dtype, rngs=rngs),
                _Separable(wide, wide, 1, dtype=dtype, rngs=rngs),
            ]
        )
        self.classify = layers.Classifier(wide, num_classes, rngs=rngs)

    def __call__(self, features: Features, keys: jax.Array | None) -> jax.Array:
        low, x, cut = features
        by_image = x.reshape(-1, cut, *x.shape[1:])
        mean = jnp.mean(by_image.astype(jnp.float32), axis=(1, 2, 3)).astype(x.dtype)
        mean = self.pooled(mean[:, None, None, :])
        branches = [self.point(x, cut), *(branch(x, strips=cut) for branch in self.atrous)]
        x = self._bottleneck(jnp.concatenate(branches, axis=-1), mean, cut)
        size = (low.shape[1], low.shape[2] * cut)
        x = strips.bilinear(x, size, cut)
        first, *others = self.refine
        x = first(x, self.shortcut(low, cut), strips=cut)
        for layer in others:
            x = layer(x, strips=cut)
        return strips.join(self.classify(layers.drop_channels(x, keys, 0.1, cut)), cut)

    def _bottleneck(self, x: jax.Array, mean: jax.Array, cut: int) -> jax.Array:
        """The bottleneck's features of x and of an image of `mean` throughout.

        A fifth of its products, the mean's, are the same at every pixel but for the edges, where a
        row or column of taps meets padding.
        """
        conv = self.bottleneck.conv
        kernel, shift = layers.folded(conv, self.bottleneck.norm)
        kernel = kernel.astype(x.dtype)
        y = layers.convolve_as(conv, x, kernel[:, :, : x.shape[-1]], cut)
        taps = jnp.einsum(
            "nc,ijck->ijnk",
            mean[:, 0, 0],
            kernel[:, :, x.shape[-1] :],
            preferred_element_type=jnp.float32,
        )
        rows, columns = _taps_inside(x.shape[1]), _taps_inside(x.shape[2] * cut)
        constant = shift[None, None, None, :]
        # Sums of three and not products of matrices: exact, and part of the sum with y.
        for i in range(3):
            row = jnp.zeros((), jnp.float32)
            for j in range(3):
                row = row + taps[i, j][:, None, None, :] * columns[None, None, :, j, None]
            constant = constant + strips.cut(row, cut) * rows[None, :, i, None, None]
        return nnx.relu((y.astype(jnp.float32) + constant).astype(x.dtype))


def _taps_inside(n: int) -> np.ndarray:
    """Where the taps before, at and after each of n positions meet no padding: 0 or 1 [n, 3]."""
    position = np.arange(n)[:, None] + np.arange(-1, 2)
    return ((position >= 0) & (position < n)).astype(np.float32)


class _SmallDecoder(nnx.Module):
    """ASPP of two rates; features of stride 4, two separable convolutions; features of stride 2."""

    def __init__(self, num_classes: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        wide, narrow = 96, 32
        features = efficientnet.FEATURES
        self.point = _PointGroupNorm(features, wide, dtype=dtype, rngs=rngs)
        self.atrous = nnx.List(
            [_SeparableGroupNorm(features, wide, rate, dtype=dtype, rngs=rngs) for rate in (2, 4)]
        )
        self.pooled = _PointGroupNorm(features, wide, dtype=dtype, rngs=rngs)
        self.bottleneck = _PointGroupNorm(4 * wide, wide, dtype=dtype, rngs=rngs)
        self.low = _PointGroupNorm(efficientnet.LOW_FEATURES, narrow, dtype=dtype, rngs=rngs)
        self.refine = nnx.List(
            [
                _SeparableGroupNorm(wide + narrow, wide, 1, dtype=dtype, rngs=rngs),
                _SeparableGroupNorm(wide, wide, 1, dtype=dtype, rngs=rngs),
            ]
        )
        self.narrow = layers.pointwise(wide, narrow, dtype=dtype, rngs=rngs)
        self.fine = layers.pointwise(efficientnet.FINE_FEATURES, narrow, dtype=dtype, rngs=rngs)
        self.merge = layers.conv(narrow, narrow, 3, dtype=dtype, rngs=rngs)
        self.merge_norm = layers.GroupNorm(narrow, _GROUPS, dtype=dtype)
        self.classify = layers.Classifier(narrow, num_classes, rngs=rngs)

    def __call__(self, features: efficientnet.Features, keys: jax.Array | None) -> jax.Array:
        fine, low, x = features
        mean = jnp.mean(x.astype(jnp.float32), axis=(1, 2), keepdims=True).astype(x.dtype)
        mean = self.pooled(mean)
        branches = [self.point(x), *(branch(x) for branch in self.atrous)]
        branches.append(jnp.broadcast_to(mean, (*x.shape[:3], mean.shape[-1])))
        x = self.bottleneck(jnp.concatenate(branches, axis=-1))
        x = resize.bilinear(x, low.shape[1:3])
        x = jnp.concatenate([x, self.low(low)], axis=-1)
        for layer in self.refine:
            x = layer(x)
        # Narrowed before it is enlarged: a quarter of the work.
        x = resize.bilinear(self.narrow(x), fine.shape[1:3]) + self.fine(fine)
        x = nnx.relu(self.merge_norm(self.merge(x)))
        return self.classify(layers.drop_channels(x, keys, 0.1))


class _ConvNorm(nnx.Module):
    def __init__(
        self, features: int, out_features: int, size: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ):
        self.conv = layers.conv(features, out_features, size, dtype=dtype, rngs=rngs)
        self.norm = layers.FrozenBatchNorm(out_features, dtype=dtype)

    def __call__(self, x: jax.Array, strips: int = 1) -> jax.Array:
        return nnx.relu(layers.conv_norm(self.conv, self.norm, x, strips))


class _Separable(nnx.Module):
    """Depthwise 3 x 3 and pointwise 1 x 1 convolutions, each with norm and ReLU.

    Of features in one or several parts, which are not concatenated: 560 channels fill the units of
    an accelerator worse than 512, and a convolution of a concatenation is the sum of those of the
    parts.
    """

    def __init__(
        self, features: int, out_features: int, dilation: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ):
        self.depthwise = layers.DepthwiseConv(features, dilation, rngs=rngs)
        self.norm = layers.FrozenBatchNorm(features, dtype=dtype)
        self.pointwise = _ConvNorm(features, out_features, 1, dtype=dtype, rngs=rngs)

    def __call__(self, *parts: jax.Array, strips: int = 1) -> jax.Array:
        spatial, between = layers.folded(self.depthwise, self.norm)
        mix, shift = layers.folded(self.pointwise.conv, self.pointwise.norm)
        dtype = parts[0].dtype
        mix = mix.astype(dtype)
        total = shift.astype(dtype)[None, None, None, :]
        first = 0
        for part in parts:
            last = first + part.shape[-1]
            y: jax.Array = depthwise(
                part, spatial[:, :, first:last], 1, self.depthwise.dilation, strips
            )
            y = nnx.relu((y + between[None, None, None, first:last]).astype(dtype))
            total = total + layers.convolve_as(
                self.pointwise.conv, y, mix[:, :, first:last], strips
            )
            first = last
        return nnx.relu(total)


class _PointGroupNorm(nnx.Module):
    def __init__(self, features: int, out_features: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.conv = layers.pointwise(features, out_features, dtype=dtype, rngs=rngs)
        self.norm = layers.GroupNorm(out_features, _GROUPS, dtype=dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(self.norm(self.conv(x)))


class _SeparableGroupNorm(nnx.Module):
    """Depthwise 3 x 3 and pointwise 1 x 1 convolutions; norm and ReLU after the second."""

    def __init__(
        self, features: int, out_features: int, dilation: int, *, dtype: DTypeLike, rngs: nnx.Rngs
    ):
        self.depthwise = layers.DepthwiseConv(features, dilation, rngs=rngs)
        self.pointwise = _PointGroupNorm(features, out_features, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.pointwise(self.depthwise(x))
