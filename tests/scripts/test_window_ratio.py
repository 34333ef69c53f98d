"""Shares of windows without impurity: of drawn scenes against slow loops, and of a run."""

import importlib

import numpy as np
import pytest
import tiny
import waiting

from cbda_jax.annotation import QueryLog
from cbda_jax.data.datasets.synthetic_city import draw_scene
from cbda_jax.errors import InputError
from cbda_jax.run import experiment


@pytest.fixture
def window_ratio(monkeypatch):
    # It imports the module beside it.
    monkeypatch.syspath_prepend(waiting.ROOT / "scripts")
    return importlib.import_module("window_ratio")


def _estimate(window_ratio, geometry, **settings):
    return window_ratio.estimate(geometry, window_ratio.scenes(geometry, 2), **settings)


def _of_one_class(prediction, radius):
    height, width = prediction.shape
    found = 0
    for row in range(height):
        for col in range(width):
            window = prediction[
                max(row - radius, 0) : row + radius + 1, max(col - radius, 0) : col + radius + 1
            ]
            found += len(np.unique(window)) == 1
    return found / (height * width)


def test_windows_of_a_network_that_knows_every_pixel_are_those_of_the_labels(window_ratio):
    geometry = window_ratio.read_geometry("32x64:32x64:32x64")
    shares = _estimate(window_ratio, geometry, radii=(1, 2), rounds=1)
    labels = [draw_scene("target", 1_000_000 + i, 32, 64)[1] for i in range(2)]
    for radius, found in zip((1, 2), shares.pixels, strict=True):
        expected = np.mean([_of_one_class(label, radius) for label in labels])
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_picks_are_impure_first_and_boundaries_run_out(window_ratio):
    geometry = window_ratio.read_geometry("64x128:32x64:16x32")
    shares = _estimate(window_ratio, geometry, budget=0.3, rounds=3)
    assert shares.picks[0] < shares.picks[-1]
    assert list(shares.picks) == sorted(shares.picks)
    assert 0 <= shares.picks[0] < 0.2
    assert shares.picks[-1] > 0.5


def test_the_larger_the_native_size_the_rarer_are_boundaries(window_ratio):
    shares = [
        _estimate(window_ratio, window_ratio.read_geometry(text), rounds=1).pixels[0]
        for text in ("32x64:32x64:16x32", "64x128:32x64:16x32", "128x256:32x64:16x32")
    ]
    assert shares == sorted(shares)


def test_logits_are_logarithms_of_shares(window_ratio):
    label = np.array([[0, 1, 255, 255], [0, 0, 2, 255]], np.uint8)
    logits = window_ratio.knowing_logits(label, (1, 2), 3)
    shares = np.array([[[0.75, 0.25, 0, 0], [0, 0, 0.25, 0.75]]])
    np.testing.assert_allclose(logits, np.log(shares + 0.01), rtol=1e-5)


@pytest.mark.parametrize("text", ["96x192", "96x192:96x192:", "16x32:16x32:8x16", "64x64:0x9:9x9"])
def test_what_is_no_geometry(text, window_ratio):
    with pytest.raises(InputError, match="--geometry: "):
        window_ratio.read_geometry(text)


def test_a_config_is_estimated_by_its_own_labels(tmp_path, monkeypatch, window_ratio):
    tiny.use(monkeypatch)
    config = tiny.scenes("method=ripu", tmp_path, native=2)
    geometry, labels, classes = window_ratio.of_config(config, 5)
    # The network's stride is 2.
    assert str(geometry) == "64x128:32x64:16x32"
    assert classes == 19
    expected = _estimate(window_ratio, geometry, rounds=2)
    assert window_ratio.estimate(geometry, labels, rounds=2) == expected


@pytest.mark.slow
def test_a_run_is_measured(tmp_path, monkeypatch, capsys, window_ratio):
    tiny.use(monkeypatch)
    config = tiny.scenes("method=ripu,steps=4,budget=0.5", tmp_path / "data", native=2)
    config.acquisition.rounds = (1, 2)
    experiment.run(config, tmp_path / "run")
    window_ratio.main(["--workdir", str(tmp_path / "run"), "--radius", "1", "2"])
    header, _, line = capsys.readouterr().out.splitlines()[-3:]
    names = [cell.strip() for cell in header.split("|")[1:-1]]
    cells = dict(zip(names, (cell.strip() for cell in line.split("|")[1:-1]), strict=True))
    assert cells["native : seen : output"] == "64x128:32x64"
    assert cells["training pixels a region"] == "2.25"
    assert 0 < float(cells["5 x 5 of one class %"]) < float(cells["3 x 3 of one class %"]) < 100
    for place, queries in enumerate(QueryLog(tmp_path / "run" / "queries").rounds, 1):
        unranked = 100 * np.mean(queries.score <= 0)
        assert cells[f"of picks, round {place} %"] == f"{unranked:.1f}"
    with pytest.raises(SystemExit):
        window_ratio.main(["--workdir", str(tmp_path / "nothing")])
    assert "no run found" in capsys.readouterr().err
