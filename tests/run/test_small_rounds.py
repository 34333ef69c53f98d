"""A round in parts, against the same done one part after the other, slowly."""

import dataclasses
import shutil

import numpy as np
import pytest
from in_parts import (
    COUNT,
    IDS,
    LABELS,
    NATIVE,
    PARTS,
    Counting,
    Pool,
    acquirer_of,
    hold,
    picks_of,
    rounds_in,
)
from sequential import greedy

from cbda_jax import reporting
from cbda_jax.acquisition import (
    Balance,
    RoundBalance,
    Scoring,
    class_weights,
)
from cbda_jax.annotation import Answers, GroundTruthOracle, Pending, round_files
from cbda_jax.errors import InputError
from cbda_jax.methods import Method
from cbda_jax.run.request import Request, Share

CORRECTED = Scoring(class_evidence="corrected")
METHODS = {
    "weights, per image": Method(CORRECTED, Balance("inverse_power")),
    "weights, global": Method(
        CORRECTED, Balance("inverse_power", weight_ratio=10), allocation="global", image_cap=2
    ),
    "quota": Method(CORRECTED, Balance("quota"), allocation="global"),
    "random": Method(Scoring(score="random")),
    "no balance": Method(allocation="global"),
}
METHODS = {name: dataclasses.replace(m, sub_rounds=PARTS) for name, m in METHODS.items()}


def slow(method, acquirer, state, target):
    """All picks of two rounds by definition: parts one after the other, each by the slow loop."""
    weighted = method.balance.weighted
    labelled = np.zeros(19, np.int64)
    confusion = np.zeros((19, 19), np.int64)
    taken = [[] for _ in range(COUNT)]
    whole = -(-NATIVE[0] * NATIVE[1] // 10 // 2 // 9)  # picks of an image and round
    rounds = []
    for number in (1, 2):
        rounds.append([])
        here = np.zeros(COUNT, int)
        for part in range(PARTS):
            weights = None
            smoothed = confusion + 10 * np.eye(19)
            turned_out = smoothed / smoothed.sum(axis=0)
            if weighted:
                weights = class_weights(labelled, "inverse_power")
                if method.balance.weight_ratio:
                    low = np.log(weights.astype(np.float64))
                    half = np.log(method.balance.weight_ratio) / 2
                    clipped = np.exp(np.clip(low, low.mean() - half, low.mean() + half))
                    if weights.max() > method.balance.weight_ratio * weights.min():
                        weights = (clipped / clipped.mean()).astype(np.float32)
                weights = (weights @ turned_out).astype(np.float32)
            found = []
            for index in range(COUNT):
                maps = acquirer.maps(
                    state, target, index, number=number, balance=RoundBalance(weights)
                )
                blocked = np.zeros(NATIVE, bool)
                for r, c in taken[index]:
                    blocked[max(r - 2, 0) : r + 3, max(c - 2, 0) : c + 3] = True
                limit = NATIVE[0] * NATIVE[1]
                if method.allocation == "per_image":
                    turn = index % PARTS
                    limit = (whole * (part + 1) + turn) // PARTS - (whole * part + turn) // PARTS
                elif method.image_cap:
                    limit = method.image_cap * whole - here[index]
                sequence, _ = greedy(maps.score, limit, 2, blocked)
                found += [
                    (-s, index, place, r, c, int(maps.prediction[r, c]))
                    for place, (r, c, s) in enumerate(sequence)
                ]
            found.sort()
            if method.allocation == "global":
                total = whole * COUNT * (part + 1) // PARTS - whole * COUNT * part // PARTS
                found = found[:total]
            for _, index, _, r, c, predicted in sorted(found, key=lambda pick: pick[1:3]):
                taken[index].append((r, c))
                here[index] += 1
                rounds[-1].append((IDS[index], r, c))
                square = LABELS[index][max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2]
                labelled += np.bincount(square[square < 19], minlength=19)
                if LABELS[index, r, c] < 19:
                    confusion[LABELS[index, r, c], predicted] += 1
    return rounds


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {"quota"}))
def test_picks_are_those_of_small_rounds_held_one_by_one(tmp_path, name):
    method = METHODS[name]
    rounds = rounds_in(tmp_path, method)
    acquirer, state = acquirer_of(method.scoring)
    target = rounds._target()
    hold(rounds, tmp_path)
    found = [picks_of(queries) for queries in rounds.log.rounds]
    assert found == slow(method, acquirer, state, target)
    # The whole budget, and not what the round would have asked for at once.
    assert [len(queries) for queries in rounds.log.rounds] == [60, 60]
    plain = rounds_in(tmp_path / "plain", dataclasses.replace(method, sub_rounds=1))
    hold(plain, tmp_path / "plain")
    same = [set(picks_of(q)) == set(p) for q, p in zip(plain.log.rounds, found, strict=True)]
    assert same[0] == (name in ("no balance", "random"))


def test_a_quota_is_that_of_small_rounds_held_one_by_one(tmp_path):
    method = METHODS["quota"]
    rounds = rounds_in(tmp_path, method)
    hold(rounds, tmp_path)
    acquirer, state = acquirer_of(method.scoring)
    answered, truth = [], GroundTruthOracle(Pool(), 19)
    for queries in rounds.log.rounds:
        for place in range(PARTS):
            part = slice(20 * place, 20 * place + 20)
            own = {
                name: getattr(queries, name)[part]
                for name in ("image", "row", "col", "score", "predicted")
            }
            # A round for itself, of which the answers to all before are known.
            rounds.answers.rounds = list(answered)
            balance = rounds._experience.balance(queries.round, answered)
            request = Request(queries.round, {NATIVE: Share(12)}, "global", picks=20)
            chosen, report = acquirer.choose(state, rounds._target(), request, balance=balance)
            asked = rounds._queries(queries.round, queries.step, chosen, {})
            assert picks_of(asked) == picks_of(queries)[part]
            assert (
                np.bincount(balance.group_of[chosen.predicted], minlength=19) == report.quota
            ).all()
            answered.append(truth.ask(dataclasses.replace(queries, **own)))


@pytest.mark.parametrize("devices", [1, 4])
def test_devices_make_no_difference(tmp_path, devices):
    method = METHODS["weights, global"]
    reference = rounds_in(tmp_path / "two", method)
    hold(reference, tmp_path / "two")
    other = rounds_in(tmp_path / "other", method)
    hold(other, tmp_path / "other", devices=devices)
    for ours, theirs in zip(other.log.rounds, reference.log.rounds, strict=True):
        assert picks_of(ours) == picks_of(theirs)


def test_what_is_kept_makes_no_difference(tmp_path, monkeypatch):
    method = METHODS["quota"]
    hold(rounds_in(tmp_path / "kept", method), tmp_path / "kept")
    monkeypatch.setattr("cbda_jax.run.logits.Logits.__init__.__kwdefaults__", {"most_bytes": 0})
    hold(rounds_in(tmp_path / "again", method), tmp_path / "again")
    assert files(tmp_path / "kept") == files(tmp_path / "again")


def test_the_log_has_one_round(tmp_path):
    oracle = Counting()
    rounds = rounds_in(tmp_path, METHODS["quota"], oracle)
    hold(rounds, tmp_path, numbers=(1,))
    (queries,) = rounds.log.rounds
    (answers,) = rounds.answers.rounds
    assert oracle.asked == [(1, 10, 20)] * 3
    assert queries.about["small_rounds"] == [20, 20, 20]
    assert (queries.about["requested"], sum(queries.about["quota"])) == (60, 60)
    np.testing.assert_array_equal(answers.patches, oracle.truth.ask(queries).patches)
    assert answers.about == {"oracle": "ground_truth"}
    assert not list((tmp_path / "small_rounds").iterdir())
    (record,) = reporting.read_metrics(tmp_path)
    assert (record["picked"], record["requested"], record["leftover"]) == (60, 60, 0)
    again = rounds_in(tmp_path, METHODS["quota"])
    assert picks_of(again.log.rounds[0]) == picks_of(queries)


def test_what_small_rounds_cost_adds_up(tmp_path):
    class Timed(Counting):
        def ask(self, queries):
            patches = super().ask(queries).patches
            about = {"seconds": 1.5, "answers": len(queries), "who": "Ada", "n": len(self.asked)}
            return Answers(queries, patches, about)

    rounds = rounds_in(tmp_path, METHODS["quota"], Timed())
    hold(rounds, tmp_path, numbers=(1,))
    assert rounds.answers.rounds[0].about == {"seconds": 4.5, "answers": 60, "who": "Ada"}


def files(workdir):
    return {
        str(path.relative_to(workdir)): path.read_bytes()
        for name in ("queries", "answers")
        for path in sorted((workdir / name).iterdir())
    }


class Killed(BaseException):
    """Stands for the end of a process."""


@pytest.mark.parametrize("where", ["write", "removal"])
def test_killed_anywhere_it_goes_on_to_the_same_and_asks_nothing_twice(
    tmp_path, monkeypatch, where
):
    method = METHODS["weights, global"]
    hold(rounds_in(tmp_path / "unbroken", method), tmp_path / "unbroken")
    expected = files(tmp_path / "unbroken")
    left, write, remove = 0, round_files.write_npz, shutil.rmtree

    def dying(*arguments, **named):
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed
        write(*arguments, **named)

    def dying_removal(folder):
        nonlocal left
        left -= 1
        if left == 0:
            (folder / "queries" / "round_02.npz").unlink()
            raise Killed
        remove(folder)

    # Of each round three queries and answers, the round's own, and one removal.
    writes = range(1, 17) if where == "write" else (1, 2)
    for fatal in writes:
        workdir, oracle = tmp_path / str(fatal), Counting()
        with monkeypatch.context() as patched:
            left = fatal
            if where == "write":
                patched.setattr(round_files, "write_npz", dying)
            else:
                patched.setattr("cbda_jax.run.small_rounds.shutil.rmtree", dying_removal)
            with pytest.raises(Killed):
                hold(rounds_in(workdir, method, oracle), workdir)
        # As the loop does: from the round that it was at.
        rounds = rounds_in(workdir, method, oracle)
        first = max(len(rounds.answers.rounds), 1)
        hold(rounds, workdir, numbers=range(first, 3))
        assert files(workdir) == expected, fatal
        assert not list((workdir / "small_rounds").iterdir())
        # The answers that could not be written any more are asked for again, and no others.
        lost = where == "write" and fatal % 8 in (2, 4, 6)
        assert len(oracle.asked) == 6 + lost, fatal


def test_a_run_that_was_written_to_be_whole_is_answered_whole(tmp_path):
    """The files of the small rounds are gone, its queries are there."""
    method, oracle = METHODS["quota"], Counting()
    hold(rounds_in(tmp_path, method), tmp_path, numbers=(1,))
    expected = files(tmp_path)
    (tmp_path / "answers" / "round_01.npz").unlink()
    hold(rounds_in(tmp_path, method, oracle), tmp_path, numbers=(1,))
    assert oracle.asked == [(1, 10, 60)]
    assert files(tmp_path) == expected


def test_what_is_not_answered_is_not_asked_again_in_the_same_round(tmp_path):
    class Tired(Counting):
        def ask(self, queries):
            patches = super().ask(queries).patches.copy()
            patches[:5] = 254
            return Answers(queries, patches)

    rounds = rounds_in(tmp_path, METHODS["no balance"], Tired())
    hold(rounds, tmp_path)
    assert [int((~a.answered).sum()) for a in rounds.answers.rounds] == [15, 15]
    first, second = (set(picks_of(queries)) for queries in rounds.log.rounds)
    assert len(first) == 60
    assert first & second


def test_oracles_that_take_their_time_or_answer_something_else_are_refused(tmp_path):
    class Later:
        def ask(self, queries):
            return Pending(queries, "there")

    class Other(Counting):
        def ask(self, queries):
            return super().ask(dataclasses.replace(queries, step=99))

    for oracle, expected in (
        (Later(), "acquisition.sub_rounds: answers to round 1 found pending, expected an oracle"),
        (Other(), "answers to other queries found, of round 1, expected those to round 1"),
    ):
        with pytest.raises(InputError, match=expected):
            hold(rounds_in(tmp_path, METHODS["quota"], oracle), tmp_path)
    # The same was asked each time; nothing is lost.
    hold(rounds_in(tmp_path, METHODS["quota"]), tmp_path)


def test_files_of_other_queries_are_told(tmp_path):
    method = METHODS["quota"]
    hold(rounds_in(tmp_path, method), tmp_path, numbers=(1,))
    (tmp_path / "answers" / "round_01.npz").unlink()
    small = rounds_in(tmp_path / "other", method)._small_rounds(1, 10)
    # Two of three small rounds.
    rounds = rounds_in(tmp_path / "other", method)

    def stop():
        if len(list((tmp_path / "other" / "small_rounds").rglob("*.npz"))) == 4:
            raise Killed

    with pytest.raises(Killed):
        hold(rounds, tmp_path / "other", writable=stop)
    shutil.copytree(small._folder, tmp_path / "small_rounds" / "round_01")
    with pytest.raises(InputError, match=r"round_01: answers to 40 queries found, expected 60"):
        hold(rounds_in(tmp_path, method), tmp_path)
