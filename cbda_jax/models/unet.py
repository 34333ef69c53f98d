"""A small encoder-decoder for small scenes: trains from nothing, in minutes on two CPU cores."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from cbda_jax import resize
from cbda_jax.models import layers

# Channels and residual blocks at strides 2, 4, 8, 16. Wider than 16 channels at stride 2, a step
# takes twice the time on CPU.
_WIDTHS = (16, 32, 64, 96)
_BLOCKS = (0, 1, 1, 2)
_GROUPS = 8


class SmallUNet(nnx.Module):
    """U-Net (Ronneberger et al., 2015) with residual blocks and group norm; logits at stride 2.

    Encoder and decoder are `backbone`; the last 1 x 1 convolution is `head`. 0.56 M parameters.
    Images of any size are accepted.

    Args:
        num_classes: number of logits.
        dtype: of the computation; parameters and logits are float32.
        rngs: stream "params".
    """

    def __init__(self, num_classes: int, *, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs):
        self.backbone = _EncoderDecoder(dtype=dtype, rngs=rngs)
        self.head = layers.Classifier(_WIDTHS[0], num_classes, rngs=rngs)

    def __call__(
        self, images: Float[Array, "n h w 3"], keys: Key[Array, " n"] | None = None
    ) -> Float[Array, "n h2 w2 classes"]:
        """Logits float32 [N, H / 2, W / 2, C] (rounded up). `keys` is not used: no dropout."""
        del keys
        return self.head(self.backbone(images))


class _EncoderDecoder(nnx.Module):
    def __init__(self, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.dtype = dtype
        self.stem = _ConvNorm(3, _WIDTHS[0], stride=2, dtype=dtype, rngs=rngs)
        self.down = nnx.List()
        self.blocks = nnx.List()
        self.project = nnx.List()
        self.merge = nnx.List()
        for features, wide, count in zip(_WIDTHS[:-1], _WIDTHS[1:], _BLOCKS[1:], strict=True):
            self.down.append(_ConvNorm(features, wide, stride=2, dtype=dtype, rngs=rngs))
            self.blocks.append(
                nnx.List([_Residual(wide, dtype=dtype, rngs=rngs) for _ in range(count)])
            )
            self.project.append(layers.conv(wide, features, 1, dtype=dtype, rngs=rngs))
            self.merge.append(_ConvNorm(features, features, dtype=dtype, rngs=rngs))

    def __call__(self, images: jax.Array) -> jax.Array:
        x = nnx.relu(self.stem(images.astype(self.dtype)))
        skips = []
        for down, blocks in zip(self.down, self.blocks, strict=True):
            skips.append(x)
            x = nnx.relu(down(x))
            for block in blocks:
                x = block(x)
        for level in reversed(range(len(skips))):
            skip = skips[level]
            # Narrowed before it is enlarged: a quarter of the work.
            x = resize.bilinear(self.project[level](x), skip.shape[1:3])
            x = nnx.relu(self.merge[level](x + skip))
        return x


class _Residual(nnx.Module):
    def __init__(self, features: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.first = _ConvNorm(features, features, dtype=dtype, rngs=rngs)
        self.second = _ConvNorm(features, features, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return nnx.relu(x + self.second(nnx.relu(self.first(x))))


class _ConvNorm(nnx.Module):
    """3 x 3 convolution and group norm, whose statistics are of one image: no batch statistics."""

    def __init__(
        self,
        features: int,
        out_features: int,
        *,
        stride: int = 1,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        self.conv = layers.conv(features, out_features, 3, stride=stride, dtype=dtype, rngs=rngs)
        self.norm = layers.GroupNorm(out_features, _GROUPS, dtype=dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.norm(self.conv(x))
