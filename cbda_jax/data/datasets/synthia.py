"""SYNTHIA-RAND-CITYSCAPES: 9,400 rendered street scenes (Ros et al., CVPR 2016)."""

import os
from collections.abc import Mapping
from typing import ClassVar

from cbda_jax.data.datasets.folders import PairBuilder, SourceConfig
from cbda_jax.data.datasets.pairs import Pair, match, select
from cbda_jax.data.datasets.trees import Tree
from cbda_jax.data.encoding import LabelEncoding

LAYOUT = "RGB/*.png and GT/LABELS/*.png"
PARENTS = ("", "RAND_CITYSCAPES", "SYNTHIA_RAND_CITYSCAPES", "SYNTHIA-RAND-CITYSCAPES")

SYNTHIA_IDS = LabelEncoding(
    name="SYNTHIA ids",
    form="red16",
    classes={
        0: None,
        1: "sky",
        2: "building",
        3: "road",
        4: "sidewalk",
        5: "fence",
        6: "vegetation",
        7: "pole",
        8: "car",
        9: "traffic sign",
        10: "person",
        11: "bicycle",
        12: "motorcycle",
        13: None,  # parking slot
        14: None,  # road work
        15: "traffic light",
        16: "terrain",
        17: "rider",
        18: "truck",
        19: "bus",
        20: "train",
        21: "wall",
        22: None,  # lane marking
    },
)
"""What its label files hold, in their red channel."""


class Synthia(PairBuilder):
    """SYNTHIA as a source of 16 classes, at training size, one split "train"."""

    BUILDER_CONFIGS: ClassVar[list[SourceConfig]] = [
        SourceConfig(size=(760, 1280), label_space="synthia_16")
    ]
    ENCODING = SYNTHIA_IDS

    def find_pairs(self, root: str | os.PathLike[str]) -> Mapping[str, list[Pair]]:
        """Pairs RGB/*.png with GT/LABELS/*.png; the config's `files` may name the ones to use."""
        tree = Tree(root, LAYOUT)
        found = tree.find("RGB", ".png", parents=PARENTS)
        targets = tree.find("GT/LABELS", ".png", parents=PARENTS)
        return {"train": select(match(found, targets, ".png", ".png"), self.source.files)}
