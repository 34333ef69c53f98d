"""Hands a round's queries to a tool that people have, and takes their answers back.

    python scripts/exchange_round.py export --workdir=RUN --round=1 --format=cvat --out=FOR_CVAT
    python scripts/exchange_round.py import --workdir=RUN --round=1 --format=cvat annotations.xml

Formats: `label_studio` (tasks and interface; a project's export as JSON comes back), `cvat` (points
and labels; a task's export as CVAT for images 1.1, the XML or the zip file with it) and `masks` (a
PNG of train ids an image; the folder of painted ones). A query is known by its id; one that has no
answer stays open. Anything else that is not as it was asked is listed, and nothing is taken then.
"""

import argparse
import hashlib
import json
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from cbda_jax.annotation import QueryLog
from cbda_jax.annotation.exchange import Asked, Imported, cvat, label_studio, masks
from cbda_jax.config import base, data_sets, field_of, flat
from cbda_jax.config import files as config_files
from cbda_jax.data import images, labels
from cbda_jax.data.datasets.folders import PairBuilder
from cbda_jax.data.encoding import LabelEncoding
from cbda_jax.data.prepare import create_builder
from cbda_jax.data.records import Records, open_records
from cbda_jax.errors import InputError
from cbda_jax.files import write_atomic
from cbda_jax.run import assembly
from cbda_jax.run.workdir import check_run

_FORMATS = ("label_studio", "cvat", "masks")
_DECLARED = "data.declared."
# Of an export of CVAT; a zip file's member may claim any size.
_MOST_BYTES = 2**31


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, exports or imports, and prints what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    outwards = commands.add_parser("export", help="write the files for a tool")
    inwards = commands.add_parser("import", help="take answers from what a tool exported")
    for command in (outwards, inwards):
        command.add_argument("--workdir", type=Path, required=True, help="of the run")
        command.add_argument("--round", type=int, required=True, help="number of the round, from 1")
        command.add_argument("--format", choices=_FORMATS, required=True)
        command.add_argument(
            "--config", help="the run's experiment, where it declares a data set of its own"
        )
    outwards.add_argument("--out", type=Path, required=True, help="a new or empty folder")
    outwards.add_argument(
        "--images", choices=("copy", "none"), default="copy", help="write images/ too (%(default)s)"
    )
    outwards.add_argument(
        "--prefix",
        help="of the images' addresses; for label_studio its local files by default, "
        "/data/local-files/?d=OUT/, for cvat nothing",
    )
    inwards.add_argument("file", type=Path, help="what the tool exported; a folder of masks")
    inwards.add_argument("--person", help="who answered; the tool's name by default")
    options = parser.parse_args(arguments)
    try:
        found = open_round(options.workdir, options.round, options.config)
        if options.command == "export":
            export(found, options.format, options.out, options.images == "copy", options.prefix)
        else:
            person = options.person or options.format
            take(found, options.format, options.file, options.workdir, person)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


class Opened(NamedTuple):
    """A round of a run, and the images that it asks about."""

    asked: Asked
    records: Records
    photograph: Callable[[str], np.ndarray]


def open_round(workdir: Path, number: int, experiment: str | None = None) -> Opened:
    """Opens a round of a run with its target images.

    Args:
        workdir: of the run.
        number: of the round, from 1.
        experiment: the run's config, for the order of classes that it declares; see `config_of`.

    Raises:
        InputError: there is no such run or round, or its data are not there.
    """
    config = config_of(workdir, experiment)
    log = QueryLog(workdir / "queries")
    if not 1 <= number <= len(log.rounds):
        raise InputError(
            f"--round: {number} found, expected 1 to {len(log.rounds)}, the rounds in {log.folder}"
            if log.rounds
            else f"{log.folder}: no round found, expected one that asks; start the run first"
        )
    location = assembly.location(config, "target")
    records = open_records(config.data.target, **location)
    sizes = {
        image_id: (height, width)
        for image_id, (height, width) in zip(records.ids, records.sizes.tolist(), strict=True)
    }
    log.check_pool(sizes)
    asked = Asked(log.rounds[number - 1], data_sets.space(config), sizes)
    return Opened(asked, records, _photographs(records, asked, location))


def config_of(workdir: Path, experiment: str | None = None) -> Any:
    """The config of a run.

    Args:
        workdir: of the run.
        experiment: the file and argument that it was started with. Needed for the order of classes
            that it declares with their colours, which the workdir does not say.

    Raises:
        InputError: there is no run; it declares classes and no experiment is named, or another one.
    """
    check_run(workdir)
    path = workdir / "config.json"
    try:
        values = dict(json.loads(path.read_text()))
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not valid JSON ({error}); restore it from a backup") from error
    config: Any = base() if experiment is None else config_files.load(experiment)
    own = flat(config.data.declared)
    there = {name: value for name, value in values.items() if name.startswith(_DECLARED)}
    here = {f"{_DECLARED}{name}": value for name, value in own.items()}
    if there != json.loads(json.dumps(here)):
        raise InputError(
            f"{path}: a run over {'data that its config declares' if there else 'other data'} "
            "found, expected to know the order of their classes; name the experiment that it was "
            "started with by --config"
        )
    for name, value in values.items():
        field = field_of(name)
        if field is None or name in there:
            continue
        held = tuple(value) if isinstance(value, list) else value
        if field.is_open:
            *sections, last = field.name.split(".")
            holder = config
            for section in sections:
                holder = holder[section]
            holder[last][name.removeprefix(f"{field.name}.")] = held
        else:
            config.update_from_flattened_dict({name: held})
    return config


def export(found: Opened, kind: str, out: Path, copy: bool, prefix: str | None = None) -> None:
    """Writes the files of a round for a tool.

    Args:
        found: the round.
        kind: the format.
        out: a new or empty folder.
        copy: whether the images are written too, as large as their labels.
        prefix: of their addresses; None: where the tool has them by default.

    Raises:
        InputError: the folder holds files, or cannot be written to.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"{out}: files found, expected a new or an empty folder; remove it, or name another "
            "one (--out)"
        )
    asked = found.asked
    if kind == "label_studio":
        local = f"/data/local-files/?d={out.absolute().name}/"
        files = label_studio.files(asked, local if prefix is None else prefix)
    elif kind == "cvat":
        files = cvat.files(asked, prefix or "")
    else:
        files = masks.files(asked)
        for image_id, drawn in masks.draw(asked):
            for folder, mask in drawn.items():
                _write(out / folder / f"{image_id}.png", images.encode(mask))
    for name, content in files.items():
        _write(out / name, content)
    places = asked.queries.places
    if copy:
        for image_id in tqdm(sorted(places), desc="images", unit="image", disable=None):
            content = images.encode(found.photograph(image_id))
            _write(out / "images" / f"{image_id}.png", content)
    print(
        f"round {asked.queries.round}: {len(asked.queries)} queries in {len(places)} images: {out}"
    )


def take(found: Opened, kind: str, path: Path, workdir: Path, person: str) -> None:
    """Takes the answers of a file, all or none.

    Args:
        found: the round.
        kind: the format.
        path: of the file, or the folder of masks.
        workdir: of the run.
        person: who answered.

    Raises:
        InputError: the file is not as expected, with all that is wrong with it; no round is open
            for people.
    """
    imported, checksum = read(found.asked, kind, path)
    imported.check(str(path), path.with_name(f"{path.name}.problems.txt"))
    raise NotImplementedError(workdir, person, checksum, time)


def read(asked: Asked, kind: str, path: Path) -> tuple[Imported, str]:
    """Reads what a tool exported.

    Args:
        asked: the round.
        kind: the format.
        path: of the file, or the folder of masks.

    Returns:
        The answers with all that is wrong with them, and the SHA-256 of the file's content.

    Raises:
        InputError: the file is not there, or of another format.
    """
    if kind == "masks":
        return _read_masks(asked, path)
    content = _content(path)
    if kind == "cvat" and zipfile.is_zipfile(path):
        content = _member(path, "annotations.xml")
    reader = cvat.read if kind == "cvat" else label_studio.read
    return reader(content, asked, str(path)), hashlib.sha256(content).hexdigest()


def _read_masks(asked: Asked, folder: Path) -> tuple[Imported, str]:
    if not folder.is_dir():
        raise InputError(
            f"{folder}: {'a file' if folder.exists() else 'nothing'} found, expected the folder of "
            "painted masks; name it"
        )
    classes: dict[int, str | None] = dict(enumerate(asked.space.classes))
    # What no class has is for the masks' reader to say, with all else that is wrong.
    encoding = LabelEncoding({value: classes.get(value) for value in range(256)}, "train ids")
    digest, found = hashlib.sha256(), {}
    for path in sorted(folder.rglob("*.png")):
        name, content = path.relative_to(folder).with_suffix("").as_posix(), _content(path)
        digest.update(f"{name}\n{len(content)}\n".encode(errors="surrogateescape") + content)
        try:
            found[name] = labels.read_values(content, str(path), encoding)
        except InputError as error:
            found[name] = error
    if not found:
        raise InputError(
            f"{folder}: no mask found, expected ID.png for each image; name the folder"
        )
    return masks.read(found, asked), digest.hexdigest()


def _photographs(
    records: Records, asked: Asked, location: dict[str, Any]
) -> Callable[[str], np.ndarray]:
    """Gives the RGB of an image, as large as its label: of its own file if that is still there."""
    index = {image_id: i for i, image_id in enumerate(records.ids)}
    files = dict(_files(records.split, location))

    def photograph(image_id: str) -> np.ndarray:
        file = files.get(image_id)
        if file is None:
            pixels = records.image(index[image_id])
        else:
            pixels = images.read_photograph(file.read(), file.where).pixels
        return images.resize_image(pixels, asked.sizes[image_id])

    return photograph


def _files(split: str, location: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Image id -> file, of a data set whose files are there."""
    builder = create_builder(**location)
    if not isinstance(builder, PairBuilder) or builder.source.root is None:
        return
    root = Path(builder.source.root).expanduser()
    if root.is_dir():
        for pair in builder.pairs(root)[split]:
            yield pair.image_id, pair.image


def _member(path: Path, name: str) -> bytes:
    """The content of a member of a zip file."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo(name).file_size > _MOST_BYTES:
                raise ValueError(f"{name} is too large")
            return archive.read(name)
    # Which of them depends on where the file is damaged.
    except (OSError, ValueError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path}: {' '.join(str(error).split())} found, expected a zip file with {name}; "
            "export the task once more as CVAT for images 1.1"
        ) from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}); name the file that the tool "
            "exported"
        ) from error


def _write(path: Path, content: bytes) -> None:
    write_atomic(path, lambda file: file.write(content))


if __name__ == "__main__":
    main()
