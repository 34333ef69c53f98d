import numpy as np

from cbda_jax.annotation import UNANSWERED, Answers, Queries
from cbda_jax.api import tables


def test_columns_of_records():
    records = [
        {
            "kind": "round",
            "step": 1,
            "split": "a",
            "iou": {"road": 0.5, "sky": None},
            "final": True,
        },
        {"kind": "round", "step": 2, "iou": {"road": 1}, "seconds": 3, "final": False},
    ]
    found = tables.columns(records)
    assert [*found] == ["step", "split", "iou.road", "iou.sky", "final", "seconds"]
    assert found["step"].dtype == np.int64
    assert found["split"].tolist() == ["a", ""]
    assert found["iou.road"].tolist() == [0.5, 1.0]
    np.testing.assert_array_equal(found["seconds"], [np.nan, 3])
    assert found["final"].tolist() == [True, False]
    assert tables.columns([]) == {}


def queries(number, count):
    return Queries(
        round=number,
        step=10 * number,
        image_ids=("a", "bb"),
        image=np.arange(count, dtype=np.int32) % 2,
        row=np.full(count, number, np.int32),
        col=np.arange(count, dtype=np.int32),
        score=np.ones(count, np.float32),
        predicted=np.zeros(count, np.uint8),
        radius=1,
        about={},
    )


def test_picks_whose_answers_are_yet_to_come():
    rounds = [queries(1, 2), queries(2, 3)]
    patches = np.zeros((2, 3, 3), np.uint8)
    patches[:, 1, 1] = 4, 7
    found = tables.picks(rounds, [Answers(rounds[0], patches)])
    assert found["answered"].tolist() == [4, 7, *[UNANSWERED] * 3]
    assert found["image_id"].tolist() == ["a", "bb", "a", "bb", "a"]
    assert found["step"].tolist() == [10, 10, 20, 20, 20]
    kinds = {name: column.dtype.kind for name, column in found.items()}
    assert {name: np.dtype(kind).kind for name, kind in tables._PICKS.items()} == kinds
    assert {len(column) for column in tables.picks([], []).values()} == {0}
