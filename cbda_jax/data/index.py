"""The index of a prepared split: ids, sizes and class statistics, without reading an image."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64

from cbda_jax.files import read_npz, write_npz


class Index(NamedTuple):
    """What is known of the n records of a split, in their order.

    Attributes:
        ids: of the images.
        class_pixels: int64 `[n, C]`, pixels of every class in the stored labels.
        sizes: int32 `[n, 2]`, (height, width) of the stored labels.
        native_sizes: int32 `[n, 2]`, of the images' files where the labels are stored at a common
            size, else as `sizes`.
    """

    ids: tuple[str, ...]
    class_pixels: Int64[np.ndarray, "images classes"]
    sizes: Int32[np.ndarray, "images 2"]
    native_sizes: Int32[np.ndarray, "images 2"]


def index_path(directory: str | os.PathLike[str], split: str) -> Path:
    """Where the index of a split lies: in the prepared data set's own folder."""
    return Path(directory) / f"index-{split}.npz"


def write_index(directory: str | os.PathLike[str], split: str, index: Index) -> None:
    """Writes the index of a split, atomically; a builder calls it after its last example.

    While TFDS prepares a data set, `builder.data_dir` is a temporary folder that is renamed at the
    end, so an index written there appears together with the records or not at all.

    Args:
        directory: the folder of the prepared data set.
        split: its name.
        index: what is known of it.
    """
    write_npz(
        index_path(directory, split),
        image_ids=np.array(index.ids, np.str_),
        class_pixels=index.class_pixels,
        sizes=index.sizes,
        native_sizes=index.native_sizes,
    )


def read_index(directory: str | os.PathLike[str], split: str) -> Index | None:
    """Reads the index of a split, or None where there is none, an incomplete or a damaged one.

    An index says nothing that the records do not say, so it can be made again from them. Those of
    versions 0.1 and 0.2 have no sizes.
    """
    try:
        arrays = read_npz(index_path(directory, split))
        ids, class_pixels = arrays["image_ids"], arrays["class_pixels"]
        sizes, natives = arrays["sizes"], arrays["native_sizes"]
    except (OSError, ValueError, KeyError):
        return None
    whole = class_pixels.ndim == 2 and class_pixels.dtype == np.int64
    for array in (sizes, natives):
        whole &= array.shape == (len(class_pixels), 2) and array.dtype == np.int32
    if not whole or ids.shape != class_pixels.shape[:1] or ids.dtype.kind != "U":
        return None
    return Index(tuple(ids.tolist()), class_pixels, sizes, natives)
