"""A short drill: the full one is `python scripts/fault_drill.py --kills 20`."""

import importlib
import os
import re
import subprocess
import sys

import pytest
import waiting


@pytest.mark.slow
@pytest.mark.timeout(3 * waiting.LIMIT_S)  # a run, and others that are started again
def test_killed_twice_nothing_is_lost(tmp_path):
    done = waiting.run(
        [
            *(sys.executable, "scripts/fault_drill.py", "--kills", "2", "--seed", "3"),
            *("--steps", "8", "--rounds", "3", "6", "--out", str(tmp_path)),
            *("--network", "tiny:Tiny"),
        ],
        2 * waiting.LIMIT_S,
        env={**os.environ, "PYTHONPATH": str(waiting.ROOT / "tests")},
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"\n2 kills in \d runs of 1 process", done.stdout)
    assert "0 runs differ, 0 labels lost, 0 asked twice, 0 processes hung" in done.stdout


@pytest.mark.parametrize("finished", [True, False])
def test_one_killed_on_its_way_out_of_a_finished_run_harms_none(finished, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(waiting.ROOT / "scripts"))
    script = importlib.import_module("fault_drill")

    class Ending(script.Drill):
        """The first process is about to end when it is killed, the other has ended well."""

        def start(self, name, **_):
            (self.folder / name / "run").mkdir(parents=True)
            if finished:
                (self.folder / name / "run" / "result.json").touch()
            commands = ("import time; time.sleep(300)", "")
            return [
                subprocess.Popen(waiting.python(c), stderr=subprocess.PIPE, text=True)
                for c in commands
            ]

    job, kill = Ending(tmp_path, 2, 8, (3, 6), "small_unet"), script.Kill(1, 0, "at the end")
    if not finished:
        with pytest.raises(RuntimeError, match="a process ended well though another was killed"):
            job.kill("one", kill, 0, 0.1)
        return
    job.kill("one", kill, 0, 0.1)
    assert kill.fired
    assert kill.others.startswith("ended after")
