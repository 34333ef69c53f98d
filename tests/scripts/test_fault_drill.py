"""A short drill: the full one is `python scripts/fault_drill.py --kills 20`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_killed_twice_nothing_is_lost(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "scripts/fault_drill.py", "--kills", "2", "--seed", "3"),
            *("--steps", "8", "--rounds", "3", "6", "--out", str(tmp_path)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"\n2 kills in \d runs of 1 process", done.stdout)
    assert "0 runs differ, 0 labels lost, 0 asked twice, 0 processes hung" in done.stdout
