"""A run of a declared data set, answered by a script over HTTP from its first round to its last."""

import json
import uuid

import numpy as np
import own_data
import pytest
import tiny
from starlette.testclient import TestClient

from cbda_jax.annotate.desk import Desk
from cbda_jax.annotate.photographs import open_target
from cbda_jax.annotate.pictures import Pictures
from cbda_jax.annotate.server import create_app
from cbda_jax.annotation import AnswersPending, QueryLog
from cbda_jax.annotation.people import Ledger, ledger_path
from cbda_jax.run import experiment

BASE = "http://127.0.0.1:8800"
# Not in the order of their names, nor of their values.
CLASSES = [("shed", (130, 60, 30)), ("grass", (40, 160, 40)), ("path", (170, 150, 120))]
VALUES = {"shed": 9, "grass": 3, "path": 5}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    tiny.use(monkeypatch)


def config_of(folder, oracle):
    config = own_data.config_of(folder, classes=CLASSES, values=VALUES)
    config.method = "cbda"
    config.annotation.oracle = oracle
    config.acquisition.unit = "pixel"
    config.acquisition.rounds = (1, 2, 3)
    config.acquisition.budget = 0.02
    return config


def answer_over_http(workdir, number, truth):
    """Answers every query of the open round by the name of its true class, and closes it."""
    with Ledger(ledger_path(workdir)) as ledger:
        target = open_target(workdir)
        desk = Desk(workdir, ledger, target.space, Pictures(target.read, target.sizes))
        desk.look()
        client = TestClient(create_app(desk, names={"127.0.0.1"}), base_url=BASE)
        client.get(f"/?token={ledger.add_person('script')}")
        about = client.get("/api/round").json()
        assert about["round"] == number
        names = [entry["name"] for entry in about["classes"]]
        assert names == [name for name, _ in CLASSES]
        task = client.post("/api/next", json={}).json()["next"]
        while task:
            assert client.get(f"/image/{task['query']}.jpg?view=crop").status_code == 200
            value = int(truth[task["query"], 0, 0])
            sent = {
                "id": uuid.uuid4().hex,
                "kind": "answer",
                "query": task["query"],
                "patch": [value],
                "seconds": 1.5,
                "guess_shown": True,
            }
            said = client.post("/api/event", json=sent)
            assert said.status_code == 200, said.text
            # A retry does nothing.
            assert client.post("/api/event", json=sent).status_code == 200
            task = said.json()["next"]
        assert client.post("/api/close", json={"round": number}).status_code == 200


def test_a_run_that_is_answered_over_http_is_that_of_the_ground_truth(tmp_path):
    own_data.write(tmp_path / "files" / "yard")
    expected, workdir = tmp_path / "truth", tmp_path / "run"
    experiment.run(config_of(tmp_path, "ground_truth"), expected)
    config = config_of(tmp_path, "people")
    for number in (1, 2, 3):
        with pytest.raises(AnswersPending):
            experiment.run(config, workdir)
        with np.load(expected / "answers" / f"round_{number:02d}.npz") as arrays:
            truth = arrays["patches"]
        answer_over_http(workdir, number, truth)
    experiment.run(config, workdir)
    for ours, theirs in zip(
        QueryLog(workdir / "queries").rounds, QueryLog(expected / "queries").rounds, strict=True
    ):
        assert ours.checksum == theirs.checksum
        name = f"round_{ours.round:02d}.npz"
        with (
            np.load(workdir / "answers" / name) as found,
            np.load(expected / "answers" / name) as other,
        ):
            np.testing.assert_array_equal(found["patches"], other["patches"])
    ours, theirs = (
        json.loads((folder / "result.json").read_text()) for folder in (workdir, expected)
    )
    for part in ("evaluation", "analysis"):
        assert ours[part] == theirs[part]
