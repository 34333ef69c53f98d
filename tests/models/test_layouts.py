"""Checkpoints in the layouts of published code: what each is taken for, and where its arrays go."""

import re

import numpy as np
import published
import pytest
from flax import nnx
from networks import checkpoint, shapes

from cbda_jax import models
from cbda_jax.errors import InputError
from cbda_jax.models import layouts, weights

LAST = (("layer5", 2048),)


def loaded(network, content, num_classes=19, part=None):
    """The network's state by path, None where a variable has no number; and the notes."""
    model = shapes(network, num_classes)
    notes = models.load_torch_weights(model, content, part=part)
    values = {}
    for path, variable in nnx.to_flat_state(nnx.state(model)):
        value = variable.get_value()
        values[path] = np.asarray(value) if hasattr(value, "max") else None
    return values, notes


def filled(values, part):
    """Whether all variables of a part have numbers, or none has."""
    found = {value is not None for path, value in values.items() if path[0] == part}
    assert len(found) == 1
    return found.pop()


# The wrappers and prefixes that training scripts put around a network.
def plain(arrays):
    return arrays


def data_parallel(arrays):
    return {f"module.{name}": value for name, value in arrays.items()}


def scale(arrays):
    return {f"Scale.{name}": value for name, value in arrays.items()}


def lightning(arrays):
    return {
        "state_dict": {
            **{f"model.{name}": value for name, value in arrays.items()},
            "criterion.weight": np.ones(19, np.float32),
        },
        "epoch": 3,
        "global_step": 7,
        "pytorch-lightning_version": "2.4.0",
        "callbacks": {"x": {"best": np.ones(3)}},
        "hyper_parameters": {"lr": 0.1},
    }


def model_state_dict(arrays):
    return {
        "model_state_dict": arrays,
        "optimizer_state_dict": {"state": {0: {"exp_avg": np.ones(3)}}},
        "best_iou": 0.7,
    }


def mmengine(arrays):
    meta = {"dataset_meta": {"classes": ("road", "sidewalk"), "palette": [[1, 2, 3]]}}
    return {"meta": meta, "state_dict": arrays, "message_hub": {"a": np.ones(2)}}


def daformer(arrays):
    # The teacher first, as in no file: the order decides nothing.
    models = ("ema_model", "imnet_model", "model")
    wrong = {name: np.zeros_like(value) for name, value in arrays.items()}
    return {
        "meta": {"CLASSES": ("road", "sidewalk"), "PALETTE": None},
        "state_dict": {
            f"{model}.{name}": value
            for model in models
            for name, value in (arrays if model == "model" else wrong).items()
        },
    }


def compiled(arrays):
    return {"net": {f"_orig_mod.{name}": value for name, value in arrays.items()}}


WRAPPERS = (
    plain,
    data_parallel,
    scale,
    lightning,
    model_state_dict,
    mmengine,
    daformer,
    compiled,
)


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_wrappers_and_prefixes(wrap):
    arrays = published.constants(published.mit())
    found = layouts.interpret(wrap(arrays))
    assert found.title == "the original SegFormer's or DAFormer's network"
    assert found.arrays.keys() == layouts.interpret(arrays).arrays.keys()
    name = "segformer.encoder.patch_embeddings.0.proj.weight"
    np.testing.assert_array_equal(found.arrays[name], arrays["patch_embed1.proj.weight"])
    beside = [note for note in found.notes if note.startswith("taken from")]
    expected = {
        lightning: ["taken from 'model', left beside it criterion (1 array)"],
        daformer: [
            f"taken from 'model', left beside it ema_model, imnet_model ({2 * len(arrays)} arrays)"
        ],
    }
    assert beside == expected.get(wrap, [])
    assert found.classes == (("road", "sidewalk") if wrap in (mmengine, daformer) else None)


@pytest.mark.parametrize("wrap", [lightning, model_state_dict, daformer])
def test_our_own_layouts_in_wrappers(wrap):
    arrays = checkpoint(shapes("deeplabv2_resnet101"))
    values, _ = loaded("deeplabv2_resnet101", wrap(arrays))
    assert filled(values, "backbone")
    assert filled(values, "head")


@pytest.mark.parametrize(
    ("heads", "note"),
    [
        (LAST, "the four branches of layer5 are added up"),
        ((("layer6", 2048),), "the four branches of layer6 are added up"),
        ((("layer5", 1024), ("layer6", 2048)), "layer5, its head on the features before the last"),
        ((("layer5", 2048), ("layer6", 2048)), "its two heads on the last features are added up"),
    ],
)
def test_adaptsegnet(heads, note):
    arrays = published.constants(published.adaptsegnet(heads=heads))
    values, notes = loaded("deeplabv2_resnet101_caffe", scale(arrays))
    assert filled(values, "backbone")
    assert filled(values, "head")
    assert any(found.startswith(note) for found in notes)
    assert any("0 to 255, blue first" in found for found in notes)
    for branch in range(4):
        sources = [name for name, features in heads if features == 2048]
        expected = sum(arrays[f"{name}.conv2d_list.{branch}.weight"].max() for name in sources)
        assert {*values["head", "kernels", branch].flat} == {expected}
        assert values["head", "kernels", branch].shape == (3, 3, 2048, 19)
    last = arrays["layer4.2.bn3.running_var"].max()
    assert {*values["backbone", "stages", 3, 2, "bn3", "var"].flat} == {last}
    np.testing.assert_array_equal(
        values["backbone", "stages", 1, 0, "downsample", 0, "kernel"].shape, (1, 1, 256, 512)
    )


def test_branches_that_adaptsegnet_never_added_up():
    """Told by their numbers, which are still those that they were drawn with."""
    arrays = published.constants(published.adaptsegnet(heads=LAST))
    published.first_numbers(arrays, "layer5", (0, 1, 2, 3))
    for branch in (0, 1):  # trained: decayed, a little moved
        arrays[f"layer5.conv2d_list.{branch}.weight"] *= np.float32(0.97)
    values, notes = loaded("deeplabv2_resnet101_caffe", arrays)
    assert any("rates 18 and 24 hold their first random numbers" in note for note in notes)
    for branch in (2, 3):
        assert not values["head", "kernels", branch].any()
        assert not values["head", "biases", branch].any()
    for branch in (0, 1):
        assert values["head", "kernels", branch].std() == pytest.approx(0.0097, rel=0.01)
    # All of them trained, as by ADVENT: none is left out.
    for branch in (2, 3):
        arrays[f"layer5.conv2d_list.{branch}.weight"] *= np.float32(0.97)
    values, notes = loaded("deeplabv2_resnet101_caffe", arrays)
    assert all(values["head", "kernels", branch].any() for branch in range(4))
    assert any("four branches of layer5 are added up" in note for note in notes)


def test_what_is_adaptsegnets_is_not_loaded_into_other_arithmetic():
    arrays = published.constants(published.adaptsegnet())
    for network in ("deeplabv2_resnet101", "deeplabv3plus_resnet101"):
        with pytest.raises(InputError, match="network deeplabv2_resnet101_caffe; set network to"):
            loaded(network, arrays)
        with pytest.raises(InputError, match="network deeplabv2_resnet101_caffe; set network to"):
            loaded(network, arrays, part="backbone")
    with pytest.raises(InputError, match="network deeplabv2_resnet101; set network to that one"):
        loaded("deeplabv2_resnet101_caffe", published.constants(published.resnet()))


def test_proda_is_named_and_refused():
    arrays = published.constants(published.resnet(tracked=False))
    arrays["layer5.conv2d_list.0.0.weight"] = np.zeros((256, 2048, 1, 1), np.float32)
    content = {"ResNet101": {"model_state": arrays, "optimizer_state": {}}, "iter": 3}
    with pytest.raises(InputError, match="head and the scale of its images are ProDA's"):
        loaded("deeplabv2_resnet101_caffe", content)


@pytest.mark.parametrize("network", ["deeplabv2_resnet101", "deeplabv3plus_resnet101"])
@pytest.mark.parametrize(
    ("arrays", "title", "note"),
    [
        (
            published.deeplabv3(),
            "torchvision's deeplabv3 or fcn on ResNet",
            "its head is left out (aux_classifier, classifier): it is deeplabv3's ASPP",
        ),
        (
            published.mmseg_deeplabv3plus(deep_stem=False),
            "mmsegmentation's network on ResNet",
            "its head is left out (auxiliary_head, decode_head): mmseg's separable ASPP has rates",
        ),
    ],
    ids=["torchvision", "mmseg"],
)
def test_backbones_of_other_networks_on_resnet(network, arrays, title, note):
    arrays = published.constants(arrays)
    found = layouts.interpret(arrays)
    assert found.title == title
    values, notes = loaded(network, arrays)
    assert filled(values, "backbone")
    assert not filled(values, "head")
    assert any(line.startswith(note) for line in notes)
    # Their batch norm has an epsilon, that of the network here has none.
    variance = arrays["backbone.bn1.running_var"].max() + np.float32(1e-5)
    assert {*values["backbone", "bn1", "var"].flat} == {variance}


def test_torchvision_and_timm_classifiers():
    arrays = published.constants(published.resnet())
    arrays |= {"fc.weight": np.zeros((1000, 2048)), "fc.bias": np.zeros(1000)}
    values, notes = loaded("deeplabv3plus_resnet101", arrays)
    assert filled(values, "backbone")
    assert notes == (
        "batch norm is applied without its epsilon of 1e-5, as RIPU does with these weights",
    )
    np.testing.assert_array_equal(values["backbone", "bn1", "var"], arrays["bn1.running_var"])


def test_an_encoder_of_a_user_with_a_decoder_beside_it():
    arrays = {f"encoder.{n}": v for n, v in published.constants(published.resnet()).items()}
    arrays["decoder.blocks.0.conv.weight"] = np.zeros((3, 3), np.float32)
    arrays["segmentation_head.0.bias"] = np.zeros(19, np.float32)
    values, notes = loaded("deeplabv2_resnet101", arrays)
    assert filled(values, "backbone")
    assert notes[0] == (
        "taken from 'encoder', left beside it decoder, segmentation_head (2 arrays)"
    )


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        (published.resnet(published.RESNET_50), r"it is ResNet-50 of \(3, 4, 6, 3\) blocks"),
        (published.mmseg_deeplabv3plus(), r"its stem is three convolutions of 3 x 3"),
    ],
    ids=["resnet50", "resnet101_v1c"],
)
def test_other_resnets_are_named_and_refused(arrays, why):
    with pytest.raises(InputError, match=why) as error:
        loaded("deeplabv2_resnet101", published.constants(arrays))
    assert len(str(error.value)) < 400


def test_original_segformer():
    arrays = published.constants(published.segformer())
    # Keys and values are the two halves of one array.
    name = "backbone.block2.1.attn.kv.weight"
    kv = np.random.default_rng(0).standard_normal((128, 64)).astype(np.float32)
    arrays[name] = kv
    values, notes = loaded("segformer_b0", arrays)
    assert filled(values, "backbone")
    assert filled(values, "head")
    assert any("epsilon of 1e-5 here" in note for note in notes)
    attention = ("backbone", "stages", 1, "blocks", 1, "attention")
    np.testing.assert_array_equal(values[*attention, "key", "kernel"], kv[:64].T)
    np.testing.assert_array_equal(values[*attention, "value", "kernel"], kv[64:].T)
    for theirs, ours in (
        ("backbone.patch_embed4.proj.weight", ("backbone", "stages", 3, "embed", "kernel")),
        ("backbone.norm1.bias", ("backbone", "stages", 0, "norm", "bias")),
        ("backbone.block2.1.attn.q.weight", (*attention, "query", "kernel")),
        ("backbone.block2.1.attn.sr.weight", (*attention, "reduce", "kernel")),
        ("decode_head.linear_c4.proj.weight", ("head", "project", 3, "kernel")),
        ("decode_head.linear_fuse.bn.running_var", ("head", "norm", "var")),
        ("decode_head.linear_pred.bias", ("head", "classify", "bias")),
    ):
        assert {*values[ours].flat} == {arrays[theirs].max()}, theirs


def test_what_daformer_concatenates_the_other_way_round():
    arrays = published.constants(published.segformer(daformer=True))
    name = "decode_head.linear_fuse.conv.weight"
    fuse = np.arange(4, dtype=np.float32).repeat(256)[None, :, None, None]
    arrays[name] = np.broadcast_to(fuse, (256, 1024, 1, 1))
    values, _ = loaded("segformer_b0", daformer(arrays))
    assert values["head", "fuse"][:, 0].tolist() == np.arange(4)[::-1].repeat(256).tolist()
    # The original's are already as here.
    original = published.constants(published.segformer())
    original[name] = arrays[name]
    values, _ = loaded("segformer_b0", original)
    assert values["head", "fuse"][:, 0].tolist() == np.arange(4).repeat(256).tolist()


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        (published.mmseg_segformer(), "a norm and a ReLU after the projection of every stage"),
        (
            {
                **{f"backbone.{n}": s for n, s in published.mit().items()},
                "decode_head.conv_seg.weight": (19, 256, 1, 1),
                "decode_head.embed_layers.0.proj.weight": (256, 32),
                "decode_head.fuse_layer.bottleneck.conv.weight": (256, 1024, 3, 3),
            },
            "it is DAFormer's",
        ),
    ],
    ids=["mmseg", "daformer"],
)
def test_encoders_whose_head_is_another(arrays, why):
    values, notes = loaded("segformer_b0", published.constants(arrays))
    assert filled(values, "backbone")
    assert not filled(values, "head")
    assert any("head (decode_head) is left out" in note and why in note for note in notes)


def test_mmsegs_encoder():
    arrays = published.constants(published.mmseg_mit("b2"))
    width = 128
    kv = np.random.default_rng(0).standard_normal((3 * width, width)).astype(np.float32)
    arrays["layers.1.1.3.attn.attn.in_proj_weight"] = kv
    values, _ = loaded("segformer_b2", arrays)
    attention = ("backbone", "stages", 1, "blocks", 3, "attention")
    for i, part in enumerate(("query", "key", "value")):
        np.testing.assert_array_equal(
            values[*attention, part, "kernel"], kv[i * width : (i + 1) * width].T
        )
    mlp = ("backbone", "stages", 1, "blocks", 3, "mlp")
    assert {*values[*mlp, "contract", "kernel"].flat} == {
        arrays["layers.1.1.3.ffn.layers.4.weight"].max()
    }
    assert values[*mlp, "mix", "kernel"].shape == (3, 3, 512)


def test_timms_efficientnet():
    arrays = published.constants(published.timm_lite0())
    values, notes = loaded("deeplabv3plus_efficientnet_lite0", arrays)
    assert filled(values, "backbone")
    assert not filled(values, "head")
    assert any("tf_efficientnet_lite0" in note for note in notes)
    for theirs, ours in (
        ("conv_stem.weight", ("stem", "kernel")),
        ("bn1.bias", ("norm", "bias")),
        ("blocks.0.0.conv_dw.weight", ("stages", 0, 0, "depthwise", "kernel")),
        ("blocks.0.0.conv_pw.weight", ("stages", 0, 0, "project", "kernel")),
        ("blocks.2.1.conv_pw.weight", ("stages", 2, 1, "expand", 0, "kernel")),
        ("blocks.4.2.bn2.running_mean", ("stages", 4, 2, "norm", "mean")),
        ("blocks.4.2.conv_pwl.weight", ("stages", 4, 2, "project", "kernel")),
    ):
        assert {*values["backbone", *ours].flat} == {arrays[theirs].max()}, theirs
    arrays["blocks.0.0.se.conv_reduce.weight"] = np.zeros((8, 32, 1, 1), np.float32)
    with pytest.raises(InputError, match="it has squeeze-and-excitation"):
        loaded("deeplabv3plus_efficientnet_lite0", arrays)


@pytest.mark.parametrize(
    "arrays",
    [
        {f"encoder.layer.{i}.weight": np.zeros(3) for i in range(900)},
        {f"stage{i % 9}.x{i}\n.weight": np.zeros(3) for i in range(900)},
        published.constants(published.segformer("b5")),
        published.constants(published.adaptsegnet()),
    ],
    ids=["unknown", "lines", "segformer_b5", "adaptsegnet"],
)
def test_errors_are_short_whatever_the_file(arrays):
    for network in ("deeplabv2_resnet101", "segformer_b0"):
        with pytest.raises(InputError) as error:
            loaded(network, arrays)
        message = str(error.value)
        assert len(message) < 900
        assert "\n" not in message
        # Four kinds of five names.
        assert len(re.findall(r"[.](?:weight|bias|running_mean|running_var)", message)) <= 20
        assert "it looks like" in message


def test_what_is_converted_is_loaded_the_same_again():
    """The names that are written are a layout of their own, with nothing left to change."""
    arrays = published.constants(published.adaptsegnet(heads=(("layer5", 2048), ("layer6", 2048))))
    for content, network in (
        (arrays, "deeplabv2_resnet101_caffe"),
        (published.constants(published.deeplabv3()), "deeplabv2_resnet101"),
        (published.constants(published.segformer()), "segformer_b0"),
        (published.constants(published.timm_lite0()), "deeplabv3plus_efficientnet_lite0"),
    ):
        once = layouts.interpret(content)
        twice = layouts.interpret(once.arrays)
        assert once.arrays.keys() == twice.arrays.keys()
        for name, value in once.arrays.items():
            np.testing.assert_array_equal(twice.arrays[name], value)
        weights.matches(shapes(network), twice)
