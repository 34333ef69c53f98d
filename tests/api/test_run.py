"""A run of a few steps, read back in Python: everything agrees with the files that it left."""

import json
import shutil
import sys
from pathlib import Path

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import own_data
import pytest
import tiny
from PIL import Image

import cbda_jax
from cbda_jax import annotation, models, resize
from cbda_jax.errors import InputError
from cbda_jax.run import predictor
from cbda_jax.run.logits import over_mirror_images


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    tiny.use(monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("api")
    own_data.write(folder / "files" / "yard")
    return folder


def config_of(folder):
    config = own_data.config_of(folder)
    config.report.log_every = 2
    config.evaluation.every = 2
    return config


@pytest.fixture
def run(folder):
    """Of all its steps; made once."""
    if not (folder / "run").exists():
        cbda_jax.train(config_of(folder), folder / "run")
    return cbda_jax.open_run(folder / "run")


def test_figures(run):
    found = run.figures()
    assert found["step"].dtype == np.int64
    assert found["step"].tolist()[-1] == 4
    result = run.result
    assert found["miou"][-1] == result["evaluation"]["miou"]
    assert found["iou.grass"][-1] == pytest.approx(result["evaluation"]["iou"]["grass"])
    assert run.figures("train")["step"].tolist() == [2, 4]
    assert np.isfinite(run.figures("train")["loss"]).all()
    assert run.figures("round")["picked"].tolist() == [len(run.queries()[0])]
    with pytest.raises(InputError, match=r"'evaluations' found.*did you mean 'evaluation'"):
        run.figures("evaluations")


def test_picks_and_answers(run):
    (queries,), (answers,), picks = run.queries(), run.answers(), run.picks()
    assert picks["row"].tolist() == queries.row.tolist()
    assert picks["image_id"].tolist() == [queries.image_ids[i] for i in queries.image]
    assert (picks["answered"] == answers.patches[:, 1, 1]).all()
    assert picks["round"].tolist() == [1] * len(queries)
    assert picks["step"].tolist() == [2] * len(queries)
    for image_id in run.image_ids:
        label = run.label(image_id)
        own = picks["image_id"] == image_id
        assert (label[picks["row"][own], picks["col"][own]] == picks["answered"][own]).all()
    asked = sum((run.label(i) != annotation.VOID).sum() for i in run.image_ids)
    assert 0 < asked == run.figures("round")["pixels"][0] - run.figures("round")["void_pixels"][0]


def test_frames(run):
    pandas = pytest.importorskip("pandas")
    frame = run.frame("picks")
    pandas.testing.assert_frame_equal(frame, pandas.DataFrame(run.picks()))
    assert run.frame()["miou"].iloc[-1] == run.result["evaluation"]["miou"]


def test_without_pandas(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match=r"pandas, which it needs, not found; .*\[notebook\]"):
        run.frame()


def test_what_was_asked_is_read_without_the_images(run, folder, tmp_path):
    shutil.copytree(folder / "run", tmp_path / "copy")
    other = cbda_jax.open_run(tmp_path / "copy")
    other.config.data.root = other.config.data.dir = str(tmp_path / "nowhere")
    assert other.picks()["row"].tolist() == run.picks()["row"].tolist()
    assert len(other.answers()) == 1
    with pytest.raises(InputError, match="nowhere"):
        _ = other.image_ids


def test_predictions_are_those_of_the_command(run, folder, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "a.png")
    predictor.predict(config_of(folder), run.workdir, tmp_path / "in", tmp_path / "out")
    with Image.open(tmp_path / "out" / "labels" / "a.png") as image:
        written = np.asarray(image)
    found = run.predict(pixels)
    np.testing.assert_array_equal(np.array(own_data.VALUES)[found], written)
    np.testing.assert_array_equal(run.predict(Path(tmp_path / "in" / "a.png")), found)
    image_id = run.image_ids[0]
    assert run.predict(image_id).shape == (own_data.HEIGHT, own_data.WIDTH)
    np.testing.assert_array_equal(run.predict(run.image(image_id)), run.predict(image_id))


def test_score_maps(run):
    """Those of the run's method, which looks at mirror images too, are RIPU's of their mean."""
    image_id = run.image_ids[1]
    found = run.score_map(image_id)
    assert (found.shape, found.dtype) == ((own_data.HEIGHT, own_data.WIDTH), np.float32)
    image = models.normalize(jnp.asarray(run.image(image_id))[None])
    logits = over_mirror_images(run.network, image)[0]
    maps = cbda_jax.acquisition.region_scores(logits, size=found.shape)
    np.testing.assert_allclose(found, maps.score, atol=1e-5)
    entropy = run.score_map(image_id, score="entropy")
    np.testing.assert_allclose(entropy, maps.uncertainty, atol=1e-5)
    pixels = np.zeros((24, 40, 3), np.uint8)
    assert run.score_map(pixels).shape == (24, 40)
    with pytest.raises(InputError, match=r"'entrop' found.*did you mean 'entropy'"):
        run.score_map(image_id, score="entrop")


def test_a_drawn_score_map_shows_the_picks(run):
    picks = run.picks()
    image_id = str(picks["image_id"][0])
    axes = run.draw_score_map(image_id)
    (points,) = axes.lines
    own = picks["image_id"] == image_id
    assert points.get_xdata().tolist() == picks["col"][own].tolist()
    assert points.get_ydata().tolist() == picks["row"][own].tolist()
    assert not run.draw_score_map(np.zeros((24, 40, 3), np.uint8)).lines


def test_the_exported_network_has_its_logits(run, tmp_path):
    about = run.export(tmp_path / "net.stablehlo")
    loaded = jax.export.deserialize(bytearray((tmp_path / "net.stablehlo").read_bytes()))
    pixels = run.image(run.image_ids[0])[None]
    logits = run.network(models.normalize(jnp.asarray(pixels)))
    expected = resize.bilinear(logits, pixels.shape[1:3])
    np.testing.assert_allclose(loaded.call(pixels), expected, atol=1e-4)
    said = json.loads(about.read_text())
    assert said["classes"] == [*own_data.CLASSES]
    assert said["palette"] == [[*colour] for colour in own_data.CLASSES.values()]
    assert said["step"] == 4
    assert said["output"]["shape"] == ["batch", own_data.HEIGHT, own_data.WIDTH, 3]
    run.export(tmp_path / "half.stablehlo", dtype="bfloat16", size=(16, 24))
    said = json.loads((tmp_path / "half.stablehlo.json").read_text())
    assert (said["dtype"], said["input"]["shape"][1:3]) == ("bfloat16", [16, 24])
    assert run.config.dtype == "float32"


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("day_0/9", r"image 'day_0/9' found, expected one of the 3 target images.*did you mean"),
        (Path("nowhere.png"), r"nowhere\.png: cannot be read"),
        (np.zeros((3, 4), np.uint8), r"uint8\[3, 4\] found, expected RGB uint8 \[H, W, 3\]"),
        (np.zeros((3, 4, 3)), r"float64\[3, 4, 3\] found"),
    ],
)
def test_images_that_are_none(run, image, message):
    with pytest.raises(InputError, match=message):
        run.predict(image)


def test_a_run_that_has_only_begun(folder):
    """Nothing was asked; there is a checkpoint."""
    begun = cbda_jax.train(config_of(folder), folder / "begun", until=1)
    assert begun.result is None
    assert begun.figures() == {}
    assert begun.answers() == begun.queries() == []
    assert {len(column) for column in begun.picks().values()} == {0}
    assert begun.predict(begun.image_ids[0]).shape == (own_data.HEIGHT, own_data.WIDTH)
    # A later step is read by a run that is opened then.
    cbda_jax.train(config_of(folder), folder / "begun", until=3)
    assert len(begun.answers()) == 1
