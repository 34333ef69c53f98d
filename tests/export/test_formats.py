"""Exports are loaded by the lines of the document, without this project, and say the same."""

import functools
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from networks import shapes
from PIL import Image

from cbda_jax import export, models, resize
from cbda_jax.errors import InputError
from cbda_jax.export import formats
from cbda_jax.export.program import logits_of
from cbda_jax.label_space import LabelSpace

DOCUMENT = Path(__file__).parents[2] / "docs" / "how_to" / "export.md"
SIZE, CLASSES = (32, 64), 5
_LIMIT_S = 240
_LARGER = ("b1", "b2", "b3", "b4", "b5")  # of SegFormer: more of the same blocks
_ALONE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("cbda_jax", "flax"):
            raise ImportError(f"{name} is not here")
sys.meta_path.insert(0, Blocked())
"""


@functools.cache
def network():
    space = LabelSpace("five", tuple("abcde"), np.arange(15, dtype=np.uint8).reshape(5, 3))
    create = jax.jit(
        lambda: nnx.split(models.create_model("small_unet", CLASSES, rngs=nnx.Rngs(1)))
    )
    return export.Exportable(nnx.merge(*create()), "small_unet", space, SIZE, 7)


def images(count=1):
    return np.random.default_rng(0).integers(0, 256, (count, *SIZE, 3), np.uint8)


def expected(model, pixels):
    """By the parts, not by what is exported."""
    return np.asarray(resize.bilinear(model(models.normalize(jnp.asarray(pixels))), SIZE))


def loader(ending):
    """The Python block of the document that reads such a file."""
    blocks = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    (found,) = (block for block in blocks if f"network{ending}.json" in block)
    assert len([line for line in found.splitlines() if line]) <= 10
    return found


def run_loader(folder, ending, save):
    """In a process without this project; JAX's or ONNX Runtime's logits and names of classes."""
    Image.fromarray(images()[0]).save(folder / "image.png")
    code = _ALONE + loader(ending) + save + "\nassert 'cbda_jax' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with np.load(folder / "found.npz") as arrays:
        return arrays["logits"], arrays["found"]


SAVE = "np.savez('found.npz', logits=logits, found=found)"


def check_found(logits, found):
    reference = expected(network().model, images())
    np.testing.assert_allclose(logits, reference, atol=1e-4)
    assert (np.array([*"abcde"])[reference[0].argmax(-1)] == found).mean() > 0.999


def test_stablehlo_without_this_project(tmp_path):
    path = tmp_path / "network.stablehlo"
    assert export.write(path, network()) == tmp_path / "network.stablehlo.json"
    check_found(*run_loader(tmp_path, ".stablehlo", SAVE))
    about = json.loads((tmp_path / "network.stablehlo.json").read_text())
    assert about["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert about["input"]["shape"] == ["batch", *SIZE, 3]
    assert about["output"]["shape"] == ["batch", *SIZE, CLASSES]
    assert about["platforms"] == ["cpu", "cuda", "tpu"]
    assert about["palette"] == np.arange(15).reshape(5, 3).tolist()
    assert (about["network"], about["step"], about["version"]) == ("small_unet", 7, 1)


def test_onnx_without_this_project(tmp_path):
    pytest.importorskip("jax2onnx")
    pytest.importorskip("onnxruntime")
    export.write(tmp_path / "network.onnx", network())
    check_found(*run_loader(tmp_path, ".onnx", SAVE))


def test_any_number_of_images_of_another_size(tmp_path):
    export.write(tmp_path / "net.stablehlo", network(), (48, 32))
    loaded = jax.export.deserialize(bytearray((tmp_path / "net.stablehlo").read_bytes()))
    pixels = np.random.default_rng(1).integers(0, 256, (3, 48, 32, 3), np.uint8)
    reference = jax.jit(logits_of(network().model))(jnp.asarray(pixels))
    for count in (1, 3):
        found = loaded.call(pixels[:count])
        assert found.shape == (count, 48, 32, CLASSES)
        np.testing.assert_allclose(found, reference[:count], atol=1e-4)
    about = json.loads((tmp_path / "net.stablehlo.json").read_text())
    assert about["trained_at"] == [*SIZE]
    assert about["input"]["shape"] == ["batch", 48, 32, 3]


@pytest.mark.parametrize("name", [n for n in models.NETWORKS if n[-2:] not in _LARGER])
def test_every_network_can_be_traced(name):
    """For three platforms, with a number of images that is not known: no weights are made."""
    graphdef, state = nnx.split(shapes(name, CLASSES))

    def logits(state, pixels):
        return logits_of(nnx.merge(graphdef, state))(pixels)

    (batch,) = jax.export.symbolic_shape("batch")
    pixels = jax.ShapeDtypeStruct((batch, *SIZE, 3), np.uint8)
    out = jax.eval_shape(logits, state, pixels)
    assert str(out.shape) == f"(batch, {SIZE[0]}, {SIZE[1]}, {CLASSES})"


def test_safetensors_are_loaded_again(tmp_path):
    name = "deeplabv3plus_efficientnet_lite0"
    model = shapes(name, CLASSES)
    for number, (_, variable) in enumerate(nnx.to_flat_state(nnx.state(model))):
        variable.set_value(np.full(variable.get_value().shape, number, np.float32))
    export.write(tmp_path / "net.safetensors", network()._replace(name=name, model=model))
    other = nnx.merge(*nnx.split(shapes(name, CLASSES)))
    models.load_torch_weights(other, tmp_path / "net.safetensors")
    jax.tree.map(np.testing.assert_array_equal, nnx.state(other), nnx.state(model))
    about = json.loads((tmp_path / "net.safetensors.json").read_text())
    assert about["normalised_inside"] is False
    assert "input" not in about


def test_nothing_is_overwritten(tmp_path):
    path = tmp_path / "net.stablehlo"
    for existing in (path, tmp_path / "net.stablehlo.json"):
        existing.write_text("thesis")
        with pytest.raises(InputError, match=rf"{existing.name}: a file found, expected none yet"):
            export.write(path, network())
        assert existing.read_text() == "thesis"
        existing.unlink()
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("name", ["net.pb", "net"])
def test_an_ending_that_says_no_format(tmp_path, name):
    with pytest.raises(InputError, match=r"expected one of \.stablehlo, \.onnx, \.safetensors"):
        export.write(tmp_path / name, network())


@pytest.mark.parametrize(
    ("ending", "package", "extra"),
    [(".stablehlo", "flatbuffers", "export"), (".onnx", "jax2onnx", "onnx")],
)
def test_a_package_that_is_missing(tmp_path, monkeypatch, ending, package, extra):
    monkeypatch.setattr(
        formats.importlib.util, "find_spec", lambda name: None if name == package else 1
    )
    with pytest.raises(InputError, match=rf"{package}, which it needs, .* cbda_jax\[{extra}\]"):
        export.write(tmp_path / f"net{ending}", network())
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("size", [(0, 32), (32, -1)])
def test_a_size_that_is_none(tmp_path, size):
    with pytest.raises(InputError, match=r"size: .* found, expected \(height, width\)"):
        export.write(tmp_path / "net.stablehlo", network(), size)


class Counting(nnx.Module):
    """A user's network that wants to know how many images there are."""

    def __call__(self, pixels):
        return jnp.concatenate([pixels[i : i + 1] for i in range(int(pixels.shape[0]))])


def test_a_network_that_cannot_be_traced(tmp_path):
    own = network()._replace(model=Counting(), name="mine:Counting")
    message = r"mine:Counting cannot be traced for images of 32 x 64 \("
    with pytest.raises(InputError, match=message) as e:
        export.write(tmp_path / "net.stablehlo", own)
    assert "\n" not in str(e.value)
    assert [*tmp_path.iterdir()] == []
