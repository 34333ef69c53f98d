"""The TFDS data set `synthetic_city`: scenes drawn on first use, kept as ArrayRecord files."""

import contextlib
import dataclasses
import io
import os
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging
from PIL import Image

from cbda_jax.data.labels import CITYSCAPES_19, class_pixels
from cbda_jax.data.synthetic_city.scene import VERSION, draw_scene
from cbda_jax.errors import InputError

SPLITS = ("source_train", "target_train", "target_val", "target_test")
"""The labelled source, the pool that is queried, and two target sets that are only evaluated."""

_SEEDS_A_SPLIT = 1_000_000


@dataclasses.dataclass(eq=False, kw_only=True)
class SyntheticCityConfig(tfds.core.BuilderConfig):
    """What to draw. The name, and with it the folder, follows from the values.

    Attributes:
        height: H of images and labels in pixels, at least 32.
        width: W, at least 32.
        source_train: how many scenes of the source domain.
        target_train: how many scenes in the target pool.
        target_val: how many target scenes to watch training with.
        target_test: how many target scenes to report on.
        seed: other seeds draw other scenes, in 0..2000.

    Raises:
        InputError: a value is out of range.
    """

    name: str = dataclasses.field(default="", init=False)
    height: int = 96
    width: int = 192
    source_train: int = 300
    target_train: int = 200
    target_val: int = 60
    target_test: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 32:
            raise InputError(
                f"scenes of {self.height} x {self.width} pixels are too small; at least 32 x 32."
            )
        for split in SPLITS:
            if not 1 <= self.scenes(split) <= _SEEDS_A_SPLIT:
                raise InputError(
                    f"{split} is {self.scenes(split)}; expected 1 to {_SEEDS_A_SPLIT} scenes."
                )
        if not 0 <= self.seed <= 2000:
            raise InputError(f"seed is {self.seed}; expected 0 to 2000.")
        counts = "-".join(str(self.scenes(split)) for split in SPLITS)
        self.name = f"{self.height}x{self.width}_{counts}_seed{self.seed}"
        self.description = f"{counts} scenes of {self.height} x {self.width} pixels"

    def scenes(self, split: str) -> int:
        """How many scenes the split has."""
        return getattr(self, split)

    def scene_seed(self, split: str, index: int) -> int:
        """The seed of one scene. No two scenes share one, whatever the sizes of the splits."""
        return (self.seed * len(SPLITS) + SPLITS.index(split)) * _SEEDS_A_SPLIT + index


class SyntheticCity(tfds.core.GeneratorBasedBuilder):
    """Street scenes of the 19 Cityscapes classes in two domains, drawn and labelled by a program.

    A record holds `image_id` ("target_train_00017"), `image` and `label` (PNG; the label is mode L
    with train ids, 255 = ignore) and `class_pixels` (int64 [19], how many pixels each class has).
    Scenes keep their order, and a smaller split is the beginning of a larger one.
    """

    VERSION = tfds.core.Version(VERSION)

    def __init__(self, *, config: SyntheticCityConfig | None = None, **options: Any):
        # Not by BUILDER_CONFIGS: TFDS refuses a config of the same name as one listed there, and
        # a config that spells out the default values has that name.
        super().__init__(config=config or SyntheticCityConfig(), **options)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image_id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "label": tfds.features.Image(shape=(None, None, 1), encoding_format="png"),
            "class_pixels": tfds.features.Tensor(
                shape=(CITYSCAPES_19.num_classes,), dtype=np.int64
            ),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Procedurally drawn street scenes of two domains, labelled.",
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        config = self.builder_config
        assert isinstance(config, SyntheticCityConfig)
        domain = split.partition("_")[0]
        for index in range(config.scenes(split)):
            seed = config.scene_seed(split, index)
            image, label = draw_scene(domain, seed, config.height, config.width)
            yield (
                index,
                {
                    "image_id": f"{split}_{index:05d}",
                    "image": _png(image),
                    "label": _png(label),
                    "class_pixels": class_pixels(label, CITYSCAPES_19.num_classes),
                },
            )


def _png(array: np.ndarray) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", compress_level=1)
    file.seek(0)
    return file


def prepare(
    data_dir: str | os.PathLike[str],
    *,
    height: int = 96,
    width: int = 192,
    source_train: int = 300,
    target_train: int = 200,
    target_val: int = 60,
    target_test: int = 100,
    seed: int = 0,
) -> SyntheticCity:
    """The data set in `data_dir`, drawn first if it is not there yet.

    Args:
        data_dir: the TFDS folder; the data set gets its own below it.
        height: H of images and labels in pixels, at least 32.
        width: W, at least 32.
        source_train: how many scenes of the source domain.
        target_train: how many scenes in the target pool.
        target_val: how many target scenes to watch training with.
        target_test: how many target scenes to report on.
        seed: other seeds draw other scenes, in 0..2000.

    Returns:
        A builder whose records can be read with `as_data_source`.

    Raises:
        InputError: a value is out of range.
    """
    config = SyntheticCityConfig(
        height=height,
        width=width,
        source_train=source_train,
        target_train=target_train,
        target_val=target_val,
        target_test=target_test,
        seed=seed,
    )
    folder = os.fspath(data_dir)
    with _quiet():
        builder = SyntheticCity(config=config, data_dir=folder, file_format="array_record")
        ready = builder.is_prepared()
    if not ready:
        logging.info("Drawing %s into %s", config.description, builder.data_dir)
        with _quiet():
            builder.download_and_prepare()
    return builder


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps TFDS from warning of every custom config, announcing a download, and filling log files.

    On a terminal, its progress bar stays.
    """
    verbosity = logging.get_verbosity()
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    logging.set_verbosity(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
        tfds.enable_progress_bar()
