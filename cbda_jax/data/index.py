"""The index of a prepared split: ids and class statistics, without reading a single image."""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from cbda_jax.files import read_npz, write_npz


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
        directory: the folder of the prepared data set.
        split: its name.
        image_ids: n ids, in the order of the records.
        class_pixels: int64 `[n, C]`, pixels of every class in the stored labels.
    """
    ids = np.array(image_ids, np.str_)
    write_npz(index_path(directory, split), image_ids=ids, class_pixels=class_pixels)


def read_index(
    directory: str | os.PathLike[str], split: str
) -> tuple[tuple[str, ...], Int64[np.ndarray, "images classes"]] | None:
    """Reads (ids, class pixels) of a split, or None where there is no index, or a damaged one.

    An index says nothing that the records do not say, so it can be made again from them.
    """
    try:
        arrays = read_npz(index_path(directory, split))
        ids, class_pixels = arrays["image_ids"], arrays["class_pixels"]
    except (OSError, ValueError, KeyError):
        return None
    whole = class_pixels.ndim == 2 and class_pixels.dtype == np.int64
    if not whole or ids.shape != class_pixels.shape[:1] or ids.dtype.kind != "U":
        return None
    return tuple(ids.tolist()), class_pixels
