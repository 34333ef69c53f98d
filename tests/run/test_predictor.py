"""Predictions of folders of images, and of data sets without labels."""

import numpy as np
import own_data
import pytest
import tiny
from PIL import Image

from cbda_jax.data import labels
from cbda_jax.errors import InputError
from cbda_jax.label_space import LabelSpace
from cbda_jax.run import experiment, predictor


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    tiny.use(monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    own_data.write(folder / "files" / "yard")
    return folder


@pytest.fixture
def run(folder):
    """A run of a step; made once."""
    config = own_data.config_of(folder)
    if not (folder / "run").exists():
        experiment.run(config, folder / "run", until=1)
    return config, folder / "run"


def save(path, height, width):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_folder_of_images(run, tmp_path):
    config, workdir = run
    save(tmp_path / "in" / "a.png", 32, 48)
    save(tmp_path / "in" / "deep" / "b.jpg", 20, 30)
    predictor.predict(config, workdir, tmp_path / "in", tmp_path / "out")
    assert sorted(
        p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.rglob("out/**/*.*")
    ) == [*("labels/a.png", "labels/deep/b.png", "overlays/a.png", "overlays/deep/b.png")]
    for name, shape in (("a", (32, 48)), ("deep/b", (20, 30))):
        label = read(tmp_path / "out" / "labels" / f"{name}.png")
        assert label.shape == shape
        assert {*np.unique(label)} <= {*own_data.VALUES}
        assert read(tmp_path / "out" / "overlays" / f"{name}.png").shape == (*shape, 3)


def test_what_is_there_is_not_overwritten(run, tmp_path):
    config, workdir = run
    save(tmp_path / "in" / "a.png", 32, 48)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("...")
    with pytest.raises(InputError, match="out: files found, expected a new or an empty folder"):
        predictor.predict(config, workdir, tmp_path / "in", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_predictions_are_those_of_an_evaluation(run, tmp_path):
    config, workdir = run
    experiment.run(config, workdir, mode="evaluate")
    predictor.predict(config, workdir, out=tmp_path / "out")
    for path in (tmp_path / "out" / "labels").rglob("*.png"):
        name = path.relative_to(tmp_path / "out" / "labels").with_suffix("")
        (evaluated,) = workdir.glob(f"evaluations/*/predictions/{name}_pred.png")
        assert path.read_bytes() == evaluated.read_bytes()
    assert len(list((tmp_path / "out" / "labels").rglob("*.png"))) == 3


def test_many_sizes_are_predicted_at_one(run, tmp_path, capsys):
    config, workdir = run
    for number in range(9):
        save(tmp_path / "in" / f"{number}.png", 20 + number, 30)
    predictor.predict(config, workdir, tmp_path / "in", tmp_path / "out")
    assert "note: images of many sizes" in capsys.readouterr().err
    for number in range(9):
        assert read(tmp_path / "out" / "labels" / f"{number}.png").shape == (20 + number, 30)


def test_a_test_split_without_labels(folder, tmp_path):
    own_data.write(tmp_path / "files" / "yard")
    splits = {
        "train": {"images": "train/{day}/{id}.jpg", "labels": "train_ids/{day}/{id}.png"},
        "test": {"images": "test/{day}/{id}.jpg"},
    }
    config = own_data.config_of(tmp_path, splits=splits)
    config.data.val = "yard/train"
    with pytest.raises(InputError, match=r"data\.test: 'yard/test' with 3 images without labels"):
        experiment.run(config, tmp_path / "run", until=1)
    config.data.test = "yard/train"
    experiment.run(config, tmp_path / "run", until=1)
    config.data.test = "yard/test"
    predictor.predict(config, tmp_path / "run")
    assert read(tmp_path / "run" / "predicted" / "labels" / "day_1" / "1.png").shape == (32, 48)


def test_another_runs_workdir_as_weights(run, tmp_path):
    config, workdir = run
    save(tmp_path / "in" / "a.png", 32, 48)
    predictor.predict(config, workdir, tmp_path / "in", tmp_path / "one")
    with pytest.raises(InputError, match="no run found"):
        predictor.predict(config, tmp_path / "none", tmp_path / "in", tmp_path / "two")
    config.pretrained = str(workdir)
    predictor.predict(config, tmp_path / "none", tmp_path / "in", tmp_path / "two")
    names = ("labels/a.png", "overlays/a.png")
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert not (tmp_path / "none").exists()


def test_colours_are_written_where_labels_are_painted(folder, tmp_path):
    config = own_data.config_of(folder, encoding="colour", values=None, void=[(0, 0, 0)])
    palette = np.array([*own_data.CLASSES.values()], np.uint8)
    space = LabelSpace("yard", tuple(own_data.CLASSES), palette)
    encoding = predictor.encoding_of(config, "target", space)
    written = labels.write(np.array([[0, 1, 2, 255]], np.uint8), encoding, space)
    np.testing.assert_array_equal(labels.read_values(written, "x.png", encoding), [[0, 1, 2, 3]])
    (tmp_path / "x.png").write_bytes(written)
    assert read(tmp_path / "x.png")[0].tolist() == [
        *map(list, own_data.CLASSES.values()),
        [0, 0, 0],
    ]


def test_an_overlay_is_half_of_each():
    space = LabelSpace("two", ("a", "b"), np.array([(200, 0, 0), (0, 0, 100)], np.uint8))
    image = np.full((1, 3, 3), 100, np.uint8)
    mixed = predictor.overlay(image, np.array([[0, 1, 255]], np.uint8), space)
    assert mixed[0].tolist() == [[150, 50, 50], [50, 50, 100], [50, 50, 50]]
