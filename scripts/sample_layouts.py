"""How `make_sample_data.py` lays out stand-ins for published data sets: one function for each.

All write some images a split, and beside them files of the originals that are not to be
taken for images or labels: train ids, instances, colours, polygons, other weather.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
from PIL import Image

from cbda_jax.data import images
from cbda_jax.data.datasets import camvid, idd, mapillary, uavid
from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS
from cbda_jax.data.encoding import LabelEncoding
from cbda_jax.label_space import CITYSCAPES_19, IGNORE

Scenes = Callable[[str, tuple[int, int]], tuple[np.ndarray, np.ndarray]]
"""(domain, original size) -> image and train ids of the next scene, at the size of the samples."""

CAMVID_SIZE, CAMVID_COLOURS_SIZE, KITTI_SIZES = (360, 480), (720, 960), ((375, 1242), (370, 1226))
HD, BDD100K_SIZE, CITYSCAPES_SIZE = (1080, 1920), (720, 1280), (1024, 2048)
IDD_SIZES, UAVID_SIZES = (HD, (964, 1280)), ((2160, 3840), (2160, 4096))
MAPILLARY_SIZES = ((2448, 3264), (2988, 5312), (2448, 2448))
UAVID_OF_DRAWN = {
    "road": "road",
    "building": "building",
    "wall": "building",
    "vegetation": "tree",
    "terrain": "low vegetation",
    "person": "human",
    "rider": "human",
    "car": "moving car",
    "truck": "static car",
    "bus": "static car",
}
"""What the drawn classes are in the stand-in of UAVid; the others are clutter."""


class Values(NamedTuple):
    """Train ids of drawn scenes in the values, or colours, of a data set's files.

    Attributes:
        ids: uint8 `[256]`, the value of each train id.
        colours: uint8 `[256, 3]`, the colour of each value.
    """

    ids: np.ndarray
    colours: np.ndarray


def values(encoding: LabelEncoding, names: Mapping[str, str | None]) -> Values:
    """The table of a data set.

    Args:
        encoding: of its files.
        names: drawn class -> class of the data set, where it is not the same. Those that it does
            not have are void, or the lowest value if nothing is.
    """
    void = next((v for v, name in encoding.classes.items() if name is None), 0)
    ids = np.full(256, void, np.uint8)
    for train_id, drawn in enumerate(CITYSCAPES_19.classes):
        name = names.get(drawn, drawn)
        ids[train_id] = next((v for v, c in encoding.classes.items() if c == name), void)
    colours = np.zeros((256, 3), np.uint8)
    for value, colour in encoding.colours.items():
        colours[value] = colour
    return Values(ids, colours)


def _back(mapping: Mapping[str, str | None]) -> dict[str, str]:
    """Cityscapes' class -> a class that it is mapped from: the one of its name, or the last."""
    back = {theirs: ours for ours, theirs in mapping.items() if theirs is not None}
    return {theirs: theirs if mapping.get(theirs) == theirs else back[theirs] for theirs in back}


IDS = values(LABEL_IDS, {})
OF_IDD = values(idd.IDD.encoding, _back(idd.TO_CITYSCAPES))
OF_MAPILLARY = values(mapillary.MAPILLARY.encoding, _back(mapillary.TO_CITYSCAPES))
OF_UAVID = values(uavid.UAVID.encoding, dict.fromkeys(CITYSCAPES_19.classes) | UAVID_OF_DRAWN)
OF_CAMVID = values(camvid.CAMVID.encoding, camvid.OF_CITYSCAPES)
OF_CAMVID_COLOURS = values(camvid.CAMVID_COLOURS.encoding, camvid.OF_CITYSCAPES)


def write_camvid(folder: Path, count: int, scene: Scenes) -> None:
    """`train/*.png` with `trainannot/*.png`, and a list of both."""
    for split, drive in (("train", "0001TP"), ("val", "0016E5"), ("test", "Seq05VD_f")):
        lines = []
        for number in range(count):
            image, label = scene("target", CAMVID_SIZE)
            name = f"{drive}_{6690 + 30 * number:06d}.png"
            save(folder / split / name, images.encode(image))
            save(folder / f"{split}annot" / name, images.encode(OF_CAMVID.ids[label]))
            lines.append(f"/SegNet/CamVid/{split}/{name} /SegNet/CamVid/{split}annot/{name}\n")
        save(folder / f"{split}.txt", "".join(lines).encode())


def write_camvid_colours(folder: Path, count: int, scene: Scenes) -> None:
    """Stills and painted labels, with the list of colours."""
    for number in range(count):
        image, label = scene("target", CAMVID_COLOURS_SIZE)
        stem = f"0001TP_{6690 + 30 * number:06d}"
        save(folder / "701_StillsRaw_full" / f"{stem}.png", images.encode(image))
        painted = OF_CAMVID_COLOURS.colours[OF_CAMVID_COLOURS.ids[label]]
        save(folder / "LabeledApproved_full" / f"{stem}_L.png", images.encode(painted))
    save(folder / "LabeledApproved_full" / "Thumbs.db", b"\xd0\xcf\x11\xe0")
    save(folder / "label_colors.txt", b"64 128 64\tAnimal\n")


def write_bdd100k(folder: Path, count: int, scene: Scenes) -> None:
    """JPEG images; train ids, beside them colours and polygons."""
    labels = folder / "labels" / "sem_seg"
    for split, number in _numbered(("train", "val", "test"), count):
        image, label = scene("target", BDD100K_SIZE)
        stem = f"{0x0004A4C0 + number:08x}-{0xD4DFF986:08x}"
        save_jpeg(folder / "images" / "10k" / split / f"{stem}.jpg", image)
        if split != "test":
            save(labels / "masks" / split / f"{stem}.png", images.encode(label))
            colours = images.encode(CITYSCAPES_19.colour(label))
            save(labels / "colormaps" / split / f"{stem}.png", colours)
            save(labels / "polygons" / f"sem_seg_{split}.json", b"[]")


def write_acdc(folder: Path, count: int, scene: Scenes) -> None:
    """Four conditions, and the same places in good weather."""
    conditions = ("fog", "night", "rain", "snow")
    for split, number in _numbered(("train", "val", "test"), count):
        condition = conditions[number % len(conditions)]
        place = f"{condition}/{split}/GOPR0475"
        stem = f"GOPR0475_frame_{41 + number:06d}"
        image, label = scene("target", HD)
        save(folder / "rgb_anon" / place / f"{stem}_rgb_anon.png", images.encode(image))
        reference = f"{condition}/{split}_ref/GOPR0475/{stem}_rgb_ref_anon.png"
        save(folder / "rgb_anon" / reference, images.encode(image))
        if split != "test":
            _save_gt(folder / "gt" / place, stem, label)


def write_dark_zurich(folder: Path, count: int, scene: Scenes) -> None:
    """Three times of day in training; nights with a reference by day in the others."""
    times = ("train/night", "train/twilight", "train/day", "val/night", "test/night")
    for place, number in _numbered(times, count):
        split = place.partition("/")[0]
        sequence = {"train": "GOPR0351", "val": "GOPR0356", "test": "GOPR0364"}[split]
        stem = f"{sequence}_frame_{90 + number:06d}"
        image, label = scene("target", HD)
        rgb = folder / "rgb_anon"
        save(rgb / place / sequence / f"{stem}_rgb_anon.png", images.encode(image))
        if split != "train":
            by_day = rgb / f"{split}_ref" / "day" / f"{sequence}_ref"
            save(by_day / f"{stem}_ref_rgb_anon.png", images.encode(image))
        if split == "val":
            _save_gt(folder / "gt" / place / sequence, stem, label)


def write_mapillary(folder: Path, count: int, scene: Scenes) -> None:
    """JPEG images of many sizes; labels with a palette, beside them instances of 16 bits."""
    for split, number in _numbered(("training", "validation", "testing"), count):
        image, label = scene("target", MAPILLARY_SIZES[number % len(MAPILLARY_SIZES)])
        stem = f"-6-WLs7O63-6cwx-8adk{split[0]}{number}"
        save_jpeg(folder / split / "images" / f"{stem}.jpg", image)
        if split != "testing":
            ids = OF_MAPILLARY.ids[label]
            save_palette(folder / split / "labels" / f"{stem}.png", ids, OF_MAPILLARY.colours)
            save_wide(folder / split / "instances" / f"{stem}.png", ids.astype(np.uint16) << 8)
    named = [
        {"readable": name.title(), "evaluate": True, "color": colour}
        for name, colour in mapillary.CLASSES.items()
    ]
    save(folder / "config.json", json.dumps({"version": 1.1, "labels": named}).encode())


def write_idd(folder: Path, count: int, scene: Scenes) -> None:
    """PNG images of the first part, JPEG of the second; labels as its program writes them."""
    for split, number in _numbered(("train", "val", "test"), count):
        image, label = scene("target", IDD_SIZES[number % 2])
        drive, stem = str(201 + number), f"frame{29 + number:04d}"
        path = folder / "leftImg8bit" / split / drive / f"{stem}_leftImg8bit.png"
        if number % 2:
            save_jpeg(path.with_suffix(".jpg"), image)
        else:
            save(path, images.encode(image))
        if split != "test":
            start, ids = folder / "gtFine" / split / drive / f"{stem}_gtFine", OF_IDD.ids[label]
            save(_named(start, "_labellevel3Ids.png"), images.encode(ids))
            save_wide(_named(start, "_instancelevel3Ids.png"), ids.astype(np.uint16) * 1000)
            save(_named(start, "_polygons.json"), b"{}")


def write_kitti(folder: Path, count: int, scene: Scenes) -> None:
    """Images of about one size; label ids, beside them instances and colours."""
    for split, number in _numbered(("training", "testing"), count):
        image, label = scene("target", KITTI_SIZES[number % 2])
        name = f"{number:06d}_10.png"
        save(folder / split / "image_2" / name, images.encode(image))
        if split == "training":
            ids = IDS.ids[label]
            # Licence plates.
            ids[:2, :2] = 255
            save(folder / split / "semantic" / name, images.encode(ids))
            save(folder / split / "semantic_rgb" / name, images.encode(IDS.colours[ids]))
            save_wide(folder / split / "instance" / name, ids.astype(np.uint16) << 8)


def write_uavid(folder: Path, count: int, scene: Scenes) -> None:
    """Sequences of images and painted labels, of two sizes."""
    for split, number in _numbered(("train", "val", "test"), count):
        image, label = scene("target", UAVID_SIZES[number % 2])
        # Numbers begin again in each sequence.
        place = folder / f"uavid_{split}" / f"seq{1 + number}"
        save(place / "Images" / "000000.png", images.encode(image))
        save(place / "Images" / "Thumbs.db", b"\xd0\xcf\x11\xe0")
        if split != "test":
            painted = OF_UAVID.colours[OF_UAVID.ids[label]]
            save(place / "Labels" / "000000.png", images.encode(painted))


def write_foggy_cityscapes(folder: Path, count: int, scene: Scenes) -> None:
    """Each image in three densities of fog; the labels of Cityscapes."""
    for split, number in _numbered(("train", "val", "test"), count):
        city = {"train": "aachen", "val": "lindau", "test": "berlin"}[split]
        image, label = scene("target", CITYSCAPES_SIZE)
        stem = f"{city}_{number:06d}_000019"
        foggy = folder / "leftImg8bit_foggy" / split / city
        for beta in ("0.005", "0.01", "0.02"):
            thick = np.uint8(50 * float(beta) * 100)
            pixels = np.maximum(image, thick)
            save(foggy / f"{stem}_leftImg8bit_foggy_beta_{beta}.png", images.encode(pixels))
        start, ids = folder / "gtFine" / split / city / f"{stem}_gtFine", IDS.ids[label]
        # Those of "test" are published, and empty.
        save(_named(start, "_labelIds.png"), images.encode(ids * np.uint8(split != "test")))
        save(_named(start, "_labelTrainIds.png"), images.encode(label))
        save_wide(_named(start, "_instanceIds.png"), ids.astype(np.uint16) * 1000)
        save(_named(start, "_polygons.json"), b"{}")


LAYOUTS: Mapping[str, Callable[[Path, int, Scenes], None]] = {
    "acdc": write_acdc,
    "bdd100k": write_bdd100k,
    "camvid": write_camvid,
    "camvid_colours": write_camvid_colours,
    "dark_zurich": write_dark_zurich,
    "foggy_cityscapes": write_foggy_cityscapes,
    "idd": write_idd,
    "kitti": write_kitti,
    "mapillary": write_mapillary,
    "uavid": write_uavid,
}
"""Name of a data set -> what writes its stand-in: into a folder, so many images a split."""


def save(path: Path, data: bytes) -> None:
    """Writes a file, and its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def save_jpeg(path: Path, image: np.ndarray) -> None:
    """Writes uint8 `[H, W, 3]` as JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, quality=95)


def save_palette(path: Path, ids: np.ndarray, colours: np.ndarray) -> None:
    """Writes uint8 `[H, W]` as a PNG with a palette, uint8 `[256, 3]`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(ids)
    image.putpalette(colours.ravel().tolist())
    image.save(path)


def save_wide(path: Path, ids: np.ndarray) -> None:
    """Writes uint16 `[H, W]` as a grey PNG of 16 bits."""
    save(path, bytes(imagecodecs.png_encode(ids)))


def _numbered(splits: tuple[str, ...], count: int) -> Iterator[tuple[str, int]]:
    return ((split, number) for split in splits for number in range(count))


def _named(start: Path, ending: str) -> Path:
    return start.with_name(start.name + ending)


def _save_gt(folder: Path, stem: str, label: np.ndarray) -> None:
    """What ACDC and Dark Zurich have of a label."""
    ids = IDS.ids[label]
    save(folder / f"{stem}_gt_labelIds.png", images.encode(ids))
    save(folder / f"{stem}_gt_labelTrainIds.png", images.encode(label))
    save(folder / f"{stem}_gt_labelColor.png", images.encode(IDS.colours[ids]))
    invalid = np.where(label == IGNORE, 1, 0).astype(np.uint8)
    save(folder / f"{stem}_gt_invIds.png", images.encode(invalid))
