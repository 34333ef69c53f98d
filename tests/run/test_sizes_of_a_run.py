"""A whole run over a target whose files are of three sizes."""

import json

import numpy as np
import pytest
import tiny
from PIL import Image

from cbda_jax.annotation import QueryLog
from cbda_jax.data.datasets.cityscapes_ids import LABEL_IDS
from cbda_jax.data.records import open_records
from cbda_jax.evaluation import scores
from cbda_jax.label_space import CITYSCAPES_19
from cbda_jax.run import experiment

SIZES = {
    "train": {"aachen": (32, 64), "bonn": (40, 36), "hanau": (24, 48), "ulm": (32, 64)},
    "val": {"jena": (40, 36), "lindau": (24, 48), "wesel": (40, 36)},
}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    tiny.use(monkeypatch, devices=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Stripes of a few classes, in Cityscapes' layout."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, cities in SIZES.items():
        for city, (height, width) in cities.items():
            stripes = rng.choice([7, 11, 23, 26, 4], size=(1, width // 4)).repeat(4, axis=1)
            ids = np.broadcast_to(stripes, (height, width)).astype(np.uint8)
            noise = rng.integers(0, 60, (height, width, 3))
            image = (np.stack([7 * ids, 255 - 9 * ids, ids], -1) // 2 + noise).astype(np.uint8)
            for kind, ending, array in (
                ("leftImg8bit", "leftImg8bit", image),
                ("gtFine", "gtFine_labelIds", ids),
            ):
                path = folder / "files" / "cityscapes" / kind / split / city
                path.mkdir(parents=True)
                Image.fromarray(array).save(path / f"{city}_000000_000019_{ending}.png")
    return folder


def config_of(folder):
    config = tiny.scenes("method=cbda_predicted,steps=6", folder / "prepared", size=(32, 48))
    config.data.root = str(folder / "files")
    config.data.target = "cityscapes/train"
    config.data.val = config.data.test = "cityscapes/val"
    config.acquisition.budget = 0.1
    config.acquisition.batch_per_device = config.evaluation.batch_per_device = 1
    config.evaluation.every = 3
    config.evaluation.flip = False
    config.report.gallery = 3
    return config


def numbers(workdir):
    """Queries, answers and everything that was measured but time."""
    files = {
        path.relative_to(workdir): path.read_bytes()
        for name in ("queries", "answers")
        for path in sorted((workdir / name).iterdir())
    }
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    timed = ("time", "seconds", "steps_per_second", "data_wait_ms")
    kept = [{k: v for k, v in record.items() if k not in timed} for record in records]
    return files, sorted(kept, key=lambda r: (r["step"], r["kind"])), _result(workdir)["analysis"]


def _result(workdir):
    return json.loads((workdir / "result.json").read_text())


@pytest.mark.slow
def test_a_run_of_three_sizes_and_one_that_was_stopped(folder, tmp_path):
    config, workdir = config_of(folder), tmp_path / "run"
    experiment.run(config, workdir)
    target, val = (
        open_records(f"cityscapes/{split}", data_dir=folder / "prepared", prepare=False, **where)
        for split in SIZES
        for where in [{"root": folder / "files" / "cityscapes", "size": (32, 48)}]
    )
    assert target.sizes.tolist() == list(map(list, SIZES["train"].values()))
    result = _result(workdir)
    # ceil(pixels x 0.1 / 2 / 9) in each: 2,048, 1,440, 1,152 and 2,048 pixels.
    assert [r["requested"] for r in result["rounds"]] == 2 * [12 + 8 + 7 + 12]
    assert [r["leftover"] for r in result["rounds"]] == [0, 0]
    pixels = sum(r["pixels"] for r in result["rounds"])
    assert result["analysis"]["total"]["pixels"] == pixels
    fraction = pixels / target.sizes.prod(axis=1).sum()
    assert result["rounds"][-1]["fraction"] == result["evaluation"]["labelled_fraction"] == fraction
    assert 0.08 < fraction < 0.12
    for queries in QueryLog(workdir / "queries").rounds:
        sizes = dict(zip(target.ids, target.sizes, strict=True))
        own = np.array([sizes[queries.image_ids[image]] for image in queries.image])
        assert (np.stack([queries.row, queries.col], axis=1) < own).all()
        assert set(queries.image.tolist()) == {0, 1, 2, 3}
    for path in sorted((workdir / "gallery").iterdir()):
        with np.load(path) as kept:
            size = tuple(target.sizes[target.ids.index(str(kept["image_id"]))])
            assert {kept[name].shape for name in ("score", "prediction", "label")} == {size}
            assert kept["image"].shape == (32, 48, 3)

    # What is written of each image is what was counted.
    experiment.run(config, workdir, mode="evaluate")
    train_ids, confusion = LABEL_IDS.table(CITYSCAPES_19), np.zeros((19, 19), np.int64)
    (evaluated,) = (workdir / "evaluations").iterdir()
    for index, image_id in enumerate(val.ids):
        with Image.open(evaluated / "predictions" / f"{image_id}_pred.png") as image:
            prediction, label = train_ids[np.asarray(image)], val.label(index)
        assert prediction.shape == label.shape == tuple(val.sizes[index])
        known = label < 19
        np.add.at(confusion, (label[known], prediction[known]), 1)
    assert scores(confusion).miou == result["evaluation"]["miou"]

    # Between the rounds, then to the end.
    stopped = tmp_path / "stopped"
    experiment.run(config, stopped, until=3)
    assert not (stopped / "result.json").exists()
    assert len(list((stopped / "queries").iterdir())) == 1
    experiment.run(config, stopped)
    assert numbers(stopped) == numbers(workdir)
