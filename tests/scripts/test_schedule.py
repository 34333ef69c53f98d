"""The schedule of a TPU's kernel, read."""

import importlib
from pathlib import Path

import pytest

# Two bundles, a loop of five turns of three bundles of which one is a loop of unknown turns.
TEXT = """= scheduled bundles =
   0x0   :  { %s1 = smov.u32 0 }
   0x1   :  { nop }
   0x2 LB: > { %s2 = sadd.s32 1, %s1 }
   0x3 LB: >> { %v1 = vld [vmem:[%s2] sm:$0xff] }
   0x4   :  { %s3 = sadd.s32 1, %s2 }
   0x5   : > { %p1 = scmp.ge.s32.totalorder %s2, 5 /* loop exit test */ }
   0x6   :  { nop }
"""


@pytest.fixture
def schedule(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    return importlib.import_module("schedule")


def test_loops_count_as_often_as_they_turn(schedule, tmp_path):
    path = tmp_path / "1-op.1-70-final_bundles.txt"
    path.write_text(TEXT)
    (tmp_path / "1-op.1-69-schedule-analysis_final_bundles.txt").write_text("")
    assert schedule.find(tmp_path, "op.1") == path
    assert schedule.find(tmp_path, "op") is None
    found = schedule.read(path)
    assert found.bundles == 2 + 5 * 4 + 1
    # One turn of the loop whose end no number tests, within the one around it.
    assert found.turn == 5


def test_no_schedule_is_said(schedule, tmp_path):
    path = tmp_path / "empty"
    path.write_text("")
    with pytest.raises(ValueError, match="no bundles found"):
        schedule.read(path)
