"""The index of a prepared split: ids and class statistics, without reading a single image."""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from cbda_jax.files import write_atomic


def index_path(directory: str | os.PathLike[str], split: str) -> Path:
    """Where the index of a split lies: in the prepared data set's own folder."""
    return Path(directory) / f"index-{split}.npz"


def write_index(
    directory: str | os.PathLike[str],
    split: str,
    image_ids: list[str],
    class_pixels: Int64[np.ndarray, "images classes"],
) -> None:
    """Writes the index of a split, atomically; a builder calls it after its last example.

    While TFDS prepares a data set, `builder.data_dir` is a temporary folder that is renamed at the
    end, so an index written there appears together with the records or not at all.

    Args:
        directory: The folder of the prepared data set.
        split: Its name.
        image_ids: n ids, in the order of the records.
        class_pixels: int64 [n, C], pixels of every class in the stored labels.
    """
    ids = np.array(image_ids, np.str_)
    write_atomic(
        index_path(directory, split),
        lambda file: np.savez(file, image_ids=ids, class_pixels=class_pixels),
    )


def read_index(
    directory: str | os.PathLike[str], split: str
) -> tuple[tuple[str, ...], Int64[np.ndarray, "images classes"]] | None:
    """Reads (ids, class pixels) of a split, or None where no index was written."""
    path = index_path(directory, split)
    if not path.exists():
        return None
    with np.load(path) as arrays:
        return tuple(arrays["image_ids"].tolist()), arrays["class_pixels"]
