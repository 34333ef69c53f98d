"""Prepares a data set ahead of training, and shows what is in it.

    python scripts/prepare_data.py gtav --root=DIR/gtav
    python scripts/prepare_data.py cityscapes --root=DIR/cityscapes

A training run with --config.data.root=DIR, the same size and label space finds it prepared.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cbda_jax.data.prepare import create_builder, known_datasets, prepare_builder
from cbda_jax.data.records import Records
from cbda_jax.errors import InputError


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line, prepares and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(known_datasets())
    parser.add_argument("dataset", help=f"{names}, or an import path, my_module:MyBuilder")
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
    options = parser.parse_args(arguments)
    try:
        prepare(
            options.dataset,
            options.data_dir,
            root=None if options.root is None else str(options.root),
            size=_size(options.size),
            label_space=options.label_space,
            files=None if options.files is None else str(options.files),
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def prepare(dataset: str, data_dir: Path, **options: Any) -> None:
    """Prepares a data set and prints counts, sizes and a table of its classes.

    Raises:
        InputError: as `cbda_jax.data.records.open_records`.
    """
    given = {name: value for name, value in options.items() if value is not None}
    builder = create_builder(dataset, data_dir=data_dir, **given)
    prepare_builder(builder)
    for split in sorted(builder.info.splits):
        records = Records(builder.data_dir, split, builder.labelling)
        height, width = records.image(0).shape[:2]
        sizes = " and ".join(f"{w} x {h}" for h, w in np.unique(records.sizes, axis=0).tolist())
        print(
            f"\n{dataset}/{split}: {len(records)} images of {width} x {height},"
            f" labels of {sizes}, in {records.directory}"
        )
        print(class_table(records.classes, records.class_pixels))


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
