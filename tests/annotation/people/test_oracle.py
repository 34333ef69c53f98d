import numpy as np
import pytest
from answering import CLASSES, SIZES, answer_all, frozen, queries
from round_files import message

from cbda_jax.annotation import Answers, Pending, QueryLog, Setting, create_oracle, people
from cbda_jax.annotation.people import Ledger, ledger_path, oracle


class NoLabels:
    """A pool that nobody has labelled."""

    ids = tuple(SIZES)

    def label(self, index):
        raise AssertionError("a label was read")


def new_oracle(workdir, **named):
    setting = Setting(NoLabels(), CLASSES, workdir, sizes=SIZES, redundancy=0, hidden=0, **named)
    return create_oracle("people", setting)


@pytest.fixture
def asked(tmp_path):
    QueryLog(tmp_path / "queries").append(queries())
    return queries()


def test_from_the_question_to_the_answers(tmp_path, asked):
    found = new_oracle(tmp_path).ask(asked)
    assert isinstance(found, Pending)
    assert str(found) == (
        "round 1 asks about 6 squares of 1 x 1 pixels in 2 images: answer them at the page of "
        f"`python -m cbda_jax.annotate --workdir={tmp_path}`, then start the same command again"
    )
    assert "the run waits for them and goes on by itself" in found.message(waiting=True)
    patient = new_oracle(tmp_path)
    with Ledger(ledger_path(tmp_path)) as ledger:
        assert patient.ask(asked).answered == 0
        opened = people.open_asked(ledger, tmp_path)
        for count in (0, 6):
            found = patient.ask(asked)
            assert (found.answered, patient.ask(asked).answered) == (count, count)
            answer_all(opened)
        assert "6 of them answered: answer them" in str(patient.ask(asked))
        opened.close()
        # Closed and not yet frozen: the same answers.
        early = new_oracle(tmp_path).ask(asked)
        people.freeze(opened, tmp_path)
    late = patient.ask(asked)
    assert isinstance(early, Answers)
    assert isinstance(late, Answers)
    assert early.about == late.about == frozen(tmp_path)[0].about
    np.testing.assert_array_equal(early.patches, late.patches)


def test_what_a_round_was_asked_with_stays(tmp_path, asked):
    new_oracle(tmp_path, seed=5).ask(asked)
    path = tmp_path / "answers" / "people_01.json"
    before = path.read_bytes()
    new_oracle(tmp_path, seed=6).ask(asked)
    assert path.read_bytes() == before


def test_a_damaged_ledger_stops_the_run(tmp_path, asked):
    new_oracle(tmp_path).ask(asked)
    ledger_path(tmp_path).write_bytes(b"what")
    assert "found damaged" in message(new_oracle(tmp_path).ask, asked)


def test_on_the_disk_of_another_machine_the_frozen_file_alone_is_read(tmp_path, asked, monkeypatch):
    new_oracle(tmp_path).ask(asked)
    ledger_path(tmp_path).write_bytes(b"not to be opened there")
    monkeypatch.setattr(oracle, "network_file_system", lambda path: "nfs4")
    assert new_oracle(tmp_path).ask(asked).answered == 0
