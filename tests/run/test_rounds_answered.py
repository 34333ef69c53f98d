"""A round is held, people answer it later, and all that follows is read from the answers."""

import re

import numpy as np
import people
import processes
import pytest

from cbda_jax import reporting
from cbda_jax.acquisition import Budget
from cbda_jax.annotation import (
    UNANSWERED,
    VOID,
    Answers,
    AnswersPending,
    GroundTruthOracle,
    Pending,
    Setting,
)
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19
from cbda_jax.run.acquirer import Target
from cbda_jax.runtime import lock

hold = people.hold
TRUTH = GroundTruthOracle(people.Pool(), 19)


def setting(workdir):
    return Setting(people.Pool(), CITYSCAPES_19.classes, workdir)


def records(workdir):
    return [r for r in reporting.read_metrics(workdir) if r["kind"] == "round"]


def test_a_run_waits_for_answers_and_goes_on_with_the_same_queries(tmp_path, capsys):
    oracle = people.Slow(setting(tmp_path))
    with pytest.raises(AnswersPending):
        hold(people.new_rounds(tmp_path, oracle), tmp_path)
    said = capsys.readouterr()
    assert (
        "round 1 asks about 2 squares of 3 x 3 pixels in 2 images: answer them at "
        f"{tmp_path / 'people'}, then start the same command again"
    ) in said.out + said.err
    asked = (tmp_path / "queries" / "round_01.npz").read_bytes()
    assert list((tmp_path / "answers").iterdir()) == []
    assert records(tmp_path) == []
    rounds = people.new_rounds(tmp_path, oracle)
    # Until there are answers nothing is known.
    assert rounds.fraction(10) == 0
    assert (rounds.label(0, 10) == VOID).all()
    hold(rounds, tmp_path, picker=people.Picker())
    assert (tmp_path / "queries" / "round_01.npz").read_bytes() == asked
    (record,) = records(tmp_path)
    assert (record["picked"], record["pixels"], record["fraction"]) == (2, 18, 18 / (2 * 12 * 16))
    assert "unanswered" not in record
    assert rounds.label(0, 10)[4, 3] == people.LABELS[0, 4, 3]
    # Nothing is asked or written again.
    hold(people.new_rounds(tmp_path, None_()), tmp_path, picker=people.Picker())
    assert len(records(tmp_path)) == 1


class Counting:
    """Answers when asked for the fourth time; one more query has an answer each time."""

    def __init__(self, end=4):
        self.asked, self._end = 0, end

    def ask(self, queries):
        self.asked += 1
        if self.asked == self._end:
            return TRUTH.ask(queries)
        return Pending(queries, "the desk", min(self.asked - 1, 2))


def test_a_run_may_wait(tmp_path, capsys):
    oracle, looked = Counting(), []
    rounds = people.new_rounds(tmp_path, oracle, wait_s=0.01)
    hold(
        rounds,
        tmp_path,
        between=lambda: looked.append("between"),
        writable=lambda: looked.append("writable"),
    )
    assert (oracle.asked, len(rounds.answers.rounds)) == (4, 1)
    assert looked[-6:] == 3 * ["between", "writable"]
    said = capsys.readouterr().err
    assert said.count("answer them at the desk, the run waits for them and goes on by itself") == 1
    assert "answers to round 1  2/2" in said
    assert len(records(tmp_path)) == 1


def test_a_run_that_waits_can_be_stopped(tmp_path):
    class Stop(Exception):  # noqa: N818 - as of a machine that is wanted back
        pass

    def stop():
        raise Stop

    with pytest.raises(Stop):
        hold(people.new_rounds(tmp_path, Counting(), wait_s=0.01), tmp_path, between=stop)
    assert (tmp_path / "queries" / "round_01.npz").exists()
    hold(people.new_rounds(tmp_path, TRUTH), tmp_path, picker=people.Picker())
    assert len(records(tmp_path)) == 1


def test_answers_that_another_program_has_written_are_read(tmp_path):
    class Aside:
        """Stands for a program that writes the file while the oracle is asked."""

        def ask(self, queries):
            rounds.answers.write(TRUTH.ask(queries))
            return Pending(queries, "there") if queries.round == 1 else TRUTH.ask(queries)

    for number in (1, 2):
        rounds = people.new_rounds(tmp_path, Aside())
        hold(rounds, tmp_path, number, people.Picker(number * 5))
        assert len(rounds.answers.rounds) == number


class None_:  # noqa: N801 - stands for no oracle at all
    def ask(self, queries):
        raise AssertionError("asked again")


def test_what_answers_took_is_recorded(tmp_path, capsys):
    class Timed:
        """One key for each square, three seconds each."""

        def answers_per_query(self, radius):
            return 1

        def ask(self, queries):
            about = {"answers": len(queries), "seconds": 3.0 * len(queries)}
            return Answers(queries, TRUTH.ask(queries).patches, about)

    rounds = people.new_rounds(tmp_path / "timed", Timed())
    assert rounds.budget == Budget(0.1, "pixels", 1, 2.0)
    # ceil(192 x 0.1 / 2 / 9) in each of two rounds and images.
    assert rounds.cost() == (
        "budget of 10 % of all pixels (0.1) in 2 rounds: 8 picks, 72 pixels (18.75 %), 8 answers, "
        "0.00 hours at 2 s an answer (estimated)"
    )
    hold(rounds, tmp_path / "timed")
    (record,) = records(tmp_path / "timed")
    names = ("answers", "answer_seconds", "measured_answers", "pixels")
    assert [record[name] for name in names] == [2, 6.0, 2, 18]
    # As it is read when the run goes on.
    text = people.new_rounds(tmp_path / "timed", Timed()).cost()
    assert "at 3 s an answer (measured); spent in 1: 18 pixels, 2 answers" in text
    hold(people.new_rounds(tmp_path / "exact", TRUTH), tmp_path / "exact")
    (record,) = records(tmp_path / "exact")
    assert [record[name] for name in names] == [18, 36.0, 0, 18]


def test_labels_counts_and_budget_are_of_the_answers_alone(tmp_path):
    class Contrary:
        """Says 7 whatever the truth is; void on the left of each square."""

        def ask(self, queries):
            patches = np.full((len(queries), 3, 3), 7, np.uint8)
            patches[:, :, 0] = VOID
            return Answers(queries, patches)

    pool = people.Pool()
    rounds = people.new_rounds(tmp_path, Contrary(), pool=pool)
    pool.read = 0
    hold(rounds, tmp_path)
    label = rounds.label(0, 10)
    expected = np.full((12, 16), VOID, np.uint8)
    expected[3:6, 3:5] = 7
    np.testing.assert_array_equal(label, expected)
    assert (rounds.label(0, 9) == VOID).all()
    known, answered = rounds._experience, rounds.answers.rounds
    assert known.classes(answered).tolist() == [12 if c == 7 else 0 for c in range(19)]
    # Predicted 3 and 4, answered 7.
    assert np.argwhere(known.confusion(answered)).tolist() == [[7, 3], [7, 4]]
    (record,) = records(tmp_path)
    assert (record["pixels"], record["void_pixels"]) == (18, 6)
    assert pool.read == 0


def test_what_was_not_answered_is_not_spent_and_may_be_asked_again(tmp_path):
    class Tired:
        """Leaves the first query of a round unanswered, and the corner of the second."""

        def ask(self, queries):
            patches = TRUTH.ask(queries).patches.copy()
            if queries.round == 1:
                patches[0], patches[1, 0, 0] = UNANSWERED, UNANSWERED
            return Answers(queries, patches)

    rounds = people.new_rounds(tmp_path, Tired())
    hold(rounds, tmp_path)
    (record,) = records(tmp_path)
    assert (record["picked"], record["unanswered"], record["pixels"]) == (2, 1, 8)
    assert record["fraction"] == rounds.fraction(10) == 8 / (2 * 12 * 16)
    assert (rounds.label(0, 10) == VOID).all()
    assert (rounds.label(1, 10) != VOID).sum() <= 8
    assert rounds.label(1, 10)[8, 2] == VOID
    # The picker is told of what blocks: the answered query alone.
    picker = people.Picker(3)
    with pytest.raises(InputError, match="image 'b' row 9 column 3 is asked for twice"):
        hold(rounds, tmp_path, 2, picker)
    previous = next(x.previous for x in picker.told if isinstance(x, Target))
    assert [len(previous(index)[0]) for index in (0, 1)] == [0, 1]
    assert not (tmp_path / "queries" / "round_02.npz").exists()

    class Again(people.Picker):
        def choose(self, *arguments, **told):
            chosen, report = super().choose(*arguments, **told)
            return chosen._replace(col=np.array([3, 10], np.int32)), report

    hold(rounds, tmp_path, 2, Again(3))
    assert rounds.label(0, 20)[4, 3] == people.LABELS[0, 4, 3]
    assert rounds.fraction(20) == (8 + 18) / (2 * 12 * 16)
    # As it is when the run goes on.
    again = people.new_rounds(tmp_path, None_())
    np.testing.assert_array_equal(again.label(0, 20), rounds.label(0, 20))


@pytest.mark.parametrize("method", ["full_supervision", "source_only"])
def test_the_bounds_read_the_pools_own_labels(tmp_path, method):
    rounds = people.new_rounds(tmp_path, None_(), method=method)
    np.testing.assert_array_equal(rounds.label(1, 0), people.LABELS[1])
    assert rounds.fraction(0) == (method == "full_supervision")
    assert list(tmp_path.iterdir()) == []


def test_an_oracle_that_says_something_else_is_refused(tmp_path):
    class Other:
        def ask(self, queries):
            return queries

    class Beyond:
        def ask(self, queries):
            return Answers(queries, np.full((len(queries), 3, 3), 30, np.uint8))

    for oracle, expected in (
        (Other(), "annotation.oracle: a Queries found, expected Answers or Pending"),
        (Beyond(), "class 30 found, expected 0 to 18"),
    ):
        with pytest.raises(InputError, match=expected):
            hold(people.new_rounds(tmp_path, oracle), tmp_path, picker=people.Picker(3))
        assert list((tmp_path / "answers").iterdir()) == []
    hold(people.new_rounds(tmp_path, TRUTH), tmp_path)


@pytest.mark.slow
def test_of_several_processes_one_asks_and_all_learn_what_came_of_it(tmp_path):
    arguments = (tmp_path, setting(tmp_path))
    pending = processes.run(people.hold_together, 2, *arguments)
    assert [ended.status for ended in pending] == [77, 77], pending
    assert all(ended.output.endswith("pending\n") for ended in pending), pending
    assert sum("answer them at" in ended.output for ended in pending) == 1
    answered = processes.run(people.hold_together, 2, *arguments)
    assert [ended.status for ended in answered] == [0, 0], answered
    assert all("answered [50, 51, 52, 66," in ended.output for ended in answered), answered


def outcome(workdir):
    """Queries, answers and what was recorded; no time, and nothing hidden."""
    files = [p for name in ("queries", "answers") for p in sorted((workdir / name).iterdir())]
    kept = [{k: v for k, v in r.items() if k != "seconds"} for r in records(workdir)]
    return [(str(path.relative_to(workdir)), path.read_bytes()) for path in files], kept


@pytest.mark.slow
def test_killed_before_any_write_it_ends_the_same(tmp_path):
    listed = tmp_path / "writes.txt"
    (ended,) = processes.run(people.hold_and_die, 1, tmp_path / "unbroken", 0, listed)
    assert ended.status == 0, ended
    expected = outcome(tmp_path / "unbroken")
    writes = listed.read_text().splitlines()
    kinds = [i for i, line in enumerate(writes, 1) if re.search("queries|answers|jsonl", line)]
    assert sum("answers" in writes[i - 1] for i in kinds) >= 3
    for number in kinds:
        workdir = tmp_path / str(number)
        (ended,) = processes.run(people.hold_and_die, 1, workdir, number, tmp_path / "log.txt")
        assert ended.status == -9, (writes[number - 1], ended)
        lock.remove_leftovers(workdir)
        hold(people.new_rounds(workdir, TRUTH), workdir)
        assert outcome(workdir) == expected, writes[number - 1]
