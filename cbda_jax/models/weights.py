"""Torch checkpoints: read, told apart, and loaded into a network; or all that is wrong is said."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from flax import nnx

from cbda_jax.errors import InputError
from cbda_jax.models import registry, torch_names

# What training scripts store beside the weights, and what the arithmetic does not use.
_BOOKKEEPING = re.compile(r"(iteration|epoch|step|optimizer.*|scheduler.*)|.*\.num_batches_tracked")


def load_torch_weights(
    model: nnx.Module,
    source: Mapping[str, Any] | str | os.PathLike[str],
    *,
    part: str | None = None,
) -> None:
    """Puts the weights of a torch checkpoint into `model`, all of them or none.

    Understood are torchvision's ResNet-101 (the backbone only: its classifier `fc` is dropped and
    the head stays as it is) and RIPU's checkpoints `{"feature_extractor": ..., "classifier": ...}`,
    nested or with dotted names, with or without `module.`; for SegFormer, Hugging Face's encoders
    (`nvidia/mit-b0`: the backbone only) and segmentation networks; EfficientNet-lite0 with the
    names of EfficientNet-PyTorch (the backbone only, of it what the network has). Iteration counts,
    optimizer states and `num_batches_tracked` are passed over. Call it outside `jax.jit`.

    Args:
        model: from `create_model`; changed in place.
        source: array by name, or a file: .safetensors, or .pth (with torch installed).
        part: None for all that the checkpoint has; "backbone" leaves the head as it is, for
            checkpoints of other classes.

    Raises:
        InputError: the file cannot be read; names are missing or left over; shapes differ. The
            message lists every one of them.
    """
    where = "the checkpoint" if isinstance(source, Mapping) else f"weights {os.fspath(source)}:"
    arrays = canonical(source if isinstance(source, Mapping) else read(Path(source)))
    for path, variable, value in matches(model, arrays, part=part, where=where):
        del path
        variable.set_value(jnp.asarray(value, jnp.float32))


def is_whole(model: nnx.Module, path: Path) -> bool:
    """Whether a file of weights has those of the head too, and not of the backbone alone.

    Raises:
        InputError: as `load_torch_weights`.
    """
    found = matches(model, canonical(read(path)), where=f"weights {path}:")
    return any(names[0] == "head" for names, _, _ in found)


def read(path: Path) -> dict[str, Any]:
    """The arrays of a .safetensors file, or all that a .pth file holds, tensors as arrays.

    Raises:
        InputError: missing, of an unknown kind or damaged file; .pth without torch.
    """
    if not path.is_file():
        raise InputError(f"weights {path}: no such file; give a .safetensors or .pth file")
    if path.suffix == ".safetensors":
        try:
            return dict(safetensors.numpy.load_file(path))
        # Types that NumPy lacks, sizes that overflow: not only errors of the format.
        except Exception as error:
            raise InputError(
                f"weights {path}: not a readable safetensors file ({_one_line(error)}); convert or "
                "download it again"
            ) from error
    if path.suffix in (".pth", ".pt", ".bin"):
        return _read_torch(path)
    raise InputError(
        f"weights {path}: {path.suffix or 'no'} suffix found, expected .safetensors, .pth, .pt or "
        ".bin; rename or convert it"
    )


def _read_torch(path: Path) -> dict[str, Any]:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InputError(
            f"weights {path}: torch, which reads this file, is not installed; install "
            "cbda_jax[convert], or convert it elsewhere: python scripts/convert_weights.py "
            f"{path} {path.with_suffix('.safetensors')}"
        ) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    # Which of a dozen errors torch raises depends on where the file is damaged.
    except Exception as error:
        raise InputError(
            f"weights {path}: torch cannot read it as plain weights ({_one_line(error)}); save the "
            "state dict alone with torch.save"
        ) from error

    def convert(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(k): convert(v) for k, v in value.items()}
        if isinstance(value, torch.Tensor):
            value = value.detach()
            return (value.float() if value.is_floating_point() else value).numpy()
        return value

    if not isinstance(content, Mapping):
        raise InputError(
            f"weights {path}: a {type(content).__name__} found, expected a state dict; save "
            "model.state_dict()"
        )
    try:
        return convert(content)
    except (RecursionError, RuntimeError, TypeError) as error:
        raise InputError(
            f"weights {path}: holds what is no plain array ({_one_line(error)}), expected dense "
            "tensors; save model.state_dict()"
        ) from error


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    # Of torch's advice, which is to load the file all the same, the reason alone.
    reason = re.search(r"WeightsUnpickler error: (Unsupported [^,;]*? was not|[^.]*)", text)
    return (reason[1].removesuffix(" was not") if reason else text)[:200]


def canonical(content: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Flat arrays under the names of `torch_names`, whatever the checkpoint wrapped them in.

    Names that mean nothing to us stay as they are, for `matches` to complain about.

    Raises:
        InputError: two arrays come to the same name.
    """
    for wrapper in ("state_dict", "model"):
        inner = content.get(wrapper)
        if isinstance(inner, Mapping):
            content = inner
    arrays: dict[str, np.ndarray] = {}
    for name, value in _flatten(content, ""):
        if _BOOKKEEPING.fullmatch(name.split(".")[0]) or _BOOKKEEPING.fullmatch(name):
            continue
        ours = ".".join(part for part in name.split(".") if part != "module")
        if ours in arrays:
            raise InputError(
                f"the checkpoint has {ours!r} twice, with and without 'module.'; save "
                "model.state_dict()"
            )
        arrays[ours] = _array(value)
    for known in _known():
        cleaned = known.clean(arrays)
        if cleaned is not None:
            return cleaned
    return arrays


def _array(value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError:  # lists of lists of different lengths: nothing of a network's
        return np.asarray(None)


def _flatten(content: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def identify(arrays: Mapping[str, np.ndarray]) -> tuple[str, int] | None:
    """The network and the number of classes of canonical arrays, or None if they are of no network.

    The arrays need not fit it; `matches` says whether they do.

    For a backbone alone, a network that has it and 19 classes.
    """
    for name, network in registry.NETWORKS.items():
        num_classes = network.weights.identify(arrays) if network.weights is not None else None
        if num_classes is not None:
            return name, num_classes
    return None


def table(model: nnx.Module) -> list[torch_names.Entry] | None:
    """Where every array of a checkpoint goes, or None if the network has no torch counterpart."""
    for known in _known():
        if isinstance(model, known.module):
            return [*known.table(model)]
    return None


def _known() -> Iterator[torch_names.TorchWeights]:
    for network in registry.NETWORKS.values():
        if network.weights is not None:
            yield network.weights


def matches(
    model: nnx.Module,
    arrays: Mapping[str, np.ndarray],
    *,
    part: str | None = None,
    where: str = "the checkpoint",
) -> list[tuple[torch_names.Path, nnx.Variable, np.ndarray]]:
    """Pairs every variable with its array, axes in our order.

    A checkpoint without any array of the head fits a network's backbone.

    Args:
        model: a network, or its shapes (`nnx.eval_shape`).
        arrays: of `canonical`.
        part: as in `load_torch_weights`.
        where: begins the error.

    Raises:
        InputError: listing everything missing, left over and of another shape.
    """
    entries = table(model)
    if entries is None:
        raise InputError(f"{where}: {type(model).__name__} has no torch counterpart; leave it out")
    if part not in (None, "backbone"):
        raise InputError(f"part of the weights: {part!r} found, expected None or 'backbone'")
    head = {entry.name for entry in entries if entry.path[0] == "head"}
    if part == "backbone":
        arrays = {name: value for name, value in arrays.items() if name not in head}
    if part == "backbone" or not head & arrays.keys():
        entries = [entry for entry in entries if entry.name not in head]
    variables = dict(nnx.to_flat_state(nnx.state(model)))
    missing, misshapen, unusable, found = [], [], [], []
    for name, path, axes in entries:
        variable = variables[path]
        if name not in arrays:
            missing.append(name)
            continue
        expected = _their_shape(axes, variable.get_value().shape)
        if arrays[name].shape != expected:
            misshapen.append(f"{name} {list(arrays[name].shape)}, expected {list(expected)}")
            continue
        if not _usable(arrays[name]):
            unusable.append(f"{name} {arrays[name].dtype}")
        found.append((path, variable, _our_axes(axes, arrays[name])))
    unexpected = sorted(arrays.keys() - {entry.name for entry in entries})
    if missing or unexpected or misshapen or unusable:
        reasons = [
            f"{len(names)} {kind}: {', '.join(names)}"
            for kind, names in (
                ("missing", missing),
                ("unknown", unexpected),
                ("of another shape", misshapen),
                ("not of finite floating-point numbers", unusable),
            )
            if names
        ]
        text = " ".join("; ".join(reasons).split())
        raise InputError(
            f"{where} does not fit {type(model).__name__}: {text}; give a checkpoint of this "
            "network and number of classes, or load its backbone only"
        )
    return found


def _usable(array: np.ndarray) -> bool:
    """Whether these can be weights: not those of a training that diverged, say."""
    if not jnp.issubdtype(array.dtype, jnp.floating):
        return False
    with np.errstate(over="ignore"):
        return bool(np.isfinite(array.astype(np.float32)).all())


def _their_shape(axes: str, ours: tuple[int, ...]) -> tuple[int, ...]:
    left, right = axes.split("->")
    length = dict(zip(right, ours, strict=True), **{"1": 1})
    return tuple(length[letter] for letter in left)


def _our_axes(axes: str, array: np.ndarray) -> np.ndarray:
    left, right = axes.split("->")
    squeezed = array.reshape([n for n, a in zip(array.shape, left, strict=True) if a != "1"])
    order: Callable[[str], int] = left.replace("1", "").index
    return squeezed.transpose([order(letter) for letter in right])
