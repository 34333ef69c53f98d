"""The data sets and classes that a config means: those it declares, and those known by name."""

from collections.abc import Iterator, Mapping
from typing import Any

from cbda_jax.data.declaration import Declaration
from cbda_jax.data.prepare import find_dataset, known_datasets
from cbda_jax.errors import InputError, near
from cbda_jax.label_space import (
    LabelSpace,
    known_label_spaces,
    label_space,
    resolve_label_space,
)
from cbda_jax.plugins import is_path

_DECLARED: dict[tuple[str, str], Declaration] = {}

ROLES = ("source", "target", "val", "test")
"""The fields of `data` that name a data set and its split."""


def declarations(config: Any) -> dict[str, Declaration]:
    """The data sets that a config declares itself, by name.

    Raises:
        InputError: a declaration is not as expected; naming the field.
    """
    declared = config.data.declared.to_dict()
    taken = set(declared) & {*known_datasets()}
    if taken:
        raise InputError(
            f"data.declared: {sorted(taken)[0]!r} found, expected another name, as a data set of "
            "this one comes with the program; rename it"
        )
    for name, values in declared.items():
        if not isinstance(values, Mapping):
            raise InputError(
                f"data.declared.{name}: {values!r} found, expected the fields of a declaration: "
                "classes, splits, ...; see docs/guide/own_data.md"
            )
    return {name: _declaration(name, repr(values), values) for name, values in declared.items()}


def _declaration(name: str, content: str, values: Mapping[str, Any]) -> Declaration:
    """The declaration of these values, the same object each time: it has one builder."""
    key = name, content
    if key not in _DECLARED:
        _DECLARED[key] = Declaration.of(name, values)
    return _DECLARED[key]


def dataset(config: Any, name: str) -> str | Declaration:
    """The data set of a name such as "yard/train", for `prepare.create_builder`.

    Raises:
        InputError: as `declarations`.
    """
    name = name.partition("/")[0]
    return declarations(config).get(name, name)


def space(config: Any) -> LabelSpace:
    """The classes that a config means: those of its `label_space`, or of its `num_classes`.

    Raises:
        InputError: there are none of this name, or the two fields disagree.
    """
    if config.label_space is None:
        return resolve_label_space(None, config.num_classes)
    return resolve_label_space(_named(config, config.label_space), config.num_classes)


def space_of_weights(config: Any) -> LabelSpace | None:
    """The classes that the head of `pretrained` is said to have; None if nothing is said.

    Raises:
        InputError: there are none of this name.
    """
    named = config.pretrained_classes
    return _named(config, named, "pretrained_classes") if named else None


def _named(config: Any, named: str, field: str = "label_space") -> LabelSpace:
    if is_path(named) or named in known_label_spaces():
        return label_space(named)
    own = declarations(config)
    if named in own:
        return own[named].space
    if named in known_datasets():
        found = find_dataset(named)
        if isinstance(found, Declaration):
            return found.space
    known = (*known_label_spaces(), *own, *known_datasets())
    raise InputError(
        f"{field}: {named!r} found, expected one of {', '.join(known_label_spaces())}, the "
        f"name of a declared data set, or an import path 'my_module:MY_SPACE'{near(named, known)}"
    )


def mapping(config: Any, role: str) -> dict[str, str | None] | None:
    """The classes of a data set in those of the run, by name; None: the same names.

    Args:
        config: as above.
        role: one of `ROLES`.
    """
    found = config.data["source_mapping" if role == "source" else "target_mapping"].to_dict()
    return found or None


def mapping_of_weights(config: Any) -> dict[str, str | None]:
    """The classes of `pretrained` in those of the run, where their names differ.

    Those of `pretrained_mapping`; where it is empty, what the mappings of the source and of the
    target say of names that are none of the run's. (That they make a class of the same name void
    concerns labels, not weights.)
    """
    own = config.pretrained_mapping.to_dict()
    if own:
        return own
    of_labels = {**(mapping(config, "target") or {}), **(mapping(config, "source") or {})}
    ours = space(config).classes
    return {name: other for name, other in of_labels.items() if name not in ours}


def problems(config: Any) -> Iterator[str]:
    """What is wrong with the data sets and classes of a config, each in a line."""
    try:
        own = declarations(config)
        space(config)
        space_of_weights(config)
    except InputError as error:
        yield str(error)
        return
    for role in ROLES:
        name = config.data[role].partition("/")[0]
        known = (*own, *known_datasets())
        if not is_path(name) and name not in known:
            yield (
                f"data.{role}: {config.data[role]!r} found, expected DATASET/SPLIT with DATASET "
                f"one of {', '.join(known)}, or an import path such as my_module:MY_DATA"
                f"{near(name, known)}"
            )
