"""Builders of data sets that are folders of images and labels: GTAV, SYNTHIA, Cityscapes, yours."""

import collections
import concurrent.futures
import dataclasses
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import UInt8
from tqdm import tqdm

from cbda_jax.data import images, labels
from cbda_jax.data.datasets import sources
from cbda_jax.data.datasets.base import LabelledBuilder, digest
from cbda_jax.data.datasets.pairs import Pair, read_list, select
from cbda_jax.data.index import Index, write_index
from cbda_jax.errors import InputError
from cbda_jax.label_space import BY_NUMBER, IGNORE, LabelSpace, label_space

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
        label_space: the classes that the stored labels tell apart: a space, its name or its import
            path.
        files: a text file with the name of one image a line, to use these alone; None uses all.
        mapping: class of the files -> class of the label space, or None for void, where the two
            have other classes; see `LabelEncoding.mapped`.
        native_labels: whether labels keep their own size; None: as the data set has it.
        label_size: (height, width) of all of these labels, where their own are of many sizes.

    Raises:
        InputError: a size that is none, an unknown label space, a list that cannot be read.
    """

    name: str = dataclasses.field(default="", init=False)
    root: str | os.PathLike[str] | None = None
    size: Sequence[int] = (0, 0)
    label_space: str | LabelSpace = "cityscapes_19"
    files: str | os.PathLike[str] | None = None
    mapping: Mapping[str, str | None] | None = None
    native_labels: bool | None = None
    label_size: Sequence[int] | None = None

    def __post_init__(self):
        height, width = self.size = _checked_size(self.size)
        space = label_space(self.label_space)
        # The three spaces that a number names were all there were once: their folders keep the
        # name, so that what was prepared then is found. Others go by their own.
        numbered = BY_NUMBER.get(space.num_classes) == space
        classes = f"c{space.num_classes}" if numbered else f"s_{space.name}"
        self.name = f"h{height}_w{width}_{classes}"
        if self.native_labels is not None:
            self.name += "_native" if self.native_labels else "_fit"
        if self.label_size is not None:
            label_height, label_width = self.label_size = _checked_size(self.label_size)
            self.name += f"_l{label_height}_w{label_width}"
        # Two roots, or two lists, must not share a prepared copy. What the root holds is not read,
        # so that a prepared data set opens on a machine without the files.
        sources = {}
        if self.root is not None:
            self.root = str(self.root)
            sources["root"] = os.path.abspath(Path(self.root).expanduser())  # noqa: PTH100
        if self.files is not None:
            self.files = str(self.files)
            sources["files"] = sorted({Path(name).name for name in read_list(self.files)})
        if self.mapping is not None:
            self.mapping = dict(sorted(self.mapping.items()))
            sources["mapping"] = self.mapping
        if sources:
            self.name += f"_{digest(sources)}"


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

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self._converted: list[tuple[str, str]] = []

    @property
    def source(self) -> SourceConfig:
        """The config this builder was made with."""
        assert isinstance(self.builder_config, SourceConfig)
        return self.builder_config

    def find_pairs(self, root: str | os.PathLike[str]) -> Mapping[str, list[Pair]]:
        """Finds the pairs of every split below `root`."""
        raise NotImplementedError

    @property
    def native_labels(self) -> bool:
        """Whether labels are stored as large as their files."""
        asked = self.source.native_labels
        return self.NATIVE_LABELS if asked is None else asked

    @property
    def keeps_native_size(self) -> bool:
        """Whether records say how large their images were, as their labels do not."""
        return self.native_labels and self.source.label_size is not None

    def more_features(self) -> dict[str, tfds.features.FeatureConnector]:
        """What records hold beside what all hold."""
        if not self.keeps_native_size:
            return {}
        return {"native_size": tfds.features.Tensor(shape=(2,), dtype=np.int32)}

    def note(self, text: str) -> None:
        """Keeps something to be said when the data set is prepared: files left out, say."""
        if text not in self.notes:
            self.notes.append(text)

    def pairs(self, root: str | os.PathLike[str]) -> dict[str, list[Pair]]:
        """The pairs of every split that are used: those of the config's list, if it has one."""
        return select(self.find_pairs(root), self.source.files)

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
        return tuple(self.pairs(self.source.root))

    def changed(self) -> str | None:
        """How the files differ from those that the prepared copy was made of, in words.

        None: they do not, they are not there any more (reading does not need them), or no folder
        is given.

        Raises:
            InputError: a file that is there cannot be read.
        """
        root = self.source.root
        if root is None or not Path(root).expanduser().is_dir():
            return None
        try:
            pairs = self.pairs(root)
        except InputError:
            # Of a half of the files nobody can say what they are; of none, that they went.
            return None if not any(Path(root).expanduser().iterdir()) else "not the files of it"
        return sources.difference(self.data_dir, pairs, root)

    def read_ids(self, data: bytes, where: str) -> UInt8[np.ndarray, "height width"]:
        """Decodes a label file to the data set's own values, uint8 `[h, w]`."""
        return labels.read_values(data, where, self.ENCODING)

    def generate_splits(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        """Split name -> records of its pairs."""
        splits = self.pairs(self.source.root or _manual_dir(self.name, dl_manager))
        self.unlabelled = tuple(
            name for name, pairs in splits.items() if all(pair.label is None for pair in pairs)
        )
        return {name: self._noted_examples(name, pairs) for name, pairs in splits.items()}

    def _noted_examples(self, split: str, pairs: list[Pair]) -> Iterator[tuple[int, dict]]:
        """The records of a split, with what they were made of kept beside them at the end."""
        made_of = sources.Sources(pairs)
        self._converted.clear()
        yield from self._generate_examples(split, made_of.pairs)
        made_of.write(self.data_dir, split)
        by_kind = collections.defaultdict(list)
        for kind, where in self._converted:
            by_kind[kind].append(where)
        for kind, files in sorted(by_kind.items()):
            self.note(f"{split}: {len(files)} images read as RGB ({kind}), such as {min(files)}")

    def _generate_examples(
        self, split: str, pairs: list[Pair]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        ids, class_pixels, sizes, natives = [], [], [], []
        first: dict[tuple[int, int], Pair] = {}
        # disable=None: no bar where standard error is no terminal.
        bar = tqdm(total=len(pairs), desc=f"{self.name} {split}", unit="image", disable=None)
        with bar:
            for pair, (example, native) in zip(
                pairs, parallel_map(self._example, pairs), strict=True
            ):
                bar.update()
                size = images.stored_size(example["label"])
                first.setdefault(size, pair)
                if self.native_labels and len(first) > MOST_SIZES:
                    raise _many_sizes(first, f"{len(ids) + 1} of {len(pairs)} labels of {split!r}")
                yield len(ids), example
                ids.append(example["image_id"])
                class_pixels.append(example["class_pixels"])
                sizes.append(size)
                natives.append(native if self.keeps_native_size else size)
        index = Index(
            tuple(ids),
            np.array(class_pixels, np.int64),
            np.array(sizes, np.int32),
            np.array(natives, np.int32),
        )
        write_index(self.data_dir, split, index)

    def _example(self, pair: Pair) -> tuple[dict[str, Any], tuple[int, ...]]:
        """The record of a pair, and the size of its label's file."""
        image, label = self.read(pair)
        native, size = label.shape, self.source.size
        to = self.source.label_size if self.native_labels else size
        if to is not None:
            label = images.resize_label(label, (to[0], to[1]))
        example = self.example(pair.image_id, images.resize_image(image, (size[0], size[1])), label)
        if self.keeps_native_size:
            example["native_size"] = np.array(native, np.int32)
        return example, native

    def read(
        self, pair: Pair
    ) -> tuple[UInt8[np.ndarray, "height width 3"], UInt8[np.ndarray, "label_height label_width"]]:
        """The image and the train ids of a pair, as large as their files; void without a label.

        Raises:
            InputError: one of the files cannot be read, or the two do not fit together.
        """
        photograph = images.read_photograph(pair.image.read(), pair.image.where)
        image = photograph.pixels
        # In several threads; a list takes that.
        self._converted += [(kind, pair.image.where) for kind in photograph.converted]
        if pair.label is None:
            # Void throughout, and as large as the image: picks and predictions need a size.
            return image, np.full(image.shape[:2], IGNORE, np.uint8)
        ids = self.read_ids(pair.label.read(), pair.label.where)
        if ids.shape != image.shape[:2] and pair.image_id not in self.KNOWN_MISMATCHES:
            found = f"{pair.label.where}: {ids.shape[1]} x {ids.shape[0]} pixels found, expected "
            expected = f"{image.shape[1]} x {image.shape[0]}"
            if ids.shape == photograph.unrotated:
                raise InputError(
                    f"{found}{expected}, to which its EXIF tag turns the image {pair.image.where}; "
                    "save the image without the tag, or turn the label too"
                )
            raise InputError(
                f"{found}{expected}, as its image {pair.image.where} has; copy both again, or "
                "leave the image out with a list of files"
            )
        return image, self.train_ids[ids]


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

    def where(pair: Pair) -> str:
        return (pair.label or pair.image).where

    ((one_height, one_width), one), *_, ((height, width), pair) = first.items()
    return InputError(
        f"{where(pair)}: {width} x {height} pixels found, where {where(one)} has "
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
