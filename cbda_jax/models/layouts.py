"""Torch checkpoints told apart: taken out of what wraps them, and brought to the names of here."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cbda_jax.errors import InputError
from cbda_jax.models import registry, torch_names
from cbda_jax.models.torch_names import Arrays, Layout, Translation

# What training scripts store beside the weights, and what the arithmetic does not use.
_BOOKKEEPING = re.compile(
    r"(.*_)?(iteration|iter|epoch|step|optim|scaler|amp)s?|.*(optimizer|scheduler).*"
    r"|hyper_parameters|callbacks|loops|message_hub|meta|config|args|.*\.num_batches_tracked"
)
# Parts of names that wrap a network without saying anything: DataParallel's, torch.compile's.
_SILENT = ("module", "_orig_mod")
# Where several networks are in a file, that which is meant; then the largest.
_PREFERRED = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "segmentor",
    "student",
)
_DEPTH = 6  # of wrappers in wrappers


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a file of weights holds.

    Attributes:
        arrays: by the names of a table of `torch_names`; of a file that is not understood, by its
            own.
        title: what it is: "torchvision's or timm's ResNet"; "" if that is not known.
        notes: what differs from the network that it was made by, and what of it was left out.
        refusal: why it cannot be loaded though it is known what it is, or "".
        classes: the names of its classes, where the file says them.
    """

    arrays: dict[str, np.ndarray]
    title: str = ""
    notes: tuple[str, ...] = ()
    refusal: str = ""
    classes: tuple[str, ...] | None = None


def interpret(content: Mapping[str, Any]) -> Checkpoint:
    """What the content of a file is, whatever its training script wrapped it in.

    Networks are looked for in mappings within mappings and under names with dots alike:
    `{"state_dict": {"model.conv1.weight": ...}}` and `{"conv1.weight": ...}` are one. Of several
    networks that a file holds, such as a teacher beside its student, one is taken and the others
    are noted.

    Args:
        content: of `torch_files.read`: arrays by name, or mappings of them.

    Raises:
        InputError: two arrays come to the same name.
    """
    arrays = flat(content)
    found = _within(arrays, _DEPTH)
    classes = _classes(content)
    if found is None:
        return Checkpoint(arrays, classes=classes)
    return dataclasses.replace(found, classes=classes)


def flat(content: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The arrays of a file by names with dots, without those that are of no network.

    Raises:
        InputError: two arrays come to the same name.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, value in _flatten(content, ""):
        if _BOOKKEEPING.fullmatch(name.split(".")[0]) or _BOOKKEEPING.fullmatch(name):
            continue
        ours = ".".join(part for part in name.split(".") if part not in _SILENT)
        if ours in arrays:
            raise InputError(
                f"the checkpoint has {ours!r} twice, with and without 'module.'; save "
                "model.state_dict()"
            )
        array = _array(value)
        if array is not None:
            arrays[ours] = array
    return arrays


def _flatten(content: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _array(value: Any) -> np.ndarray | None:
    """The value as an array; None for numbers, texts and other things beside weights."""
    if isinstance(value, np.ndarray):
        return value
    try:
        array = np.asarray(value if isinstance(value, list | tuple) else None)
    except ValueError:  # lists of lists of different lengths
        return None
    return array if array.dtype.kind in "biufc" else None


def _classes(content: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Names of classes as mmsegmentation keeps them beside the weights."""
    meta = content.get("meta")
    if not isinstance(meta, Mapping):
        return None
    inner = meta.get("dataset_meta")
    found = meta.get("CLASSES", inner.get("classes") if isinstance(inner, Mapping) else None)
    if not isinstance(found, list | tuple) or not all(isinstance(name, str) for name in found):
        return None
    return tuple(found) or None


def _within(arrays: Arrays, depth: int) -> Checkpoint | None:
    """The network among arrays, under whatever prefix; None if there is none that is known."""
    known = _recognised(arrays)
    if known is not None or not depth:
        return known
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, value in arrays.items():
        first, dot, rest = name.partition(".")
        if dot:
            groups.setdefault(first, {})[rest] = value

    def rank(first: str) -> tuple[int, int]:
        preferred = _PREFERRED.index(first) if first in _PREFERRED else len(_PREFERRED)
        return preferred, -len(groups[first])

    for first in sorted(groups, key=rank):
        found = _within(groups[first], depth - 1)
        if found is None:
            continue
        count = len(arrays) - len(groups[first])
        beside = sorted({name.partition(".")[0] for name in arrays} - {first})
        if not beside:
            return found
        left = f"taken from {first!r}, left beside it {torch_names.few(beside)} ({_arrays(count)})"
        return dataclasses.replace(found, notes=(left, *found.notes))
    return None


def _recognised(arrays: Arrays) -> Checkpoint | None:
    for layout in _layouts():
        found: Translation | None = layout.translate(arrays)
        if found is not None:
            return Checkpoint(found.arrays, layout.title, found.notes, found.refusal)
    identity = identify(arrays)
    if identity is None:
        return None
    return Checkpoint(dict(arrays), f"a checkpoint of {identity[0]}")


def _layouts() -> Iterator[Layout]:
    """Those of all networks, each once."""
    seen = set()
    for network in registry.NETWORKS.values():
        for layout in network.weights.layouts if network.weights is not None else ():
            if layout not in seen:
                seen.add(layout)
                yield layout


def identify(arrays: Arrays) -> tuple[str, int] | None:
    """The network and the number of classes of interpreted arrays, None if they are of no network.

    The arrays need not fit it; `weights.matches` says whether they do.

    For a backbone alone, a network that has it and 19 classes.
    """
    for name, network in registry.NETWORKS.items():
        num_classes = network.weights.identify(arrays) if network.weights is not None else None
        if num_classes is not None:
            return name, num_classes
    return None


def describe(arrays: Arrays) -> str:
    """What arrays look like by their names, in a few words."""
    names = [torch_names.one_line(name).split(".") for name in arrays]
    prefix = ""
    while names and len({name[0] for name in names}) == 1 and min(map(len, names)) > 2:
        prefix += f"{names[0][0]}."
        names = [name[1:] for name in names]
    groups: dict[str, int] = {}
    for first, *_ in names:
        groups[first] = groups.get(first, 0) + 1
    largest = sorted(groups, key=lambda first: (-groups[first], first))
    shown = torch_names.few([f"{prefix}{first} ({groups[first]})" for first in largest])
    return f"{_arrays(len(arrays))} under {shown}" if arrays else "no arrays"


def _arrays(count: int) -> str:
    return f"{count} array{'' if count == 1 else 's'}"
