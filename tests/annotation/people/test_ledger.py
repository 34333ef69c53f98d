"""The ledger: people, rounds and copies, and that nothing is lost or counted twice."""

import csv
import os
import shutil
import signal
import tempfile
from pathlib import Path

import numpy as np
import processes
import pytest
import waiting
from answering import CLASSES, answer, answer_all, event, queries
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from round_files import message

from cbda_jax.annotation import VOID
from cbda_jax.annotation.people import LEASE_S, Ledger, backup, export_csv, read_round
from cbda_jax.annotation.people.standing import chosen


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers" / "ledger.sqlite"


def test_people(path):
    with Ledger(path) as ledger:
        assert ledger.people() == []
        tokens = [ledger.add_person(name) for name in ("ada", "bob", "ada")]
        assert len({*tokens}) == 3
        for found in (ledger, None):
            again = found or Ledger(path)
            assert again.people() == ["ada", "bob"]
            assert [again.person_of(token) for token in (*tokens, "", "\ud800")] == [
                *(None, "bob", "ada", None, None)
            ]
            again.close()
    # Whoever reads the file does not get in.
    assert not any(token.encode() in path.read_bytes() for token in tokens)
    with Ledger(path) as ledger:
        for name in ("", " ", "a\nb", 201 * "x"):
            assert "expected 1 to 200 printable characters" in message(ledger.add_person, name)


def test_a_round_goes_on_where_it_was(path):
    with Ledger(path) as ledger:
        assert ledger.rounds() == []
        opened = ledger.open_round(queries(), redundancy=0.5, hidden=0.5, seed=3)
        assert ledger.open_round(queries()) is opened
        hidden = [opened.task(query, "ada").guess is None for query in range(6)]
        opened.record(answer(0, patch=[1]))
    with Ledger(path) as ledger:
        # What was drawn stays as it was.
        opened = ledger.open_round(queries(), redundancy=0, hidden=0, seed=0)
        assert [opened.task(query, "ada").guess is None for query in range(6)] == hidden
        assert opened.progress().answered == 1
        answer_all(opened)
        opened.close()
        other = ledger.open_round(queries(number=2))
        assert (other.progress().answered, ledger.rounds()) == (0, [1, 2])
    with Ledger(path) as ledger:
        assert ledger.open_round(queries()).closed
        assert not ledger.open_round(queries(number=2)).closed


def test_other_queries_of_the_same_round(path):
    with Ledger(path) as ledger:
        ledger.open_round(queries())
        line = message(ledger.open_round, queries(5))
        assert f"{path}: round 1 of other queries found" in line
    with Ledger(path) as ledger:
        assert "round 1 of other queries" in message(ledger.open_round, queries(5))


def test_somebody_who_only_looks(path):
    with Ledger(path) as ledger:
        opened = ledger.open_round(queries(), redundancy=0)
        opened.record(answer(0, patch=[2]))
        with read_round(path, queries()) as seen:
            assert seen is not None
            assert seen.progress() == opened.progress()
            np.testing.assert_array_equal(seen.patches(), opened.patches())
            assert "opened to be read" in message(seen.record, answer(1))
            assert "opened to be read" in message(seen.close)
        with read_round(path, queries(number=2)) as seen:
            assert seen is None
        with pytest.raises(ValueError, match="other queries"), read_round(path, queries(5)):
            pass


def test_events_as_a_table(path, tmp_path):
    with Ledger(path) as ledger:
        opened = ledger.open_round(queries(radius=1))
        opened.record(answer(0, 'Ada, of "L"', [0, 1, 2, 255, 254, 0, 0, 0, 0], guess=2))
        opened.record(event("undo", 0, "bob", seconds=0.25))
        # Beside the one who writes.
        export_csv(path, tmp_path / "events.csv")
        backup(path, tmp_path / "backup.sqlite")
    with (tmp_path / "events.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first["patch"] == "0 1 2 255 254 0 0 0 0"
    assert (first["person"], first["kind"], first["guess"]) == ('Ada, of "L"', "answer", "2")
    assert (second["patch"], second["seconds"], second["round"]) == ("", "0.25", "1")
    with Ledger(tmp_path / "backup.sqlite") as copy:
        assert copy.open_round(queries(radius=1)).progress().answered == 1


def test_copies_of_a_ledger_that_is_not_there(path, tmp_path):
    for copy in (export_csv, backup):
        assert "ledger.sqlite: not found, expected " in message(copy, path, tmp_path / "copy")
    assert not [*tmp_path.iterdir()]


def write_until_killed(path):
    with Ledger(path) as ledger:
        opened = ledger.open_round(queries(40), redundancy=0)
        print("has it", flush=True)
        while (task := opened.next("ada", now=0)) is not None:
            opened.record(answer(task.query, id=f"killed {task.query}"))
            print(f"saved {task.query}", flush=True)
        waiting.until(lambda: False, "the end")


def test_another_process_has_it_and_is_killed(path):
    with processes.Fork(write_until_killed, path) as child:
        child.says("has it")
        child.says("saved 5")
        assert f"in use by process {child.pid} on " in message(Ledger, path)
        child.kill()
        saved = child.output.count("saved ")
    with Ledger(path) as ledger:
        opened = ledger.open_round(queries(40))
        found = opened.progress().answered
        # What was told as saved is there; one more may be.
        assert saved <= found <= saved + 1
        assert not opened.record(answer(0, id="killed 0"))
        assert answer_all(opened) == [*range(found, 40)]


def die_among_several(path):
    with Ledger(path) as ledger:
        opened = ledger.open_round(queries(40))
        written = 0

        def die_at_the_third(statement):
            nonlocal written
            written += statement.startswith("INSERT INTO events")
            if written == 3:
                os.kill(os.getpid(), signal.SIGKILL)

        ledger._store._open_connection.set_trace_callback(die_at_the_third)
        opened.record_all([answer(number) for number in range(5)])


def test_killed_among_several_none_is_there(path):
    with processes.Fork(die_among_several, path) as child:
        assert child.end() == -signal.SIGKILL
    with Ledger(path) as ledger:
        opened = ledger.open_round(queries(40))
        assert opened.progress().answered == 0
        assert answer_all(opened) == [*range(40)]


def test_many_threads(path):
    with Ledger(path) as ledger:
        opened = ledger.open_round(queries(40), redundancy=0)
        with (
            waiting.thread(lambda: answer_all(opened, "ada"), "ada"),
            waiting.thread(lambda: answer_all(opened, "bob"), "bob"),
        ):
            answer_all(opened, "eve")
        assert opened.complete()
        # Nobody was given what another one had.
        assert len(opened.answers()) == 40


PEOPLE = st.sampled_from(["ada", "bob", "eve", "dan"])
QUERIES = st.integers(0, 5)
PATCHES = st.sampled_from([b"\0", b"\1", b"\2", bytes([VOID])])


class Interleaved(RuleBasedStateMachine):
    """People who come and go, send again what they are not sure of, and machines that stop."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.sent, self.now, self.copies = [], 0.0, 0
        self.leases = {}
        self.twice = chosen(6, 0.5, "twice", seed=0, number=1)
        self.open(self.folder / "0.sqlite")

    def open(self, path):
        self.ledger, self.leases = Ledger(path), {}
        self.round = self.ledger.open_round(queries(), redundancy=0.5, hidden=0, num_classes=3)

    def teardown(self):
        self.ledger.close()
        shutil.rmtree(self.folder)

    # ------------------------------------------------------------------- the model

    def counting(self):
        """By query and person: the event that counts."""
        stacks = {}
        for one in self.sent:
            stack = stacks.setdefault((one.query, one.person), [])
            stack.append(one) if one.kind != "undo" else stack and stack.pop()
        return {key: stack[-1] for key, stack in stacks.items() if stack}

    def need(self):
        found = self.counting().values()
        answers = [one for one in found if one.kind == "answer"]
        answering = max(1, len({one.person for one in answers}))
        need = []
        for query in range(6):
            given = [one.patch for one in answers if one.query == query]
            wanted = 2 if self.twice[query] else 1
            if len(given) == 2 and given[0] != given[1]:
                wanted = 3
            need.append(max(0, min(wanted, answering) - len(given)))
        return need

    def free(self, person):
        """What may be given to a person now."""
        counting = self.counting()
        others = [
            query
            for other, (query, until) in self.leases.items()
            if other != person
            and until > self.now
            and not self.is_answer(counting.get((query, other)))
        ]
        return [
            query
            for query, need in enumerate(self.need())
            if need > others.count(query) and not self.is_answer(counting.get((query, person)))
        ]

    @staticmethod
    def is_answer(one):
        return one is not None and one.kind == "answer"

    # ------------------------------------------------------------------- what happens

    @rule(person=PEOPLE, seconds=st.sampled_from([0, 1, 30, 61]))
    def next(self, person, seconds):
        self.now += seconds
        free, kept = self.free(person), self.leases.get(person)
        task = self.round.next(person, now=self.now)
        if task is None:
            assert free == []
            self.leases.pop(person, None)
            return
        assert task.query in free
        if kept is not None and kept[1] > self.now and kept[0] in free:
            assert task.query == kept[0]
        self.leases[person] = (task.query, self.now + LEASE_S)

    def send(self, one):
        assert self.round.record(one)
        self.sent.append(one)
        if one.kind != "undo" and self.leases.get(one.person, (None,))[0] == one.query:
            del self.leases[one.person]

    @rule(person=PEOPLE, patch=PATCHES, skip=st.booleans())
    def do_what_was_given(self, person, patch, skip):
        query = self.leases.get(person, (0,))[0]
        self.send(event("skip", query, person) if skip else answer(query, person, patch))

    @rule(person=PEOPLE, query=QUERIES, patch=PATCHES)
    def answer_late_or_anew(self, person, query, patch):
        self.send(answer(query, person, patch))

    @rule(person=PEOPLE, query=QUERIES)
    def take_back(self, person, query):
        self.send(event("undo", query, person))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def send_again(self, data):
        assert not self.round.record(data.draw(st.sampled_from(self.sent)))

    @rule()
    def stop_and_start(self):
        path = self.ledger.path
        self.ledger.close()
        self.open(path)

    @rule()
    def crash(self):
        # What is on the disk at this moment, the journal too, is what the next one finds.
        self.copies += 1
        path = self.folder / f"{self.copies}.sqlite"
        for ending in ("", "-wal"):
            shutil.copy(f"{self.ledger.path}{ending}", f"{path}{ending}")
        self.ledger.close()
        self.open(path)

    @invariant()
    def nothing_is_lost_or_there_twice(self):
        counting = self.counting()
        given = [one for one in counting.values() if one.kind == "answer"]
        assert sorted(one.id for one in self.round.answers()) == sorted(one.id for one in given)
        need = self.need()
        progress = self.round.progress()
        assert progress.left == sum(map(bool, need))
        assert self.round.complete() == (not any(need))
        assert progress.answered == len({one.query for one in given})
        for query, patch in enumerate(self.round.patches().ravel().tolist()):
            votes = [one.patch[0] for one in given if one.query == query]
            most = [x for x in {*votes} if 2 * votes.count(x) > len(votes)]
            assert patch == (254 if need[query] else (most or [VOID])[0])
        for person in ("ada", "bob"):
            assert {*self.round.history(person)} == {q for q, p in counting if p == person}
        assert max(progress.by_class, default=0) in (*range(len(CLASSES)), VOID)


TestInterleaved = Interleaved.TestCase
TestInterleaved.settings = settings(deadline=None, max_examples=25, stateful_step_count=30)
