"""Torch checkpoints: read, told apart, and loaded into a network; or all that is wrong is said."""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from cbda_jax.errors import InputError
from cbda_jax.models import layouts, registry, torch_names
from cbda_jax.models.layouts import Checkpoint
from cbda_jax.models.torch_files import read


def load_torch_weights(
    model: nnx.Module,
    source: Mapping[str, Any] | str | os.PathLike[str],
    *,
    part: str | None = None,
) -> tuple[str, ...]:
    """Puts the weights of a torch checkpoint into `model`, all of them or none.

    Understood are RIPU's checkpoints of DeepLab-v2 and v3+, those of AdaptSegNet and its
    descendants, SegFormer's (the original, DAFormer, mmsegmentation, Hugging Face), and of
    ResNet-101 and EfficientNet-lite0 the backbones of torchvision, timm, mmsegmentation and
    EfficientNet-PyTorch: docs/guide/weights.md says what of each. They may lie in mappings
    (`state_dict`, `model`, ...) and under prefixes (`module.`, `model.`, `Scale.`, ...); iteration
    counts, optimizer states and `num_batches_tracked` are passed over. Call it outside `jax.jit`.

    Args:
        model: from `create_model`; changed in place.
        source: array by name, or a file: .safetensors, or .pth (with torch installed).
        part: None for all that the checkpoint has; "backbone" leaves the head as it is, for
            checkpoints of other classes.

    Returns:
        What differs from the network that the checkpoint was made by, and what of it was left
        out: a sentence each.

    Raises:
        InputError: the file cannot be read; names are missing or left over; shapes differ. The
            message counts them and names the first of each kind.
    """
    where = "the checkpoint" if isinstance(source, Mapping) else f"weights {os.fspath(source)}:"
    checkpoint = layouts.interpret(source if isinstance(source, Mapping) else read(Path(source)))
    return put(model, checkpoint, part=part, where=where)


def put(
    model: nnx.Module, checkpoint: Checkpoint, *, part: str | None = None, where: str
) -> tuple[str, ...]:
    """`load_torch_weights` of a checkpoint that was read; `where` begins an error."""
    for _, variable, value in matches(model, checkpoint, part=part, where=where):
        variable.set_value(jnp.asarray(value, jnp.float32))
    return checkpoint.notes


def has_head(model: nnx.Module, checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint has arrays of a network's head."""
    return any(
        entry.path[0] == "head" and entry.name in checkpoint.arrays for entry in table(model) or ()
    )


def count_classes(model: nnx.Module, checkpoint: Checkpoint) -> int | None:
    """How many classes the head of a checkpoint of a network has; None if it has no such head."""
    if not has_head(model, checkpoint):
        return None
    for known in _known():
        if isinstance(model, known.module):
            found = known.identify(checkpoint.arrays)
            if found is not None:
                return found
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
    checkpoint: Checkpoint,
    *,
    part: str | None = None,
    where: str = "the checkpoint",
) -> list[tuple[torch_names.Path, nnx.Variable, np.ndarray]]:
    """Pairs every variable with its array, axes in our order.

    A checkpoint without any array of the head fits a network's backbone.

    Args:
        model: a network, or its shapes (`nnx.eval_shape`).
        checkpoint: of `layouts.interpret`.
        part: as in `load_torch_weights`.
        where: begins the error.

    Raises:
        InputError: counting everything missing, left over and of another shape, and saying what the
            checkpoint looks like.
    """
    arrays = checkpoint.arrays
    entries = table(model)
    if entries is None:
        raise InputError(f"{where}: {type(model).__name__} has no torch counterpart; leave it out")
    if part not in (None, "backbone"):
        raise InputError(f"part of the weights: {part!r} found, expected None or 'backbone'")
    if checkpoint.refusal:
        raise InputError(
            f"{where} {checkpoint.title} found, which cannot be loaded: {checkpoint.refusal}; give "
            f"a checkpoint of {type(model).__name__}"
        )
    head = {entry.name for entry in entries if entry.path[0] == "head"}
    backbone = [entry for entry in entries if entry.name not in head]
    if part == "backbone":
        # Another network's head too: what does not stand where the backbone's arrays do.
        root = _root([entry.name for entry in backbone])
        arrays = {
            name: value
            for name, value in arrays.items()
            if name not in head and name.startswith(root)
        }
    if part == "backbone" or not head & arrays.keys():
        entries = backbone
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
            f"{len(names)} {kind}: {torch_names.few(names)}"
            for kind, names in (
                ("missing", missing),
                ("unknown", unexpected),
                ("of another shape", misshapen),
                ("not of finite floating-point numbers", unusable),
            )
            if names
        ]
        placed = {path for path, _, _ in found}
        share = sum(entry.path in placed for entry in backbone) / max(len(backbone), 1)
        raise InputError(
            f"{where} does not fit {type(model).__name__}: {'; '.join(reasons)}; "
            f"{_advice(model, checkpoint, share)}"
        )
    return found


def _root(names: list[str]) -> str:
    """The modules that all names lie within: what they begin with, in whole parts."""
    parts = [name.split(".")[:-1] for name in names]
    pairs = zip(min(parts), max(parts), strict=False)
    common = itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)
    return "".join(f"{part}." for part, _ in common)


def _advice(model: nnx.Module, checkpoint: Checkpoint, share: float) -> str:
    """What a checkpoint that does not fit looks like, and what to do.

    Args:
        model: that it was to go into.
        checkpoint: of `layouts.interpret`.
        share: of the backbone's arrays that fit.
    """
    identity = layouts.identify(checkpoint.arrays)
    looks = checkpoint.title or f"no network that is known ({layouts.describe(checkpoint.arrays)})"
    if share == 1:
        return (
            f"it looks like {looks}; give a checkpoint of this network and number of classes, or "
            "load its backbone only (pretrained_part=backbone, or part='backbone')"
        )
    if share < 0.5 and identity is not None and identity[0] != _name(model):
        return f"it looks like {looks}, for the network {identity[0]}; set network to that one"
    return (
        f"it looks like {looks}; give a checkpoint of this network (scripts/convert_weights.py "
        "--inspect says what a file is)"
    )


def _name(model: nnx.Module) -> str | None:
    """The name of a network: what a checkpoint of it would be taken for."""
    variables = dict(nnx.to_flat_state(nnx.state(model)))
    arrays = {
        name: np.broadcast_to(np.float32(0), _their_shape(axes, variables[path].get_value().shape))
        for name, path, axes in table(model) or ()
    }
    identity = layouts.identify(arrays)
    return None if identity is None else identity[0]


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
