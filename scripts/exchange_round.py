"""Hands a round's queries to a tool that people have, and takes their answers back.

    python scripts/exchange_round.py export --workdir=RUN --round=1 --format=cvat --out=FOR_CVAT
    python scripts/exchange_round.py import --workdir=RUN --round=1 --format=cvat annotations.xml

Formats: `label_studio` (tasks and interface; a project's export as JSON comes back), `cvat` (points
and labels; a task's export as CVAT for images 1.1, the XML or the zip file with it) and `masks` (a
PNG of train ids an image; the folder of painted ones). A query is known by its id; one that has no
answer stays open. Anything else that is not as it was asked is listed, and nothing is taken then.
"""

import argparse
import contextlib
import hashlib
import sys
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cbda_jax.annotate.photographs import open_target
from cbda_jax.annotation import QueryLog
from cbda_jax.annotation.exchange import Imported, Sheet, cvat, label_studio, masks
from cbda_jax.annotation.people import Ledger, close, ledger_path, open_asked, read_asked
from cbda_jax.annotation.people.standing import chosen
from cbda_jax.config import data_sets
from cbda_jax.data import images, labels
from cbda_jax.data.encoding import LabelEncoding
from cbda_jax.errors import InputError
from cbda_jax.files import check_new_folder, write_bytes
from cbda_jax.label_space import LabelSpace, palette_of
from cbda_jax.run.workdir import check_run, read_config

FORMATS = ("label_studio", "cvat", "masks")
# Of an export of CVAT; a zip file's member may claim any size.
_MOST_BYTES = 2**31


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, exports or imports, and prints what came of it."""
    options = _parser().parse_args(arguments)
    try:
        sheet = open_sheet(options.workdir, options.round)
        if options.command == "import":
            path, person = options.file, options.person or options.format
            print(take(sheet, options.format, path, options.workdir, person, options.close))
            return
        photograph = None
        if options.images == "copy":
            photograph = open_photographs(options.workdir, sheet)
        export(sheet, options.format, options.out, photograph, options.prefix)
        pictures = f"{len(sheet.queries.places)} images"
        print(f"{len(sheet.queries)} queries of round {options.round} in {pictures}: {options.out}")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    outwards = commands.add_parser("export", help="write the files for a tool")
    inwards = commands.add_parser("import", help="take answers from what a tool exported")
    for command in (outwards, inwards):
        command.add_argument("--workdir", type=Path, required=True, help="of the run")
        command.add_argument("--round", type=int, required=True, help="number of the round, from 1")
        command.add_argument("--format", choices=FORMATS, required=True)
    outwards.add_argument("--out", type=Path, required=True, help="a new or empty folder")
    outwards.add_argument(
        "--images", choices=("copy", "none"), default="copy", help="write images/ too (%(default)s)"
    )
    outwards.add_argument(
        "--prefix",
        help="of the images' addresses, before images/ID.png for label_studio (its local files by "
        "default, /data/local-files/?d=OUT/) and before ID.png for cvat (nothing by default)",
    )
    inwards.add_argument("file", type=Path, help="what the tool exported; a folder of masks")
    inwards.add_argument("--person", help="who answered; the tool's name by default")
    inwards.add_argument(
        "--close", action="store_true", help="close the round, whatever is still unanswered"
    )
    return parser


def open_sheet(workdir: Path, number: int) -> Sheet:
    """A round that a run asks people about.

    Args:
        workdir: of the run.
        number: of the round, from 1.

    Raises:
        InputError: there is no such run or round, or people are not asked about it.
    """
    check_run(workdir)
    log = QueryLog(workdir / "queries")
    if not 1 <= number <= len(log.rounds):
        known = f"1 to {len(log.rounds)}" if log.rounds else "a run that has asked by now"
        raise InputError(f"--round: {number} found, expected {known}, as {log.folder} has it")
    queries = log.rounds[number - 1]
    asked = read_asked(workdir / "answers", queries)
    if asked is None:
        raise InputError(
            f"{workdir}: round {number} asked of others found, expected one that people are asked "
            "about; set annotation.oracle to people and start the run"
        )
    log.check_pool(asked.sizes)
    colours = palette_of(asked.classes)
    # Those of the run's label space, where it can still be found.
    with contextlib.suppress(InputError):
        space = data_sets.space(read_config(workdir))
        if {*space.classes} == {*asked.classes}:
            order = [space.classes.index(name) for name in asked.classes]
            colours = np.asarray(space.palette)[order]
    hidden = chosen(len(queries), asked.hidden, "hidden", seed=asked.seed, number=number)
    return Sheet(queries, LabelSpace("asked", asked.classes, colours), asked.sizes, hidden)


def open_photographs(workdir: Path, sheet: Sheet) -> Callable[[str], np.ndarray]:
    """Gives the RGB of an image, as large as its label: of its own file if that is still there.

    Args:
        workdir: of the run.
        sheet: the round.

    Raises:
        InputError: the target data set is not there.
    """
    target = open_target(workdir)
    return lambda image_id: images.resize_image(target.read(image_id), sheet.sizes[image_id])


def export(
    sheet: Sheet,
    kind: str,
    out: Path,
    photograph: Callable[[str], np.ndarray] | None = None,
    prefix: str | None = None,
) -> None:
    """Writes the files of a round for a tool.

    Args:
        sheet: the round.
        kind: the format.
        out: a new or empty folder.
        photograph: gives the RGB of an image, as large as its label; None: they are not written.
        prefix: of their addresses; None: where the tool has them by default.

    Raises:
        InputError: the folder holds files, or cannot be written to.
    """
    check_new_folder(out, "--out")
    if kind == "label_studio":
        local = f"/data/local-files/?d={out.absolute().name}/"
        files = label_studio.files(sheet, local if prefix is None else prefix)
    elif kind == "cvat":
        files = cvat.files(sheet, prefix or "")
    else:
        files = masks.files(sheet)
        for image_id, drawn in masks.draw(sheet):
            for folder, mask in drawn.items():
                write_bytes(out / folder / f"{image_id}.png", images.encode(mask))
    if photograph is not None:
        for image_id in tqdm(sorted(sheet.queries.places), "images", unit="image", disable=None):
            content = images.encode(photograph(image_id))
            write_bytes(out / "images" / f"{image_id}.png", content)
    for name, content in files.items():
        write_bytes(out / name, content)


def take(sheet: Sheet, kind: str, path: Path, workdir: Path, person: str, end: bool = False) -> str:
    """Takes the answers of a file into the ledger of the run, all or none, also if it is killed.

    The same file once more changes nothing.

    Args:
        sheet: the round.
        kind: the format.
        path: of the file, or the folder of masks.
        workdir: of the run.
        person: who answered.
        end: whether the round is closed then, though not all is answered; else it is closed once
            all is.

    Returns:
        What came of it, in words.

    Raises:
        InputError: the file is not as expected, with all that is wrong with it; the round is not
            open; another program has the ledger.
    """
    imported, checksum = read(sheet, kind, path)
    imported.check(str(path), path.with_name(f"{path.name}.problems.txt"))
    number = sheet.queries.round
    with Ledger(ledger_path(workdir)) as ledger:
        round_now = open_asked(ledger, workdir)
        if round_now is None or round_now.queries.round != number:
            raise InputError(
                f"{workdir}: round {number} is closed, expected one that people may still answer; "
                "answers are never replaced"
            )
        answers = [
            *imported.events(sheet, person=person, checksum=checksum, time=time.time()),
        ]
        new = round_now.record_all(answers)
        left = round_now.progress().left
        said = (
            f"{path}: answers to {len(answers)} of {len(sheet.queries)} queries of round {number} "
            f"by {person}, {len(answers) - new} of them known; {left} wait for an answer"
        )
        if not (end or round_now.complete()):
            return said
        frozen = close(round_now, workdir)
    return f"{said}; the round is closed, its answers are {frozen}: start the run again"


def read(sheet: Sheet, kind: str, path: Path) -> tuple[Imported, str]:
    """Reads what a tool exported.

    Args:
        sheet: the round.
        kind: the format.
        path: of the file, or the folder of masks.

    Returns:
        The answers with all that is wrong with them, and the SHA-256 of the file's content.

    Raises:
        InputError: the file is not there, or of another format.
    """
    if kind == "masks":
        return _read_masks(sheet, path)
    content = _content(path)
    if kind == "cvat" and zipfile.is_zipfile(path):
        content = _member(path, "annotations.xml")
    reader = cvat.read if kind == "cvat" else label_studio.read
    return reader(content, sheet, str(path)), hashlib.sha256(content).hexdigest()


def _read_masks(sheet: Sheet, folder: Path) -> tuple[Imported, str]:
    if not folder.is_dir():
        raise InputError(
            f"{folder}: {'a file' if folder.exists() else 'nothing'} found, expected the folder of "
            "painted masks; name it"
        )
    classes: dict[int, str | None] = dict(enumerate(sheet.space.classes))
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
    return masks.read(found, sheet), digest.hexdigest()


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


if __name__ == "__main__":
    main()
