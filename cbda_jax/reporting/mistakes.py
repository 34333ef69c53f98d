"""What the last evaluation leaves on disk: confusion, errors by image, the worst images.

`evaluation/SPLIT.npz` has the counts, `evaluation/SPLIT_INDEX.npz` an image each.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, Integer, UInt8

from cbda_jax.errors import InputError
from cbda_jax.files import read_npz, write_npz
from cbda_jax.stores import AnyPath, to_path


class Worst(NamedTuple):
    """An image in which the network is wrong most.

    Attributes:
        image_id: of the image.
        image: RGB, at the size that the network sees.
        label: train ids, 255 is void.
        prediction: train ids.
    """

    image_id: str
    image: UInt8[np.ndarray, "rows cols 3"]
    label: UInt8[np.ndarray, "height width"]
    prediction: UInt8[np.ndarray, "height width"]


class LastEvaluation(NamedTuple):
    """Counts of a whole split.

    Attributes:
        step: of training.
        confusion: pixels [label, prediction].
        image_ids: of all images.
        pixels: of every image, those that have a class.
        right: of every image, those predicted as it.
        worst: indices of the images that are kept whole, the worst first.
    """

    step: int
    confusion: Int64[np.ndarray, "classes classes"]
    image_ids: Sequence[str]
    pixels: Integer[np.ndarray, " images"]
    right: Integer[np.ndarray, " images"]
    worst: Sequence[int] = ()


def write_last(workdir: AnyPath, split: str, last: LastEvaluation) -> None:
    """Writes the counts, in place of earlier ones, whole or not at all.

    Raises:
        InputError: the folder cannot be written to.
    """
    write_npz(
        _path(workdir, split),
        step=np.array(last.step),
        confusion=last.confusion,
        image_ids=np.array(last.image_ids, np.str_),
        pixels=last.pixels,
        right=last.right,
        worst=np.array(last.worst, np.int64),
    )


def read_last(workdir: AnyPath, split: str) -> LastEvaluation | None:
    """The counts of the last evaluation of a split; None where none were written.

    Raises:
        InputError: the file is damaged.
    """
    path = _path(workdir, split)
    if not path.exists():
        return None
    found = _read(path, {"step", "confusion", "image_ids", "pixels", "right", "worst"})
    return LastEvaluation(
        int(found["step"]),
        found["confusion"],
        found["image_ids"].tolist(),
        found["pixels"],
        found["right"],
        found["worst"].tolist(),
    )


def write_worst(workdir: AnyPath, split: str, index: int, worst: Worst) -> None:
    """Writes one of the worst images, whole or not at all.

    Raises:
        InputError: the folder cannot be written to.
    """
    write_npz(
        _path(workdir, split, index),
        image_id=np.array(worst.image_id),
        image=worst.image,
        label=worst.label,
        prediction=worst.prediction,
    )


def read_worst(workdir: AnyPath, split: str, index: int) -> Worst | None:
    """One of the worst images; None where it was not written.

    Raises:
        InputError: the file is damaged.
    """
    path = _path(workdir, split, index)
    if not path.exists():
        return None
    found = _read(path, {"image_id", "image", "label", "prediction"})
    return Worst(str(found["image_id"]), found["image"], found["label"], found["prediction"])


def _path(workdir: AnyPath, split: str, index: int | None = None) -> AnyPath:
    place = "" if index is None else f"_{index:05d}"
    return to_path(workdir) / "evaluation" / f"{split.replace('/', '_')}{place}.npz"


def _read(path: AnyPath, names: set[str]) -> dict[str, np.ndarray]:
    try:
        found = read_npz(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not what an evaluation leaves ({error}); delete the file, it is only shown"
        ) from error
    if missing := names - set(found):
        raise InputError(f"{path}: {', '.join(sorted(missing))} missing; delete the file")
    return found
