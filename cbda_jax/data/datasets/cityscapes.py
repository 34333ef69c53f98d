"""Cityscapes: 2,975 + 500 finely labelled street scenes of 21 cities (Cordts et al., CVPR 2016)."""

import os
from collections.abc import Mapping
from typing import ClassVar

from cbda_jax.data.datasets.folders import PairBuilder, SourceConfig
from cbda_jax.data.datasets.pairs import Pair, match
from cbda_jax.data.datasets.trees import Tree
from cbda_jax.errors import InputError

LAYOUT = (
    "leftImg8bit/{train,val}/<city>/*_leftImg8bit.png and gtFine/{train,val}/<city>/"
    "*_gtFine_labelIds.png (or leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip)"
)


# TFDS has a builder of the same name, which needs TensorFlow: this one stays out of its registry.
class Cityscapes(PairBuilder, skip_registration=True):
    """Cityscapes as a target: images at training size, labels at their own; "train" and "val"."""

    BUILDER_CONFIGS: ClassVar[list[SourceConfig]] = [SourceConfig(size=(640, 1280))]
    NATIVE_LABELS = True

    def find_pairs(self, root: str | os.PathLike[str]) -> Mapping[str, list[Pair]]:
        """Pairs images with labels by <city>_<sequence>_<frame>, which becomes the image id."""
        if self.source.files is not None:
            raise InputError(
                f"files is {self.source.files!r}, but Cityscapes has its own splits; leave it out."
            )
        tree = Tree(root, LAYOUT)
        image_ending, label_ending = "_leftImg8bit.png", "_gtFine_labelIds.png"
        return {
            split: match(
                tree.find(f"leftImg8bit/{split}", image_ending),
                tree.find(f"gtFine/{split}", label_ending),
                image_ending,
                label_ending,
            )
            for split in ("train", "val")
        }
