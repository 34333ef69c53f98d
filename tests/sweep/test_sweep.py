"""A small sweep as a user starts it."""

import json
import os
import sys

import pytest
import waiting

from cbda_jax.errors import InputError
from cbda_jax.run import experiment
from configs import synthetic

CONFIG = """
import ml_collections
def get_config():
    sweep = ml_collections.ConfigDict(convert_dict=False)
    sweep.config, sweep.baseline = "configs/synthetic.py", "ripu"
    sweep.seeds, sweep.budgets = (0,), (0.05,)
    # The balance of a loss begins with the first answers, after the warm start.
    balanced = {"training.class_weights": "inverse_power", "training.logit_adjustment": 1.0}
    sweep.arms = {"ripu": {"method": "ripu"}, "cbda": {"method": "cbda", **balanced}}
    sweep.common = {
        "network": "tiny:Tiny", "data.source_size": (32, 64), "data.target_size": (32, 64),
        "data.synthetic_city.source_train": 6, "data.synthetic_city.target_train": 5,
        "data.synthetic_city.target_val": 5, "data.synthetic_city.target_test": 5,
        "data.source_batch": 2, "data.target_batch": 2, "training.steps": 12,
        "acquisition.rounds": (4, 8), "evaluation.every": 2, "checkpoint.every": 3,
        "report.log_every": 1, "report.gallery": 0, "acquisition.batch_per_device": 2,
        # As in test_main.py, whose compiled programs serve here too.
        "evaluation.batch_per_device": 2, "compilation_cache": "",
    }
    return sweep
"""


def _run(*command):
    return waiting.run(
        [sys.executable, *command],
        2 * waiting.PATIENCE_S,
        env={
            **os.environ,
            "JAX_NUM_CPU_DEVICES": "1",
            "PYTHONPATH": str(waiting.ROOT / "tests"),
        },
    )


def _outcome(workdir):
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return {
        "queries": [p.read_bytes() for p in sorted((workdir / "queries").glob("*.npz"))],
        "losses": {r["step"]: r["loss"] for r in records if r["kind"] == "train"},
        "evaluations": [
            (r["step"], r["split"], r["iou"]) for r in records if r["kind"] == "evaluation"
        ],
        "result": json.loads((workdir / "result.json").read_text())["evaluation"],
    }


@pytest.mark.slow
@pytest.mark.timeout(3 * waiting.LIMIT_S)  # four runs, each of which compiles if the cache is cold
def test_an_arm_from_the_warm_start_ends_as_it_does_alone(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(CONFIG)
    sweep = ("scripts/sweep.py", f"--config={path}", f"--common=data.dir={tmp_path / 'data'}")
    done = _run(*sweep, f"--out={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    (trunk,) = (tmp_path / "out" / "warm").iterdir()
    assert (trunk / "checkpoints" / "4").is_dir()
    assert not (trunk / "result.json").exists()
    assert not (trunk / "queries").exists()
    log = (tmp_path / "out" / "logs" / "cbda-b0.05-s0.log").read_text()
    assert "going on from step 4" in log
    # A single run makes no warm start.
    alone = _run(*sweep, f"--out={tmp_path / 'alone'}", "--arms=cbda", "--config.baseline=cbda")
    assert alone.returncode == 0, alone.stderr
    assert not (tmp_path / "alone" / "warm").exists()
    name = "runs/cbda-b0.05-s0"
    assert len(_outcome(tmp_path / "out" / name)["losses"]) == 12
    assert _outcome(tmp_path / "out" / name) == _outcome(tmp_path / "alone" / name)
    # The second call only draws; so does --draw.
    results = tmp_path / "out" / "results"
    before = (results / "small.csv").read_text()
    runs = {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "runs").rglob("*")}
    (results / "small.csv").unlink()
    again = _run(*sweep, f"--out={tmp_path / 'out'}")
    assert again.returncode == 0, again.stderr
    assert (results / "small.csv").read_text() == before
    # So does one that has the table alone.
    kept = tmp_path / "kept.csv"
    kept.write_text(before)
    elsewhere = tmp_path / "elsewhere"
    third = _run(*sweep, f"--out={elsewhere}", f"--earlier={kept}")
    assert third.returncode == 0, third.stderr
    assert (elsewhere / "results" / "small.csv").read_text() == before
    assert not (elsewhere / "runs").exists()
    assert runs == {p: p.stat().st_mtime_ns for p in (tmp_path / "out" / "runs").rglob("*")}


def test_a_field_for_all_runs_has_a_value(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(CONFIG)
    done = _run("scripts/sweep.py", f"--config={path}", "--common=data.dir")
    assert done.returncode == 2
    assert done.stderr == "error: --common: 'data.dir' found, expected FIELD=VALUE\n"


@pytest.mark.parametrize(
    ("mode", "until", "message"),
    [
        ("evaluate", 5, "--until: step 5 with --mode=evaluate found"),
        ("train", 0, "--until: step 0 .* expected a step from 1 to 1000"),
        ("train", 1001, "--until: step 1001"),
    ],
)
def test_until_has_to_be_a_step_of_the_training(tmp_path, mode, until, message):
    with pytest.raises(InputError, match=message):
        experiment.run(synthetic.get_config(), tmp_path / "run", mode=mode, until=until)
    assert not (tmp_path / "run").exists()
