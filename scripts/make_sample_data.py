"""Writes small stand-ins for published data sets from drawn scenes.

    python scripts/make_sample_data.py --out DIR
    python scripts/make_sample_data.py --out DIR --datasets acdc,idd --scale 0.25

Folders, file names, sizes and formats are those of the originals (DIR/gtav, DIR/synthia,
DIR/cityscapes, or those that are named), so that whatever reads the samples reads the originals as
well. What they show is not: nothing measured on them says anything about the real data.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import imagecodecs
import numpy as np
from sample_layouts import LAYOUTS, save, save_palette
from tqdm import tqdm

from cbda_jax.data import images
from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS
from cbda_jax.data.datasets.synthetic_city import draw_scene
from cbda_jax.data.datasets.synthia import SYNTHIA_IDS
from cbda_jax.errors import InputError, near
from cbda_jax.label_space import CITYSCAPES_19

MARK = "made_by_make_sample_data.json"
GTAV_SIZE, SYNTHIA_SIZE, CITYSCAPES_SIZE = (1052, 1914), (760, 1280), (1024, 2048)
PAIR = ("gtav", "synthia", "cityscapes")
KNOWN = (*PAIR, *LAYOUTS)
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
    parser.add_argument(
        "--datasets", default=",".join(PAIR), help=f"some of {', '.join(KNOWN)}; %(default)s"
    )
    parser.add_argument("--images", type=int, default=2, help="images a split, of all others")
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
            images=options.images,
            datasets=options.datasets.split(","),
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
    images: int = 2,
    datasets: Sequence[str] = PAIR,
    seed: int = 0,
    scale: float = 1.0,
) -> None:
    """Writes a tree for each data set below `out`, replacing those of an earlier call.

    Args:
        out: a folder that is empty, absent, or written by this function before.
        gtav: how many images; likewise the other three.
        synthia: as above.
        cityscapes_train: as above.
        cityscapes_val: as above.
        images: how many a split of the data sets of `sample_layouts`.
        datasets: which, in the order of their scenes.
        seed: of the first scene; every scene has its own.
        scale: factor on the original sizes.

    Raises:
        InputError: `out` holds something else, a count is below 1, or a data set is unknown.
    """
    counts = {
        "gtav": gtav,
        "synthia": synthia,
        "cityscapes_train": cityscapes_train,
        "cityscapes_val": cityscapes_val,
        "images": images,
    }
    for name, count in counts.items():
        if count < 1:
            raise InputError(f"{name}: {count} found, expected at least 1 image; correct it")
    for name in datasets:
        if name not in KNOWN:
            raise InputError(
                f"datasets: {name!r} found, expected some of {', '.join(KNOWN)}{near(name, KNOWN)}"
            )
    _clear(out)
    (out / MARK).write_text(json.dumps({**counts, "seed": seed, "scale": scale}) + "\n")
    with tqdm(desc="drawing", unit="image", disable=None) as bar:
        scene = _Scenes(seed, scale, bar)
        for name in datasets:
            if name == "gtav":
                _write_gtav(out / name, gtav, scene)
            elif name == "synthia":
                _write_synthia(out / name / "RAND_CITYSCAPES", synthia, scene)
            elif name == "cityscapes":
                _write_cityscapes(out / name, "train", TRAIN_CITIES, cityscapes_train, scene)
                _write_cityscapes(out / name, "val", VAL_CITIES, cityscapes_val, scene)
            else:
                LAYOUTS[name](out / name, images, scene)
    for name in datasets:
        files = [path for path in (out / name).rglob("*") if path.is_file()]
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
        save(folder / "images" / name, images.encode(image))
        colours = np.array([*LABEL_IDS.colours.values()], np.uint8)
        save_palette(folder / "labels" / name, _TO_LABEL_ID[label], colours)


def _write_synthia(folder: Path, count: int, scene: _Scenes) -> None:
    for number in range(count):
        image, label = scene("source", SYNTHIA_SIZE)
        name = f"{number:07d}.png"
        save(folder / "RGB" / name, images.encode(image))
        red = _TO_SYNTHIA[label].astype(np.uint16)
        # Green holds an instance number in the originals; here, 16-bit values that must not matter.
        green = np.arange(red.size, dtype=np.uint32).reshape(red.shape).astype(np.uint16)
        wide = np.stack([red, green, np.zeros_like(red)], axis=-1)
        save(folder / "GT" / "LABELS" / name, bytes(imagecodecs.png_encode(wide)))


def _write_cityscapes(
    folder: Path, split: str, cities: tuple[str, ...], count: int, scene: _Scenes
) -> None:
    for number in range(count):
        city = cities[number % len(cities)]
        image, label = scene("target", CITYSCAPES_SIZE)
        stem = f"{city}_{number:06d}_000019"
        save(
            folder / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png", images.encode(image)
        )
        save(
            folder / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png",
            images.encode(_TO_LABEL_ID[label]),
        )


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
    for name in KNOWN:
        if (out / name).exists():
            shutil.rmtree(out / name)


if __name__ == "__main__":
    main()
