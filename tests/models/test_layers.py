"""Layers that networks share, against their definitions in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from networks import images

from cbda_jax.models import layers


def test_dropout_depends_on_the_key_of_the_image_alone():
    keys = jax.random.split(jax.random.key(3), 4)
    x = jnp.ones((4, 2, 3, 64), jnp.bfloat16)
    together = layers.drop_channels(x, keys, 0.25)
    split = [layers.drop_channels(x[i : i + 2], keys[i : i + 2], 0.25) for i in (0, 2)]
    np.testing.assert_array_equal(together, jnp.concatenate(split))
    assert not jnp.array_equal(together[0], together[1])
    assert layers.drop_channels(x, None, 0.25) is x
    plane = np.asarray(together[:, 0, 0].astype(jnp.float32))
    np.testing.assert_array_equal(
        together.astype(jnp.float32), np.broadcast_to(plane[:, None, None], x.shape)
    )
    assert set(np.unique(plane)) == {0, np.float32(jnp.bfloat16(4 / 3))}
    assert 0.1 < np.mean(plane == 0) < 0.4


def test_group_norm():
    x = images(2, 4, 5, 8) * 3 + 1
    norm = layers.GroupNorm(8, 4, dtype=jnp.float32)
    out = np.asarray(norm(x)).reshape(2, 20, 4, 2)
    np.testing.assert_allclose(out.mean((1, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(out.std((1, 3)), 1, atol=1e-3)


def test_layer_norm_is_of_every_pixel():
    x = images(2, 3, 4, 16) * 5 - 2
    out = np.asarray(layers.LayerNorm(16, dtype=jnp.float32)(x))
    np.testing.assert_allclose(out.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(out.std(-1), 1, atol=1e-3)


def test_frozen_batch_norm_is_its_formula_and_is_not_trained():
    rng = np.random.default_rng(1)
    norm = layers.FrozenBatchNorm(4, epsilon=0.5, dtype=jnp.float32)
    values = {name: rng.random(4, np.float32) for name in ("scale", "bias", "mean", "var")}
    for name, value in values.items():
        getattr(norm, name)[...] = jnp.asarray(value)
    x = images(2, 3, 3, 4)
    scale, bias, mean, var = values.values()
    expected = (np.asarray(x) - mean) / np.sqrt(var + 0.5) * scale + bias
    np.testing.assert_allclose(norm(x), expected, rtol=1e-5, atol=1e-5)
    assert not jax.tree.leaves(nnx.state(norm, nnx.Param))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 1e-5), (jnp.bfloat16, 2e-2)], ids=["f32", "bf16"]
)
@pytest.mark.parametrize("kind", ["conv", "strided", "pointwise", "depthwise"])
def test_a_folded_norm_is_the_norm_after_the_layer(kind, dtype, tolerance):
    """Values, and gradients of features and of the kernel that is trained."""
    rngs = nnx.Rngs(0)
    layer, apply = {
        "conv": (layers.conv(6, 6, 3, dilation=2, dtype=dtype, rngs=rngs), layers.conv_norm),
        "strided": (
            layers.conv(6, 6, 3, stride=2, padding="SAME", dtype=dtype, rngs=rngs),
            layers.conv_norm,
        ),
        "pointwise": (layers.pointwise(6, 6, dtype=dtype, rngs=rngs), layers.conv_norm),
        "depthwise": (layers.DepthwiseConv(6, 2, rngs=rngs), layers.depthwise_norm),
    }[kind]
    norm = layers.FrozenBatchNorm(6, epsilon=0.1, dtype=dtype)
    rng = np.random.default_rng(2)
    for name in ("scale", "bias", "mean", "var"):
        getattr(norm, name)[...] = jnp.asarray(rng.random(6, np.float32))
    graphdef, kernel, rest = nnx.split((layer, norm), nnx.Param, ...)
    x = images(2, 7, 8, 6).astype(dtype)

    def parts(kernel):
        return nnx.merge(graphdef, kernel, rest, copy=True)

    def plain(x, kernel):
        layer, norm = parts(kernel)
        return norm(layer(x))

    @jax.jit
    def both(x, kernel):
        results = []
        for function in (lambda x, kernel: apply(*parts(kernel), x), plain):
            y, vjp = jax.vjp(function, x, kernel)
            results.append((y, vjp(jnp.cos(jnp.arange(y.size)).reshape(y.shape).astype(dtype))))
        return results

    for ours, theirs in zip(*map(jax.tree.leaves, both(x, kernel)), strict=True):
        assert ours.dtype == theirs.dtype
        theirs = np.asarray(theirs, np.float32)
        largest = np.abs(theirs).max()
        np.testing.assert_allclose(
            np.asarray(ours, np.float32), theirs, rtol=tolerance, atol=tolerance * largest
        )


def test_a_frozen_module_keeps_its_numbers_and_has_none_to_train():
    module = layers.pointwise(3, 2, dtype=jnp.float32, rngs=nnx.Rngs(0))
    kernel = np.asarray(module.kernel[...])
    layers.freeze(module)
    assert not jax.tree.leaves(nnx.state(module, nnx.Param))
    np.testing.assert_array_equal(nnx.state(module, layers.FrozenStat)["kernel"][...], kernel)


@pytest.mark.parametrize(("padding", "first"), [(None, 4), ("SAME", 6)])
def test_a_strided_convolution_pads_as_torch_does_unless_told(padding, first):
    """At stride 2 and an even size, "SAME" has its one row of zeros at the end."""
    conv = layers.conv(1, 1, 3, stride=2, padding=padding, dtype=jnp.float32, rngs=nnx.Rngs(0))
    conv.kernel[...] = jnp.ones((3, 3, 1, 1), jnp.float32)
    rows = jnp.zeros((1, 4, 4, 1), jnp.float32).at[0, :, 1, 0].set(jnp.asarray([1, 3, 2, 5.0]))
    out = conv(rows)
    assert out.shape == (1, 2, 2, 1)
    assert float(out[0, 0, 0, 0]) == first


def test_max_pool_is_that_of_torch():
    x = np.array(images(1, 5, 6, 2))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    expected = [
        [padded[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((1, 2)) for j in range(3)]
        for i in range(3)
    ]
    expected = np.moveaxis(np.array(expected), 2, 0)
    np.testing.assert_array_equal(layers.max_pool(jnp.asarray(x)), expected)


def test_a_classifier_sums_in_float32():
    classify = layers.Classifier(4096, 1, rngs=nnx.Rngs(0))
    classify.kernel[...] = jnp.ones((4096, 1), jnp.float32)
    logits = classify(jnp.ones((1, 1, 1, 4096), jnp.bfloat16) * jnp.bfloat16(1 + 1 / 128))
    assert logits.dtype == jnp.float32
    # In bfloat16 it would stand still at 512.
    assert float(logits[0, 0, 0, 0]) == 4096 + 32


@pytest.mark.parametrize(("size", "pooled"), [(8, 5), (9, 5), (10, 6)])
def test_a_max_pool_that_rounds_up(size, pooled):
    x = -1 - jnp.arange(size * size, dtype=jnp.float32).reshape(1, size, size, 1)
    found = layers.max_pool(x, ceil=True)
    assert found.shape == (1, pooled, pooled, 1)
    floor = layers.max_pool(x)
    np.testing.assert_array_equal(found[:, : floor.shape[1], : floor.shape[2]], floor)
    # The last window of an even size holds the last row and column alone.
    first = size - 1 if size % 2 == 0 else size - 2
    assert float(found[0, -1, -1, 0]) == -1 - first * size - first
