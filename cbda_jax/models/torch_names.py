"""How a network says where each array of a torch checkpoint goes: the vocabulary of the tables."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flax import nnx

CONV = "oihw->hwio"
DEPTHWISE = "c1hw->hwc"
POINTWISE = "oi11->io"
LINEAR = "oi->io"
VECTOR = "c->c"

Path = tuple[str | int, ...]
Arrays = Mapping[str, np.ndarray]


class Entry(NamedTuple):
    """One array: its torch name, its path in our state, and the order of its axes there.

    `axes` reads "theirs->ours", a letter an axis; "1" is an axis of length one that we leave out.
    """

    name: str
    path: Path
    axes: str


class Translation(NamedTuple):
    """The arrays of a checkpoint in the layout of a network here.

    Attributes:
        arrays: by the table's names, without those that the network leaves out.
        notes: what differs from the network that the checkpoint was made by: what is left out and
            why, what is taken for granted. A sentence each, without a full stop.
        refusal: why it cannot be loaded, though it is known what it is; "" if it can.
    """

    arrays: dict[str, np.ndarray]
    notes: tuple[str, ...] = ()
    refusal: str = ""


class Layout(NamedTuple):
    """Another way in which checkpoints name the arrays of a network.

    Attributes:
        title: whose it is: "torchvision's ResNet-101", say.
        translate: gives the arrays under the table's names; None for arrays of other layouts.
    """

    title: str
    translate: Callable[[Arrays], Translation | None]


@dataclasses.dataclass(frozen=True)
class TorchWeights:
    """What torch checkpoints of one network look like.

    Attributes:
        module: class of the network.
        table: gives an `Entry` for every array of a model of that class.
        identify: gives the number of classes of arrays that are this network's, None for others.
            For a backbone without a classifier it gives `UNKNOWN_CLASSES`. It need not look at all
            the arrays: loading does.
        layouts: in which its checkpoints come beside that of the table, tried in this order.
    """

    module: type[nnx.Module]
    table: Callable[[Any], Iterable[Entry]]
    identify: Callable[[Arrays], int | None]
    layouts: tuple[Layout, ...] = ()


UNKNOWN_CLASSES = 19
"""Taken for the number of classes of a checkpoint that holds a backbone alone."""


def count_classes(array: np.ndarray | None) -> int:
    """How many classes an array of a classifier has; `UNKNOWN_CLASSES` if that cannot be."""
    if array is None or not array.ndim or not 0 < len(array) <= 256:
        return UNKNOWN_CLASSES
    return len(array)


def one_line(name: str) -> str:
    """A name of any checkpoint, without line breaks."""
    return " ".join(name.split())


def few(names: Sequence[str], most: int = 5) -> str:
    """The first of many names, and how many more there are; in one line."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return one_line(", ".join(names[:most])) + more


def without(arrays: Arrays, *names: str) -> dict[str, np.ndarray]:
    """The arrays but those of these names."""
    return {name: value for name, value in arrays.items() if name not in names}


def within(arrays: Arrays, prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin with a prefix, by what follows it."""
    return {
        name.removeprefix(prefix): value
        for name, value in arrays.items()
        if name.startswith(prefix)
    }


def blocks(arrays: Arrays, pattern: str) -> int:
    """How many different numbers stand in the place of the one group of a pattern."""
    found = (re.match(pattern, name) for name in arrays)
    return len({match[1] for match in found if match})


def with_epsilon(arrays: Arrays, epsilon: float) -> dict[str, np.ndarray]:
    """The arrays with the epsilon of batch norms added to their variances.

    For a network whose own norms have none: dividing by sqrt(var + epsilon) is what they do then.
    """

    def add(name: str, value: np.ndarray) -> np.ndarray:
        norm = name.endswith(".running_var") and np.issubdtype(value.dtype, np.floating)
        return value.astype(np.float32) + np.float32(epsilon) if norm else value

    return {name: add(name, value) for name, value in arrays.items()}


def conv(name: str, path: Path) -> Iterator[Entry]:
    """A convolution without bias."""
    yield Entry(f"{name}.weight", (*path, "kernel"), CONV)


def norm(name: str, path: Path) -> Iterator[Entry]:
    """A batch norm: scale, bias and statistics."""
    for theirs, ours in (
        ("weight", "scale"),
        ("bias", "bias"),
        ("running_mean", "mean"),
        ("running_var", "var"),
    ):
        yield Entry(f"{name}.{theirs}", (*path, ours), VECTOR)


def layer_norm(name: str, path: Path) -> Iterator[Entry]:
    """A layer norm: scale and bias."""
    yield Entry(f"{name}.weight", (*path, "scale"), VECTOR)
    yield Entry(f"{name}.bias", (*path, "bias"), VECTOR)


def affine(name: str, path: Path, axes: str) -> Iterator[Entry]:
    """A layer with a bias; `axes` are those of its kernel."""
    yield Entry(f"{name}.weight", (*path, "kernel"), axes)
    yield Entry(f"{name}.bias", (*path, "bias"), VECTOR)


_AXES_BY_RANK = {1: VECTOR, 2: POINTWISE, 3: DEPTHWISE, 4: CONV}


def as_ours(module: nnx.Module, path: Path) -> Iterator[Entry]:
    """Every array of a part that no published checkpoint has: our names, torch's order of axes.

    Args:
        module: the part; its matrices are convolutions of 1 x 1, its stacks of planes depthwise.
        path: of the part in the network's state.
    """
    for inner, variable in nnx.to_flat_state(nnx.state(module)):
        # Names of attributes, and places in lists.
        ours = (*path, *(part if isinstance(part, int) else str(part) for part in inner))
        last = "weight" if ours[-1] in ("kernel", "scale") else ours[-1]
        name = ".".join(map(str, (*ours[:-1], last)))
        yield Entry(name, ours, _AXES_BY_RANK[variable.get_value().ndim])
