"""Logits equal to those of the PyTorch networks, from checkpoints in their layout."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from cbda_jax import models
from cbda_jax.models.efficientnet import EfficientNetLite0
from cbda_jax.resize import bilinear


def logits_with(name, weights, images):
    # The shapes are enough: every number comes from the checkpoint.
    model = nnx.eval_shape(lambda: models.create_model(name, 19, rngs=nnx.Rngs(0)))
    models.load_torch_weights(model, weights)
    graphdef, state = nnx.split(model)
    images = jnp.asarray(np.moveaxis(images, 1, -1))
    return jax.jit(lambda state, x: nnx.merge(graphdef, state)(x))(state, images)


def relative(ours, theirs):
    theirs = np.moveaxis(theirs, 1, -1)
    return np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deeplabv2_resnet101", "deeplabv3plus_resnet101"])
def test_deeplab(name, golden, reference_weights):
    values = golden(name)
    weights = reference_weights(values["keys"], values["shapes"])
    logits = logits_with(name, weights, values["input"])
    assert relative(logits, values["logits"]) < 1e-5
    upsampled = bilinear(logits, values["input"].shape[2:])[:, ::8, ::8]
    assert relative(upsampled, values["logits_upsampled_sample"]) < 1e-5


def test_segformer(golden, reference_weights):
    """Values of transformers 5.23.0, SegformerForSemanticSegmentation, torch 2.13.0 on CPU."""
    values = golden("segformer")
    weights = reference_weights(values["keys"], values["shapes"])
    logits = logits_with("segformer_b0", weights, values["input"])
    assert relative(logits, values["logits"]) < 1e-5


@pytest.fixture
def lite0(golden, reference_weights):
    """The backbone's state."""
    values = golden("efficientnet_lite0")
    name = "deeplabv3plus_efficientnet_lite0"
    model = nnx.eval_shape(lambda: models.create_model(name, 19, rngs=nnx.Rngs(0)))
    models.load_torch_weights(model, reference_weights(values["keys"], values["shapes"]))
    return nnx.state(model.backbone)


def lite0_features(state, images, output_stride=16):
    graphdef = nnx.graphdef(
        nnx.eval_shape(lambda: EfficientNetLite0(output_stride=output_stride, rngs=nnx.Rngs(0)))
    )
    images = jnp.asarray(np.moveaxis(images, 1, -1))
    return jax.jit(lambda state, x: nnx.merge(graphdef, state)(x))(state, images)


def test_efficientnet_lite0(golden, lite0):
    """Values of efficientnet-lite-pytorch 0.1.0, torch 2.13.0 on CPU, at an odd and an even size.

    It was given the images as those weights expect them, (image - 127) / 128.
    """
    values = golden("efficientnet_lite0")
    for part, ours in lite0_features(lite0, values["input"])._asdict().items():
        assert relative(ours, values[part]) < 1e-5


def test_dilation_adds_features_between_those_of_the_strided_network(lite0):
    """Equal at the same places, up to the borders: padding and centres are those of the stride."""
    images = np.random.default_rng(0).standard_normal((1, 3, 32, 64)).astype(np.float32)
    strided = lite0_features(lite0, images).out
    dilated = lite0_features(lite0, images, 8).out
    assert strided.shape == (1, 2, 4, 112)
    assert dilated.shape == (1, 4, 8, 112)
    np.testing.assert_allclose(dilated[:, 1::2, 1::2], strided, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["b0", "b2"])
def test_segformer_beside_transformers(name, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    size = models.segformer.SIZES[name]
    torch.manual_seed(0)
    theirs = transformers.SegformerForSemanticSegmentation(
        transformers.SegformerConfig(
            hidden_sizes=list(size.widths),
            depths=list(size.depths),
            decoder_hidden_size=size.head,
            num_labels=19,
        )
    ).eval()
    theirs.save_pretrained(tmp_path)
    images = np.random.default_rng(0).standard_normal((1, 3, 64, 96)).astype(np.float32)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(images)).logits.numpy()
    logits = logits_with(f"segformer_{name}", tmp_path / "model.safetensors", images)
    assert relative(logits, expected) < 1e-4
