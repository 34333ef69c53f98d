import numpy as np
import pytest

from cbda_jax.acquisition import BANDS, Balance, Scoring, void_shares, weights_by_score
from cbda_jax.annotation import UNANSWERED, VOID, Answers, Queries
from cbda_jax.methods import METHODS, Method
from cbda_jax.run.experience import Experience

SIZES = {"a": (8, 10), "b": (6, 10)}


def made(seed, count=40, classes=4):
    """Answers to made-up queries, some of them void, unanswered, or of a score of 0 or less."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 2, count).astype(np.int32)
    height = np.array([8, 6])[image]
    queries = Queries(
        round=seed,
        step=seed,
        image_ids=("a", "b"),
        image=image,
        row=(rng.random(count) * height).astype(np.int32),
        col=rng.integers(0, 10, count).astype(np.int32),
        score=rng.choice([-1e-7, 0, 0.5], count).astype(np.float32),
        predicted=rng.integers(0, classes, count).astype(np.uint8),
        radius=1,
        about={},
    )
    values = np.array([*range(classes), VOID, UNANSWERED], np.uint8)
    return Answers(queries, rng.choice(values, (count, 3, 3)))


ANSWERED = [made(1), made(2)]


def slow(classes=4):
    """Confusion by kind of window, and answered and void pixels of every cell: by definition."""
    confusion = np.zeros((2, classes, classes), int)
    pixels, void = np.zeros((2, 2, BANDS, classes), int)
    for answers in ANSWERED:
        queries = answers.queries
        for k in range(len(queries)):
            kind, predicted = int(queries.score[k] <= 0), queries.predicted[k]
            band = int(queries.row[k]) * BANDS // SIZES[queries.image_ids[queries.image[k]]][0]
            centre = answers.patches[k, 1, 1]
            if centre < classes:
                confusion[kind, centre, predicted] += 1
            pixels[kind, band, predicted] += (answers.patches[k] != UNANSWERED).sum()
            void[kind, band, predicted] += (answers.patches[k] == VOID).sum()
    return confusion, pixels, void


def test_what_is_counted_query_by_query():
    experience = Experience(METHODS["ripu"], 4, SIZES)
    confusion, pixels, void = slow()
    assert confusion.any(axis=(1, 2)).all()
    np.testing.assert_array_equal(experience.by_score(ANSWERED), confusion)
    np.testing.assert_array_equal(experience.confusion(ANSWERED), confusion.sum(axis=0))
    expected = void_shares(void, pixels, strength=90.0)
    np.testing.assert_array_equal(experience.void(ANSWERED), expected)
    assert not experience.void([]).any()


@pytest.mark.parametrize("known", [0, 1, 2])
def test_a_round_is_balanced_by_the_answers_that_it_is_told(known):
    method = Method(
        Scoring(class_evidence="corrected_by_score"), Balance("inverse_log", avoid_void=True)
    )
    experience = Experience(method, 4, SIZES)
    answered = ANSWERED[:known]
    found = experience.balance(1, answered)
    counts = sum((answers.counts[:4] for answers in answered), np.zeros(4, int))
    weights = 1 / np.log(1.02 + counts / max(counts.sum(), 1))
    weights = (weights / weights.mean()).astype(np.float32) if known else np.ones(4, np.float32)
    split = experience.by_score(answered)
    np.testing.assert_allclose(found.weights, weights_by_score(weights, split), rtol=1e-6)
    np.testing.assert_array_equal(found.void, experience.void(answered))
