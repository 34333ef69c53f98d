"""Nine images over devices and processes that share them unevenly: each counts once."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from processes import run
from scenes import CLASSES, IMAGES, Records, evaluate_and_acquire, share, train

from cbda_jax import sharding


@pytest.fixture(scope="module")
def alone():
    return evaluate_and_acquire(sharding.make_mesh(jax.devices()[:1]), (0, 1), 1)


def _confusion(records, predictions):
    found = np.zeros((CLASSES, CLASSES), np.int64)
    used = records.labels < CLASSES
    np.add.at(found, (records.labels[used], predictions[used]), 1)
    return found


def test_alone_every_image_counts_once(alone):
    records = Records()
    assert alone["kept"].tolist() == list(range(IMAGES))
    np.testing.assert_array_equal(
        alone["confusion"], _confusion(records, alone["predictions"]), strict=True
    )
    known = records.labels < CLASSES
    right = (records.labels == alone["predictions"]) & known
    expected = [known.sum(axis=(1, 2)), right.sum(axis=(1, 2))]
    np.testing.assert_array_equal(alone["counted"], expected)
    share = 1 - expected[1] / expected[0]
    assert alone["worst"].tolist() == np.argsort(-share, kind="stable")[:2].tolist()
    assert alone["held"].tolist() == [1, 1]
    # A network that knows nothing of the images would pass all that follows.
    assert len(np.unique(alone["predictions"][::2])) == CLASSES
    # Of 5 images four each, of 4 smaller ones two.
    assert len(alone["picked_row"]) == 4 * 5 + 2 * 4
    assert (np.diff(alone["picked_image"]) >= 0).all()


def _assert_same(found, alone):
    assert found.keys() == alone.keys()
    for name, value in alone.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name, strict=True)


@pytest.mark.parametrize(("devices", "batch"), [(2, 2), (4, 4), (2, 4), (4, 8)])
def test_devices_share_what_does_not_divide(devices, batch, alone):
    mesh = sharding.make_mesh(jax.devices()[:devices])
    _assert_same(evaluate_and_acquire(mesh, (0, 1), batch), alone)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_what_does_not_divide(count, alone, tmp_path):
    ended = run(share, count, tmp_path)
    assert [process.status for process in ended] == [0] * count, ended
    hosts = []
    for index in range(count):
        with np.load(tmp_path / f"{index}.npz") as arrays:
            hosts.append(dict(arrays))
    # In batches of four, so that the last one of a size has an image for the first process only.
    assert [len(host["kept"]) for host in hosts] == {2: [5, 4], 4: [3, 2, 2, 2]}[count]
    kept = np.concatenate([host.pop("kept") for host in hosts])
    predictions = np.concatenate([host.pop("predictions") for host in hosts])
    for host in hosts:
        together = {"kept": np.sort(kept), "predictions": predictions[np.argsort(kept)]}
        _assert_same(host | together, alone)


@pytest.mark.slow
def test_processes_train_and_ask_as_one_does(tmp_path):
    ran = {}
    for count in (1, 2, 4):
        workdir = tmp_path / str(count)
        flags = [
            f"--config={Path(__file__).parents[2]}/configs/synthetic.py:method=random_regions",
            f"--workdir={workdir}",
            f"--config.data.dir={tmp_path / 'data'}",
            *("--config.data.source_size=(32,64)", "--config.data.target_size=(32,64)"),
            *("--config.data.synthetic_city.source_train=6", "--config.data.synthetic_city.seed=1"),
            f"--config.data.synthetic_city.target_train={IMAGES}",
            *(f"--config.data.synthetic_city.target_{split}=3" for split in ("val", "test")),
            *("--config.training.steps=5", "--config.acquisition.rounds=(1,2)"),
            *("--config.acquisition.allocation=global", "--config.report.log_every=1"),
            *("--config.report.gallery=0", "--config.compilation_cache="),
        ]
        ended = run(train, count, flags)
        assert [process.status for process in ended] == [0] * count, ended
        metrics = [json.loads(x) for x in (workdir / "metrics.jsonl").read_text().splitlines()]
        losses = {record["step"]: record["loss"] for record in metrics if record["kind"] == "train"}
        asked = []
        for path in sorted((workdir / "queries").glob("round_*.npz")):
            with np.load(path) as log:
                # The class predicted there is the network's, which is trained to rounding.
                asked.append({name: log[name] for name in log if name != "predicted"})
        ran[count] = losses, asked
    losses, asked = ran.pop(1)
    assert len(losses) >= 2
    assert len(asked) == 2
    assert len(np.unique(asked[0]["image"])) > IMAGES / 2
    for other_losses, other_asked in ran.values():
        assert other_losses.keys() == losses.keys()
        np.testing.assert_allclose(list(other_losses.values()), list(losses.values()), rtol=1e-4)
        for one, other in zip(asked, other_asked, strict=True):
            assert one.keys() == other.keys()
            for name in one:
                np.testing.assert_array_equal(other[name], one[name], strict=True)
