"""Converts a PyTorch checkpoint to safetensors, which is read without PyTorch; or says what it is.

    python scripts/convert_weights.py resnet101-63fe2227.pth resnet101.safetensors
    python scripts/convert_weights.py --inspect ANY_FILE.pth

docs/guide/weights.md has the networks and layouts that are understood. Every array is checked
against its network.
"""

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import safetensors.numpy
from flax import nnx

from cbda_jax import files, models
from cbda_jax.errors import InputError
from cbda_jax.models import layouts, torch_files, torch_names, weights


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line; converts, or says what a file is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help=".pth, .pt, .bin or .safetensors")
    parser.add_argument("target", type=Path, nargs="?", help=".safetensors; must not exist")
    parser.add_argument(
        "--inspect", action="store_true", help="say what the source is, and write nothing"
    )
    options = parser.parse_args(arguments)
    if options.inspect != (options.target is None):
        parser.error("name a target, or --inspect the source")
    try:
        if options.inspect:
            print("\n".join(inspect(options.source)))
        else:
            print("\n".join(convert(options.source, options.target)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def convert(source: Path, target: Path) -> list[str]:
    """Writes the weights of `source`, float32, to `target`, whole or not at all.

    Returns:
        What was written, in one line, and a note a line.

    Raises:
        InputError: `target` exists; `source` cannot be read, is of no known network, or misses,
            adds or misshapes arrays.
    """
    if target.suffix != ".safetensors":
        raise InputError(f"{target}: the target's name must end in .safetensors; name another")
    if target.exists():
        raise InputError(f"{target} exists; remove it or name another target")
    checkpoint = layouts.interpret(torch_files.read(source))
    name, part = _fit(checkpoint, f"weights {source}:")
    del name
    content = {
        k: np.ascontiguousarray(v, dtype=np.float32) for k, v in sorted(checkpoint.arrays.items())
    }
    files.write_bytes(target, safetensors.numpy.save(content))
    return [f"{target}: {len(content)} arrays, {part}", *_notes(checkpoint)]


def inspect(source: Path) -> list[str]:
    """What a file of weights is, and what would be loaded of it: some lines.

    Raises:
        InputError: it cannot be read.
    """
    content = torch_files.read(source)
    checkpoint = layouts.interpret(content)
    arrays = layouts.flat(content)
    numbers = sum(value.size for value in arrays.values())
    lines = [f"{source}: {checkpoint.title or 'of no network that is known'}"]
    lines.append(f"  holds {layouts.describe(arrays)}; {numbers:,} numbers")
    if checkpoint.classes:
        lines.append(f"  names {len(checkpoint.classes)} classes: {', '.join(checkpoint.classes)}")
    if not checkpoint.title:
        lines += (f"  {line}" for line in describe(checkpoint))
        lines += (
            f"    {torch_names.one_line(name)} {list(value.shape)} {value.dtype}"
            for name, value in sorted(arrays.items())
        )
        return lines
    return [*lines, *(f"  {line}" for line in describe(checkpoint))]


def describe(checkpoint: layouts.Checkpoint) -> list[str]:
    """Which networks a checkpoint gives what, and with which notes; or why none. A line each."""
    if checkpoint.refusal:
        return [f"cannot be loaded: {checkpoint.refusal}"]
    if not checkpoint.title:
        return ["cannot be loaded; docs/guide/weights.md has what can; its arrays:"]
    try:
        name, part = _fit(checkpoint, "it")
    except InputError as error:
        return [f"cannot be loaded: {error}"]
    return [
        f"gives {part}: --config.network={name}",
        *(
            f"gives the backbone of {other}: --config.network={other}"
            for other in _others(checkpoint, name)
        ),
        *_notes(checkpoint),
    ]


def _others(checkpoint: layouts.Checkpoint, name: str) -> Iterator[str]:
    """Networks other than that of a name, and its sizes, whose backbone a checkpoint fits."""
    found = models.NETWORKS[name].weights
    for other, network in models.NETWORKS.items():
        layouts_there = () if network.weights is None else network.weights.layouts
        titles = [layout.title for layout in layouts_there]
        same = found is None or network.weights is None or found.module is network.weights.module
        if same or checkpoint.title not in titles:
            continue
        with contextlib.suppress(InputError):
            weights.matches(_shapes(other), checkpoint, part="backbone")
            yield other


def _shapes(name: str, num_classes: int = 19) -> nnx.Module:
    return nnx.eval_shape(lambda: models.create_model(name, num_classes, rngs=nnx.Rngs(0)))


def _fit(checkpoint: layouts.Checkpoint, where: str) -> tuple[str, str]:
    """The network that a checkpoint is of, and which part of it, in words.

    Raises:
        InputError: there is none, or it does not fit.
    """
    identity = layouts.identify(checkpoint.arrays)
    if identity is None or checkpoint.refusal:
        found = (
            f"{checkpoint.title} found, which cannot be loaded: {checkpoint.refusal}"
            if checkpoint.refusal
            else f"of no known network: {layouts.describe(checkpoint.arrays)} found"
        )
        raise InputError(f"{where} {found}; give a checkpoint of docs/guide/weights.md")
    name, num_classes = identity
    model = _shapes(name, num_classes)
    weights.matches(model, checkpoint, where=where)
    if weights.has_head(model, checkpoint):
        return name, f"{name}, {num_classes} classes"
    return name, f"the backbone of {name}"


def _notes(checkpoint: layouts.Checkpoint) -> Iterator[str]:
    return (f"note: {note}" for note in checkpoint.notes)


if __name__ == "__main__":
    main()
