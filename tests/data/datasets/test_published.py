"""The published data sets that are declared, each on a stand-in in its own layout and formats."""

import dataclasses
import functools
import importlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image

from cbda_jax.data import prepare
from cbda_jax.data.datasets import idd, mapillary
from cbda_jax.data.datasets.camvid import OF_CITYSCAPES as CAMVID_OF_DRAWN
from cbda_jax.data.datasets.synthetic_city import draw_scene
from cbda_jax.data.records import open_records
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19, IGNORE
from cbda_jax.run import experiment
from configs import synthetic

SIZE, LABEL_SIZE, IMAGES = (32, 64), (36, 64), 2
SCRIPTS = Path(__file__).parents[3] / "scripts"

# Drawn class -> class of the data set, where it is another; None: there is none.
IDD_OF_DRAWN = {"terrain": "non-drivable fallback", "train": None}
MAPILLARY_OF_DRAWN = {
    "traffic sign": "traffic sign (front)",
    "rider": "other rider",
    "train": "on rails",
}
UAVID_OF_DRAWN = {
    **dict.fromkeys(CITYSCAPES_19.classes, "clutter"),
    **dict.fromkeys(("building", "wall"), "building"),
    **dict.fromkeys(("person", "rider"), "human"),
    **dict.fromkeys(("truck", "bus"), "static car"),
    "car": "moving car",
    "road": "road",
    "vegetation": "tree",
    "terrain": "low vegetation",
}


@dataclasses.dataclass(frozen=True)
class Published:
    """What is expected of a data set.

    Attributes:
        scale: of its stand-in.
        splits: name -> ids.
        beside: patterns of files that must not be taken.
        unlabelled: splits without labels.
        classes: how many.
        of_drawn: drawn class -> its class.
        void: its class where nothing was drawn.
        to_cityscapes: its class -> Cityscapes', for a run with these.
        pool: the labelled split that a run asks about.
    """

    scale: float
    splits: Mapping[str, tuple[str, str]]
    beside: tuple[str, ...]
    unlabelled: tuple[str, ...] = ("test",)
    classes: int = 19
    of_drawn: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    void: str | None = None
    to_cityscapes: Mapping[str, str | None] | None = None
    pool: str = "train"


def _two(pattern, *numbers):
    first, second = numbers or (0, 1)
    return pattern.format(first), pattern.format(second)


PUBLISHED = {
    "acdc": Published(
        1 / 30,
        dict.fromkeys(
            ("train", "val", "test"),
            ("fog/GOPR0475/GOPR0475_frame_000041", "night/GOPR0475/GOPR0475_frame_000042"),
        ),
        ("*/train_ref/*/*_rgb_ref_anon.png", "*_gt_labelTrainIds.png", "*_gt_labelColor.png"),
    ),
    "bdd100k": Published(
        1 / 20,
        dict.fromkeys(("train", "val", "test"), _two("0004a4c{}-d4dff986")),
        ("colormaps/train/*.png", "polygons/*.json"),
    ),
    "camvid": Published(
        1 / 10,
        {
            "train": _two("0001TP_00{}", 6690, 6720),
            "val": _two("0016E5_00{}", 6690, 6720),
            "test": _two("Seq05VD_f_00{}", 6690, 6720),
        },
        ("train.txt",),
        unlabelled=(),
        classes=11,
        of_drawn=CAMVID_OF_DRAWN,
    ),
    "camvid_colours": Published(
        1 / 20,
        {"train": _two("0001TP_00{}", 6690, 6720)},
        ("label_colors.txt", "Thumbs.db"),
        unlabelled=(),
        classes=11,
        of_drawn=CAMVID_OF_DRAWN,
    ),
    "dark_zurich": Published(
        1 / 30,
        {
            **dict.fromkeys(
                ("train", "train_twilight", "train_day"),
                _two("GOPR0351/GOPR0351_frame_00009{}"),
            ),
            "val": _two("GOPR0356/GOPR0356_frame_00009{}"),
            "test": _two("GOPR0364/GOPR0364_frame_00009{}"),
        },
        ("val_ref/day/*/*_ref_rgb_anon.png", "*_gt_labelIds.png", "*_gt_labelColor.png"),
        unlabelled=("train", "train_twilight", "train_day", "test"),
        pool="val",
    ),
    "foggy_cityscapes": Published(
        1 / 32,
        {
            "train": _two("aachen_00000{}_000019"),
            "val": _two("lindau_00000{}_000019"),
            "test": _two("berlin_00000{}_000019"),
        },
        ("*_beta_0.01.png", "*_beta_0.005.png", "*_labelTrainIds.png", "*_polygons.json"),
    ),
    "idd": Published(
        1 / 30,
        dict.fromkeys(("train", "val", "test"), ("201/frame0029", "202/frame0030")),
        ("*_instancelevel3Ids.png", "*_polygons.json"),
        classes=26,
        of_drawn=IDD_OF_DRAWN,
        to_cityscapes=idd.TO_CITYSCAPES,
    ),
    "kitti": Published(
        1 / 10,
        dict.fromkeys(("train", "test"), _two("00000{}_10")),
        ("training/semantic_rgb/*.png", "training/instance/*.png"),
    ),
    "mapillary": Published(
        1 / 70,
        {split: _two(f"-6-WLs7O63-6cwx-8adk{split[0]}{{}}") for split in ("train", "val", "test")},
        ("training/instances/*.png", "config.json"),
        classes=65,
        of_drawn=MAPILLARY_OF_DRAWN,
        to_cityscapes=mapillary.TO_CITYSCAPES,
    ),
    "uavid": Published(
        1 / 60,
        dict.fromkeys(("train", "val", "test"), ("seq1/000000", "seq2/000000")),
        ("Images/Thumbs.db",),
        classes=8,
        of_drawn=UAVID_OF_DRAWN,
        void="clutter",
    ),
}


class Scenes:
    """Draws scenes for a stand-in, and keeps them."""

    def __init__(self, scale):
        self.scale, self.drawn = scale, []

    def __call__(self, domain, size):
        size = (max(32, round(n * self.scale)) for n in size)
        self.drawn.append(draw_scene(domain, len(self.drawn), *size))
        return self.drawn[-1]


@pytest.fixture(scope="module")
def layouts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        return importlib.import_module("sample_layouts").LAYOUTS


@pytest.fixture(scope="module")
def stand_in(layouts, tmp_path_factory):
    """`stand_in(name)`: the folder above a data set's, and what was drawn, in order."""

    @functools.cache
    def write(name):
        scenes = Scenes(PUBLISHED[name].scale)
        above = tmp_path_factory.mktemp(name)
        layouts[name](above / name, IMAGES, scenes)
        return above, scenes.drawn

    return write


@pytest.fixture(autouse=True)
def small_labels(monkeypatch):
    """Of data sets whose labels have one size: as large as the stand-ins, which are scaled."""
    small = {
        declaration.name: dataclasses.replace(declaration, label_size=LABEL_SIZE)
        for declaration in (idd.IDD, mapillary.MAPILLARY)
    }
    monkeypatch.setattr(prepare, "_BUILDERS", prepare._BUILDERS | small)


def expected(published, classes, label):
    """Drawn train ids in classes of a data set."""
    table = np.full(256, IGNORE, np.uint8)
    for drawn_id, drawn in enumerate(CITYSCAPES_19.classes):
        name = published.of_drawn.get(drawn, drawn)
        table[drawn_id] = IGNORE if name is None else classes.index(name)
    table[IGNORE] = IGNORE if published.void is None else classes.index(published.void)
    return table[label]


def nearest(label, size):
    return np.asarray(Image.fromarray(label).resize(size[::-1], Image.Resampling.NEAREST))


def test_all_that_are_declared_are_tested(layouts):
    elsewhere = {"cityscapes", "gtav", "synthia", "synthetic_city"}
    assert {*prepare.known_datasets()} == layouts.keys() | elsewhere == PUBLISHED.keys() | elsewhere


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_stand_in_is_read_as_it_was_drawn(stand_in, tmp_path, name, capsys):
    published = PUBLISHED[name]
    above, drawn = stand_in(name)
    assert all(any((above / name).rglob(pattern)) for pattern in published.beside)
    opened = functools.partial(open_records, data_dir=tmp_path, root=above / name, size=SIZE)
    splits = {split: opened(f"{name}/{split}") for split in published.splits}
    # Left out, with a note, is nothing: what lies beside does not look like an image or label.
    assert "note:" not in capsys.readouterr().out
    assert prepare.find_splits(
        prepare.create_builder(name, data_dir=tmp_path, root=above / name, size=SIZE)
    ) == tuple(sorted(splits))
    space = prepare.find_dataset(name).space
    for number, (split, records) in enumerate(splits.items()):
        assert records.ids == published.splits[split]
        assert records.labelled == (split not in published.unlabelled)
        assert (records.classes, records.num_classes) == (space.classes, published.classes)
        for index in range(IMAGES):
            image, label = drawn[number * IMAGES + index]
            small = Image.fromarray(image).resize(SIZE[::-1], Image.Resampling.BICUBIC)
            # JPEG, or fog, changes them a little.
            difference = np.abs(records.image(index) - np.asarray(small, np.float32)).mean()
            assert difference < (60 if name == "foggy_cityscapes" else 5)
            found = records.label(index)
            if not records.labelled:
                assert (found == IGNORE).all()
                continue
            wanted = expected(published, records.classes, label)
            if name == "kitti":
                wanted[:2, :2] = IGNORE  # licence plates
            if name in ("idd", "mapillary"):
                wanted = nearest(wanted, LABEL_SIZE)
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", ["idd", "mapillary"])
def test_labels_in_the_classes_of_cityscapes(stand_in, tmp_path, name):
    published = PUBLISHED[name]
    above, drawn = stand_in(name)
    records = open_records(
        name,
        data_dir=tmp_path,
        root=above / name,
        size=SIZE,
        label_space="cityscapes_19",
        mapping=published.to_cityscapes,
        native_labels=False,
    )
    for index in range(IMAGES):
        label = drawn[index][1].copy()
        if name == "idd":
            label[label == CITYSCAPES_19.classes.index("train")] = IGNORE
        np.testing.assert_array_equal(records.label(index), nearest(label, SIZE))


@pytest.mark.parametrize("name", ["idd", "mapillary"])
def test_mappings_are_complete(name):
    encoding = prepare.find_dataset(name).encoding
    mapping = PUBLISHED[name].to_cityscapes
    assert {*mapping} == {*encoding.names}
    table = encoding.mapped(mapping, CITYSCAPES_19).table(CITYSCAPES_19)
    lost = {"train"} if name == "idd" else set()
    assert {CITYSCAPES_19.classes[i] for i in {*table.tolist()} - {IGNORE}} == {
        *CITYSCAPES_19.classes
    } - lost
    # Some that every paper maps alike.
    for drawn in ("road", "car", "sky", "bus"):
        assert mapping[drawn] == drawn


def test_values_as_published():
    """Some of each, as the authors' tools have them."""
    found = {name: prepare.find_dataset(name).encoding for name in PUBLISHED}
    assert found["idd"].classes[22] == "building"
    assert found["idd"].classes[25] == "sky"
    assert found["idd"].classes[255] is None
    assert found["mapillary"].classes[13] == "road"
    assert found["mapillary"].classes[55] == "car"
    assert found["mapillary"].colours[31] == (0, 170, 30)
    assert found["mapillary"].classes[65] is None
    assert found["bdd100k"].classes[18] == "bicycle"
    assert found["acdc"].classes[33] == found["kitti"].classes[33] == "bicycle"
    assert found["kitti"].classes[255] is None
    painted = {
        found["uavid"].classes[value]: colour for value, colour in found["uavid"].colours.items()
    }
    assert painted["static car"] == (192, 0, 192)
    assert painted["tree"] == (0, 128, 0)


def test_mapillary_of_version_two(stand_in, tmp_path):
    """Labels of both versions, of which those of 1.2 are read."""
    above, _ = stand_in("mapillary")
    root = tmp_path / "mapillary"
    for split in ("training", "validation"):
        for path in (above / "mapillary" / split).rglob("*.*"):
            of_labels = path.parent.name != "images"
            for version in ("v1.2", "v2.0") if of_labels else ("",):
                copy = root / split / version / path.parent.name / path.name
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(b"no PNG" if version == "v2.0" else path.read_bytes())
    opened = functools.partial(open_records, "mapillary", data_dir=tmp_path / "data", size=SIZE)
    two, one = opened(root=root), opened(root=above / "mapillary")
    assert two.ids == one.ids
    np.testing.assert_array_equal(two.label(1), one.label(1))


def test_folders_that_archives_make(stand_in, tmp_path):
    """Each archive extracted to a folder of its name."""
    above, _ = stand_in("acdc")
    for inside, folder in (("rgb_anon", "rgb_anon_trainvaltest"), ("gt", "gt_trainval")):
        (tmp_path / "acdc" / folder).mkdir(parents=True)
        (tmp_path / "acdc" / folder / inside).symlink_to(above / "acdc" / inside)
    records = open_records(
        "acdc/val", data_dir=tmp_path / "data", root=tmp_path / "acdc", size=SIZE
    )
    assert records.ids == PUBLISHED["acdc"].splits["val"]


@pytest.mark.parametrize("name", PUBLISHED)
def test_archives_are_found_in_as_folders_are(stand_in, tmp_path, name):
    above, _ = stand_in(name)
    (tmp_path / name).mkdir()
    with zipfile.ZipFile(tmp_path / name / "all.zip", "w") as archive:
        for path in (above / name).rglob("*.*"):
            archive.write(path, path.relative_to(above))
    builder = prepare.create_builder(name, data_dir=tmp_path, root=tmp_path / name)
    found = builder.pairs(tmp_path / name)
    splits = {split: tuple(pair.image_id for pair in pairs) for split, pairs in found.items()}
    assert splits == PUBLISHED[name].splits
    assert not builder.notes


def test_a_condition_alone(stand_in, tmp_path):
    above, _ = stand_in("acdc")
    fog = PUBLISHED["acdc"].splits["val"][0]
    (tmp_path / "fog.txt").write_text(f"val/{fog.rpartition('/')[2]}\n")
    opened = functools.partial(open_records, "acdc/val", data_dir=tmp_path, size=SIZE)
    with pytest.raises(InputError, match="listed images that are not there"):
        opened(root=above / "acdc", files=tmp_path / "fog.txt")
    (tmp_path / "fog.txt").write_text(f"rgb_anon/{fog.replace('/', '/val/', 1)}_rgb_anon.png\n")
    assert opened(root=above / "acdc", files=tmp_path / "fog.txt").ids == (fog,)


def test_label_files_of_another_kind_are_refused(stand_in, tmp_path):
    """Train ids where label ids are declared: a class would be taken for another."""
    above, _ = stand_in("acdc")
    for path in (above / "acdc" / "gt").rglob("*_gt_labelTrainIds.png"):
        copy = tmp_path / "acdc" / path.relative_to(above / "acdc")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.with_name(copy.name.replace("TrainIds", "Ids")).write_bytes(path.read_bytes())
    (tmp_path / "acdc" / "rgb_anon").symlink_to(above / "acdc" / "rgb_anon")
    with pytest.raises(InputError, match="train ids"):
        open_records("acdc", data_dir=tmp_path / "data", root=tmp_path / "acdc", size=SIZE)


def config_of(name, above, folder):
    published = PUBLISHED[name]
    config = synthetic.get_config("method=ripu,steps=2")
    config.data.root, config.data.dir = str(above), str(folder / "prepared")
    config.data.target = f"{name}/{published.pool}"
    config.data.val = config.data.test = f"{name}/{'val' if 'val' in published.splits else 'train'}"
    config.data.source_size = config.data.target_size = SIZE
    for split in ("source_train", "target_train", "target_val", "target_test"):
        config.data.synthetic_city[split] = 2
    if published.to_cityscapes:
        config.data.target_mapping = dict(published.to_cityscapes)
    elif published.classes != 19:
        config.label_space = name
        if published.of_drawn is CAMVID_OF_DRAWN:
            config.data.source_mapping = CAMVID_OF_DRAWN
        else:
            config.data.source = f"{name}/train"
    # Of the optimizers, the one that keeps types as strictly as the tests do.
    config.training.optimizer = "sgd"
    config.acquisition.rounds = (1,)
    config.acquisition.batch_per_device = config.evaluation.batch_per_device = 1
    config.evaluation.every = 0
    config.data.source_batch = config.data.target_batch = 1
    config.evaluation.flip = False
    config.report.gallery = 0
    return config


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_run_on_it(stand_in, tmp_path, monkeypatch, name):
    tiny.use(monkeypatch)
    # Its drawings take as long as all the rest.
    monkeypatch.setattr("cbda_jax.reporting.report.write_report", lambda *_, **__: "no report")
    above, _ = stand_in(name)
    config, workdir = config_of(name, above, tmp_path), tmp_path / "run"
    experiment.run(config, workdir)
    result = json.loads((workdir / "result.json").read_text())
    assert 0 <= result["evaluation"]["miou"] <= 1
    (round_1,) = result["rounds"]
    assert round_1["picked"] > 0
    with np.load(workdir / "queries" / "round_01.npz") as log:
        assert {*log["image"].tolist()} <= {0, 1}
    experiment.run(config, workdir, mode="evaluate")
    (folder,) = workdir.glob("evaluations/step_2-*/predictions")
    split = config.data.test.partition("/")[2]
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    assert written == {f"{image_id}_pred.png" for image_id in PUBLISHED[name].splits[split]}
