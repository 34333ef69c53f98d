"""What a round tells the acquirer of the classes, from the answers to the rounds before."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax import acquisition, annotation
from cbda_jax.acquisition import Balance, Scoring
from cbda_jax.errors import InputError
from cbda_jax.label_space import CITYSCAPES_19
from cbda_jax.methods import METHODS, Method
from cbda_jax.run.loss_balance import label_counts
from cbda_jax.run.plan import Plan
from cbda_jax.run.request import Request, Share
from cbda_jax.run.rounds import Rounds
from cbda_jax.training import TrainState

IDS = ("a", "b")
LABELS = np.zeros((2, 12, 16), np.uint8)
LABELS[0, :, 8:] = 5
LABELS[1, :6] = 255
LABELS[1, 6:, :4] = 7


class Pool:
    ids = IDS
    sizes = np.tile(np.array([12, 16], np.int32), (2, 1))

    def __len__(self):
        return len(IDS)

    def image(self, index):
        return np.zeros((12, 16, 3), np.uint8)

    def label(self, index):
        return LABELS[index]


def column(values, dtype=np.int32):
    return np.array(values, dtype)


def _nothing():
    """Nobody gives up, and everything may be written."""


def asked(number, image, row, col, predicted):
    return annotation.Queries(
        round=number,
        step=number,
        image_ids=IDS,
        image=column(image),
        row=column(row),
        col=column(col),
        score=np.ones(len(image), np.float32),
        predicted=column(predicted, np.uint8),
        radius=1,
        about={},
    )


def no_rounds(tmp_path, method, oracle=None):
    return Rounds(
        tmp_path,
        Pool(),
        CITYSCAPES_19,
        annotation.GroundTruthOracle(Pool(), 19) if oracle is None else oracle,
        Plan("test", method, budget=0.1, count=3),
        gallery=0,
    )


def rounds_of(tmp_path, method):
    rounds = no_rounds(tmp_path, method)
    # In truth 5, 0, 7, void; then 0.
    first = asked(1, [0, 0, 1, 1], [3, 9, 9, 2], [12, 2, 1, 9], [5, 5, 7, 7])
    for queries in (first, asked(2, [1], [9], [12], [5])):
        rounds.log.append(queries)
        rounds._ask(queries, _nothing, _nothing)
    return rounds


def test_the_loss_counts_the_labels_that_a_step_has(tmp_path):
    rounds = rounds_of(tmp_path, METHODS["ripu"])
    pool = np.stack([CITYSCAPES_19.class_pixels(label) for label in LABELS])
    for step, expected in ((0, {}), (1, {0: 9, 5: 9, 7: 9}), (2, {0: 18, 5: 9, 7: 9})):
        counts = label_counts(METHODS["ripu"], pool, rounds, step)
        assert {c: n for c, n in enumerate(counts.tolist()) if n} == expected, step
    every = label_counts(METHODS["full_supervision"], pool, rounds, 0)
    np.testing.assert_array_equal(every, pool.sum(axis=0))
    assert not label_counts(METHODS["source_only"], pool, rounds, 9).any()


def confusion(rounds, number):
    return rounds._experience.confusion(rounds.answers.rounds[: number - 1])


def test_confusion_is_that_of_the_centres_without_void(tmp_path):
    rounds = rounds_of(tmp_path, METHODS["cb"])
    assert not confusion(rounds, 1).any()
    second = np.zeros((19, 19), np.int64)
    second[5, 5] = second[0, 5] = second[7, 7] = 1
    np.testing.assert_array_equal(confusion(rounds, 2), second)
    second[0, 5] += 1
    np.testing.assert_array_equal(confusion(rounds, 3), second)


def test_weights_are_clipped_and_then_corrected(tmp_path):
    method = Method(Scoring(class_evidence="corrected"), Balance("inverse_power", weight_ratio=4))
    rounds = rounds_of(tmp_path, method)
    found = rounds._balance(3)
    counts = rounds._experience.classes(rounds.answers.rounds)
    assert counts[[0, 5, 7]].min() > 0
    clipped = acquisition.clip_weights(acquisition.class_weights(counts, "inverse_power"), 4)
    expected = clipped.copy()
    expected[5] = (11 * clipped[5] + 2 * clipped[0]) / 13
    np.testing.assert_allclose(found.weights, expected, rtol=1e-6)
    assert found.tie_weights is None


STATE = TrainState(step=jnp.int32(0), params={}, frozen={}, opt_state=())


class Mixed:
    """Three images of two sizes, not in the order of their ids."""

    ids = ("c", "a", "b")
    sizes = np.array([[12, 16], [6, 9], [12, 16]], np.int32)

    def __len__(self):
        return 3

    def image(self, index):
        return np.zeros((12, 16, 3), np.uint8)

    def label(self, index):
        return np.full(self.sizes[index], index, np.uint8)


def mixed_rounds(tmp_path, method):
    return Rounds(
        tmp_path,
        Mixed(),
        CITYSCAPES_19,
        annotation.GroundTruthOracle(Mixed(), 19),
        Plan("test", method, budget=0.4, count=2),
        gallery=0,
    )


@pytest.mark.parametrize(("allocation", "cap"), [("per_image", 0), ("global", 1.5)])
def test_a_budget_is_shared_by_pixels(tmp_path, allocation, cap):
    method = Method(allocation=allocation, image_cap=cap)
    rounds, acquirer = mixed_rounds(tmp_path, method), Recorder()
    queries = rounds._choose(1, 9, STATE, acquirer, lambda: None)
    # ceil(192 x 0.4 / 2 / 9) and ceil(54 x 0.4 / 2 / 9); half as many more with a cap.
    expected = {(12, 16): (5, 8 if cap else None), (6, 9): (2, 3 if cap else None)}
    assert acquirer.request == Request(1, expected, allocation)
    np.testing.assert_array_equal(acquirer.target.sizes, Mixed.sizes)
    assert queries.about["requested"] == 5 + 2 + 5


@pytest.mark.parametrize(("keys", "picks"), [("exact", [1, 2]), ("centre", [13, 14])])
def test_a_budget_in_answers_follows_the_oracle(tmp_path, keys, picks):
    method = METHODS["da"]
    oracle = annotation.create_oracle(
        keys, annotation.Setting(Mixed(), CITYSCAPES_19.classes, tmp_path)
    )
    plan = Plan("test", method, 9, 2, "answers_per_image", 2.0)
    rounds = Rounds(tmp_path, Mixed(), CITYSCAPES_19, oracle, plan, gallery=0)
    for number in (1, 2):
        acquirer = Recorder()
        queries = rounds._choose(number, 9, STATE, acquirer, lambda: None)
        # 27 answers in all: three squares of nine, or 27.
        assert acquirer.request.picks == picks[number - 1]
        assert queries.about["requested"] == acquirer.request.picks
        assert (queries.about["budget"], queries.about["budget_in"]) == (9, "answers_per_image")


def test_labels_and_fractions_are_of_each_image_s_own_size(tmp_path):
    method = METHODS["ripu"]
    rounds = mixed_rounds(tmp_path, method)
    first = dataclasses.replace(
        asked(1, [0, 2, 2], [5, 0, 11], [8, 3, 15], [0, 0, 0]), image_ids=("a", "b", "c")
    )
    rounds.log.append(first)
    rounds._ask(first, _nothing, _nothing)
    assert [rounds.label(index, 1).shape for index in range(3)] == [(12, 16), (6, 9), (12, 16)]
    # In three corners or at borders: of "a" four pixels, of "c" six and four.
    assert [int((rounds.label(index, 1) != 255).sum()) for index in range(3)] == [10, 4, 0]
    assert (rounds.label(1, 1)[4:, 7:] == 1).all()
    assert rounds.fraction(1) == 14 / (192 + 54 + 192)
    # As it is read when the run goes on.
    assert mixed_rounds(tmp_path, method).fraction(1) == rounds.fraction(1)
    # Inside of the larger images alone.
    outside = asked(2, [0], [6], [3], [0])
    rounds.log.append(dataclasses.replace(outside, image_ids=("a", "b", "c")))
    with pytest.raises(InputError, match=r"image 'a' row 6 column 3; expected labels of 6 x 9"):
        mixed_rounds(tmp_path, method)


class Recorder:
    """An acquirer that only notes what it is told."""

    def choose(self, state, target, request, *, balance, done):
        self.target, self.request, self.balance = target, request, balance
        nothing = np.zeros(0, np.int32)
        selection = acquisition.Selection(
            nothing, nothing, nothing, np.zeros(0, np.float32), np.zeros(0, np.uint8)
        )
        return selection, acquisition.Report(1, 0, np.zeros(19, int), np.zeros(19, int))

    def maps(self, *arguments, **told):
        raise NotImplementedError

    def logits(self, *arguments, **told):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("method", "most", "knows"),
    [
        (METHODS["cbda_plain"], None, False),
        (Method(balance=Balance("exp"), allocation="global", image_cap=1.5), 2, False),
        (METHODS["cb_oracle"], None, True),
    ],
)
def test_what_the_acquirer_is_told(tmp_path, method, most, knows):
    acquirer = Recorder()
    rounds_of(tmp_path, method)._choose(3, 9, STATE, acquirer, lambda: None)
    assert acquirer.request == Request(3, {(12, 16): Share(1, most)}, method.allocation)
    truth = acquirer.target.truth
    assert (truth is not None) == knows
    if truth is not None:
        np.testing.assert_array_equal(truth(1), LABELS[1])


def test_a_quota_over_corrected_classes_is_logged(tmp_path):
    method = Method(Scoring(class_evidence="corrected"), Balance("quota"), allocation="global")
    rounds, acquirer = rounds_of(tmp_path, method), Recorder()
    # Eleven more answers that what was predicted as 5 is 0.
    found = np.zeros((19, 19), np.int64)
    found[0, 5] = 11
    rounds._experience._confusions[rounds.answers.rounds[0]] = found
    queries = rounds._choose(3, 9, STATE, acquirer, lambda: None)
    assert acquirer.balance.group_of.tolist() == [c if c != 5 else 0 for c in range(19)]
    assert queries.about["quota_class"] == acquirer.balance.group_of.tolist()
    assert "quota" in queries.about
