"""Networks on strips of images against networks on images, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from networks import images

from cbda_jax import platform, resize
from cbda_jax.models import deeplab, layers, resnet, strips


def close(ours, theirs, tolerance=1e-4):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        scale = float(jnp.abs(b).max()) + 1e-6
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


def test_only_tpus_see_strips_and_they_are_of_equal_width():
    assert strips.count(2, 1280) == 1
    with platform.compiling_for("tpu"):
        assert strips.count(1, 1280) == 8  # of 20 columns at stride 8: less than that, with 16
        assert strips.count(2, 1280) == 8
        assert strips.count(4, 1280) == 4
        assert strips.count(16, 1280) == 1
        assert strips.count(2, 320) == 2
        assert strips.count(2, 1288) == 1  # an odd number of columns at stride 8
    with platform.compiling_for("cuda"):
        assert strips.count(2, 1280) == 1


def test_cut_and_joined():
    x = images(2, 3, 12, 2)
    parts = strips.cut(x, 4)
    assert parts.shape == (8, 3, 3, 2)
    np.testing.assert_array_equal(parts[5], x[1, :, 3:6])
    np.testing.assert_array_equal(strips.join(parts, 4), x)


def test_neighbours_lend_their_columns():
    x = images(2, 3, 12, 2)
    parts = strips.extend(strips.cut(x, 3), 3, 2, 1, filler=-1.0)
    whole = jnp.pad(x, ((0, 0), (0, 0), (2, 1), (0, 0)), constant_values=-1)
    for i in range(6):
        np.testing.assert_array_equal(parts[i], whole[i // 3, :, i % 3 * 4 :][:, :7])
    with pytest.raises(ValueError, match="5 columns of neighbours wanted, strips have 4"):
        strips.extend(strips.cut(x, 3), 3, 5, 0)


@pytest.mark.parametrize(
    ("size", "stride", "dilation"), [(1, 1, 1), (1, 2, 1), (3, 1, 4), (3, 2, 1), (7, 2, 1)]
)
def test_layers_of_strips_are_those_of_images(size, stride, dilation):
    x = images(2, 10, 32, 4)
    conv = layers.conv(
        4, 6, size, stride=stride, dilation=dilation, dtype=jnp.float32, rngs=nnx.Rngs(0)
    )

    def ours(x):
        y = layers.convolve_as(conv, strips.cut(x, 4), conv.kernel[...], 4)
        return strips.join(layers.max_pool(y, 4), 4)

    compared(ours, lambda x: layers.max_pool(conv(x)), x)


@pytest.mark.parametrize("dilation", [1, 6])
def test_depthwise_of_strips(dilation):
    layer = layers.DepthwiseConv(4, dilation, rngs=nnx.Rngs(0))
    kernel = layer.kernel[...]

    def depthwise(x, kernel, cut):
        y: jax.Array = layers.depthwise(strips.cut(x, cut), kernel, 1, dilation, cut)
        return strips.join(y, cut)

    compared(
        lambda x, k: depthwise(x, k, 4),
        lambda x, k: depthwise(x, k, 1),
        images(2, 9, 32, 4),
        kernel,
    )


@pytest.mark.parametrize("size", [(9, 64), (5, 32), (17, 60)])
def test_bilinear_of_strips(size):
    compared(
        lambda x: strips.join(strips.bilinear(strips.cut(x, 4), size, 4), 4),
        lambda x: resize.bilinear(x, size),
        images(2, 5, 32, 3),
        tolerance=1e-6,
    )


def compared(ours, theirs, *arguments, tolerance=1e-5):
    """Values and gradients, in one program."""

    @jax.jit
    def both(*arguments):
        results = []
        for function in (ours, theirs):
            y, vjp = jax.vjp(function, *arguments)
            results.append(
                (y, vjp(jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape)))
            )
        return results

    close(*both(*arguments), tolerance=tolerance)


def test_the_decoder_of_strips():
    """Its keys, too: an image drops the same channels in all of its strips."""
    cut = 2
    graphdef, state = nnx.split(
        jax.jit(lambda: deeplab._Decoder(5, dtype=jnp.float32, rngs=nnx.Rngs(0)))()
    )
    keys = jax.random.split(jax.random.key(1), 2)

    def decode(low, out, state, cut):
        features = resnet.Features(strips.cut(low, cut), strips.cut(out, cut), cut)
        return nnx.merge(graphdef, state, copy=True)(features, keys)

    low, out = images(2, 5, 72, 256), images(2, 3, 36, 2048) / 8
    compared(
        lambda low, out: decode(low, out, state, cut),
        lambda low, out: decode(low, out, state, 1),
        low,
        out,
        tolerance=1e-4,
    )


def test_the_decoder_in_parts_is_that_of_concatenated_features():
    decoder = jax.jit(lambda: deeplab._Decoder(5, dtype=jnp.float32, rngs=nnx.Rngs(0)))()
    graphdef, state = nnx.split(decoder)
    low, out = images(2, 9, 12, 256), images(2, 4, 6, 2048) / 8

    def ours(low, out, state):
        return nnx.merge(graphdef, state, copy=True)(resnet.Features(low, out), None)

    def theirs(low, out, state):
        head = nnx.merge(graphdef, state, copy=True)

        def separable(layer, x):
            x = nnx.relu(layer.norm(layer.depthwise(x)))
            return nnx.relu(layer.pointwise.norm(layer.pointwise.conv(x)))

        mean = head.pooled(jnp.mean(out, axis=(1, 2), keepdims=True))
        parts = [head.point(out), *(separable(layer, out) for layer in head.atrous)]
        parts.append(jnp.broadcast_to(mean, (*out.shape[:3], mean.shape[-1])))
        x = jnp.concatenate(parts, axis=-1)
        x = nnx.relu(head.bottleneck.norm(head.bottleneck.conv(x)))
        x = resize.bilinear(x, low.shape[1:3])
        x = jnp.concatenate([x, head.shortcut(low)], axis=-1)
        for layer in head.refine:
            x = separable(layer, x)
        return head.classify(x)

    compared(ours, theirs, low, out, state, tolerance=1e-4)
