import shutil
import threading
import time

import answering
import asked_rounds
import pytest
import waiting

from cbda_jax import stores
from cbda_jax.annotate import desk as desks
from cbda_jax.errors import InputError


def test_a_round_is_open_until_it_is_closed(make_desk, capsys):
    desk = make_desk()
    opened = desk.round
    assert len(opened.queries) == 12
    desk.look()
    assert desk.round is opened
    path = desk.close_round("Ada")
    assert path.name == "round_01.npz"
    assert path.exists()
    assert desk.round is None
    assert opened.closed
    said = capsys.readouterr().err
    assert "round 1 is open: 12 queries in 2 images" in said
    assert "round 1 is closed: Ada" in said
    desk.look()
    assert desk.round is None
    with pytest.raises(InputError, match="no open round found, expected one that the run waits"):
        desk.close_round("Ada")


def test_a_settled_round_closes_after_a_while(make_desk):
    desk = make_desk(quiet_s=0.3)
    answering.answer_all(desk.round)
    desk.noticed()
    desk.look()
    assert desk.round is not None  # what was answered last can be taken back
    time.sleep(0.35)
    desk.look()
    assert desk.round is None


def test_a_round_that_is_not_settled_stays(make_desk):
    desk = make_desk(quiet_s=0)
    answering.answer_all(desk.round)
    desk.round.record(answering.event("undo", 3))
    desk.look()
    assert desk.round is not None


def test_the_next_round(make_desk):
    desk = make_desk()
    desk.close_round("Ada")
    asked_rounds.ask(desk._workdir, 2, count=5)
    desk.look()
    assert desk.round.queries.round == 2
    assert len(desk.round.queries) == 5


def test_closed_and_not_frozen(make_desk, monkeypatch):
    desk = make_desk(quiet_s=0)
    answering.answer_all(desk.round)
    with monkeypatch.context() as patch:

        def full(*_):
            raise InputError("no space left")

        patch.setattr(desks, "close", lambda found, _: found.close() or full())
        with pytest.raises(InputError, match="no space left"):
            desk.look()
    assert desk.round.closed
    desk.look()
    assert desk.round is None
    assert (desk._workdir / "answers" / "round_01.npz").exists()


def test_watching(make_desk, capsys):
    desk = make_desk()
    desk.close_round("Ada")
    stop = threading.Event()
    people = desk._workdir / "answers" / "people_02.json"
    with waiting.thread(lambda: desk.watch(stop, 0.01), "the rounds"):
        try:
            asked_rounds.ask(desk._workdir, 2, count=5)
            waiting.until(lambda: desk.round, "the next round")
            assert people.exists()
        finally:
            stop.set()
    assert "round 2 is open" in capsys.readouterr().err


def test_watching_says_what_is_wrong_once(make_desk, capsys, monkeypatch):
    desk, looks, stop = make_desk(), [], threading.Event()

    def look():
        looks.append(None)
        if len(looks) > 5:
            stop.set()
        raise InputError("the disk is full")

    monkeypatch.setattr(desk, "look", look)
    desk.watch(stop, 0.001)
    assert len(looks) > 5
    assert capsys.readouterr().err.count("error: the disk is full") == 1


def test_cookies_of_two_runs_differ(make_desk, tmp_path):
    desk = make_desk()
    shutil.copytree(desk._workdir / "queries", tmp_path / "other" / "queries")
    other = desks.Desk(tmp_path / "other", desk.ledger, desk.space, desk.pictures)
    again = desks.Desk(desk._workdir, desk.ledger, desk.space, desk.pictures)
    assert desk.cookie == again.cookie != other.cookie


def test_a_store_that_cannot_be_reached_is_tried_again(bucket, make_desk, monkeypatch):
    desk = make_desk()
    desk.round, desk._workdir = None, bucket.folder()
    stores.put(desk._workdir / "answers" / "people_02.json", b"")

    def fail(*_):
        raise OSError("no route to the host")

    with monkeypatch.context() as patch:
        patch.setattr(desks, "open_asked", fail)
        with pytest.raises(InputError, match=r"^s3://.*: the object store failed \(no route"):
            desk.look()
    desk.look()
    assert desk.round is None
