import importlib.util
from pathlib import Path

import jax
import numpy as np
import published
import pytest
import safetensors.numpy
from flax import nnx

from cbda_jax import models
from cbda_jax.errors import InputError
from cbda_jax.models import layouts

SCRIPT = Path(__file__).parents[2] / "scripts" / "convert_weights.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("convert_weights", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def checkpoint(golden, tmp_path):
    """SegFormer-B0 in float16, with what training left beside it."""
    values = golden("segformer")
    content = {
        str(key): np.full([int(n) for n in str(shape)[1:-1].split(",")], 0.5, np.float16)
        for key, shape in zip(values["keys"], values["shapes"], strict=True)
    }
    content["decode_head.batch_norm.num_batches_tracked"] = np.array(3)
    path = tmp_path / "in.safetensors"
    safetensors.numpy.save_file(content, path)
    return path


def test_what_is_written_can_be_loaded(script, checkpoint, tmp_path, capsys):
    target = tmp_path / "out.safetensors"
    script.main([str(checkpoint), str(target)])
    assert "out.safetensors: 207 arrays, segformer_b0, 19 classes" in capsys.readouterr().out
    model = nnx.eval_shape(lambda: models.create_model("segformer_b0", 19, rngs=nnx.Rngs(0)))
    models.load_torch_weights(model, target)
    assert {float(x.max()) for x in jax.tree.leaves(nnx.state(model))} == {0.5}
    with pytest.raises(SystemExit, match="2"):
        script.main([str(checkpoint), str(target)])
    assert "out.safetensors exists; remove it" in capsys.readouterr().err


def test_nothing_is_written_when_something_does_not_fit(script, checkpoint, tmp_path):
    target = tmp_path / "out.safetensors"
    content = safetensors.numpy.load_file(checkpoint)
    del content["decode_head.linear_fuse.weight"]
    safetensors.numpy.save_file(content, checkpoint)
    with pytest.raises(InputError, match=r"1 missing: decode_head\.linear_fuse\.weight"):
        script.convert(checkpoint, target)
    safetensors.numpy.save_file({"a": np.zeros(2)}, checkpoint)
    with pytest.raises(InputError, match=r"of no known network: 1 array under a \(1\) found"):
        script.convert(checkpoint, target)
    with pytest.raises(InputError, match=r"must end in \.safetensors"):
        script.convert(checkpoint, tmp_path / "out.npz")
    assert not target.exists()


def test_networks_are_told_apart():
    def arrays(**named):
        return {name.replace("__", "."): np.zeros(shape) for name, shape in named.items()}

    identify = layouts.identify
    assert identify(arrays(classifier__conv2d_list__0__weight=(16, 2048, 3, 3))) == (
        "deeplabv2_resnet101",
        16,
    )
    assert identify(arrays(classifier__decoder__3__weight=(13, 512, 1, 1))) == (
        "deeplabv3plus_resnet101",
        13,
    )
    resnet = layouts.interpret(arrays(conv1__weight=(64, 3, 7, 7), fc__bias=(1000,))).arrays
    assert identify(resnet) == ("deeplabv2_resnet101", 19)
    lite0 = layouts.interpret(arrays(_conv_stem__weight=(32, 3, 3, 3), _fc__bias=(1000,))).arrays
    assert identify(lite0) == ("deeplabv3plus_efficientnet_lite0", 19)
    assert set(lite0) == {"_conv_stem.weight"}
    assert identify({}) is None


def published_file(tmp_path, arrays):
    path = tmp_path / "published.safetensors"
    safetensors.numpy.save_file({n: np.ascontiguousarray(v) for n, v in arrays.items()}, path)
    return path


def test_inspect_says_what_a_file_is_and_what_is_taken_of_it(script, tmp_path, capsys):
    arrays = {f"model.{n}": v for n, v in published.numbers(published.segformer()).items()}
    arrays["ema_model.norm1.bias"] = np.zeros(32, np.float32)
    path = published_file(tmp_path, arrays)
    script.main(["--inspect", str(path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        f"{path}: the original SegFormer's or DAFormer's network",
        "  holds 194 arrays under model (193), ema_model (1); 3,724,454 numbers",
        "  gives segformer_b0, 19 classes: --config.network=segformer_b0",
    ]
    assert lines[3] == "  note: taken from 'model', left beside it ema_model (1 array)"
    assert sorted(tmp_path.iterdir()) == [path]


def test_inspect_names_all_networks_that_a_backbone_fits(script):
    arrays = published.constants(published.resnet())
    arrays = {f"backbone.{name}": value for name, value in arrays.items()}
    arrays["classifier.0.weight"] = np.broadcast_to(np.float32(0), (512, 2048, 3, 3))
    lines = script.describe(layouts.interpret(arrays))
    assert lines == [
        "gives the backbone of deeplabv2_resnet101: --config.network=deeplabv2_resnet101",
        "gives the backbone of deeplabv3plus_resnet101: --config.network=deeplabv3plus_resnet101",
        "note: its head is left out (classifier): it is not that of a network here",
        "note: its batch norm's epsilon of 1e-5 is in the variances now",
    ]


def test_inspect_of_what_cannot_be_loaded(script, tmp_path, capsys):
    path = published_file(tmp_path, {"a.b.weight": np.zeros((2, 3)), "a.c.bias": np.zeros(2)})
    script.main(["--inspect", str(path)])
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: of no network that is known",
        "  holds 2 arrays under a.b (1), a.c (1); 8 numbers",
        "  cannot be loaded; docs/guide/weights.md has what can; its arrays:",
        "    a.b.weight [2, 3] float64",
        "    a.c.bias [2] float64",
    ]
    arrays = {name: np.zeros(1, np.float32) for name in published.resnet(published.RESNET_50)}
    path = published_file(tmp_path, arrays)
    script.main(["--inspect", str(path)])
    assert (
        capsys.readouterr()
        .out.splitlines()[2]
        .startswith("  cannot be loaded: it is ResNet-50 of (3, 4, 6, 3) blocks")
    )
    with pytest.raises(SystemExit, match="2"):
        script.main([str(path), str(tmp_path / "out.safetensors")])
    error = capsys.readouterr().err
    assert "torchvision's or timm's ResNet found, which cannot be loaded: it is ResNet-50" in error


@pytest.mark.parametrize("arguments", [["a.pth"], ["a.pth", "b.safetensors", "--inspect"]])
def test_a_target_or_inspect(script, arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        script.main(arguments)
    assert "name a target, or --inspect the source" in capsys.readouterr().err
