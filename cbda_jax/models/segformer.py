"""SegFormer (Xie et al., NeurIPS 2021): Mix Transformer encoders B0 to B5, all-MLP head."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from cbda_jax.models import layers

_HEADS = (1, 2, 5, 8)
_REDUCTIONS = (8, 4, 2, 1)
_EXPANSION = 4
_DROP_PATH = 0.1
_DROPOUT = 0.1


class Size(NamedTuple):
    """Channels and blocks of the four stages, and channels of the head (table 6 of the paper)."""

    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    head: int


SIZES = {
    "b0": Size((32, 64, 160, 256), (2, 2, 2, 2), 256),
    "b1": Size((64, 128, 320, 512), (2, 2, 2, 2), 256),
    "b2": Size((64, 128, 320, 512), (3, 4, 6, 3), 768),
    "b3": Size((64, 128, 320, 512), (3, 4, 18, 3), 768),
    "b4": Size((64, 128, 320, 512), (3, 8, 27, 3), 768),
    "b5": Size((64, 128, 320, 512), (3, 6, 40, 3), 768),
}


class SegFormer(nnx.Module):
    """Logits at stride 4.

    Dropout as published: whole residual branches with a probability that rises to 0.1 with depth,
    and a tenth of the numbers before the classifier. The head's batch norm keeps its statistics;
    its scale and bias are trained.

    Args:
        num_classes: number of logits.
        size: which of `SIZES`.
        dtype: of the computation; parameters and logits are float32.
        rngs: stream "params".
    """

    def __init__(
        self, num_classes: int, *, size: Size, dtype: DTypeLike = jnp.float32, rngs: nnx.Rngs
    ):
        self.backbone = _MixTransformer(size, dtype=dtype, rngs=rngs)
        self.head = _Head(num_classes, size, dtype=dtype, rngs=rngs)

    def __call__(
        self, images: Float[Array, "n h w 3"], keys: Key[Array, " n"] | None = None
    ) -> Float[Array, "n h4 w4 classes"]:
        """Logits float32 [N, H / 4, W / 4, C] (rounded up); dropout if there are keys."""
        return self.head(self.backbone(images, keys), keys)


class _MixTransformer(nnx.Module):
    def __init__(self, size: Size, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.dtype = dtype
        self.stages = nnx.List()
        features = 3
        rates = iter(np.linspace(0, _DROP_PATH, sum(size.depths)).tolist())
        for number, (width, depth) in enumerate(zip(size.widths, size.depths, strict=True)):
            drop = [next(rates) for _ in range(depth)]
            self.stages.append(_Stage(features, width, number, drop, dtype=dtype, rngs=rngs))
            features = width

    def __call__(self, images: jax.Array, keys: jax.Array | None) -> list[jax.Array]:
        x = images.astype(self.dtype)
        draws = None
        if keys is not None:
            # One draw for all branches: a random generator a branch takes long to compile.
            blocks = sum(len(stage.blocks) for stage in self.stages)
            draws = jax.vmap(lambda key: jax.random.uniform(key, (blocks, 2)))(keys)
        outputs = []
        first = 0
        for stage in self.stages:
            last = first + len(stage.blocks)
            x = stage(x, None if draws is None else draws[:, first:last])
            first = last
            outputs.append(x)
        return outputs


class _Stage(nnx.Module):
    """Overlapping patches, transformer blocks, norm; [N, h, w, C] throughout."""

    def __init__(
        self,
        features: int,
        width: int,
        number: int,
        drop: list[float],
        *,
        dtype: DTypeLike,
        rngs: nnx.Rngs,
    ):
        size, stride = (7, 4) if number == 0 else (3, 2)
        self.embed = layers.conv(
            features, width, size, stride=stride, use_bias=True, dtype=dtype, rngs=rngs
        )
        self.embed_norm = layers.LayerNorm(width, dtype=dtype)
        self.blocks = nnx.List(
            [_Block(width, number, rate, dtype=dtype, rngs=rngs) for rate in drop]
        )
        self.norm = layers.LayerNorm(width, dtype=dtype)

    def __call__(self, x: jax.Array, draws: jax.Array | None) -> jax.Array:
        x = self.embed_norm(self.embed(x))
        for number, block in enumerate(self.blocks):
            x = block(x, None if draws is None else draws[:, number])
        return self.norm(x)


class _Block(nnx.Module):
    def __init__(self, width: int, stage: int, drop: float, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.drop = drop
        self.norm1 = layers.LayerNorm(width, dtype=dtype)
        self.attention = _Attention(
            width, _HEADS[stage], _REDUCTIONS[stage], dtype=dtype, rngs=rngs
        )
        self.norm2 = layers.LayerNorm(width, dtype=dtype)
        self.mlp = _MixMLP(width, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array, draws: jax.Array | None) -> jax.Array:
        first, second = (None, None) if draws is None else (draws[:, 0], draws[:, 1])
        x = x + _drop_path(self.attention(self.norm1(x)), first, self.drop)
        return x + _drop_path(self.mlp(self.norm2(x)), second, self.drop)


class _Attention(nnx.Module):
    """Every pixel asks; a strided convolution leaves few to answer."""

    def __init__(self, width: int, heads: int, reduction: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.heads = heads
        self.query = _linear(width, width, dtype=dtype, rngs=rngs)
        self.key = _linear(width, width, dtype=dtype, rngs=rngs)
        self.value = _linear(width, width, dtype=dtype, rngs=rngs)
        self.output = _linear(width, width, dtype=dtype, rngs=rngs)
        self.reduce = nnx.data(None)
        self.reduce_norm = nnx.data(None)
        if reduction > 1:
            self.reduce = nnx.Conv(
                width,
                width,
                (reduction, reduction),
                strides=reduction,
                padding="VALID",
                kernel_init=nnx.initializers.he_normal(),
                dtype=dtype,
                rngs=rngs,
            )
            self.reduce_norm = layers.LayerNorm(width, dtype=dtype)

    def __call__(self, x: jax.Array) -> jax.Array:
        memory = x
        if self.reduce is not None and self.reduce_norm is not None:
            memory = self.reduce_norm(self.reduce(x))

        def split(y: jax.Array) -> jax.Array:
            return y.reshape(y.shape[0], -1, self.heads, y.shape[-1] // self.heads)

        query, key, value = (
            split(layer(y))
            for layer, y in ((self.query, x), (self.key, memory), (self.value, memory))
        )
        # jax.nn.dot_product_attention mixes types, which strict promotion refuses.
        scale = jnp.float32(query.shape[-1] ** -0.5)
        scores = jnp.einsum("nqhc,nkhc->nhqk", query, key, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(scores * scale, axis=-1).astype(x.dtype)
        y = jnp.einsum("nhqk,nkhc->nqhc", weights, value)
        return self.output(y.reshape(x.shape))


class _MixMLP(nnx.Module):
    """The depthwise convolution between the layers stands in for positions."""

    def __init__(self, width: int, *, dtype: DTypeLike, rngs: nnx.Rngs):
        wide = width * _EXPANSION
        self.expand = _linear(width, wide, dtype=dtype, rngs=rngs)
        self.mix = layers.DepthwiseConv(wide, 1, use_bias=True, rngs=rngs)
        self.contract = _linear(wide, width, dtype=dtype, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.contract(jax.nn.gelu(self.mix(self.expand(x)), approximate=False))


class _Head(nnx.Module):
    """Projections of the four stages, fused at stride 4.

    Fusing is linear and so is resizing: every stage is fused at its own size and enlarged then,
    which saves two thirds of the products and the concatenated features of the published order.
    """

    def __init__(self, num_classes: int, size: Size, *, dtype: DTypeLike, rngs: nnx.Rngs):
        self.dtype = dtype
        self.project = nnx.List(
            [_linear(width, size.head, dtype=dtype, rngs=rngs) for width in size.widths]
        )
        init = nnx.initializers.he_normal()
        shape = (len(size.widths) * size.head, size.head)
        self.fuse = nnx.Param(init(rngs.params(), shape, jnp.float32))
        self.norm = _BatchNorm(size.head, dtype=dtype)
        self.classify = layers.Classifier(size.head, num_classes, stddev=0.02, rngs=rngs)

    def __call__(self, stages: list[jax.Array], keys: jax.Array | None) -> jax.Array:
        # The published order concatenates the deepest stage first.
        kernels = jnp.split(self.fuse[...].astype(self.dtype), len(stages))[::-1]
        size = stages[0].shape[1:3]
        total = jnp.zeros((), jnp.float32)
        for x, project, kernel in zip(stages, self.project, kernels, strict=True):
            y = jnp.einsum("nhwc,cd->nhwd", project(x), kernel)
            # Resized as published: corners not aligned.
            y = jax.image.resize(y, (y.shape[0], *size, y.shape[-1]), "linear", antialias=False)
            total = total + y.astype(jnp.float32)
        x = nnx.relu(self.norm(total))
        return self.classify(_dropout(x, keys, _DROPOUT))


class _BatchNorm(nnx.Module):
    """Frozen statistics, trained scale and bias, epsilon 1e-5."""

    def __init__(self, features: int, *, dtype: DTypeLike):
        self.scale = nnx.Param(jnp.ones((features,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((features,), jnp.float32))
        self.mean = layers.FrozenStat(jnp.zeros((features,), jnp.float32))
        self.var = layers.FrozenStat(jnp.ones((features,), jnp.float32))
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.scale[...] * lax.rsqrt(self.var[...] + jnp.float32(1e-5))
        shift = self.bias[...] - self.mean[...] * scale
        y = x * scale[None, None, None, :] + shift[None, None, None, :]
        return y.astype(self.dtype)


def _linear(features: int, out: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.Linear:
    init = nnx.initializers.truncated_normal(0.02)
    return nnx.Linear(features, out, kernel_init=init, dtype=dtype, rngs=rngs)


def _drop_path(x: jax.Array, draws: jax.Array | None, rate: float) -> jax.Array:
    """Leaves a residual branch out of an image with probability `rate` (Huang et al., 2016).

    `draws` [N] are uniform on [0, 1).
    """
    if draws is None or rate == 0:
        return x
    kept, left_out = jnp.float32(1 / (1 - rate)), jnp.float32(0)
    scale = jnp.where(draws >= jnp.float32(rate), kept, left_out).astype(x.dtype)
    return x * scale[:, None, None, None]


def _dropout(x: jax.Array, keys: jax.Array | None, rate: float) -> jax.Array:
    if keys is None:
        return x
    # Another key than that of the residual branches.
    keys = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[1:]))(keys)
    return jnp.where(keep, x / jnp.asarray(1 - rate, x.dtype), jnp.zeros((), x.dtype))
