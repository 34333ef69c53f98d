import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import people
import pytest

from cbda_jax import annotation

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "a_new_oracle.py"


def test_it_runs_as_its_first_lines_say():
    done = subprocess.run(
        [sys.executable, EXAMPLE], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 7
    assert lines[0] == "region at column 4: road"
    assert lines[2] == "region at column 20: unanswered"
    assert lines[-1] == "region at column 52: sky"


@pytest.fixture
def oracle(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    setting = annotation.Setting(people.Pool(), tuple("abcdefghijklmnopqrs"), ROOT, seed=3)
    return annotation.create_oracle("a_new_oracle:OneKey", setting)


def test_a_round_is_answered_by_it_and_the_same_again(oracle, tmp_path):
    rounds = people.new_rounds(tmp_path, oracle)
    people.hold(rounds, tmp_path)
    (answers,) = rounds.answers.rounds
    assert answers.about == {"oracle": "one key"}
    for patch in answers.patches:
        assert len(np.unique(patch)) == 1
    again = oracle.ask(answers.queries)
    np.testing.assert_array_equal(again.patches, answers.patches)


def test_it_is_mistaken_at_its_rate():
    OneKey = runpy.run_path(str(EXAMPLE))["OneKey"]
    side = 60

    class Pool:
        ids = ("a",)

        def label(self, index):
            return np.full((side, side), 2, np.uint8)

    row, col = np.divmod(np.arange(side * side, dtype=np.int32), side)
    queries = annotation.Queries(
        round=1,
        step=0,
        image_ids=("a",),
        image=np.zeros_like(row),
        row=row,
        col=col,
        score=np.ones(len(row), np.float32),
        predicted=np.zeros(len(row), np.uint8),
        radius=0,
        about={},
    )
    setting = annotation.Setting(Pool(), ("x", "y", "z", "w"), ROOT, seed=3)
    found = OneKey(setting, mistaken=0.4).ask(queries).patches
    # One key in four is the right one even so.
    assert abs((found != 2).mean() - 0.3) < 0.04
