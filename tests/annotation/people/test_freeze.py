import os
import signal

import numpy as np
import processes
import pytest
from answering import answer, answer_all, ask, event, frozen
from round_files import message

from cbda_jax import files
from cbda_jax.annotation import UNANSWERED, people
from cbda_jax.annotation.people import Ledger, ledger_path, open_asked


def give(opened):
    """Some answers of two people, the same every time but for their ids."""
    answer_all(opened, "ada")
    opened.record(answer(1, "bob", [1], seconds=4.0))
    opened.record(answer(2, "bob", [2], seconds=6.0, guess_shown=False))


def test_what_is_said_of_the_answers(tmp_path):
    ask(tmp_path)
    with Ledger(ledger_path(tmp_path)) as ledger:
        opened = open_asked(ledger, tmp_path)
        assert opened is not None
        assert open_asked(ledger, tmp_path) is opened
        give(opened)
        path = people.close(opened, tmp_path)
        assert open_asked(ledger, tmp_path) is None
    assert path == tmp_path / "answers" / "round_01.npz"
    (found,) = frozen(tmp_path)
    # A tie of two is void.
    assert found.patches.ravel().tolist() == [1, 1, 255, 1, 1, 1]
    about = found.about
    assert (about["oracle"], about["people"], about["answers"]) == ("people", 2, 8)
    assert about["seconds"] == {"median": 2.0, "total": 22.0}
    assert about["anchoring"] == {
        "shown": {"count": 7, "equal": 2},
        "hidden": {"count": 1, "equal": 0},
    }
    assert (about["agreement"]["pixels"], about["agreement"]["equal"]) == (2, 0.5)
    assert "unanswered" not in about
    assert b"ada" not in path.read_bytes()


def test_closed_early(tmp_path):
    ask(tmp_path)
    with Ledger(ledger_path(tmp_path)) as ledger:
        opened = open_asked(ledger, tmp_path)
        assert opened is not None
        assert "open found, expected a closed one" in message(people.freeze, opened, tmp_path)
        opened.record(answer(4, patch=[2]))
        opened.record(event("skip", 1))
        people.close(opened, tmp_path)
    (found,) = frozen(tmp_path)
    assert np.flatnonzero(found.patches != UNANSWERED).tolist() == [4]
    assert (found.about["unanswered"], found.answered.sum()) == (5, 1)
    assert "agreement" not in found.about


def test_nobody_answered(tmp_path):
    ask(tmp_path)
    with Ledger(ledger_path(tmp_path)) as ledger:
        opened = open_asked(ledger, tmp_path)
        assert opened is not None
        people.close(opened, tmp_path)
    (found,) = frozen(tmp_path)
    assert (found.about["people"], found.about["unanswered"]) == (0, 6)
    assert found.about["seconds"] == {"median": None, "total": 0.0}


def test_nothing_is_asked(tmp_path):
    with Ledger(ledger_path(tmp_path)) as ledger:
        assert open_asked(ledger, tmp_path) is None


def close_and_die(workdir, when):
    """Is killed at one of the moments between the last answer and the answers' file."""
    with Ledger(ledger_path(workdir)) as ledger:
        opened = open_asked(ledger, workdir)
        give(opened)
        if when != "before closing":
            opened.close()
        if when == "in the file":
            # A part of what would have been renamed.
            (workdir / "answers" / ".round_01.npz.0123abcd.tmp").write_bytes(b"PK")
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("when", ["before closing", "after closing", "in the file"])
def test_killed_between_closing_and_freezing(tmp_path, when):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for workdir in (whole, broken):
        ask(workdir)
    with Ledger(ledger_path(whole)) as ledger:
        opened = open_asked(ledger, whole)
        assert opened is not None
        give(opened)
        people.close(opened, whole)
    with processes.Fork(close_and_die, broken, when) as child:
        assert child.end() == -signal.SIGKILL
    assert frozen(broken) == []
    with Ledger(ledger_path(broken)) as ledger:
        opened = open_asked(ledger, broken)
        # Closed, it is frozen as the ledger is opened.
        assert (opened is None) == (when != "before closing")
        if opened is not None:
            people.close(opened, broken)
    paths = [workdir / "answers" / "round_01.npz" for workdir in (whole, broken)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_run_that_starts_removes_what_is_being_written(tmp_path, monkeypatch):
    ask(tmp_path)
    flush, times = files.os.fsync, []

    def clean(number):
        times.append(number)
        if len(times) == 1:
            for path in (tmp_path / "answers").glob(".*.tmp"):
                path.unlink()
        flush(number)

    with Ledger(ledger_path(tmp_path)) as ledger:
        opened = open_asked(ledger, tmp_path)
        assert opened is not None
        answer_all(opened)
        opened.close()
        monkeypatch.setattr(files.os, "fsync", clean)
        people.freeze(opened, tmp_path)
    assert len(times) > 2
    assert len(frozen(tmp_path)) == 1
