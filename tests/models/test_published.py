"""Logits and features equal to those of PyTorch networks of published layouts, where torch is."""

import jax
import jax.numpy as jnp
import numpy as np
import published
import pytest
from flax import nnx
from networks import shapes

from cbda_jax import models

torch = pytest.importorskip("torch")
import torch_networks  # noqa: E402

IMAGES = np.random.default_rng(0).integers(0, 256, (1, 65, 80, 3), dtype=np.uint8)
LAST = (("layer5", 2048),)
BOTH = (("layer5", 2048), ("layer6", 2048))
MULTI = (("layer5", 1024), ("layer6", 2048))


def of_torch(network, arrays, images):
    """What a network gives with arrays in its layout, channels last."""
    state = {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
    network.load_state_dict(state)
    with torch.no_grad():
        found = network.eval()(torch.from_numpy(np.moveaxis(images, -1, 1).copy()))
    found = found if isinstance(found, list) else [found]
    return [np.moveaxis(x.numpy(), 1, -1) for x in found]


def of_jax(network, arrays, part=None):
    """Logits, or the features of the backbone."""
    model = shapes(network)
    models.load_torch_weights(model, arrays)
    graphdef, state = nnx.split(model if part is None else getattr(model, part))

    def call(state, images):
        return nnx.merge(graphdef, state)(models.normalize(images))

    return jax.jit(call)(state, jnp.asarray(IMAGES))


def relative(ours, theirs):
    assert ours.shape == theirs.shape
    return np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max()


def normal():
    return np.asarray(models.normalize(jnp.asarray(IMAGES)))


def caffe():
    return IMAGES[..., ::-1].astype(np.float32) - np.float32(
        (104.00698793, 116.66876762, 122.67891434)
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (published.adaptsegnet(heads=MULTI), lambda: torch_networks.AdaptSegNet(heads=MULTI)),
        (published.deeplabv3(), None),
        (published.segformer("b2"), lambda: torch_networks.SegFormer(published.MIT["b2"])),
        (
            published.segformer(daformer=True),
            lambda: torch_networks.SegFormer(published.MIT["b0"], daformer=True),
        ),
        (published.mmseg_mit("b1"), lambda: torch_networks.MmsegMit(*published.MIT["b1"][:2])),
        (published.timm_lite0(), lambda: torch_networks.TfLite0(published.LITE0)),
    ],
    ids=["adaptsegnet", "torchvision", "segformer", "daformer", "mmseg", "timm"],
)
def test_the_generated_names_are_those_of_the_networks(ours, theirs):
    if theirs is None:
        network = torch_networks.ResNet101()
        ours = {n[9:]: s for n, s in ours.items() if n.startswith("backbone.")}
    else:
        network = theirs()
    state = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    # AdaptSegNet's were written by a torch that did not count batches.
    state = {n: s for n, s in state.items() if n in ours or "num_batches_tracked" not in n}
    assert state == ours


@pytest.mark.slow
@pytest.mark.parametrize(
    ("heads", "summed"),
    [(MULTI, 2), (LAST, 2), (MULTI, 4), (BOTH, 4)],
    ids=["adaptsegnet_multi", "adaptsegnet", "advent", "clan"],
)
def test_adaptsegnet(heads, summed):
    arrays = published.numbers(published.adaptsegnet(heads=heads))
    # Of images 0 to 255.
    arrays["bn1.running_var"] = arrays["bn1.running_var"] * np.float32(1e6)
    for name, features in heads if summed == 2 else ():
        published.first_numbers(arrays, name, (2, 3), features)
    network = torch_networks.AdaptSegNet(heads=heads, summed=summed)
    [expected] = of_torch(network, arrays, caffe())
    assert expected.shape == (1, 9, 11, 19)  # 10 columns without rounding up
    logits = of_jax("deeplabv2_resnet101_caffe", {f"Scale.{n}": v for n, v in arrays.items()})
    assert relative(logits, expected) < 1e-5


@pytest.mark.slow
def test_the_backbone_of_torchvisions_deeplabv3():
    class Backbone(torch_networks.ResNet101):
        forward = torch_networks.ResNet101.stages

    arrays = published.numbers(published.deeplabv3())
    backbone = {n[9:]: v for n, v in arrays.items() if n.startswith("backbone.")}
    low, _, _, out = of_torch(Backbone(), backbone, normal())
    features = of_jax("deeplabv3plus_resnet101", arrays, "backbone")
    assert relative(features.low, low) < 1e-5
    assert relative(features.out, out) < 1e-5


@pytest.mark.parametrize("daformer", [False, True])
def test_segformer(daformer):
    """The difference is that of the layer norms' epsilon, 1e-6 there and 1e-5 here."""
    arrays = published.numbers(published.segformer(daformer=daformer))
    for name in arrays:
        if "norm" in name and name.endswith("weight"):
            arrays[name] = arrays[name] * np.float32(10)
    network = torch_networks.SegFormer(published.MIT["b0"], daformer=daformer)
    [expected] = of_torch(network, arrays, normal())
    content = {"state_dict": {f"model.{n}": v for n, v in arrays.items()}}
    assert relative(of_jax("segformer_b0", content), expected) < 1e-4


def test_the_encoder_of_mmsegmentation():
    arrays = published.numbers(published.mmseg_mit())
    for name in arrays:
        if len(arrays[name].shape) == 1 and name.endswith("weight"):
            arrays[name] = arrays[name] * np.float32(10)
    expected = of_torch(torch_networks.MmsegMit(*published.MIT["b0"][:2]), arrays, normal())
    model = shapes("segformer_b0")
    models.load_torch_weights(model, arrays)
    graphdef, state = nnx.split(model.backbone)
    found = jax.jit(lambda state, x: nnx.merge(graphdef, state)(x, None))(
        state, jnp.asarray(normal())
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert relative(ours, theirs) < 1e-4


def test_the_backbone_of_timms_efficientnet():
    arrays = published.numbers(published.timm_lite0())
    images = (IMAGES.astype(np.float32) - 127) / 128
    expected = of_torch(torch_networks.TfLite0(published.LITE0), arrays, images)
    found = of_jax("deeplabv3plus_efficientnet_lite0", arrays, "backbone")
    for ours, theirs in zip(found, (expected[0], expected[1], expected[4]), strict=True):
        assert relative(ours, theirs) < 1e-5
