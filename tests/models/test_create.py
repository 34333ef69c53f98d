"""What every network promises: float32 logits, trained and frozen parts, precision, dropout."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cbda_jax import models
from cbda_jax.errors import InputError
from cbda_jax.models import depthwise, layers

NETWORKS = (
    "small_unet",
    "deeplabv2_resnet101",
    "deeplabv3plus_resnet101",
    "deeplabv3plus_efficientnet_lite0",
    "segformer_b0",
)


@functools.cache
def shapes(name):
    """The network without its numbers."""
    return nnx.eval_shape(lambda: models.create_model(name, 19, rngs=nnx.Rngs(0)))


def images(*shape):
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)


@pytest.fixture(scope="module")
def unet():
    return jax.jit(lambda: models.create_model("small_unet", 7, rngs=nnx.Rngs(0)))()


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_trained(name):
    model = shapes(name)
    graphdef, params, frozen = nnx.split(model, nnx.Param, ...)
    del graphdef
    assert {x.dtype for x in jax.tree.leaves((params, frozen))} == {jnp.dtype("float32")}
    names = {path[-1] for path, _ in nnx.to_flat_state(frozen)}
    frozen_norm = {"scale", "bias", "mean", "var"}
    expected = {
        "small_unet": set(),
        "segformer_b0": {"mean", "var"},
        "deeplabv3plus_efficientnet_lite0": frozen_norm | {"kernel"},
    }
    assert names == expected.get(name, frozen_norm)
    assert all(isinstance(v, models.FrozenStat) for _, v in nnx.to_flat_state(frozen))
    count = sum(x.size for x in jax.tree.leaves(params))
    # ResNet-101 without its classifier has 42.39 million weights in convolutions.
    resnet = 42_394_816
    # Of EfficientNet-lite0's 2,919,392 in convolutions, those of the third to the fifth stage.
    lite0 = 670_032
    expected = {
        "small_unet": range(300_000, 600_000),
        "deeplabv2_resnet101": [resnet + 4 * 19 * (9 * 2048 + 1)],
        "deeplabv3plus_resnet101": range(resnet + 1, resnet + 20_000_000),
        "deeplabv3plus_efficientnet_lite0": [lite0 + 121_075],
        "segformer_b0": [3_719_027],
    }
    assert count in expected[name]


@pytest.mark.parametrize(
    ("size", "millions"),
    [("b0", 3.8), ("b1", 13.7), ("b2", 27.5), ("b3", 47.3), ("b4", 64.1), ("b5", 84.7)],
)
def test_segformer_is_as_large_as_published(size, millions, monkeypatch):
    """Table 1 of the paper: encoder and decoder, with 150 classes."""
    # Counting parameters needs no random numbers, whose tracing would take most of the time.
    monkeypatch.setattr(nnx.RngStream, "__call__", lambda self: jax.random.key(0))
    model = nnx.eval_shape(lambda: models.create_model(f"segformer_{size}", 150, rngs=nnx.Rngs(0)))
    count = sum(x.size for x in jax.tree.leaves(nnx.state(model, nnx.Param)))
    assert round(count / 1e6, 1) == millions


@pytest.mark.parametrize("name", NETWORKS)
def test_head_is_recognised_by_name_and_by_tree_path(name):
    _, params, _ = nnx.split(shapes(name), nnx.Param, ...)
    by_name = {models.is_head(path) for path, _ in nnx.to_flat_state(params)}
    assert by_name == {True, False}
    is_head = jax.tree_util.tree_map_with_path(lambda path, _: models.is_head(path), params)
    pure = nnx.to_pure_dict(is_head)
    assert all(jax.tree.leaves(pure["head"]))
    assert not any(jax.tree.leaves(pure["backbone"]))


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("small_unet", (37, 50), (19, 25)),
        ("deeplabv2_resnet101", (65, 97), (9, 13)),
        ("deeplabv3plus_resnet101", (65, 97), (17, 25)),
        ("deeplabv3plus_efficientnet_lite0", (65, 97), (33, 49)),
        ("segformer_b0", (65, 97), (17, 25)),
    ],
)
def test_logits_at_the_stride_in_bfloat16(name, size, expected):
    def forward(x):
        model = models.create_model(name, 5, rngs=nnx.Rngs(0), dtype=jnp.bfloat16)
        return model(x, jax.random.split(jax.random.key(0), 2))

    x = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
    out = jax.eval_shape(forward, x)
    assert out.shape == (2, *expected, 5)
    assert out.dtype == jnp.float32


def test_bfloat16_is_close_to_float32(unet):
    graphdef, state = nnx.split(
        nnx.eval_shape(
            lambda: models.create_model("small_unet", 7, rngs=nnx.Rngs(0), dtype=jnp.bfloat16)
        )
    )
    del state
    x = images(2, 32, 48, 3)
    exact = jax.jit(lambda x: unet(x))(x)
    rough = jax.jit(lambda x: nnx.merge(graphdef, nnx.state(unet))(x))(x)
    assert exact.shape == (2, 16, 24, 7)
    error = float(jnp.max(jnp.abs(exact - rough)) / jnp.max(jnp.abs(exact)))
    assert 1e-4 < error < 0.05


def test_unet_learns_a_toy_problem(unet):
    """A dozen steps of gradient descent on two colours."""
    graphdef, params, _ = nnx.split(unet, nnx.Param, ...)
    x = images(4, 32, 32, 3)
    x = jax.image.resize(x[:, ::8, ::8], x.shape, "nearest")
    y = (x[:, ::2, ::2, 0] > 0).astype(jnp.int32)

    @jax.jit
    def step(params):
        def loss(params):
            log = jax.nn.log_softmax(nnx.merge(graphdef, params, copy=True)(x))
            return -jnp.mean(jnp.take_along_axis(log, y[..., None], axis=-1))

        value, gradient = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - jnp.float32(0.2) * g, params, gradient), value

    losses = []
    for _ in range(12):
        params, value = step(params)
        losses.append(float(value))
    assert losses[-1] < 0.4 * losses[0]


def test_images_do_not_see_each_other(unet):
    x = images(3, 32, 32, 3)
    together = jax.jit(lambda x: unet(x))(x)
    alone = jax.jit(lambda x: unet(x))(x[1:2])
    np.testing.assert_allclose(together[1:2], alone, rtol=1e-4, atol=1e-5)


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


def test_dropout_of_a_network_depends_on_the_key_of_the_image_alone():
    model = jax.jit(lambda: models.create_model("segformer_b0", 5, rngs=nnx.Rngs(0)))()
    keys = jax.random.split(jax.random.key(3), 2)
    x = jnp.repeat(images(1, 32, 32, 3), 2, axis=0)
    forward = jax.jit(lambda x, keys: model(x, keys))
    together = forward(x, keys)
    assert not jnp.allclose(together[0], together[1])
    swapped = forward(x, keys[::-1])
    np.testing.assert_allclose(together, swapped[::-1], rtol=1e-4, atol=1e-5)


def test_group_norm():
    x = images(2, 4, 5, 8) * 3 + 1
    norm = layers.GroupNorm(8, 4, dtype=jnp.float32)
    out = np.asarray(norm(x)).reshape(2, 20, 4, 2)
    np.testing.assert_allclose(out.mean((1, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(out.std((1, 3)), 1, atol=1e-3)


@pytest.mark.parametrize(
    ("size", "stride", "dilation", "shape"),
    [
        (3, 1, 1, (5, 9)),
        (3, 1, 6, (5, 9)),
        (3, 2, 1, (8, 7)),
        (5, 1, 2, (6, 9)),
        (5, 2, 1, (7, 10)),
        (5, 2, 1, (3, 4)),
    ],
)
def test_depthwise_equals_a_grouped_convolution(size, stride, dilation, shape):
    """And its gradients, of which two are written out: one for CPU and one for the others."""
    x = images(2, *shape, 6)
    graphdef, state = nnx.split(
        layers.DepthwiseConv(6, dilation, size=size, stride=stride, rngs=nnx.Rngs(0))
    )

    def ours(x, state):
        return nnx.merge(graphdef, state)(x)

    def theirs(x, state):
        return jax.lax.conv_general_dilated(
            x,
            state["kernel"][...][:, :, None, :],
            (stride, stride),
            "SAME",
            rhs_dilation=(dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=6,
        )

    expected, pull_back = jax.vjp(theirs, x, state)
    out, pull_back_ours = jax.vjp(ours, x, state)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
    gradient = images(*out.shape)
    for a, b in zip(
        jax.tree.leaves(pull_back_ours(gradient)), jax.tree.leaves(pull_back(gradient)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    padded = jnp.pad(x, depthwise.same_padding(x, state["kernel"][...], stride, dilation))
    by_row, at_once = (
        taps(size, stride, dilation, padded, gradient)
        for taps in (depthwise.taps_by_row, depthwise.taps_at_once)
    )
    np.testing.assert_allclose(by_row, at_once, rtol=1e-4, atol=1e-4)


def test_normalize():
    image = np.array([[[0, 128, 255]]], np.uint8)
    expected = (image / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    out = models.normalize(jnp.asarray(image))
    assert out.dtype == jnp.float32
    np.testing.assert_allclose(out, expected, rtol=1e-5)


def test_unknown_network():
    with pytest.raises(InputError, match=re.escape("'deeplab' found, expected one of deeplabv2")):
        models.create_model("deeplab", 19, rngs=nnx.Rngs(0))
