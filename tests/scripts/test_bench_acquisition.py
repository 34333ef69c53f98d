import json
import sys

import waiting


def test_every_stage_is_measured_and_the_sequential_picks_agree(tmp_path):
    out = tmp_path / "out.json"
    command = "--size 24x32 --low 6x8 --classes 3 --budget 0.05 0.2 --batch 2 --seconds 0.01"
    command += f" --sample-picks 3 --baselines numpy --json {out}"
    run = waiting.run([sys.executable, "scripts/bench_acquisition.py", *command.split()])
    assert run.returncode == 0, run.stderr
    rows = json.loads(out.read_text())["rows"]
    ours = {(r["stage"], r["picks"], r["batch"]) for r in rows if r["variant"] == "jax"}
    alone = {("score", 0), ("pixel", 0)}
    picks = {(stage, n) for stage in ("select", "round") for n in (5, 18)}
    assert ours == {(stage, n, batch) for stage, n in alone | picks for batch in (1, 2)}
    sequential = [r for r in rows if r["variant"] == "numpy"]
    assert {(r["stage"], r["picks"]) for r in sequential} == {("score", 0)} | picks
    assert all(r["extrapolated"] for r in sequential if r["picks"])
    assert all(r["median"] > 0 and r["ratio"] > 0 for r in rows)
    assert "| round | 18 | 1 | numpy | ~ " in run.stdout
