"""Layers that networks share: convolutions padded as in torch, frozen statistics, classifiers."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from cbda_jax.models.depthwise import depthwise
from cbda_jax.models.strips import convolve, extend


class FrozenStat(nnx.Variable):
    """An array that belongs to the weights and is never trained."""


def freeze(module: nnx.Module) -> None:
    """Makes every parameter of a module a `FrozenStat`, which is not trained."""
    for _, node in nnx.iter_graph(module):
        if isinstance(node, nnx.Module):
            for name, value in vars(node).items():
                if isinstance(value, nnx.Param):
                    setattr(node, name, FrozenStat(value[...]))


def conv(
    features: int,
    out_features: int,
    size: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    padding: str | None = None,
    use_bias: bool = False,
    dtype: DTypeLike,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """A convolution with the symmetric padding (size - 1) // 2 * dilation, He-initialised.

    `padding` "SAME" pads the other side at stride 2, for weights of TensorFlow.
    """
    return nnx.Conv(
        features,
        out_features,
        (size, size),
        strides=stride,
        padding=(size - 1) // 2 * dilation if padding is None else padding,
        kernel_dilation=dilation,
        use_bias=use_bias,
        kernel_init=nnx.initializers.he_normal(),
        dtype=dtype,
        rngs=rngs,
    )


def pointwise(features: int, out_features: int, *, dtype: DTypeLike, rngs: nnx.Rngs) -> nnx.Linear:
    """A 1 x 1 convolution without bias, as a matrix product: half the time of `conv` on CPU."""
    return nnx.Linear(
        features,
        out_features,
        use_bias=False,
        kernel_init=nnx.initializers.he_normal(),
        dtype=dtype,
        rngs=rngs,
    )


class FrozenBatchNorm(nnx.Module):
    """(x - mean) / sqrt(var + epsilon) * scale + bias with constants.

    Args:
        features: number of channels.
        scale: initial scale of every channel.
        epsilon: added to the variance; the RIPU reference has none.
        dtype: of the computation; the constants are folded in float32.
    """

    def __init__(
        self, features: int, *, scale: float = 1.0, epsilon: float = 0.0, dtype: DTypeLike
    ):
        self.scale = FrozenStat(jnp.full((features,), scale, jnp.float32))
        self.bias = FrozenStat(jnp.zeros((features,), jnp.float32))
        self.mean = FrozenStat(jnp.zeros((features,), jnp.float32))
        self.var = FrozenStat(jnp.ones((features,), jnp.float32))
        self.epsilon = epsilon
        self.dtype = dtype

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Normalises, in `dtype`."""
        scale, shift = (constant.astype(self.dtype) for constant in self.constants())
        return x * scale[None, None, None, :] + shift[None, None, None, :]

    def constants(self) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
        """What it multiplies by, and what it adds then, float32."""
        scale = self.scale[...] * lax.rsqrt(self.var[...] + jnp.float32(self.epsilon))
        return scale, self.bias[...] - self.mean[...] * scale


def folded(
    layer: "nnx.Conv | nnx.Linear | DepthwiseConv", norm: FrozenBatchNorm
) -> tuple[Float[Array, "... c"], Float[Array, " c"]]:
    """Kernel and bias, float32, of a layer without bias and the frozen norm after it.

    The scale goes into the kernel, so that what is left to do after the layer (a sum and mostly a
    ReLU) is no pass of its own. The kernel that is trained is the layer's, as without: its gradient
    comes through the product.
    """
    scale, shift = norm.constants()
    kernel: jax.Array = layer.kernel[...]
    return kernel * scale.reshape([1] * (kernel.ndim - 1) + [-1]), shift


def conv_norm(
    layer: nnx.Conv | nnx.Linear, norm: FrozenBatchNorm, x: Float[Array, "n h w c"], strips: int = 1
) -> Float[Array, "n h2 w2 k"]:
    """`norm(layer(x))` of a layer without bias (`conv`, `pointwise`), in the type of x.

    Args:
        layer: of `conv` or `pointwise`.
        norm: the layer's results go through it.
        x: images, or strips of them.
        strips: of an image (`models.strips`).
    """
    kernel, shift = folded(layer, norm)
    kernel = kernel.astype(x.dtype)
    if isinstance(layer, nnx.Linear):
        y = jnp.einsum("nhwc,ck->nhwk", x, kernel)
    else:
        y = convolve_as(layer, x, kernel, strips)
    return y + shift.astype(x.dtype)[None, None, None, :]


def convolve_as(
    layer: nnx.Conv, x: Float[Array, "n h w c"], kernel: Float[Array, "..."], strips: int = 1
) -> Float[Array, "n h2 w2 k"]:
    """A convolution like that of a layer of `conv`, with another kernel."""
    stride, dilation, padding = layer.strides, layer.kernel_dilation, layer.padding
    assert isinstance(stride, int)
    assert isinstance(dilation, int)
    assert isinstance(padding, int | str)
    return convolve(x, kernel, strips, stride=stride, dilation=dilation, padding=padding)


def depthwise_norm(
    layer: "DepthwiseConv", norm: FrozenBatchNorm, x: Float[Array, "n h w c"], strips: int = 1
) -> Float[Array, "n h2 w2 c"]:
    """`norm(layer(x))` of a depthwise convolution without bias, in the type of x."""
    kernel, shift = folded(layer, norm)
    total: jax.Array = depthwise(x, kernel, layer.stride, layer.dilation, strips)
    return (total + shift[None, None, None, :]).astype(x.dtype)


class GroupNorm(nnx.Module):
    """Group normalisation (Wu and He, 2018): statistics of one image, float32 in any precision.

    Flax's own mixes bfloat16 and float32, which strict promotion refuses.

    Args:
        features: number of channels.
        groups: into which they are divided.
        dtype: of the result.
        epsilon: added to the variance.
    """

    def __init__(self, features: int, groups: int, *, dtype: DTypeLike, epsilon: float = 1e-5):
        self.scale = nnx.Param(jnp.ones((features,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((features,), jnp.float32))
        self.groups = groups
        self.dtype = dtype
        self.epsilon = epsilon

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Normalises every image, in `dtype`."""
        n, h, w, c = x.shape
        grouped = x.astype(jnp.float32).reshape(n, h * w, self.groups, c // self.groups)
        mean = jnp.mean(grouped, axis=(1, 3))
        # Rounding may leave a constant group's variance below zero.
        square = jnp.mean(jnp.square(grouped), axis=(1, 3))
        var = jnp.maximum(square - jnp.square(mean), jnp.float32(0))
        inverse = lax.rsqrt(var + jnp.float32(self.epsilon))

        def per_channel(v: jax.Array) -> jax.Array:
            return jnp.repeat(v, c // self.groups, axis=1)

        scale = per_channel(inverse) * self.scale[...][None, :]
        shift = self.bias[...][None, :] - per_channel(mean) * scale
        y = x.astype(jnp.float32) * scale[:, None, None, :] + shift[:, None, None, :]
        return y.astype(self.dtype)


class LayerNorm(nnx.Module):
    """Layer normalisation over the channels (Ba et al., 2016): statistics in float32.

    Args:
        features: number of channels.
        dtype: of the result.
        epsilon: added to the variance.
    """

    def __init__(self, features: int, *, dtype: DTypeLike, epsilon: float = 1e-5):
        self.scale = nnx.Param(jnp.ones((features,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((features,), jnp.float32))
        self.dtype = dtype
        self.epsilon = epsilon

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w c"]:
        """Normalises every pixel, in `dtype`."""
        wide = x.astype(jnp.float32)
        centred = wide - jnp.mean(wide, axis=-1, keepdims=True)
        var = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
        y = centred * lax.rsqrt(var + jnp.float32(self.epsilon))
        y = y * self.scale[...][None, None, None, :] + self.bias[...][None, None, None, :]
        return y.astype(self.dtype)


class DepthwiseConv(nnx.Module):
    """A convolution of every channel by itself: `depthwise`.

    The padding is "SAME": symmetric at stride 1; at stride 2 and an even size, one more at the end.

    Args:
        features: number of channels.
        dilation: distance of the taps.
        size: of the kernel, odd.
        stride: distance of the results.
        use_bias: whether a trained constant is added.
        rngs: stream "params".
    """

    def __init__(
        self,
        features: int,
        dilation: int,
        *,
        size: int = 3,
        stride: int = 1,
        use_bias: bool = False,
        rngs: nnx.Rngs,
    ):
        init = nnx.initializers.normal(float(np.sqrt(2 / size**2)))
        self.kernel = nnx.Param(init(rngs.params(), (size, size, features), jnp.float32))
        self.bias = nnx.data(None)
        if use_bias:
            self.bias = nnx.Param(jnp.zeros((features,), jnp.float32))
        self.dilation = dilation
        self.stride = stride

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h2 w2 c"]:
        """The result has the size of x over the stride, rounded up, and the type of x."""
        total: jax.Array = depthwise(x, self.kernel[...], self.stride, self.dilation)
        if self.bias is not None:
            total = total + self.bias[...][None, None, None, :]
        return total.astype(x.dtype)


class Classifier(nnx.Module):
    """A 1 x 1 convolution to class logits: computed in the features' type, summed in float32."""

    def __init__(
        self, features: int, num_classes: int, *, stddev: float | None = None, rngs: nnx.Rngs
    ):
        deviation = stddev if stddev is not None else float(np.sqrt(1 / features))
        init = nnx.initializers.normal(deviation)
        self.kernel = nnx.Param(init(rngs.params(), (features, num_classes), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((num_classes,), jnp.float32))

    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n h w classes"]:
        """Logits float32 of features of any floating type."""
        kernel = self.kernel[...].astype(x.dtype)
        logits = jnp.einsum("nhwc,ck->nhwk", x, kernel, preferred_element_type=jnp.float32)
        return logits + self.bias[...][None, None, None, :]


def drop_channels(
    x: Float[Array, "m h w c"], keys: Key[Array, " n"] | None, rate: float, strips: int = 1
) -> Float[Array, "m h w c"]:
    """Sets whole channels of an image to zero, each with probability `rate`, and scales the rest.

    Every image has its own key, so the result does not depend on which images share a device.

    Args:
        x: features, of images or of strips of them.
        keys: one random key an image; None leaves x as it is (evaluation).
        rate: probability of dropping.
        strips: of an image (`models.strips`).
    """
    if keys is None:
        return x
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, (x.shape[-1],)))(keys)
    scale = jnp.where(keep, jnp.float32(1 / (1 - rate)), jnp.float32(0)).astype(x.dtype)
    if strips > 1:
        scale = jnp.repeat(scale, strips, axis=0)
    return x * scale[:, None, None, :]


def max_pool(
    x: Float[Array, "n h w c"], strips: int = 1, *, ceil: bool = False
) -> Float[Array, "n h2 w2 c"]:
    """Maximum over 3 x 3 windows at stride 2 with padding 1, of images or strips of them.

    Args:
        x: whole images, or strips of them.
        strips: of an image (`models.strips`).
        ceil: of whole images: windows that lie partly beyond the end count too, torch's
            `ceil_mode`; n rows give n // 2 + 1.
    """
    rows = columns = (1, 2) if ceil else (1, 1)
    if strips > 1:
        assert not ceil
        x, columns = extend(x, strips, 1, 0, -np.inf), (0, 0)
    padding = ((0, 0), rows, columns, (0, 0))
    lowest = np.array(-np.inf, x.dtype)
    return lax.reduce_window(x, lowest, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), padding)
