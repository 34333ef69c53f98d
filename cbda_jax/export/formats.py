"""The formats by the ends of files' names; the file, and the JSON beside it that explains it."""

import contextlib
import hashlib
import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import safetensors.numpy

from cbda_jax import __version__, models, plugins
from cbda_jax.errors import InputError
from cbda_jax.export import to_onnx
from cbda_jax.export.program import Exportable, logits_of
from cbda_jax.files import json_text, write_bytes

_VERSION = 1  # of the JSON
_NUMBERS = re.compile(r"\[\n\s+[\d.]+(,\n\s+[\d.]+)*\n\s+\]")


def write(path: Path, network: Exportable, size: tuple[int, int] | None = None) -> Path:
    """Exports a network to a new file, and what it takes and gives to `PATH.json`.

    Args:
        path: its ending, one of `FORMATS`, says the format.
        network: what is exported.
        size: (height, width) of the images that the exported program takes; None: those of
            training. Safetensors hold no program.

    Returns:
        The path of the JSON.

    Raises:
        InputError: another ending; one of the two files exists; the network cannot be exported so
            (no torch names, a package is missing, ...); nothing can be written there.
    """
    if path.suffix not in FORMATS:
        raise InputError(
            f"{path}: the ending {path.suffix or 'of no name'} found, expected one of "
            f"{', '.join(FORMATS)}, which says the format; name another file"
        )
    about = path.with_name(f"{path.name}.json")
    for existing in (path, about):
        if existing.exists():
            raise InputError(
                f"{existing}: a file found, expected none yet; remove it, or name another"
            )
    size = network.size if size is None else size
    if min(size) < 1:
        raise InputError(
            f"size: {tuple(size)} found, expected (height, width) in pixels; correct it"
        )
    content, details = FORMATS[path.suffix](network, size)
    description = {
        "version": _VERSION,
        "format": path.suffix.removeprefix("."),
        "made_by": {"cbda_jax": __version__, "jax": jax.__version__},
        "sha256": hashlib.sha256(content).hexdigest(),
        "network": network.name,
        "step": network.step,
        "dtype": network.dtype,
        "trained_at": [*network.size],
        "label_space": network.space.name,
        "classes": [*network.space.classes],
        "palette": network.space.palette.tolist(),
        "normalisation": {"mean": [*models.MEAN], "std": [*models.STD], "of": "RGB / 255"},
        **details,
    }
    write_bytes(path, content)
    # Numbers of a list in one line: a palette is read as a table.
    text = _NUMBERS.sub(lambda m: " ".join(m[0].split()), json_text(description, indent=2))
    write_bytes(about, f"{text}\n".encode())
    return about


def _stablehlo(network: Exportable, size: tuple[int, int]) -> tuple[bytes, dict[str, Any]]:
    # `serialize` imports it, and JAX does not depend on it.
    _need("flatbuffers", "stablehlo", "export")
    (batch,) = jax.export.symbolic_shape("batch")
    images = jax.ShapeDtypeStruct((batch, *size, 3), jnp.uint8)
    # None of the three has a kernel of its own here: one program for all.
    platforms = ("cpu", "cuda", "tpu")
    with _tracing(network, size, "stablehlo"):
        exported = jax.export.export(jax.jit(logits_of(network.model)), platforms=platforms)(images)
    versions = {
        "platforms": [*exported.platforms],
        "calling_convention_version": exported.calling_convention_version,
    }
    return bytes(exported.serialize()), {**_shapes(network, size, "batch"), **versions}


def _onnx(network: Exportable, size: tuple[int, int]) -> tuple[bytes, dict[str, Any]]:
    for package in ("jax2onnx", "onnxruntime"):
        _need(package, "onnx", "onnx")
    if network.dtype != "float32":
        raise InputError(
            f"export as onnx: dtype {network.dtype} found, expected float32, as ONNX Runtime has "
            "no other convolutions on CPUs; export it with dtype float32"
        )
    with _tracing(network, size, "onnx"):
        content = to_onnx.convert(logits_of(network.model), size, network.name)
    return content, _shapes(network, size, 1)


def _safetensors(network: Exportable, size: tuple[int, int]) -> tuple[bytes, dict[str, Any]]:
    del size
    arrays = models.torch_weights(network.model)
    named = {"arrays": len(arrays), "names": "torch", "normalised_inside": False}
    # Without this format Hugging Face's libraries refuse a file.
    metadata = {"format": "pt", "network": network.name}
    return safetensors.numpy.save(arrays, metadata=metadata), named


FORMATS: dict[str, Callable[[Exportable, tuple[int, int]], tuple[bytes, dict[str, Any]]]] = {
    ".stablehlo": _stablehlo,
    ".onnx": _onnx,
    ".safetensors": _safetensors,
}
"""Writers by the ends of files' names: a network and a size to bytes, and what the JSON adds."""


def _shapes(network: Exportable, size: tuple[int, int], batch: str | int) -> dict[str, Any]:
    classes = network.space.num_classes
    return {
        "normalised_inside": True,
        "input": {"name": "images", "type": "uint8", "shape": [batch, *size, 3], "channels": "RGB"},
        "output": {"name": "logits", "type": "float32", "shape": [batch, *size, classes]},
    }


@contextlib.contextmanager
def _tracing(network: Exportable, size: tuple[int, int], format: str) -> Iterator[None]:  # noqa: A002
    """Tells in one line what a network, perhaps a user's own, does not do for an export."""
    try:
        yield
    # Whatever its code raises, or what translates it.
    except Exception as error:
        raise InputError(
            f"export as {format}: {network.name} cannot be traced for images of {size[0]} x "
            f"{size[1]} ({plugins.one_line(error)[:300]}), expected a network that takes any "
            "number of images of this size; try another size or format, or correct the network"
        ) from error


def _need(package: str, format: str, extra: str) -> None:  # noqa: A002
    if importlib.util.find_spec(package) is None:
        raise InputError(
            f"export as {format}: {package}, which it needs, not found; install cbda_jax[{extra}]"
        )
