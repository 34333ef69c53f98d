"""Checkpoints: which are understood, and what is said about those that are not."""

import importlib.util
import pickle
import re
import sys
import types
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx
from networks import checkpoint, shapes

from cbda_jax import models
from cbda_jax.errors import InputError
from cbda_jax.models import layouts, weights

TORCHVISION = "feature_extractor.backbone."


@pytest.fixture
def model():
    return shapes("deeplabv2_resnet101")


@pytest.mark.parametrize(
    "name",
    [
        "deeplabv2_resnet101",
        "deeplabv2_resnet101_caffe",
        "deeplabv3plus_resnet101",
        "segformer_b0",
        "segformer_b2",
    ],
)
def test_the_table_names_every_variable_once(name):
    model = shapes(name)
    entries = weights.table(model)
    variables = [path for path, _ in nnx.to_flat_state(nnx.state(model))]
    assert sorted(map(str, variables)) == sorted(str(entry.path) for entry in entries)
    assert len({entry.name for entry in entries}) == len(entries)


def test_nested_checkpoint_with_module_and_bookkeeping(model):
    content = {"iteration": 7, "optimizer_fea": {"state": {}, "param_groups": [{"lr": 0.1}]}}
    for name, value in checkpoint(model).items():
        part, rest = name.split(".", 1)
        content.setdefault(part, {})[f"module.{rest}"] = value
    content["feature_extractor"]["module.backbone.bn1.num_batches_tracked"] = np.int64(3)
    models.load_torch_weights(model, content)
    assert all(
        variable.get_value().dtype == jnp.float32 and float(variable.get_value().max()) == 0.5
        for _, variable in nnx.to_flat_state(nnx.state(model.head))
    )


def test_backbone_of_a_checkpoint_of_other_classes(model):
    content = checkpoint(shapes("deeplabv2_resnet101", 16))
    with pytest.raises(InputError, match="8 of another shape"):
        models.load_torch_weights(model, content)
    models.load_torch_weights(model, content, part="backbone")
    assert isinstance(model.backbone.conv1.kernel.get_value(), jax.Array)
    with pytest.raises(InputError, match="'head' found, expected None or 'backbone'"):
        models.load_torch_weights(model, content, part="head")


def test_everything_that_does_not_fit_is_named_in_one_line(model):
    content = checkpoint(model)
    del content["classifier.conv2d_list.1.bias"]
    del content[f"{TORCHVISION}bn1.weight"]
    content["aux.weight"] = np.zeros(3)
    content["classifier.conv2d_list.0.weight"] = np.zeros((16, 2048, 3, 3))
    content[f"{TORCHVISION}layer1.0.bn1.bias"] = np.zeros((32,))
    with pytest.raises(InputError) as error:
        models.load_torch_weights(model, content)
    message = str(error.value)
    assert "\n" not in message
    assert "2 missing: " in message
    assert "1 unknown: aux.weight" in message
    assert "2 of another shape: " in message
    for part in (
        "classifier.conv2d_list.1.bias",
        f"{TORCHVISION}bn1.weight",
        "conv2d_list.0.weight [16, 2048, 3, 3], expected [19, 2048, 3, 3]",
        "layer1.0.bn1.bias [32], expected [64]",
    ):
        assert part in message
    assert isinstance(model.backbone.conv1.kernel.get_value(), jax.ShapeDtypeStruct)


def test_a_network_without_torch_counterpart():
    with pytest.raises(InputError, match="SmallUNet has no torch counterpart"):
        models.load_torch_weights(shapes("small_unet"), {})


def test_safetensors_file(tmp_path):
    model = shapes("segformer_b0")
    path = tmp_path / "weights.safetensors"
    content = {name: np.ascontiguousarray(value) for name, value in checkpoint(model).items()}
    content["decode_head.batch_norm.num_batches_tracked"] = np.array(3)
    safetensors.numpy.save_file(content, path)
    models.load_torch_weights(model, path)
    assert {float(x.max()) for x in jax.tree.leaves(nnx.state(model))} == {0.5}
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"weights\.safetensors: not a readable safetensors file"):
        models.load_torch_weights(model, path)


def test_files_that_cannot_be_read(model, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no such file"):
        models.load_torch_weights(model, tmp_path / "none.safetensors")
    path = tmp_path / "weights.npz"
    path.touch()
    with pytest.raises(InputError, match=re.escape(".npz suffix found, expected .safetensors")):
        models.load_torch_weights(model, path)
    path = tmp_path / "weights.pth"
    path.touch()
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"install cbda_jax\[convert\].*convert_weights"):
        models.load_torch_weights(model, path)


class Code:
    """Unpickling this makes a file: so one sees whether code of a checkpoint ran."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def with_code(path, trace):
    """A checkpoint as torch.save writes it, a pickle in a zip file, that holds code."""
    with zipfile.ZipFile(path, "w") as archive:
        content = {"state_dict": {"conv1.weight": Code(trace)}}
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
        archive.writestr("archive/version", "3\n")
    return path


def test_the_code_of_these_tests_would_run(tmp_path):
    with zipfile.ZipFile(with_code(tmp_path / "a.pth", tmp_path / "ran")) as archive:
        pickle.loads(archive.read("archive/data.pkl"))["state_dict"]["conv1.weight"].close()
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_code_in_a_checkpoint_does_not_run(tmp_path, suffix):
    """Whether torch is installed or not."""
    path = with_code(tmp_path / f"weights{suffix}", tmp_path / "ran")
    before = path.read_bytes()
    with pytest.raises(InputError) as error:
        weights.read(path)
    text = str(error.value)
    assert text.startswith(f"weights {path}: torch")
    assert len(text.splitlines()) == 1
    if importlib.util.find_spec("torch"):
        assert "cannot read it as plain weights (Unsupported global: GLOBAL io.open)" in text
        assert "save the state dict alone with torch.save" in text
    else:
        assert "install cbda_jax[convert], or convert it elsewhere" in text
    assert not (tmp_path / "ran").exists()
    assert path.read_bytes() == before


def test_code_under_the_name_of_safetensors_does_not_run(tmp_path):
    path = with_code(tmp_path / "weights.safetensors", tmp_path / "ran")
    with pytest.raises(InputError, match=r"weights\.safetensors: not a readable safetensors file"):
        weights.read(path)
    assert not (tmp_path / "ran").exists()


def test_torch_is_told_to_read_weights_only(tmp_path, monkeypatch):
    """With a torch that is none, for where torch is not installed."""
    told = {}

    def load(path, **options):
        told.update(options, path=path)
        raise pickle.UnpicklingError("Weights only load failed.\nUnsupported global: builtins.open")

    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(load=load))
    path = with_code(tmp_path / "weights.pth", tmp_path / "ran")
    with pytest.raises(InputError) as error:
        weights.read(path)
    assert told == {"map_location": "cpu", "weights_only": True, "path": path}
    assert str(error.value) == (
        f"weights {path}: torch cannot read it as plain weights (Weights only load failed. "
        "Unsupported global: builtins.open); save the state dict alone with torch.save"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [(np.nan, "float32"), (np.inf, "float32"), (1e39, "float64"), (1, "int64"), ("x", "<U1")],
)
def test_what_cannot_be_weights_is_named(value, shown):
    model = shapes("segformer_b0")
    content = checkpoint(model)
    name = "decode_head.classifier.bias"
    dtype = np.float32 if shown == "float32" else None
    content[name] = np.full(content[name].shape, value, dtype)
    with pytest.raises(InputError) as error:
        models.load_torch_weights(model, content)
    assert f"1 not of finite floating-point numbers: {name} {shown};" in str(error.value)
    assert isinstance(model.head.fuse.get_value(), jax.ShapeDtypeStruct)


def test_two_arrays_of_one_name():
    twice = {"conv1.weight": np.zeros(1), "module.conv1.weight": np.ones(1)}
    with pytest.raises(InputError, match=r"has 'conv1\.weight' twice, with and without 'module\.'"):
        layouts.interpret(twice)


def test_pth_file(tmp_path):
    torch = pytest.importorskip("torch")
    model = shapes("segformer_b0")
    path = tmp_path / "weights.pth"
    content = {name: torch.tensor(np.array(v)).half() for name, v in checkpoint(model).items()}
    torch.save({"state_dict": content, "epoch": 3}, path)
    models.load_torch_weights(model, path)
    assert {float(x.max()) for x in jax.tree.leaves(nnx.state(model))} == {0.5}
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"weights\.pth: torch cannot read it"):
        models.load_torch_weights(model, path)
    torch.save({"a": torch.nn.Parameter(torch.ones(2)), "b": torch.ones(2).to_sparse()}, path)
    with pytest.raises(InputError, match=r"weights\.pth: holds what is no plain array"):
        weights.read(path)
    torch.save({"a": torch.nn.Parameter(torch.ones(2))}, path)
    np.testing.assert_array_equal(weights.read(path)["a"], [1, 1])
