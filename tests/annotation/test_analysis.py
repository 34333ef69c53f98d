import json

import numpy as np
import pytest

from cbda_jax.annotation import (
    UNANSWERED,
    Answers,
    GroundTruthOracle,
    Queries,
    label_entropy,
    tally,
)
from cbda_jax.annotation import analyse as analyse_answers
from cbda_jax.annotation.analysis import picks_per_image, reliability

NAMES = ("road", "car", "train")
IDS = ("a", "b", "c")
LABELS = {
    "a": np.array(
        [
            [0, 0, 0, 255, 255, 255],
            [0, 0, 0, 255, 255, 255],
            [0, 1, 1, 255, 255, 255],
            [1, 1, 1, 1, 255, 255],
        ],
        np.uint8,
    ),
    "b": np.full((4, 6), 2, np.uint8),
    "c": np.zeros((4, 6), np.uint8),
}
SIZES = dict.fromkeys(IDS, (4, 6))


class Pool:
    ids = IDS

    def label(self, index):
        return LABELS[IDS[index]]


def answers(asked):
    return GroundTruthOracle(Pool(), len(NAMES)).ask(asked)


def analyse(rounds, **more):
    return analyse_answers([answers(asked) for asked in rounds], NAMES, SIZES, **more)


def queries(number, image, row, col, predicted, radius=1, lowest=0.5):
    return Queries(
        round=number,
        step=10 * number,
        image_ids=IDS,
        image=np.array(image, np.int32),
        row=np.array(row, np.int32),
        col=np.array(col, np.int32),
        score=np.linspace(1, lowest, len(image), dtype=np.float32),
        predicted=np.array(predicted, np.uint8),
        radius=radius,
        about={},
    )


# Round 1: in "a" at (1, 1) seven roads and two cars; at (0, 4), at the border, six void; in "b" at
# (3, 0), in the corner, four trains. Round 2: in "a" at (3, 3) three cars and three void, and
# at (2, 1) four roads and five cars.
FIRST = queries(1, (1, 0, 0), (3, 1, 0), (0, 1, 4), (1, 0, 2))
SECOND = queries(2, (0, 0), (3, 2), (3, 1), (1, 0), lowest=-1e-6)


@pytest.fixture(scope="module")
def analysis():
    return analyse([FIRST, SECOND], pool_pixels={"road": 30, "car": 10})


def test_pixels_are_counted_by_class_and_round(analysis):
    first, second = analysis["rounds"]
    assert first["class_pixels"] == {"road": 7, "car": 2, "train": 4}
    assert (first["pixels"], first["void_pixels"]) == (19, 6)
    assert first["class_shares"] == {"road": 7 / 19, "car": 2 / 19, "train": 4 / 19}
    assert first["void_share"] == 6 / 19
    # Every square counts for itself; those of a real run do not overlap.
    assert second["class_pixels"] == {"road": 4, "car": 8, "train": 0}
    assert (second["round"], second["pixels"], second["void_pixels"]) == (2, 15, 3)
    assert analysis["total"]["class_pixels"] == {"road": 11, "car": 10, "train": 4}
    assert analysis["total"]["pixels"] == 19 + 15


def test_entropy_of_a_round_and_so_far(analysis):
    def entropy(*counts):
        share = np.array(counts) / sum(counts)
        return -(share * np.log(share)).sum() / np.log(3)

    first, second = analysis["rounds"]
    assert first["label_entropy"] == pytest.approx(entropy(7, 2, 4))
    assert first["label_entropy_so_far"] == first["label_entropy"]
    assert second["label_entropy"] == pytest.approx(entropy(4, 8))
    assert second["label_entropy_so_far"] == pytest.approx(entropy(11, 10, 4))
    assert analysis["total"]["label_entropy"] == second["label_entropy_so_far"]
    assert analysis["pool"]["label_entropy"] == pytest.approx(entropy(30, 10))


def test_entropy_of_few_classes():
    assert label_entropy(np.array([5, 5, 5, 5])) == pytest.approx(1)
    assert str(label_entropy(np.array([5, 0]))) == "0.0"
    assert label_entropy(np.zeros(3, np.int64)) is None
    assert label_entropy(np.array([5])) is None


def test_pool_is_shown_where_it_is_known(analysis):
    assert analysis["pool"]["class_pixels"] == {"road": 30, "car": 10, "train": 0}
    assert analysis["pool"]["class_shares"] == {"road": 0.75, "car": 0.25, "train": 0.0}
    assert analyse([FIRST])["pool"] is None
    assert analyse([FIRST], pool_pixels={"road": 0})["pool"] is None


def test_predictions_are_compared_with_the_centres(analysis):
    first, second = analysis["rounds"]
    assert first["confusion"] == {"road": {"road": 1}, "car": {"train": 1}, "train": {"void": 1}}
    assert (first["right"], first["void_centres"]) == (1 / 3, 1)
    assert second["confusion"] == {"road": {"car": 1}, "car": {"car": 1}}
    assert (second["right"], second["void_centres"]) == (1 / 2, 0)
    total = analysis["total"]
    assert total["right"] == 2 / 5
    assert total["reliability"] == {
        "road": {"predicted": 2, "void": 0, "precision": 0.5, "true": 1, "recall": 1.0},
        "car": {"predicted": 2, "void": 0, "precision": 0.5, "true": 2, "recall": 0.5},
        "train": {"predicted": 1, "void": 1, "precision": None, "true": 1, "recall": 0.0},
    }


def test_regions_that_had_no_score_are_counted(analysis):
    assert [entry["unranked_regions"] for entry in analysis["rounds"]] == [0, 1]
    assert analysis["total"]["unranked_regions"] == 1


def test_void_is_left_out_of_precision():
    confusion = np.array([[3, 1, 4], [0, 0, 0]], np.int64)
    found = reliability(confusion, ("road", "car"))
    assert found["road"] == {
        "predicted": 8,
        "void": 4,
        "precision": 0.75,
        "true": 3,
        "recall": 1.0,
    }
    assert found["car"] == {"predicted": 0, "void": 0, "precision": None, "true": 1, "recall": 0.0}


def test_regions_are_void_or_on_a_boundary(analysis):
    def kinds(entry):
        kinds = ("regions", "void_regions", "partly_void_regions", "boundary_regions")
        return [entry[kind] for kind in kinds]

    first, second = analysis["rounds"]
    assert kinds(first) == [3, 1, 0, 1]
    # One class and void is no boundary.
    assert kinds(second) == [2, 0, 1, 1]
    assert kinds(analysis["total"]) == [5, 1, 1, 2]


def test_picks_are_spread_over_all_images_of_the_pool(analysis):
    first, second = (entry["picks_per_image"] for entry in analysis["rounds"])
    assert (first["min"], first["median"], first["max"], first["without"]) == (0, 1.0, 2, 1)
    assert (second["min"], second["median"], second["max"], second["without"]) == (0, 0.0, 2, 2)
    total = analysis["total"]["picks_per_image"]
    assert total["images"] == 3
    assert total["histogram"] == {"edges": [0, 1, 2, 3, 4, 5], "images": [1, 1, 0, 0, 1]}


@pytest.mark.parametrize("high", [19, 20, 200, 201])
def test_histograms_have_few_bars_and_every_image(high):
    number = np.arange(high + 1)
    histogram = picks_per_image(number)["histogram"]
    expected, _ = np.histogram(number, histogram["edges"])
    assert histogram["images"] == expected.tolist()
    assert sum(histogram["images"]) == high + 1
    assert len(histogram["images"]) <= 20
    same = picks_per_image(np.full(4, 7))["histogram"]
    assert same == {"edges": [7, 8], "images": [4]}


def test_what_was_not_asked_about_has_no_part(monkeypatch, analysis):
    hidden = {name: np.full_like(label, 255) for name, label in LABELS.items()}
    hidden["a"][:3, :3] = LABELS["a"][:3, :3]
    hidden["a"][2:, :5] = LABELS["a"][2:, :5]
    hidden["b"][2:, :2] = 2
    for name, label in hidden.items():
        monkeypatch.setitem(LABELS, name, label)
    found = analyse([FIRST, SECOND], pool_pixels={"road": 30, "car": 10})
    assert found == analysis


def test_single_pixels():
    found = tally(answers(queries(1, (0, 0), (0, 0), (0, 5), (0, 0), radius=0)), 3, SIZES)
    np.testing.assert_array_equal(found.pixels, [1, 0, 0, 1])
    assert (found.void, found.partly_void, found.boundary) == (1, 0, 0)


def test_what_was_not_answered_is_told_apart_and_counted_nowhere(analysis):
    assert "unanswered_regions" not in analysis["total"]
    found = answers(FIRST)
    patches = found.patches.copy()
    patches[0] = UNANSWERED  # the four trains in the corner of "b"
    patches[1, 1, 1] = UNANSWERED  # the road at the centre in "a"
    patches[2, 1, 1] = UNANSWERED  # a void one
    (entry,) = analyse_answers([Answers(FIRST, patches)], NAMES, SIZES)["rounds"]
    assert entry["regions"] == 2
    assert (entry["unanswered_regions"], entry["unanswered_pixels"]) == (1, 4 + 1 + 1)
    assert entry["class_pixels"] == {"road": 6, "car": 2, "train": 0}
    assert (entry["pixels"], entry["void_pixels"]) == (13, 5)
    assert (entry["void_regions"], entry["partly_void_regions"]) == (1, 0)
    assert entry["boundary_regions"] == 1
    # No centre is known.
    assert entry["confusion"] == {}
    assert entry["right"] is None
    # What was asked was asked.
    assert entry["picks_per_image"]["max"] == 2
    assert entry["picks_per_image"]["without"] == 1


def test_what_lies_outside_of_an_image_of_another_size_is_not_unanswered():
    asked = queries(1, (0, 1), (3, 3), (2, 2), (0, 0))
    patches = np.full((2, 3, 3), UNANSWERED, np.uint8)
    # The centre alone is answered: of "a" it lies in the last row, of "b" it does not.
    patches[:, 1, 1] = 0
    sizes = SIZES | {"b": (5, 9)}
    found = tally(Answers(asked, patches), 3, sizes)
    assert found.unanswered_pixels == (6 - 1) + (9 - 1)
    analysis = analyse_answers([Answers(asked, patches)], NAMES, sizes)
    assert analysis["total"]["unanswered_pixels"] == 13
    assert analysis["total"]["picks_per_image"]["images"] == 3


def test_nothing_asked_is_nothing_to_analyse(analysis):
    assert analyse([]) is None
    empty = queries(1, (), (), (), ())
    found = analyse([empty])
    assert found["total"]["regions"] == 0
    assert found["total"]["right"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert json.loads(json.dumps(analysis, allow_nan=False)) == analysis
