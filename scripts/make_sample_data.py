"""Writes small stand-ins for GTAV, SYNTHIA and Cityscapes from drawn scenes.

    python scripts/make_sample_data.py --out DIR

Folders, file names, sizes and formats are those of the originals (DIR/gtav, DIR/synthia,
DIR/cityscapes), so that whatever reads the samples reads the originals as well. What they show is
not: nothing measured on them says anything about the real data.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image
from tqdm import tqdm

from cbda_jax.data import images
from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS
from cbda_jax.data.datasets.synthetic_city import draw_scene
from cbda_jax.data.datasets.synthia import SYNTHIA_IDS
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19

MARK = "made_by_make_sample_data.json"
GTAV_SIZE, SYNTHIA_SIZE, CITYSCAPES_SIZE = (1052, 1914), (760, 1280), (1024, 2048)
TRAIN_CITIES, VAL_CITIES = ("aachen", "bochum", "zurich"), ("frankfurt", "lindau")
_TO_LABEL_ID, _TO_SYNTHIA = LABEL_IDS.inverse(CITYSCAPES_19), SYNTHIA_IDS.inverse(CITYSCAPES_19)


def main(arguments: list[str] | None = None) -> None:
    """Parses the command line and writes the samples."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--gtav", type=int, default=6, help="images of GTAV")
    parser.add_argument("--synthia", type=int, default=6, help="images of SYNTHIA")
    parser.add_argument("--cityscapes-train", type=int, default=4, help="training images")
    parser.add_argument("--cityscapes-val", type=int, default=2, help="validation images")
    parser.add_argument("--seed", type=int, default=0, help="first seed of the scenes")
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes, for tests")
    options = parser.parse_args(arguments)
    try:
        make_sample_data(
            options.out,
            gtav=options.gtav,
            synthia=options.synthia,
            cityscapes_train=options.cityscapes_train,
            cityscapes_val=options.cityscapes_val,
            seed=options.seed,
            scale=options.scale,
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def make_sample_data(
    out: Path,
    *,
    gtav: int = 6,
    synthia: int = 6,
    cityscapes_train: int = 4,
    cityscapes_val: int = 2,
    seed: int = 0,
    scale: float = 1.0,
) -> None:
    """Writes the three trees below `out`, replacing those of an earlier call.

    Args:
        out: a folder that is empty, absent, or written by this function before.
        gtav: how many images; likewise the other three.
        synthia: as above.
        cityscapes_train: as above.
        cityscapes_val: as above.
        seed: of the first scene; every scene has its own.
        scale: factor on the original sizes.

    Raises:
        InputError: `out` holds something else, or a count is below 1.
    """
    counts = {
        "gtav": gtav,
        "synthia": synthia,
        "cityscapes_train": cityscapes_train,
        "cityscapes_val": cityscapes_val,
    }
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name}: {count} found, expected at least 1 image; correct it")
    _clear(out)
    (out / MARK).write_text(json.dumps({**counts, "seed": seed, "scale": scale}) + "\n")
    with tqdm(total=sum(counts.values()), desc="drawing", unit="image", disable=None) as bar:
        scene = _Scenes(seed, scale, bar)
        _write_gtav(out / "gtav", gtav, scene)
        _write_synthia(out / "synthia" / "RAND_CITYSCAPES", synthia, scene)
        _write_cityscapes(out / "cityscapes", "train", TRAIN_CITIES, cityscapes_train, scene)
        _write_cityscapes(out / "cityscapes", "val", VAL_CITIES, cityscapes_val, scene)
    for name in ("gtav", "synthia", "cityscapes"):
        files = list((out / name).rglob("*.png"))
        size = sum(path.stat().st_size for path in files) / 1e6
        print(f"{out / name}: {len(files)} files, {size:.1f} MB")


class _Scenes:
    """Draws scene after scene, each of a seed of its own."""

    def __init__(self, seed: int, scale: float, bar: tqdm):
        self._seed, self._scale, self._bar = seed, scale, bar

    def __call__(self, domain: str, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        height, width = (round(n * self._scale) for n in size)
        image, label = draw_scene(domain, self._seed, height, width)
        self._seed += 1
        self._bar.update()
        return image, label


def _write_gtav(folder: Path, count: int, scene: _Scenes) -> None:
    for number in range(1, count + 1):
        image, label = scene("source", GTAV_SIZE)
        name = f"{number:05d}.png"
        _save(folder / "images" / name, images.encode(image))
        palette_image = Image.fromarray(_TO_LABEL_ID[label])
        palette_image.putpalette([c for colour in LABEL_IDS.colours.values() for c in colour])
        path = folder / "labels" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        palette_image.save(path)


def _write_synthia(folder: Path, count: int, scene: _Scenes) -> None:
    for number in range(count):
        image, label = scene("source", SYNTHIA_SIZE)
        name = f"{number:07d}.png"
        _save(folder / "RGB" / name, images.encode(image))
        red = _TO_SYNTHIA[label].astype(np.uint16)
        # Green holds an instance number in the originals; here, 16-bit values that must not matter.
        green = np.arange(red.size, dtype=np.uint32).reshape(red.shape).astype(np.uint16)
        wide = np.stack([red, green, np.zeros_like(red)], axis=-1)
        _save(folder / "GT" / "LABELS" / name, bytes(imagecodecs.png_encode(wide)))


def _write_cityscapes(
    folder: Path, split: str, cities: tuple[str, ...], count: int, scene: _Scenes
) -> None:
    for number in range(count):
        city = cities[number % len(cities)]
        image, label = scene("target", CITYSCAPES_SIZE)
        stem = f"{city}_{number:06d}_000019"
        _save(
            folder / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", images.encode(image)
        )
        _save(
            folder / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png",
            images.encode(_TO_LABEL_ID[label]),
        )


def _save(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _clear(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{out}: a folder that cannot be made ({error.strerror}) found, expected one that can; "
            "choose another --out"
        ) from error
    if any(out.iterdir()) and not (out / MARK).exists():
        raise InputError(
            f"{out}: a folder that is not empty and not made by this script found, expected an "
            "empty or absent one; choose another --out"
        )
    for name in ("gtav", "synthia", "cityscapes"):
        if (out / name).exists():
            shutil.rmtree(out / name)


if __name__ == "__main__":
    main()
