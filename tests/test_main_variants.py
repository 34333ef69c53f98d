"""The main job with other methods and settings than the defaults."""

import json

import numpy as np
import orbax.checkpoint as ocp
import processes
import pytest
import scenes
import small_run


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.mark.slow
def test_a_diverging_run_stops_and_says_what_to_do(data_dir, tmp_path):
    done = small_run.run(tmp_path / "run", data_dir, "--config.training.learning_rate=1e38")
    assert done.returncode == 2
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("error: training diverged: found ")
    assert "lower training.learning_rate" in line
    assert not (tmp_path / "run" / "checkpoints" / "3").exists()


@pytest.mark.slow
def test_a_quota_is_kept_and_logged(data_dir, tmp_path):
    done = small_run.run(
        tmp_path / "run", data_dir, config="configs/synthetic.py:method=cbda_quota"
    )
    assert done.returncode == 0, done.stderr
    for number in (1, 2):
        with np.load(tmp_path / "run" / "queries" / f"round_{number:02d}.npz") as log:
            about = json.loads(str(log["header"]))
            taken = np.bincount(log["predicted"], minlength=19)
        assert about["quota"] == taken.tolist()
        assert sum(about["quota"]) == about["requested"] == 30
        assert all(q <= c for q, c in zip(about["quota"], about["candidates"], strict=True))


def _saved(checkpoints, step):
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(checkpoints.absolute() / str(step) / "state")


@pytest.mark.slow
def test_the_extras_together(data_dir, tmp_path):
    done = small_run.run(
        tmp_path / "run",
        data_dir,
        "--config.training.ema=0.9",
        "--config.training.accumulate=2",
        "--config.training.colour_jitter=0.5",
        "--config.training.scale_range=(0.5, 2.0)",
        "--config.data.source_order=rare_class",
        "--config.evaluation.scales=(1.0, 2.0)",
        f"--config.checkpoint.dir={tmp_path / 'elsewhere'}",
        "--profile=2",
    )
    assert done.returncode == 0, done.stderr
    state = _saved(tmp_path / "elsewhere", small_run.STEPS)
    assert not (tmp_path / "run" / "checkpoints").exists()
    pairs = [(leaf, state["params" + name[3:]]) for name, leaf in state.items() if "ema" in name]
    assert pairs
    assert not any(np.array_equal(average, last) for average, last in pairs)
    assert "training step: " in done.stderr
    assert list((tmp_path / "run" / "tensorboard").rglob("perfetto_trace.json.gz"))


@pytest.mark.parametrize("asked", [True, False])
def test_determinism_is_asked_for_before_the_backend_starts(asked, data_dir, tmp_path):
    flags = small_run.flags(tmp_path / "run", data_dir, f"--config.deterministic={asked}")
    with processes.Fork(scenes.say_xla_flags, flags) as process:
        assert process.end() == 0, process.errors
        found = process.output
    assert ("--xla_gpu_deterministic_ops=true" in found) == asked
    assert asked or found == "flags: \n"


@pytest.mark.slow
def test_a_run_that_starts_again_after_every_round(data_dir, tmp_path):
    done = small_run.run(tmp_path / "run", data_dir, "--config.training.restart_each_round=True")
    assert done.returncode == 0, done.stderr
    state = _saved(tmp_path / "run" / "checkpoints", small_run.STEPS)
    # The optimizer counts from the last round on; the data position from the beginning.
    assert state["step"] == small_run.STEPS
    counts = {int(leaf) for name, leaf in state.items() if name.endswith("count")}
    assert counts == {small_run.STEPS - small_run.ROUNDS[-1]}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["source_only", "full_supervision"])
def test_the_bounds_hold_no_rounds(method, data_dir, tmp_path):
    done = small_run.run(tmp_path / "run", data_dir, config=f"configs/synthetic.py:method={method}")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "run" / "queries").exists()
    assert small_run.result(tmp_path / "run")["rounds"] == []
