"""Making the builder of a data set by name, and preparing it once, whoever asks first."""

import contextlib
import dataclasses
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from absl import logging

from cbda_jax import plugins
from cbda_jax.data import mirror
from cbda_jax.data.datasets.base import LabelledBuilder
from cbda_jax.data.datasets.declared import builder_of
from cbda_jax.data.declaration import Declaration
from cbda_jax.data.encoding import check_labelling, read_labelling
from cbda_jax.data.turns import take_turn
from cbda_jax.errors import InputError, near
from cbda_jax.stores import to_path

_BUILDERS: dict[str, str | type[LabelledBuilder] | Declaration] = {
    "acdc": "cbda_jax.data.datasets.acdc:ACDC",
    "bdd100k": "cbda_jax.data.datasets.bdd100k:BDD100K",
    "camvid": "cbda_jax.data.datasets.camvid:CAMVID",
    "camvid_colours": "cbda_jax.data.datasets.camvid:CAMVID_COLOURS",
    "cityscapes": "cbda_jax.data.datasets.cityscapes:CITYSCAPES",
    "dark_zurich": "cbda_jax.data.datasets.dark_zurich:DARK_ZURICH",
    "foggy_cityscapes": "cbda_jax.data.datasets.foggy_cityscapes:FOGGY_CITYSCAPES",
    "gtav": "cbda_jax.data.datasets.gtav:GTAV",
    "idd": "cbda_jax.data.datasets.idd:IDD",
    "kitti": "cbda_jax.data.datasets.kitti:KITTI",
    "mapillary": "cbda_jax.data.datasets.mapillary:MAPILLARY",
    "synthetic_city": "cbda_jax.data.datasets.synthetic_city.builder:SyntheticCity",
    "synthia": "cbda_jax.data.datasets.synthia:SYNTHIA",
    "uavid": "cbda_jax.data.datasets.uavid:UAVID",
}


def register_dataset(name: str, builder: str | type[LabelledBuilder] | Declaration) -> None:
    """Makes a data set known by a name; the same once more does no harm.

    Args:
        name: as configs have it before the split: "camvid" of "camvid/train".
        builder: its declaration, the class that builds it, or the import path of either,
            "my_module:MY_DATA".

    Raises:
        InputError: another data set has the name, or it is none of letters, digits and underscores.
    """
    plugins.register(_BUILDERS, name, builder, "data set")


def known_datasets() -> list[str]:
    """The names that data sets are registered by, sorted."""
    return sorted(_BUILDERS)


def find_dataset(dataset: str | Declaration) -> type[LabelledBuilder] | Declaration:
    """The declaration or builder of a data set, by its registered name or import path.

    Args:
        dataset: the name or path; a declaration is what it is.

    Raises:
        InputError: there is none; the module cannot be imported.
    """
    if isinstance(dataset, Declaration):
        return dataset
    found = plugins.find(_BUILDERS, dataset, "data set", example="my_module:MY_DATA")
    if isinstance(found, str) and not plugins.is_path(dataset):
        found = plugins.load(found, f"data set {dataset!r}")
    if isinstance(found, Declaration):
        return found
    if isinstance(found, type) and issubclass(found, LabelledBuilder):
        return found
    raise InputError(
        f"data set {dataset!r}: {found!r} found, expected a cbda_jax.data.declaration.Declaration, "
        "or a subclass of cbda_jax.data.datasets.base.LabelledBuilder, such as a PairBuilder; make "
        "it one"
    )


def builder_class(dataset: str | Declaration) -> type[LabelledBuilder]:
    """The builder of a data set, by its registered name, import path or declaration.

    Raises:
        InputError: there is none; the module cannot be imported.
    """
    found = find_dataset(dataset)
    return builder_of(found) if isinstance(found, Declaration) else found


def builder_options(dataset: str | Declaration) -> tuple[str, ...]:
    """The fields of a data set's config: what `create_builder` may be asked for.

    Raises:
        InputError: an unknown data set.
    """
    inherited = {field.name for field in dataclasses.fields(tfds.core.BuilderConfig)}
    fields = dataclasses.fields(_default_config(builder_class(dataset)))
    return tuple(field.name for field in fields if field.name not in inherited)


def create_builder(
    dataset: str | Declaration, *, data_dir: str | os.PathLike[str], **options: Any
) -> LabelledBuilder:
    """Makes the TFDS builder of a data set, its default config changed by `options`.

    Args:
        dataset: a registered name, an import path, "my_module:MY_DATA", or a declaration.
        data_dir: folder of all prepared data sets.
        **options: fields of the builder's config, which see; those that are None keep their
            default. `size` stands for height and width where it has these.

    Raises:
        InputError: an unknown data set or option, or an option's value; a label space with classes
            that no label of the data set means; a prepared copy whose labels mean something else.
    """
    chosen = builder_class(dataset)
    default = _default_config(chosen)
    allowed = builder_options(dataset)
    given = {option: value for option, value in options.items() if value is not None}
    if "size" in given and "size" not in allowed:
        given["height"], given["width"] = given.pop("size")
    for option in given:
        if option not in allowed:
            raise InputError(
                f"data set {str(chosen.name)!r}: an option {option!r} found, expected some of "
                f"{', '.join(allowed)}; leave it out{near(option, allowed)}"
            )
    config = dataclasses.replace(default, **given) if given else default
    # TFDS refuses an equal config that is not the very one it has listed.
    config = next((c for c in chosen.BUILDER_CONFIGS if c.name == config.name), config)
    data_dir = mirror.local(to_path(data_dir, "data_dir"))
    mirror.fetch(data_dir / str(chosen.name) / config.name / str(chosen.VERSION))
    try:
        with _quiet_logging():
            builder = chosen(
                config=config, data_dir=os.fspath(data_dir), file_format="array_record"
            )
        found = read_labelling(builder.data_dir)
    except InputError:
        raise
    # The builder reads what is prepared. TFDS and protobuf raise whatever they stumble over.
    except Exception as error:
        directory = data_dir / str(chosen.name) / config.name / str(chosen.VERSION)
        raise damaged(directory, error) from error
    if found is not None:
        check_labelling(builder.data_dir, found, builder.labelling)
    return builder


def _default_config(chosen: type[LabelledBuilder]) -> Any:
    """The config that a builder lists first."""
    return chosen.BUILDER_CONFIGS[0]


def damaged(directory: str | os.PathLike[str], error: Exception | str) -> InputError:
    """The error of a prepared data set that cannot be read, or is not as it was written."""
    reason = " ".join(str(error).split()) or type(error).__name__
    # The reader of records passes on what the system told it: "pread() failed: Input/output ...".
    if isinstance(error, OSError) or "() failed: " in reason:
        return InputError(
            f"{os.fspath(directory)}: a folder that cannot be read ({reason}) found, expected a "
            "whole prepared data set on a working disk; check the disk, or remove this folder to "
            "have it prepared again"
        )
    return InputError(
        f"{os.fspath(directory)}: a damaged prepared data set ({reason}) found, expected it as it "
        "was written; remove this folder to have it prepared again"
    )


def find_splits(builder: LabelledBuilder) -> tuple[str, ...]:
    """The splits that a data set has or, where it is not prepared yet, will have.

    Nothing is prepared: names of files are looked up at the most.

    Args:
        builder: of `create_builder`.

    Raises:
        InputError: it is not prepared, and a file that it would be prepared from is missing.
    """
    if Path(builder.data_dir).exists():
        check_sources(builder)
        return tuple(sorted(builder.info.splits))
    return builder.find_splits()


def check_sources(builder: LabelledBuilder) -> None:
    """Checks that a prepared copy was made of the files that are there now.

    Nothing is checked where the files are not there any more, as reading does not need them.

    Raises:
        InputError: files were changed, added or removed since; says which.
    """
    differs = builder.changed()
    if differs is not None:
        raise InputError(
            f"{builder.data_dir}: a copy prepared from other files found: since then {differs}; "
            "expected those it was prepared from. Restore them, or remove this folder to have it "
            "prepared again from what is there now"
        )


def prepare_builder(
    builder: LabelledBuilder,
    *,
    manual_dir: str | os.PathLike[str] | None = None,
    check: bool = True,
) -> None:
    """Prepares a data set unless it is; says so on standard output.

    Atomic: an error or a kill leaves nothing that could be taken for a data set. Processes that
    prepare the same data set take turns, and those that come later find it done.

    Args:
        builder: of `create_builder`.
        manual_dir: where the files are, for a config without a root.
        check: whether a copy that is there is compared with the files; False: that was done just
            now, and takes its time.

    Raises:
        InputError: as the builder's, or `data_dir` cannot be written; it was prepared from other
            files than are there now.
    """
    directory = Path(builder.data_dir)
    if directory.exists():
        if check:
            check_sources(builder)
        # One of a process that was killed before it had.
        mirror.publish(directory)
        return
    try:
        with take_turn(directory.parent / f".{directory.name}.lock", "prepares"):
            if directory.exists():
                return
            for rest in directory.parent.glob(f"incomplete.*_{directory.name}"):
                shutil.rmtree(rest, ignore_errors=True)
            print(f"preparing {builder.info.full_name} in {directory}", flush=True)
            start = time.monotonic()
            _download_and_prepare(builder, manual_dir)
    except OSError as error:
        raise _unwritable(error.filename or directory, error.strerror or error) from error
    except RuntimeError as error:
        # The writer of records passes on what the system told it: "write() failed: No space ...".
        found = re.search(r"\w\(\) failed: ([^;]+)", str(error))
        if found is None:
            raise
        raise _unwritable(directory, found[1]) from error
    mirror.publish(directory)
    for note in builder.notes:
        print(f"note: {builder.name}: {note}", flush=True)
    splits = builder.info.splits
    counts = ", ".join(f"{name} {splits[name].num_examples}" for name in sorted(splits))
    print(
        f"prepared {builder.info.full_name}: {counts} images,"
        f" {sum(split.num_bytes for split in splits.values()) / 1e6:.1f} MB,"
        f" {time.monotonic() - start:.1f} s",
        flush=True,
    )


def _unwritable(where: str | os.PathLike[str], reason: object) -> InputError:
    return InputError(
        f"{where}: a folder that cannot be written ({' '.join(str(reason).split())}) found, "
        "expected one with room for the prepared data; free some space, or set another data_dir"
    )


def _download_and_prepare(
    builder: tfds.core.DatasetBuilder, manual_dir: str | os.PathLike[str] | None
) -> None:
    # TFDS announces a download of unknown size and shows bars without an end, also in log files.
    # `prepare_builder` says more, and so do builders with bars of their own.
    for announcement in ("_log_download_bytes", "_log_download_done"):
        setattr(builder, announcement, lambda: None)
    own_bar = getattr(builder, "OWN_PROGRESS_BAR", False)
    tfds.display_progress_bar(sys.stderr.isatty() and not own_bar)
    try:
        with tempfile.TemporaryDirectory() as downloads, _quiet_logging():
            builder.download_and_prepare(
                download_dir=downloads,
                download_config=tfds.download.DownloadConfig(
                    try_download_gcs=False,
                    manual_dir=None if manual_dir is None else os.fspath(manual_dir),
                ),
            )
    finally:
        tfds.display_progress_bar(True)


@contextlib.contextmanager
def _quiet_logging() -> Iterator[None]:
    """Keeps TFDS from warning about a config that was made here, as it is meant to be."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
