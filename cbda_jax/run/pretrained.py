"""Where a network starts: the weights that a config names, and what a run takes of them."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from flax import nnx

from cbda_jax.checkpoints import open_checkpoints
from cbda_jax.config import data_sets
from cbda_jax.errors import InputError, near
from cbda_jax.models import heads, layouts, torch_files, torch_names, weights
from cbda_jax.run import workdir
from cbda_jax.stores import AnyPath, to_path

Create = Callable[[int], nnx.Module]
"""Makes the network of a run with so many classes; is traced only."""


class Start(NamedTuple):
    """What a network starts from.

    Attributes:
        notes: what was taken, and what was left and why; a line each.
        random: the classes whose logits start at random.
    """

    notes: tuple[str, ...]
    random: tuple[str, ...]


class _Head(NamedTuple):
    """Which rows of a head are taken, None for no head; how that is said; classes without."""

    rows: heads.Rows | None
    note: str
    random: tuple[str, ...]


def load(config: Any, model: nnx.Module, create: Create, *, whole: bool = False) -> Start:
    """Puts the weights of `pretrained` into a network.

    The head is taken as far as its classes are known to be those of the run. A workdir's run knows
    its classes by name, and so do some files; of others `pretrained_classes` says them. Where
    nothing says them, a head of as many classes is taken with a note, of another number left out.

    Args:
        config: of `cbda_jax.config`.
        model: of the run's classes, with random numbers; changed in place.
        create: makes it with another number of classes.
        whole: whether every class has to have its logits, for a network that predicts at once; so
            it has with `pretrained_part` all.

    Raises:
        InputError: they cannot be read, or do not fit; every class has to have its logits, and some
            have none.
    """
    path = to_path(config.pretrained, "pretrained")
    # `checks.check_pretrained` has refused files in stores.
    if isinstance(path, Path) and not path.is_dir():
        start = _of_file(config, path, model, create)
    else:
        start = _of_run(config, path, model, create)
    if start.random and (whole or config.pretrained_part == "all"):
        asked = "it is to predict without training" if whole else "pretrained_part is 'all'"
        raise InputError(
            f"pretrained: {path} without logits of {torch_names.few(start.random)} found "
            f"({start.notes[0]}), expected those of every class, as {asked}; give weights with a "
            "head of the run's classes, or the workdir of a run"
        )
    return start


def check(config: Any, create: Create) -> None:
    """Checks that a file of weights fits the network, before anything of a run is made.

    Nothing is computed but shapes. A workdir is not looked into.

    Args:
        config: of `cbda_jax.config`.
        create: makes the network with so many classes.

    Raises:
        InputError: as `load`.
    """
    path = to_path(config.pretrained, "pretrained")
    if isinstance(path, Path) and path.is_file():
        fit = _fit(config, path, nnx.eval_shape(lambda: create(_count(config))), create)
        weights.matches(fit.model, fit.checkpoint, part=fit.part, where=fit.where)


class _Fit(NamedTuple):
    """What of a file goes where.

    Attributes:
        checkpoint: what the file holds.
        where: begins an error.
        model: the network that it is put into: that of the run, or one of its own classes.
        part: of it that is taken, as in `weights.put`.
        rows: how many classes its head has; None: no head is taken or there.
        theirs: the names of these, where anything says them.
    """

    checkpoint: layouts.Checkpoint
    where: str
    model: nnx.Module
    part: str | None
    rows: int | None
    theirs: tuple[str, ...] | None


def _count(config: Any) -> int:
    return data_sets.space(config).num_classes


def _fit(config: Any, path: Path, model: nnx.Module, create: Create) -> _Fit:
    checkpoint, where = layouts.interpret(torch_files.read(path)), f"weights {path}:"
    count = weights.count_classes(model, checkpoint)
    if config.pretrained_part == "backbone":
        return _Fit(checkpoint, where, model, "backbone", None, None)
    if count is None:
        return _Fit(checkpoint, where, model, None, None, None)
    theirs = _said(config, checkpoint, path, count)
    if theirs is not None:
        other = nnx.eval_shape(lambda: create(count))
        return _Fit(checkpoint, where, other, None, count, theirs)
    part = None if count == _count(config) else "backbone"
    return _Fit(checkpoint, where, model, part, count, None)


def _of_file(config: Any, path: Path, model: nnx.Module, create: Create) -> Start:
    fit = _fit(config, path, model, create)
    checkpoint, ours = fit.checkpoint, data_sets.space(config).classes
    title = checkpoint.title or "weights"
    weights.put(fit.model, checkpoint, part=fit.part, where=fit.where)
    if fit.rows is None:
        return Start((f"{title}: the backbone is taken", *checkpoint.notes), ours)
    if fit.theirs is not None:
        head = _head(config, fit.theirs, ours)
        _transfer(model, fit.model, create, head, len(ours))
        return Start((f"{title}: {head.note}", *checkpoint.notes), head.random)
    if fit.part is None:
        note = (
            f"{title}: taken as a whole; its {fit.rows} classes are taken to be those of the run "
            f"in their order ({torch_names.few(ours)}); if they are others, set "
            "pretrained_classes, or pretrained_part=backbone"
        )
        return Start((note, *checkpoint.notes), ())
    note = (
        f"{title}: the backbone is taken, and not the head of {fit.rows} classes, as which ones "
        f"they are is not known and the run has {len(ours)}; pretrained_classes says it: with "
        "cityscapes_19, say, classes of the same names take their rows"
    )
    return Start((note, *checkpoint.notes), ours)


def _said(
    config: Any, checkpoint: layouts.Checkpoint, path: Path, count: int
) -> tuple[str, ...] | None:
    """The classes of a file's head, where the config or the file says them."""
    space = data_sets.space_of_weights(config)
    if space is not None and space.num_classes != count:
        raise InputError(
            f"pretrained_classes: {config.pretrained_classes!r} of {space.num_classes} classes "
            f"found, expected the {count} classes of the head of {path}; name those, or set "
            "pretrained_part=backbone"
        )
    if space is not None:
        return space.classes
    named = checkpoint.classes
    return named if named is not None and len(named) == count else None


def _of_run(config: Any, path: AnyPath, model: nnx.Module, create: Create) -> Start:
    """Of the latest checkpoint of another run."""
    ours = data_sets.space(config).classes
    theirs = ours
    if (path / "config.json").exists():
        theirs = data_sets.space(workdir.read_config(path)).classes
    other = nnx.eval_shape(lambda: create(len(theirs)))
    graphdef, params, frozen = nnx.split(other, nnx.Param, ...)
    sharding = jax.tree.leaves(nnx.state(model))[0].sharding
    placed = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        (params, frozen),
    )
    with contextlib.closing(open_checkpoints(path / "checkpoints", writable=False)) as checkpoints:
        _, params, frozen = checkpoints.restore_network(*placed)
    other = nnx.merge(graphdef, params, frozen)
    if config.pretrained_part == "backbone":
        heads.transfer(model, other)
        return Start(("the backbone is taken",), ours)
    head = _head(config, theirs, ours)
    _transfer(model, other, create, head, len(ours))
    return Start((head.note,) if theirs != ours else (), head.random)


def _head(config: Any, theirs: tuple[str, ...], ours: tuple[str, ...]) -> _Head:
    """Which rows of a head of known classes are taken, and what is to be said of it."""
    _check_mapping(config.pretrained_mapping.to_dict(), theirs, ours)
    mapping = data_sets.mapping_of_weights(config)
    mapping = {name: mapping[name] for name in theirs if name in mapping}
    if theirs == ours and not mapping:
        return _Head(tuple((i,) for i in range(len(ours))), "taken as a whole", ())
    of_class = heads.rows(theirs, ours, mapping)
    random = tuple(name for name, taken in zip(ours, of_class, strict=True) if not taken)
    if len(random) == len(ours):
        return _Head(
            None,
            f"the backbone is taken, and not the head: none of its classes "
            f"({torch_names.few(theirs)}) is one of the run's; pretrained_mapping says which are",
            random,
        )
    renamed = [
        f"{name} from {' and '.join(theirs[i] for i in taken)}"
        for name, taken in zip(ours, of_class, strict=True)
        if taken and [theirs[i] for i in taken] != [name]
    ]
    same = len(ours) - len(random) - len(renamed)
    parts = [f"{same} of {len(ours)} classes take the row of their name in its head"]
    parts += [f"by mapping {torch_names.few(renamed, 20)}"] if renamed else []
    parts += [f"at random start {torch_names.few(random, 20)}"] if random else []
    return _Head(of_class, "; ".join(parts), random)


def _check_mapping(
    mapping: dict[str, str | None], theirs: tuple[str, ...], ours: tuple[str, ...]
) -> None:
    for name, known, whose in (
        *((name, theirs, "of the weights") for name in mapping),
        *((name, ours, "of the run") for name in mapping.values() if name is not None),
    ):
        if name not in known:
            raise InputError(
                f"pretrained_mapping: {name!r} found, expected a class {whose}: "
                f"{torch_names.few(known, 30)}{near(str(name), known)}; correct it"
            )


def _transfer(
    model: nnx.Module, other: nnx.Module, create: Create, head: _Head, num_classes: int
) -> None:
    axes = None if head.rows is None else heads.class_axes(create, num_classes)
    heads.transfer(model, other, axes, head.rows)
