"""Builders of data sets that are folders of images and labels: GTAV, SYNTHIA, Cityscapes, yours."""

import collections
import concurrent.futures
import dataclasses
import hashlib
import json
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from tqdm import tqdm

from cbda_jax.data import images
from cbda_jax.data.datasets.base import LabelledBuilder
from cbda_jax.data.datasets.pairs import Pair, read_list
from cbda_jax.data.index import Index, write_index
from cbda_jax.errors import InputError
from cbda_jax.label_space import BY_NUMBER, label_space

MOST_SIZES = 8
"""Of native labels in a split. Every size is a program of its own, which is compiled."""

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclasses.dataclass(eq=False)
class SourceConfig(tfds.core.BuilderConfig):
    """What to make of a folder of files. The name, a folder's in the end, follows from the values.

    Attributes:
        root: the data set's folder; None takes TFDS's `manual_dir`.
        size: (height, width) at which images are stored. Labels of a source follow them.
        label_space: name or import path of the classes that the stored labels tell apart.
        files: a text file with the name of one image a line, to use these alone; None uses all.

    Raises:
        InputError: a size that is none, an unknown label space, a list that cannot be read.
    """

    name: str = dataclasses.field(default="", init=False)
    root: str | os.PathLike[str] | None = None
    size: Sequence[int] = (0, 0)
    label_space: str = "cityscapes_19"
    files: str | os.PathLike[str] | None = None

    def __post_init__(self):
        height, width = self.size = _checked_size(self.size)
        space = label_space(self.label_space)
        # The three spaces that a number names were all there were once: their folders keep the
        # name, so that what was prepared then is found. Others go by their own.
        numbered = BY_NUMBER.get(space.num_classes) == space
        classes = f"c{space.num_classes}" if numbered else f"s_{space.name}"
        self.name = f"h{height}_w{width}_{classes}"
        # Two roots, or two lists, must not share a prepared copy. What the root holds is not read,
        # so that a prepared data set opens on a machine without the files.
        sources = {}
        if self.root is not None:
            self.root = str(self.root)
            sources["root"] = os.path.abspath(Path(self.root).expanduser())  # noqa: PTH100
        if self.files is not None:
            self.files = str(self.files)
            sources["files"] = read_list(self.files)
        if sources:
            digest = hashlib.sha256(json.dumps(sources, sort_keys=True).encode()).hexdigest()
            self.name += f"_{digest[:8]}"


class PairBuilder(LabelledBuilder, skip_registration=True):
    """Base of the builders: subclasses say where files lie and what their values mean.

    Images are stored at the config's size, in the order of sorted ids; labels too or, with
    `NATIVE_LABELS`, as large as their files: of at most `MOST_SIZES` sizes in a split.
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Set the config's root, or manual_dir, to the data set's folder."

    NATIVE_LABELS: ClassVar[bool] = False
    # Published pairs whose image and label differ in size: each is resized as it is.
    KNOWN_MISMATCHES: ClassVar[frozenset[str]] = frozenset()

    @property
    def source(self) -> SourceConfig:
        """The config this builder was made with."""
        assert isinstance(self.builder_config, SourceConfig)
        return self.builder_config

    def find_pairs(self, root: str | os.PathLike[str]) -> Mapping[str, list[Pair]]:
        """Finds the pairs of every split below `root`."""
        raise NotImplementedError

    def find_splits(self) -> tuple[str, ...]:
        """The names of the splits, once all their files are found; none is read.

        Raises:
            InputError: no folder is given, or a file is missing in it.
        """
        if self.source.root is None:
            raise InputError(
                f"{self.data_dir}: no prepared data set found, nor a folder of the files of "
                f"{self.name}, expected one of them; set data.root"
            )
        return tuple(self.find_pairs(self.source.root))

    def read_ids(self, data: bytes, where: str) -> UInt8[np.ndarray, "height width"]:
        """Decodes a label file to the data set's own values, uint8 `[h, w]`."""
        return images.read_label_ids(data, where, self.ENCODING.colours)

    def generate_splits(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        """Split name -> records of its pairs."""
        splits = self.find_pairs(self.source.root or _manual_dir(self.name, dl_manager))
        return {name: self._generate_examples(name, pairs) for name, pairs in splits.items()}

    def _generate_examples(
        self, split: str, pairs: list[Pair]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        ids, class_pixels, sizes = [], [], []
        first: dict[tuple[int, int], Pair] = {}
        # disable=None: no bar where standard error is no terminal.
        bar = tqdm(total=len(pairs), desc=f"{self.name} {split}", unit="image", disable=None)
        with bar:
            for pair, (example, _) in zip(pairs, parallel_map(self._example, pairs), strict=True):
                bar.update()
                size = images.stored_size(example["label"])
                first.setdefault(size, pair)
                if self.NATIVE_LABELS and len(first) > MOST_SIZES:
                    raise _many_sizes(first, f"{len(ids) + 1} of {len(pairs)} labels of {split!r}")
                yield len(ids), example
                ids.append(example["image_id"])
                class_pixels.append(example["class_pixels"])
                sizes.append(size)
        index = Index(tuple(ids), np.array(class_pixels, np.int64), np.array(sizes, np.int32))
        write_index(self.data_dir, split, index)

    def _example(self, pair: Pair) -> tuple[dict[str, Any], tuple[int, ...]]:
        """The record of a pair, and the size of its label's file."""
        image = images.read_image(pair.image.read(), pair.image.where)
        ids = self.read_ids(pair.label.read(), pair.label.where)
        if ids.shape != image.shape[:2] and pair.image_id not in self.KNOWN_MISMATCHES:
            raise InputError(
                f"{pair.label.where}: {ids.shape[1]} x {ids.shape[0]} pixels found, expected "
                f"{image.shape[1]} x {image.shape[0]}, as its image {pair.image.where} has; copy "
                "both again, or leave the image out with a list of files"
            )
        present = np.flatnonzero(np.bincount(ids.ravel(), minlength=256))
        unknown = [int(i) for i in present if i not in self.ENCODING.classes]
        if unknown:
            raise InputError(
                f"{pair.label.where}: unknown label ids {', '.join(map(str, unknown[:10]))} found, "
                f"expected ids of {self.ENCODING.known}, not train ids; use the original label "
                "files"
            )
        height, width = self.source.size
        shape = ids.shape
        if not self.NATIVE_LABELS:
            ids = images.resize_label(ids, (height, width))
        image = images.resize_image(image, (height, width))
        return self.example(pair.image_id, image, self.train_ids[ids]), shape


def parallel_map(function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Maps in threads (decoding and resizing release the lock), in order, a few items ahead."""
    workers = os.cpu_count() or 1
    pool = concurrent.futures.ThreadPoolExecutor(workers)
    waiting: collections.deque[concurrent.futures.Future] = collections.deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _manual_dir(name: str, dl_manager: tfds.download.DownloadManager) -> Path:
    try:
        return Path(dl_manager.manual_dir)
    except AssertionError as error:
        raise InputError(
            f"{name}: no folder of files found, expected root=... (or TFDS's manual_dir) to say "
            "where they are; set it"
        ) from error


def _many_sizes(first: Mapping[tuple[int, int], Pair], among: str) -> InputError:
    """More sizes than `MOST_SIZES`.

    Args:
        first: the first pair of each size, in the order in which they were found.
        among: where they were found.
    """
    ((one_height, one_width), one), *_, ((height, width), pair) = first.items()
    return InputError(
        f"{pair.label.where}: {width} x {height} pixels found, where {one.label.where} has "
        f"{one_width} x {one_height}, {len(first)} different sizes in the first {among}, expected "
        f"at most {MOST_SIZES}, as each has a program of its own; set label_size to a common "
        "(height, width) for labels, or leave images out"
    )


def _checked_size(size: Sequence[int]) -> tuple[int, int]:
    try:
        height, width = (operator.index(n) for n in size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1 or height * width > images.MOST_PIXELS:
        raise InputError(
            f"size: {size!r} found, expected (height, width) in pixels, both above 0 and at most "
            f"{images.MOST_PIXELS} pixels in all; correct it"
        )
    return height, width
