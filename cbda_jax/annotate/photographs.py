"""The target images of a run: its classes, and the photographs as people are to see them."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from cbda_jax import console
from cbda_jax.annotation import image_sizes
from cbda_jax.config import data_sets
from cbda_jax.data import images, prepare
from cbda_jax.data.datasets.folders import PairBuilder
from cbda_jax.data.datasets.pairs import Pair
from cbda_jax.errors import InputError
from cbda_jax.label_space import LabelSpace
from cbda_jax.run import assembly, workdir
from cbda_jax.stores import AnyPath


class Target(NamedTuple):
    """The images that a run asks about.

    Attributes:
        space: the classes.
        read: gives the RGB of an image by its id, uint8 `[H, W, 3]`; safe in threads.
        sizes: (height, width) of the labels, in whose pixels queries are, by image id.
    """

    space: LabelSpace
    read: Callable[[str], UInt8[np.ndarray, "height width 3"]]
    sizes: Mapping[str, tuple[int, int]]


def open_target(folder: AnyPath, data_dir: AnyPath | None = None) -> Target:
    """Opens the target images of a run: the files as they came, where they are still there.

    What is prepared of them is of the network's input size, which may be smaller.

    Args:
        folder: the workdir of the run.
        data_dir: where prepared data sets are; None: where the run had them.

    Raises:
        InputError: there is no run, or its data set cannot be opened.
    """
    workdir.check_run(folder)
    config = workdir.read_config(folder)
    if data_dir is not None:
        config.data.dir = str(data_dir)
    stored = assembly.open_records(config, "target")
    index = {image_id: i for i, image_id in enumerate(stored.ids)}
    files = _files(config)

    def read(image_id: str) -> UInt8[np.ndarray, "height width 3"]:
        pair = files.get(image_id)
        if pair is not None:
            try:
                return images.read_photograph(pair.image.read(), pair.image.where).pixels
            except InputError:
                # It went, or changed; the run's own copy is always there.
                files.pop(image_id, None)
        return stored.image(index[image_id])

    return Target(data_sets.space(config), read, image_sizes(stored.ids, stored.sizes))


def _files(config: assembly.Config) -> dict[str, Pair]:
    """The files of the target split, by image id; none where there are none."""
    where = assembly.location(config, "target")
    builder = prepare.create_builder(where.pop("dataset"), **where)
    if not isinstance(builder, PairBuilder) or builder.source.root is None:
        return {}
    split = config.data.target.partition("/")[2] or "train"
    try:
        return {pair.image_id: pair for pair in builder.pairs(builder.source.root).get(split, ())}
    except InputError as error:
        console.say(f"note: the stored images are shown, not the files they were made of ({error})")
        return {}
