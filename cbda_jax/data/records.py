"""Prepared data sets: opened by name, prepared when they are not yet, read at random."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int32, Int64, UInt8
from tqdm import tqdm

from cbda_jax.data import images
from cbda_jax.data.declaration import Declaration
from cbda_jax.data.encoding import LabelEncoding, Labelling, check_labelling, read_labelling
from cbda_jax.data.index import Index, read_index, write_index
from cbda_jax.data.prepare import create_builder, damaged, prepare_builder
from cbda_jax.errors import InputError
from cbda_jax.label_space import BY_NUMBER


class Record(TypedDict):
    """One image with its label: id, RGB uint8 [H, W, 3], train ids uint8 [h, w]."""

    image_id: str
    image: UInt8[np.ndarray, "height width 3"]
    label: UInt8[np.ndarray, "label_height label_width"]


class Records:
    """Random access to one split of a prepared data set; safe in threads, and can be pickled.

    Attributes:
        directory: the prepared data set's folder.
        split: the split's name.
        ids: image ids, in the order of the records (sorted, for the folder data sets).
        class_pixels: int64 `[n, C]`, labelled pixels of every class; from an index, no image is
            read.
        sizes: int32 `[n, 2]`, (height, width) of every label; from the index too.
        native_sizes: int32 `[n, 2]`, of every image's file, where all labels are stored at one
            declared size; else as `sizes`.
        labelling: which classes its train ids are, and which values of its files mean them.

    Args:
        directory: as above.
        split: as above.
        expected: what its labels have to mean; None takes what it says itself. Data sets that
            version 0.1 prepared do not say: their space is the one of their number of classes in
            `BY_NUMBER`, all there was then; their values are the expected ones.

    Raises:
        InputError: there is no such prepared data set, no such split in it, its labels mean
            something else, or it is damaged; also when a record is read. Records are under
            checksums, so none is read wrongly.
    """

    directory: str
    split: str
    ids: tuple[str, ...]
    class_pixels: Int64[np.ndarray, "images classes"]
    sizes: Int32[np.ndarray, "images 2"]
    native_sizes: Int32[np.ndarray, "images 2"]
    labelling: Labelling

    def __init__(
        self,
        directory: str | os.PathLike[str],
        split: str,
        expected: Labelling | None = None,
    ):
        self.directory = os.fspath(directory)
        self.split = split
        self._open()
        index = read_index(directory, split)
        if index is None:
            index = self._scan()
        self.ids, self.class_pixels, self.sizes, self.native_sizes = index
        if len(self.ids) != len(self._source):
            raise damaged(
                directory,
                f"the index of {split!r} has {len(self.ids)} images of {len(self._source)} stored",
            )
        self.labelling = self._labelling(expected)

    @property
    def label_space(self) -> str:
        """Name of the label space of its train ids."""
        return self.labelling.space

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, by train id."""
        return self.labelling.classes

    @property
    def encoding(self) -> LabelEncoding:
        """What the values of its label files mean."""
        return self.labelling.encoding

    @property
    def labelled(self) -> bool:
        """Whether its images have labels; without, they are void throughout."""
        return self.split not in self.labelling.unlabelled

    @property
    def num_classes(self) -> int:
        """C."""
        return self.class_pixels.shape[1]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Record:
        example = self._read(index)
        return {
            "image_id": example["image_id"].decode(),
            "image": self._decode(example["image"]),
            "label": self._decode(example["label"]),
        }

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """Decodes one image alone: RGB uint8 [H, W, 3]."""
        return self._decode(self._read(index)["image"])

    def label(self, index: int) -> UInt8[np.ndarray, "height width"]:
        """Decodes one label alone: train ids uint8 [h, w], 255 = ignore."""
        return self._decode(self._read(index)["label"])

    def __repr__(self) -> str:
        return f"Records({self.directory!r}, {self.split!r}, {len(self)} images)"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_source"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open()

    def _open(self) -> None:
        directory = Path(self.directory)
        if not directory.exists():
            raise InputError(
                f"{directory}: nothing found, expected a prepared data set; prepare it first"
            )
        if not (directory / "dataset_info.json").exists():
            raise damaged(directory, "dataset_info.json is missing")
        skip = tfds.decode.SkipDecoding()
        decoders = {"image": skip, "label": skip}
        with self._damage():
            # From the folder, not by the builder's code: nothing else is needed to read.
            builder = tfds.builder_from_directory(self.directory)
            if self.split not in builder.info.splits:
                raise InputError(
                    f"{self.directory}: a split {self.split!r} found, expected one of "
                    f"{', '.join(sorted(builder.info.splits))}; name one of them"
                )
            self._source = builder.as_data_source(self.split, decoders=decoders)  # pyright: ignore

    def _labelling(self, expected: Labelling | None) -> Labelling:
        """What the folder says of its labels, compared with what is expected."""
        classes = self.class_pixels.shape[1]
        with self._damage():
            found = read_labelling(self.directory)
            if found is not None and len(found.classes) != classes:
                raise ValueError(f"{len(found.classes)} classes named, {classes} counted")
        if found is None:
            found = _unsaid(classes, expected)
        if found is None:
            raise damaged(self.directory, f"nothing says what its {classes} classes are")
        if expected is not None:
            check_labelling(self.directory, found, expected)
            # They mean the same; how predictions are written is said by what is expected alone.
            return expected._replace(unlabelled=found.unlabelled)
        return found

    def _read(self, index: int) -> dict[str, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        with self._damage():
            example = self._source[index % len(self)]
            # Files that were cut, or exchanged, may have another record there, or none.
            if example["image_id"] != self.ids[index].encode():
                raise ValueError(f"{example['image_id']} found in place of {self.ids[index]!r}")
            return example

    def _decode(self, data: bytes) -> np.ndarray:
        with self._damage():
            return images.decode(data)

    @contextlib.contextmanager
    def _damage(self) -> Iterator[None]:
        """Names the folder when TFDS, protobuf or the reader of records stumble over damage."""
        try:
            yield
        except InputError:
            raise
        except Exception as error:
            raise damaged(self.directory, error) from error

    def _scan(self) -> Index:
        """Reads what an index says out of every record, and keeps it for the next time."""
        ids, rows, sizes, natives = [], [], [], []
        with self._damage():
            for i in tqdm(range(len(self._source)), desc="index", unit="image", disable=None):
                example = self._source[i]
                ids.append(example["image_id"].decode())
                rows.append(example["class_pixels"])
                sizes.append(images.stored_size(example["label"]))
                natives.append(example.get("native_size", sizes[-1]))
            index = Index(
                tuple(ids), np.stack(rows), np.array(sizes, np.int32), np.array(natives, np.int32)
            )
        with contextlib.suppress(InputError):  # The folder may be read-only.
            write_index(self.directory, self.split, index)
        return index


def _unsaid(classes: int, expected: Labelling | None) -> Labelling | None:
    """The labelling of a data set that version 0.1 prepared, whose folder does not say."""
    space = BY_NUMBER.get(classes)
    if space is None:
        return None
    if expected is not None and expected.space == space.name:
        return expected
    return Labelling(
        space.name, space.classes, LabelEncoding(dict(enumerate(space.classes)), "train ids")
    )


def open_records(
    name: str,
    *,
    data_dir: str | os.PathLike[str],
    prepare: bool = True,
    check: bool = True,
    dataset: str | Declaration | None = None,
    **options: Any,
) -> Records:
    """Opens a split of a data set by name, preparing the data set first where it is not yet.

    Args:
        name: "gtav", "synthia", "cityscapes/train", "my_module:MyBuilder/val" and the like; a split
            that is left out is "train".
        data_dir: folder of all prepared data sets.
        prepare: whether to prepare it if needed; otherwise that is an error (several hosts with one
            file system: one prepares, the others wait and then open).
        check: whether a prepared copy is compared with the files it was made of; as in
            `prepare.prepare_builder`.
        dataset: the declaration of a data set that is not known by its name.
        **options: fields of the builder's config, such as `root`, `size=(height, width)` and
            `label_space`; those that are None keep the builder's default.

    Raises:
        InputError: an unknown name, split or option; unreadable or inconsistent source files; a
            prepared copy whose labels mean something else; no room to write.
    """
    known_as, _, split = name.partition("/")
    builder = create_builder(dataset or known_as, data_dir=data_dir, **options)
    if prepare:
        prepare_builder(builder, check=check)
    return Records(builder.data_dir, split or "train", builder.labelling)
