"""SYNTHIA-RAND-CITYSCAPES: 9,400 rendered street scenes (Ros et al., CVPR 2016)."""

import os
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from cbda_jax.data import labels, png
from cbda_jax.data.datasets.folders import PairBuilder, SourceConfig
from cbda_jax.data.datasets.pairs import Pair, match, select
from cbda_jax.data.datasets.trees import Tree

LAYOUT = "RGB/*.png and GT/LABELS/*.png"
PARENTS = ("", "RAND_CITYSCAPES", "SYNTHIA_RAND_CITYSCAPES", "SYNTHIA-RAND-CITYSCAPES")


class Synthia(PairBuilder):
    """SYNTHIA as a source of 16 classes, at training size, one split "train"."""

    BUILDER_CONFIGS: ClassVar[list[SourceConfig]] = [SourceConfig(size=(760, 1280), num_classes=16)]
    KNOWN_IDS = labels.SYNTHIA_IDS

    def find_pairs(self, root: str | os.PathLike[str]) -> Mapping[str, list[Pair]]:
        """Pairs RGB/*.png with GT/LABELS/*.png; the config's `files` may name the ones to use."""
        tree = Tree(root, LAYOUT)
        images = tree.find("RGB", ".png", parents=PARENTS)
        targets = tree.find("GT/LABELS", ".png", parents=PARENTS)
        return {"train": select(match(images, targets, ".png", ".png"), self.source.files)}

    def read_ids(self, data: bytes, where: str) -> np.ndarray:
        """Decodes 16-bit RGB labels to SYNTHIA ids, uint8 [h, w]."""
        return png.read_synthia_ids(data, where)

    def train_ids(self) -> np.ndarray:
        """The table from SYNTHIA ids to train ids, uint8 [256]."""
        return labels.label_space(self.source.num_classes).from_synthia
