"""Looks at a data set's files, or prepares it ahead of training and shows what is in it.

    python scripts/prepare_data.py gtav --root=DIR/gtav
    python scripts/prepare_data.py camvid --root=DIR/camvid --inspect --out=DIR
    python scripts/prepare_data.py --config=configs/camvid.py --root=DIR --inspect

With --config: all data sets of an experiment that are files, also those that it declares itself,
in its classes and sizes; --root is then the folder that holds a folder for each. A training run
with the same root, size and label space finds prepared what was prepared here.

--inspect prepares nothing. It reads every file, prints a table of splits, sizes and classes, names
every file that cannot be used, and writes contact sheets: images and labels side by side. Its exit
status is 1 if something is wrong.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from cbda_jax.config import check, data_sets
from cbda_jax.config import files as config_files
from cbda_jax.data import inspection
from cbda_jax.data.datasets.folders import PairBuilder
from cbda_jax.data.prepare import create_builder, known_datasets, prepare_builder
from cbda_jax.data.records import Records
from cbda_jax.errors import InputError
from cbda_jax.reporting.contact_sheet import contact_sheet, write_contact_sheet
from cbda_jax.run import assembly


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, looks or prepares, and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(known_datasets())
    parser.add_argument("dataset", nargs="?", help=f"{names}, or an import path, my_module:MY_DATA")
    parser.add_argument("--config", help="an experiment, whose data sets are meant")
    parser.add_argument("--root", type=Path, help="folder of the data set's files")
    parser.add_argument(
        "--data_dir",
        type=Path,
        default=Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")),
        help="where to write, as --config.data.dir of training (%(default)s)",
    )
    parser.add_argument("--size", metavar="HEIGHTxWIDTH", help="of images; the data set's default")
    parser.add_argument(
        "--label_space",
        help="cityscapes_19, synthia_16, synthia_13, or an import path, my_module:MY_SPACE; the "
        "data set's default",
    )
    parser.add_argument("--files", type=Path, help="list of the images to use, one name a line")
    parser.add_argument("--inspect", action="store_true", help="look at the files alone")
    parser.add_argument(
        "--out", type=Path, default=Path(), help="folder of contact sheets (the current one)"
    )
    options = parser.parse_args(arguments)
    try:
        if (options.dataset is None) == (options.config is None):
            raise InputError(
                "a data set and --config: both or none found, expected one of them; name a data "
                "set, or the experiment whose data sets are meant"
            )
        wrong = 0
        for name, where in _wanted(options):
            if options.inspect:
                wrong += inspect(name, options.out, **where)
            else:
                prepare(name, **where)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if wrong:
        sys.exit(1)


def _wanted(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    """The data sets that are meant, with the options of their builders."""
    if options.config is None:
        given = {
            "root": None if options.root is None else str(options.root),
            "size": _size(options.size),
            "label_space": options.label_space,
            "files": None if options.files is None else str(options.files),
        }
        given = {name: value for name, value in given.items() if value is not None}
        yield options.dataset, {"dataset": options.dataset, "data_dir": options.data_dir, **given}
        return
    config = config_files.load(options.config)
    config.data.dir = str(options.data_dir)
    if options.root is not None:
        config.data.root = str(options.root)
    check(config)
    seen = []
    # The files are the same, whatever becomes of them in a role.
    alike = ("size", "native_labels") if options.inspect else ()
    for role in data_sets.ROLES:
        where = assembly.location(config, role)
        own = {name: value for name, value in where.items() if name not in alike}
        # Roles share a data set where only their splits differ. Drawn ones have no files.
        if "root" in where and own not in seen:
            seen.append(own)
            yield config.data[role].partition("/")[0], where


def prepare(name: str, **location: Any) -> None:
    """Prepares a data set and prints counts, sizes and a table of its classes.

    Args:
        name: of the data set.
        **location: of `cbda_jax.data.prepare.create_builder`.

    Raises:
        InputError: as `cbda_jax.data.records.open_records`.
    """
    builder = create_builder(**location)
    prepare_builder(builder)
    for split in sorted(builder.info.splits):
        records = Records(builder.data_dir, split, builder.labelling)
        height, width = records.image(0).shape[:2]
        sizes = " and ".join(f"{w} x {h}" for h, w in np.unique(records.sizes, axis=0).tolist())
        print(
            f"\n{name}/{split}: {len(records)} images of {width} x {height},"
            f" labels of {sizes}, in {records.directory}"
        )
        print(class_table(records.classes, records.class_pixels))


def inspect(name: str, out: Path, **location: Any) -> int:
    """Reads all files of a data set, prints what there is and writes a contact sheet a split.

    Args:
        name: of the data set.
        out: folder of the contact sheets, `NAME-SPLIT.png`; those that are there are replaced.
        **location: of `cbda_jax.data.prepare.create_builder`.

    Returns:
        How many images cannot be used, or have no labelled pixel though they have a label.

    Raises:
        InputError: the files are not there, or cannot be paired.
    """
    builder = create_builder(**location)
    if not isinstance(builder, PairBuilder):
        raise InputError(f"{name}: a data set without files found, expected one to inspect")
    bars: dict[str, tqdm] = {}

    def done(split: str, so_far: int, all_of_them: int) -> None:
        if split not in bars:
            title = f"{name} {split}"
            bars[split] = tqdm(total=all_of_them, desc=title, unit="image", disable=None)
        bars[split].update()
        if so_far == all_of_them:
            bars[split].close()

    splits = inspection.inspect(builder, done=done)
    print(f"\n{name} in {builder.source.root}, label space {builder.space.name}")
    print(inspection.table(splits, builder.space.classes))
    for note in builder.notes:
        print(f"note: {note}")
    for split in splits:
        for message in split.unreadable:
            print(f"cannot be used: {message}")
        if split.empty:
            print(f"no labelled pixel: {split.name}: {', '.join(split.empty)}")
        path = out / f"{name.replace(':', '_')}-{split.name}.png"
        pairs = [(sample.image_id, sample.image, sample.label) for sample in split.samples]
        space = builder.space
        title = f"{name}/{split.name}: {len(pairs)} of {len(split.ids)} images"
        write_contact_sheet(path, contact_sheet(pairs, space.classes, space.palette, title))
        print(f"contact sheet: {path}")
    return sum(len(split.unreadable) + len(split.empty) for split in splits)


def class_table(classes: Sequence[str], class_pixels: np.ndarray) -> str:
    """A table of every class's share of the labelled pixels and of the images that hold it."""
    share = class_pixels.sum(0) / max(class_pixels.sum(), 1)
    images = (class_pixels > 0).mean(0)
    rows = [f"  {'class':<14}{'pixels':>10}{'images':>10}"]
    rows += [
        f"  {name:<14}{100 * pixels:>9.3f}%{100 * held:>9.1f}%"
        for name, pixels, held in zip(classes, share, images, strict=True)
    ]
    return "\n".join(rows)


def _size(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError as error:
        raise InputError(
            f"--size: {text!r} found, expected HEIGHTxWIDTH such as 720x1280; correct it"
        ) from error
    return height, width


if __name__ == "__main__":
    main()
