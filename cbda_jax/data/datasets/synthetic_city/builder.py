"""The TFDS data set `synthetic_city`: scenes drawn on first use, kept as ArrayRecord files."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import tensorflow_datasets as tfds
from tqdm import tqdm

from cbda_jax.data import images
from cbda_jax.data.datasets.base import LabelledBuilder, digest
from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS
from cbda_jax.data.datasets.synthetic_city.scene import VERSION, draw_scene
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19, LabelSpace, label_space

SPLITS = ("source_train", "target_train", "target_val", "target_test")
"""The labelled source, the pool that is queried, and two target sets that are only evaluated."""

_SEEDS_A_SPLIT = 1_000_000
LARGEST = 8
"""How many times as large as the network sees them scenes are drawn at most."""


@dataclasses.dataclass(eq=False, kw_only=True)
class SyntheticCityConfig(tfds.core.BuilderConfig):
    """What to draw. The name, and with it the folder, follows from the values.

    Attributes:
        height: H of images in pixels, at least 32; and of labels, where native is 1.
        width: W, at least 32.
        source_train: how many scenes of the source domain.
        target_train: how many scenes in the target pool.
        target_val: how many target scenes to watch training with.
        target_test: how many target scenes to report on.
        seed: other seeds draw other scenes, in 0..2000.
        native: scenes are drawn so many times as high and wide, 1 to `LARGEST`, and images resized
            to H x W (bicubic), as files of a larger size are. Labels of target scenes stay as they
            were drawn, those of source scenes are resized too (nearest). 1: drawn at H x W.
        label_space: the classes that the stored labels tell apart: a space, its name or its import
            path; all its classes are some of the 19 that are drawn, unless there is a mapping.
        mapping: drawn class -> class of the label space, or None for void; see
            `LabelEncoding.mapped`.

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
    native: int = 1
    label_space: str | LabelSpace = CITYSCAPES_19.name
    mapping: Mapping[str, str | None] | None = None

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 32:
            raise InputError(
                f"size: scenes of {self.height} x {self.width} pixels found, expected at least "
                "32 x 32; correct it"
            )
        for split in SPLITS:
            if not 1 <= self.scenes(split) <= _SEEDS_A_SPLIT:
                raise InputError(
                    f"{split}: {self.scenes(split)} found, expected 1 to {_SEEDS_A_SPLIT} scenes; "
                    "correct it"
                )
        if not 0 <= self.seed <= 2000:
            raise InputError(f"seed: {self.seed} found, expected 0 to 2000; correct it")
        if not 1 <= self.native <= LARGEST:
            raise InputError(
                f"native: {self.native} found, expected 1 to {LARGEST}, how many times as large "
                "as the network sees them scenes are drawn; correct it"
            )
        counts = "-".join(str(self.scenes(split)) for split in SPLITS)
        self.name = f"{self.height}x{self.width}_{counts}_seed{self.seed}"
        # Without it, folders keep the name that they have always had.
        if self.native > 1:
            self.name += f"_native{self.native}"
        space = label_space(self.label_space)
        if space != CITYSCAPES_19:
            self.name += f"_s_{space.name}"
        if self.mapping is not None:
            self.mapping = dict(sorted(self.mapping.items()))
            self.name += f"_{digest(self.mapping)}"
        larger = f", drawn {self.native} times as large" if self.native > 1 else ""
        self.description = f"{counts} scenes of {self.height} x {self.width} pixels{larger}"

    def scenes(self, split: str) -> int:
        """How many scenes the split has."""
        return getattr(self, split)

    def scene_seed(self, split: str, index: int) -> int:
        """The seed of one scene. No two scenes share one, whatever the sizes of the splits."""
        return (self.seed * len(SPLITS) + SPLITS.index(split)) * _SEEDS_A_SPLIT + index


class SyntheticCity(LabelledBuilder):
    """Street scenes of the 19 Cityscapes classes in two domains, drawn and labelled by a program.

    Any subset of them can be stored, or what a mapping makes of them.

    A record's id is "target_train_00017", say. Scenes keep their order, and a smaller split is the
    beginning of a larger one.
    """

    VERSION = tfds.core.Version(VERSION)

    BUILDER_CONFIGS: ClassVar[list[SyntheticCityConfig]] = [SyntheticCityConfig()]
    # Scenes have no files; this is how predictions of them are written.
    ENCODING = LABEL_IDS

    def find_splits(self) -> tuple[str, ...]:
        """The names of the splits."""
        return SPLITS

    def generate_splits(self, dl_manager: Any) -> dict[str, Any]:
        """Split name -> its scenes."""
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        config = self.builder_config
        assert isinstance(config, SyntheticCityConfig)
        # From the 19 in which scenes are drawn, by way of the values that mean them.
        train_ids = self.train_ids[LABEL_IDS.inverse(CITYSCAPES_19)]
        domain = split.partition("_")[0]
        size = config.height, config.width
        # disable=None: no bar where standard error is no terminal.
        scenes = tqdm(range(config.scenes(split)), desc=f"draw {split}", unit="scene", disable=None)
        for index in scenes:
            seed = config.scene_seed(split, index)
            image, label = draw_scene(domain, seed, *(config.native * side for side in size))
            if domain == "source":
                label = images.resize_label(label, size)
            image = images.resize_image(image, size)
            yield index, self.example(f"{split}_{index:05d}", image, train_ids[label])
