"""A head of other classes: its rows carried over to the classes that are wanted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from cbda_jax.errors import InputError

Rows = tuple[tuple[int, ...], ...]
"""For every class of a network, the classes of another whose mean row it takes; none: its own."""


Place = tuple[Any, ...]
"""Where an array is in a network's state, as `nnx.to_flat_state` gives it."""


def rows(theirs: Sequence[str], ours: Sequence[str], mapping: Mapping[str, str | None]) -> Rows:
    """Which rows of a head of `theirs` a head of `ours` takes, by the names of classes.

    A class takes the row of the same name; where there is none, the mean of those that the mapping
    sends to it. One that is mapped elsewhere is not taken by its name.

    Args:
        theirs: class names by place.
        ours: the same of the head that is filled.
        mapping: class of theirs -> class of ours, or None for none.
    """
    same = {name: i for i, name in enumerate(theirs) if mapping.get(name, name) == name}
    return tuple(
        (same[name],)
        if name in same
        else tuple(i for i, their in enumerate(theirs) if mapping.get(their) == name)
        for name in ours
    )


def class_axes(create: Callable[[int], nnx.Module], num_classes: int) -> dict[Place, int]:
    """Which axis of an array of a head counts classes; arrays without one are left out.

    Told by how shapes change with the number of classes.

    Args:
        create: makes the network with so many classes; is traced, not run.
        num_classes: any.

    Raises:
        InputError: an array changes otherwise than by one along one axis.
    """

    def shapes(classes: int) -> dict[Place, tuple[int, ...]]:
        state = nnx.to_flat_state(nnx.state(nnx.eval_shape(lambda: create(classes))))
        return {path: variable.get_value().shape for path, variable in state}

    few, more = shapes(num_classes), shapes(num_classes + 1)
    axes = {}
    for path, shape in few.items():
        grown = [i for i, (a, b) in enumerate(zip(shape, more[path], strict=True)) if a != b]
        if not grown:
            continue
        if len(grown) > 1 or shape[grown[0]] != num_classes or path[0] != "head":
            raise InputError(
                f"the array {'.'.join(map(str, path))} of the network: {list(shape)} with "
                f"{num_classes} classes and {list(more[path])} with one more found, expected one "
                "axis of the head to count classes; start with pretrained_part=backbone"
            )
        axes[path] = grown[0]
    return axes


def transfer(
    model: nnx.Module,
    other: nnx.Module,
    axes: Mapping[Place, int] | None = None,
    of_class: Rows | None = None,
) -> None:
    """Puts the numbers of a network of other classes into `model`, which is changed in place.

    Args:
        model: with numbers of its own, which the classes keep that take no row.
        other: the same network of other classes.
        axes: of `class_axes`.
        of_class: of `rows`; None leaves the whole head as it is.
    """
    theirs = dict(nnx.to_flat_state(nnx.state(other)))
    for path, variable in nnx.to_flat_state(nnx.state(model)):
        if of_class is None and path[0] == "head":
            continue
        value = np.asarray(theirs[path].get_value())
        if axes and of_class and path in axes:
            filled = np.moveaxis(np.array(variable.get_value()), axes[path], 0)
            sources = np.moveaxis(value, axes[path], 0)
            for i, taken in enumerate(of_class):
                if taken:
                    filled[i] = sources[list(taken)].mean(axis=0)
            value = np.moveaxis(filled, 0, axes[path])
        variable.set_value(jnp.asarray(value))
