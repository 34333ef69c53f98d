"""A short drill: the full one is `python scripts/fault_drill.py --kills 20`."""

import os
import re
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
