"""A data set with classes of its own: what its files mean, where they lie, and its label space.

    python examples/a_new_dataset.py

It writes a few small pictures, prepares them and prints how often each class is there. A whole run
names the label space and the data set by their import paths:

    PYTHONPATH=examples python -m cbda_jax.main --config=configs/synthetic.py \
        --config.label_space=a_new_dataset:SHAPES --config.data.root=DIR \
        --config.data.source=a_new_dataset:Shapes/drawn \
        --config.data.target=a_new_dataset:Shapes/photographed \
        --config.data.val=a_new_dataset:Shapes/val --config.data.test=a_new_dataset:Shapes/val
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
from PIL import Image, ImageDraw

from cbda_jax.data.datasets.folders import PairBuilder, SourceConfig
from cbda_jax.data.datasets.pairs import match
from cbda_jax.data.datasets.trees import Tree
from cbda_jax.data.encoding import LabelEncoding
from cbda_jax.data.prepare import register_dataset
from cbda_jax.data.records import open_records
from cbda_jax.label_space import LabelSpace, register_label_space

SHAPES = register_label_space(
    LabelSpace(
        "shapes_4",
        classes=("table", "disc", "box", "stick"),
        palette=np.array(
            [(90, 80, 70), (220, 60, 40), (40, 90, 220), (230, 200, 60)], dtype=np.uint8
        ),
        subsets={"round_or_square": ("disc", "box")},
    )
)


class Shapes(PairBuilder):
    """Shapes on a table: DIR/shapes/SPLIT/images/*.png and DIR/shapes/SPLIT/labels/*.png."""

    BUILDER_CONFIGS: ClassVar = [SourceConfig(size=(64, 96), label_space="shapes_4")]
    # Two values are sticks; what is cut off by the border is void.
    ENCODING = LabelEncoding(
        {10: "table", 20: "disc", 30: "box", 40: "stick", 41: "stick", 99: None}, "shape numbers"
    )

    def find_pairs(self, root):
        """Pairs images with labels of the same name."""
        tree = Tree(root, "SPLIT/images/*.png and SPLIT/labels/*.png")
        return {
            split: match(
                tree.find(f"{split}/images", ".png"),
                tree.find(f"{split}/labels", ".png"),
                ".png",
                ".png",
            )
            for split in ("drawn", "photographed", "val")
        }


register_dataset("shapes", Shapes)


def write_files(root: Path, images: int = 4) -> None:
    """Writes the data set: a few pictures a split."""
    rng = np.random.default_rng(0)
    for split in ("drawn", "photographed", "val"):
        for folder in ("images", "labels"):
            (root / split / folder).mkdir(parents=True, exist_ok=True)
        for number in range(images):
            label = Image.new("L", (96, 64), 10)
            draw = ImageDraw.Draw(label)
            x, y = (int(v) for v in rng.integers(10, 40, 2))
            draw.ellipse((x, y, x + 18, y + 18), fill=20)
            draw.rectangle((x + 30, y - 8, x + 44, y + 4), fill=30)
            draw.line((4, 60, 4 + 2 * x, 50), fill=40 + number % 2, width=3)
            draw.rectangle((0, 0, 95, 63), outline=99)
            ids = np.asarray(label)
            colours = SHAPES.colour(Shapes.ENCODING.table(SHAPES)[ids]).astype(np.float32)
            noise = rng.normal(0, 4 if split == "drawn" else 25, colours.shape)
            photograph = Image.fromarray(np.clip(colours + noise, 0, 255).astype(np.uint8))
            photograph.save(root / split / "images" / f"{number:03d}.png")
            label.save(root / split / "labels" / f"{number:03d}.png")


def main(folder: Path) -> None:
    """Writes, prepares and opens the data set; prints the share of every class."""
    write_files(folder / "files" / "shapes")
    records = open_records(
        "shapes/photographed", data_dir=folder / "prepared", root=folder / "files" / "shapes"
    )
    share = records.class_pixels.sum(axis=0) / records.class_pixels.sum()
    print(f"{len(records)} images of label space {records.label_space}")
    for name, part in zip(records.classes, share, strict=True):
        print(f"{name:<8}{100 * part:5.1f} %")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="where to keep the files; else nowhere")
    with TemporaryDirectory() as temporary:
        main(parser.parse_args().out or Path(temporary))
