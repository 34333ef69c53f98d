"""GTAV: 24,966 labelled frames of a game (Richter et al., "Playing for Data", ECCV 2016)."""

import os
from collections.abc import Mapping
from typing import ClassVar

from cbda_jax.data.datasets.cityscapes import LABEL_IDS
from cbda_jax.data.datasets.folders import PairBuilder, SourceConfig
from cbda_jax.data.datasets.pairs import Pair, match, select
from cbda_jax.data.datasets.trees import Tree

LAYOUT = "images/*.png and labels/*.png (or 01_images.zip, 01_labels.zip, ...)"


class Gtav(PairBuilder):
    """GTAV as a source: images and train-id labels at training size, one split "train"."""

    BUILDER_CONFIGS: ClassVar[list[SourceConfig]] = [SourceConfig(size=(720, 1280))]
    ENCODING = LABEL_IDS
    # 62 of the 24,966 published pairs. As in RIPU, their labels are stretched over the images.
    KNOWN_MISMATCHES = frozenset(f"{number:05d}" for number in (15188, 17705, *range(20801, 20861)))

    def find_pairs(self, root: str | os.PathLike[str]) -> Mapping[str, list[Pair]]:
        """Pairs images/*.png with labels/*.png; the config's `files` may name the ones to use."""
        tree = Tree(root, LAYOUT)
        pairs = match(tree.find("images", ".png"), tree.find("labels", ".png"), ".png", ".png")
        return {"train": select(pairs, self.source.files)}
