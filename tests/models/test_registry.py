"""What every network promises: float32 logits, trained and frozen parts, precision, dropout."""

import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from networks import shapes

from cbda_jax import models
from cbda_jax.errors import InputError
from cbda_jax.models import layers, registry, torch_names

NETWORKS = (
    "small_unet",
    "deeplabv2_resnet101",
    "deeplabv2_resnet101_caffe",
    "deeplabv3plus_resnet101",
    "deeplabv3plus_efficientnet_lite0",
    "segformer_b0",
)


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
        "deeplabv2_resnet101_caffe": [resnet + 4 * 19 * (9 * 2048 + 1)],
        "deeplabv3plus_resnet101": range(resnet + 1, resnet + 20_000_000),
        "deeplabv3plus_efficientnet_lite0": [lite0 + 121_075],
        "segformer_b0": [3_719_027],
    }
    assert count in expected[name]


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
        ("deeplabv2_resnet101_caffe", (64, 96), (9, 13)),
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


def test_unknown_network():
    with pytest.raises(InputError, match="network: 'deeplab' found, expected one of small_unet"):
        models.create_model("deeplab", 19, rngs=nnx.Rngs(0))


def test_a_mistyped_network():
    with pytest.raises(InputError, match=r"'smal_unet' found.*; did you mean 'small_unet'\?"):
        models.create_model("smal_unet", 19, rngs=nnx.Rngs(0))


class Tiny(nnx.Module):
    """The smallest network that keeps to the contract."""

    def __init__(self, num_classes, *, dtype, rngs):
        self.backbone = layers.conv(3, 4, 3, stride=2, dtype=dtype, rngs=rngs)
        self.head = layers.Classifier(4, num_classes, rngs=rngs)

    def __call__(self, images, keys=None):
        return self.head(layers.drop_channels(self.backbone(images), keys, 0.1))


class NoHead(Tiny):
    def __init__(self, num_classes, *, dtype, rngs):
        super().__init__(num_classes, dtype=dtype, rngs=rngs)
        self.classify = self.head
        del self.head

    def __call__(self, images, keys=None):
        return self.classify(self.backbone(images))


class Rough(Tiny):
    def __call__(self, images, keys=None):
        return super().__call__(images).astype(jnp.bfloat16)


class NoKeys(Tiny):
    def __call__(self, images):
        return super().__call__(images)


@pytest.fixture
def module(monkeypatch):
    """A user's module `my_networks`."""
    module = types.ModuleType("my_networks")
    module.Tiny, module.NoHead, module.Rough, module.NoKeys = Tiny, NoHead, Rough, NoKeys
    monkeypatch.setitem(sys.modules, "my_networks", module)


def created(name):
    return nnx.eval_shape(lambda: models.create_model(name, 7, rngs=nnx.Rngs(0)))


def test_a_network_by_import_path(module):
    model = created("my_networks:Tiny")
    assert isinstance(model, Tiny)
    assert model.head.bias.get_value().shape == (7,)


def test_a_registered_network(monkeypatch):
    monkeypatch.setattr(registry, "NETWORKS", dict(registry.NETWORKS))
    models.register_network("tiny", Tiny)
    assert isinstance(created("tiny"), Tiny)
    with pytest.raises(InputError, match=r"Tiny has no torch counterpart"):
        models.load_torch_weights(created("tiny"), {})
    table = [torch_names.Entry("conv.weight", ("backbone", "kernel"), torch_names.CONV)]
    weights = models.TorchWeights(Tiny, lambda model: table, lambda arrays: 7)
    with pytest.raises(InputError, match="network 'tiny': a taken name found"):
        models.register_network("tiny", Tiny, weights=weights)
    models.register_network("tiny_of_torch", Tiny, weights=weights)
    model = created("tiny_of_torch")
    models.load_torch_weights(model, {"conv.weight": np.full((4, 3, 3, 3), 0.5, np.float32)})
    assert float(model.backbone.kernel.get_value().max()) == 0.5
    with pytest.raises(InputError, match="'a:b': this name found, expected letters, digits"):
        models.register_network("a:b", Tiny)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NoHead", "a NoHead without 'head' found"),
        ("Rough", r"logits bfloat16 \[2, 32, 32, 5\] of two images and 5 classes found"),
        ("NoKeys", r"cannot be called \(TypeError: .*expected create\(num_classes"),
        ("tiny", "'my_networks:tiny' found, .*; did you mean 'Tiny'"),
    ],
)
def test_a_network_that_breaks_the_contract_is_told_why(module, name, message):
    with pytest.raises(InputError, match=message) as error:
        created(f"my_networks:{name}")
    assert "\n" not in str(error.value)
