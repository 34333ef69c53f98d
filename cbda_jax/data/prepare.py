"""Making the builder of a data set by name, and preparing it once, whoever asks first."""

import contextlib
import dataclasses
import importlib
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from absl import logging

from cbda_jax.errors import InputError, nearest

try:
    import fcntl
except ImportError:  # Windows: preparing twice at the same time is not guarded there.
    fcntl = None

BUILDERS = {
    "cityscapes": ("cbda_jax.data.datasets.cityscapes", "Cityscapes"),
    "gtav": ("cbda_jax.data.datasets.gtav", "Gtav"),
    "synthetic_city": ("cbda_jax.data.datasets.synthetic_city.builder", "SyntheticCity"),
    "synthia": ("cbda_jax.data.datasets.synthia", "Synthia"),
}
"""Data set name -> (module, class) of its builder. Builders list their default config first."""


def create_builder(
    dataset: str, *, data_dir: str | os.PathLike[str], **options: Any
) -> tfds.core.DatasetBuilder:
    """Makes the TFDS builder of a data set, its default config changed by `options`.

    Raises:
        InputError: An unknown data set or option, or an option's value.
    """
    if dataset not in BUILDERS:
        near = nearest(dataset, BUILDERS)
        hint = f" Did you mean {near!r}?" if near else ""
        raise InputError(
            f"data set {dataset!r} is unknown; expected one of {', '.join(sorted(BUILDERS))}.{hint}"
        )
    module, class_name = BUILDERS[dataset]
    builder_class = getattr(importlib.import_module(module), class_name)
    default = builder_class.BUILDER_CONFIGS[0]
    inherited = {field.name for field in dataclasses.fields(tfds.core.BuilderConfig)}
    allowed = [f.name for f in dataclasses.fields(default) if f.name not in inherited]
    given = {option: value for option, value in options.items() if value is not None}
    if "size" in given and "size" not in allowed:
        given["height"], given["width"] = given.pop("size")
    for option in given:
        if option not in allowed:
            raise InputError(
                f"{dataset} has no option {option!r}; expected some of {', '.join(allowed)}."
            )
    config = dataclasses.replace(default, **given) if given else default
    # TFDS refuses an equal config that is not the very one it has listed.
    config = next((c for c in builder_class.BUILDER_CONFIGS if c.name == config.name), config)
    data_dir = Path(data_dir).expanduser()
    try:
        with _quiet_logging():
            return builder_class(
                config=config, data_dir=os.fspath(data_dir), file_format="array_record"
            )
    except InputError:
        raise
    # The builder reads what is prepared. TFDS and protobuf raise whatever they stumble over.
    except Exception as error:
        version = str(builder_class.VERSION)
        raise damaged(data_dir / builder_class.name / config.name / version, error) from error


def damaged(directory: str | os.PathLike[str], error: Exception | str) -> InputError:
    """The error of a prepared data set that cannot be read, or is not as it was written."""
    reason = " ".join(str(error).split()) or type(error).__name__
    # The reader of records passes on what the system told it: "pread() failed: Input/output ...".
    if isinstance(error, OSError) or "() failed: " in reason:
        return InputError(
            f"{os.fspath(directory)}: cannot be read ({reason}); expected a whole prepared data set"
            " on a working disk. Check the disk, or remove this folder to have it prepared again."
        )
    return InputError(
        f"{os.fspath(directory)}: a damaged prepared data set ({reason}); expected it as it was"
        " written. Remove this folder to have it prepared again."
    )


def find_splits(builder: tfds.core.DatasetBuilder) -> tuple[str, ...]:
    """The splits that a data set has or, where it is not prepared yet, will have.

    Nothing is prepared: names of files are looked up at the most.

    Args:
        builder: From `create_builder`.

    Raises:
        InputError: It is not prepared, and a file that it would be prepared from is missing.
    """
    if Path(builder.data_dir).exists():
        return tuple(sorted(builder.info.splits))
    return builder.find_splits()  # pyright: ignore[reportAttributeAccessIssue]


def prepare_builder(
    builder: tfds.core.DatasetBuilder, *, manual_dir: str | os.PathLike[str] | None = None
) -> None:
    """Prepares a data set unless it is; says so on standard output.

    Atomic: an error or a kill leaves nothing that could be taken for a data set. Processes that
    prepare the same data set take turns, and those that come later find it done.

    Args:
        builder: From `create_builder`.
        manual_dir: Where the files are, for a config without a root.

    Raises:
        InputError: As the builder's, or `data_dir` cannot be written.
    """
    directory = Path(builder.data_dir)
    if directory.exists():
        return
    try:
        with _lock(directory.parent / f".{directory.name}.lock"):
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
        f"{where}: cannot be written ({' '.join(str(reason).split())}); expected a folder with room"
        " for the prepared data. Free some space, or set another data_dir."
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


_THREADS = threading.Lock()


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Holds an exclusive lock between threads and processes; it ends with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _THREADS, path.open("w") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting for another process that prepares {path.parent}", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
