"""What is exported under torch's names is loaded again to the same bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from networks import shapes

from cbda_jax import export, models
from cbda_jax.errors import InputError
from cbda_jax.label_space import LabelSpace
from cbda_jax.models import layouts, torch_names, weights
from cbda_jax.models.torch_export import _their_axes

_LARGER = ("b2", "b3", "b4", "b5")  # of SegFormer: more of the same blocks
NETWORKS = [
    name
    for name, network in models.NETWORKS.items()
    if network.weights is not None and name[-2:] not in _LARGER
]


def filled(name, num_classes=7):
    """A network whose arrays all differ, without the seconds that random weights take."""
    model = shapes(name, num_classes)
    for number, (_, variable) in enumerate(nnx.to_flat_state(nnx.state(model))):
        shape = variable.get_value().shape
        # All places along every axis differ, so that no exchange of axes goes unseen.
        ramp = sum(
            np.arange(n).reshape(-1, *[1] * (len(shape) - i - 1)) * 1.37**i
            for i, n in enumerate(shape)
        )
        variable.set_value(np.broadcast_to(number + ramp, shape).astype(np.float32))
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_a_round_trip_is_exact(name):
    model, other = filled(name), shapes(name, 7)
    exported = models.torch_weights(model)
    assert all(array.dtype == np.float32 for array in exported.values())
    assert all(array.flags.c_contiguous and array.flags.writeable for array in exported.values())
    checkpoint = layouts.interpret(exported)
    found = weights.matches(other, checkpoint)
    expected = dict(nnx.to_flat_state(nnx.state(model)))
    assert {path for path, _, _ in found} == expected.keys()
    for path, _, array in found:
        np.testing.assert_array_equal(array, expected[path].get_value())
    assert layouts.identify(checkpoint.arrays) == (name, 7)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_array_has_a_name_of_its_own(name):
    model = shapes(name)
    entries = weights.table(model)
    assert {entry.path for entry in entries} == dict(nnx.to_flat_state(nnx.state(model))).keys()
    assert len({entry.name for entry in entries}) == len(entries)


def test_names_and_shapes_of_the_reference():
    exported = models.torch_weights(filled("deeplabv3plus_resnet101"))
    shape = {name: array.shape for name, array in exported.items()}
    assert shape["feature_extractor.backbone.conv1.weight"] == (64, 3, 7, 7)
    assert shape["classifier.parallel_branches.1.depthwise_conv.weight"] == (2048, 1, 3, 3)
    assert shape["classifier.decoder.3.weight"] == (7, 512, 1, 1)


def test_a_network_without_torch_names():
    with pytest.raises(InputError, match=r"SmallUNet: no names of torch checkpoints found"):
        models.torch_weights(shapes("small_unet"))


def test_a_table_that_leaves_arrays_out(monkeypatch):
    known = models.NETWORKS["segformer_b0"]
    table = known.weights.table
    cut = torch_names.TorchWeights(
        known.weights.module,
        lambda model: [*table(model)][:-1],
        known.weights.identify,
        known.weights.layouts,
    )
    for name in [n for n in models.NETWORKS if n.startswith("segformer")]:
        monkeypatch.setitem(models.NETWORKS, name, known._replace(weights=cut))
    with pytest.raises(InputError, match=r"no torch name found for head\.classify\.bias"):
        models.torch_weights(filled("segformer_b0"))


@pytest.mark.parametrize("axes", ["oihw->hwio", "c1hw->hwc", "oi11->io", "oi->io", "c->c"])
def test_axes_go_back(axes):
    right = axes.partition("->")[2]
    ours = np.random.default_rng(0).normal(size=[2 + i for i in range(len(right))])
    theirs = _their_axes(axes, ours)
    assert theirs.shape == weights._their_shape(axes, ours.shape)
    np.testing.assert_array_equal(weights._our_axes(axes, theirs), ours)


def test_hugging_face_takes_it(tmp_path):
    """The logits of its SegFormer, read from a folder of an exported file and a config, are ours.

    So read, arrays may have the names of published checkpoints, whatever its classes call them.
    """
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = jax.jit(lambda: nnx.split(models.create_model("segformer_b0", 7, rngs=nnx.Rngs(3))))()
    model = nnx.merge(*model)
    transformers.SegformerConfig(num_labels=7).save_pretrained(tmp_path)
    space = LabelSpace("seven", tuple("abcdefg"), np.zeros((7, 3), np.uint8))
    exportable = export.Exportable(model, "segformer_b0", space, (64, 96), 1)
    export.write(tmp_path / "model.safetensors", exportable)
    theirs, about = transformers.SegformerForSemanticSegmentation.from_pretrained(
        tmp_path, output_loading_info=True
    )
    # A count that only training looks at.
    assert {*about["missing_keys"]} <= {"decode_head.batch_norm.num_batches_tracked"}
    assert not about["unexpected_keys"]
    images = np.random.default_rng(0).normal(size=(1, 64, 96, 3)).astype(np.float32)
    with torch.no_grad():
        logits = theirs.eval()(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).logits.numpy()
    np.testing.assert_allclose(model(jnp.asarray(images)), logits.transpose(0, 2, 3, 1), atol=1e-4)
