import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

from cbda_jax.annotation import (
    ORACLES,
    SIMULATED,
    UNANSWERED,
    VOID,
    Answers,
    AnswersPending,
    CentreOracle,
    GroundTruthOracle,
    LabelledImages,
    MajorityOracle,
    NoisyOracle,
    Oracle,
    Pending,
    Queries,
    Setting,
    ask,
    create_oracle,
    cut,
)
from cbda_jax.errors import InputError, Paused

LABELS = np.random.default_rng(0).integers(0, 6, (3, 5, 7)).astype(np.uint8)


class Pool:
    ids = ("b", "a", "c")  # records may be in any order

    def __init__(self):
        self.read = []

    def label(self, index):
        self.read.append(index)
        return LABELS[index]


QUERIES = Queries(
    round=2,
    step=10,
    image_ids=("a", "b", "c"),
    image=np.array([1, 0, 1], np.int32),
    row=np.array([2, 0, 4], np.int32),
    col=np.array([3, 1, 6], np.int32),
    score=np.ones(3, np.float32),
    predicted=np.zeros(3, np.uint8),
    radius=1,
    about={},
)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_ground_truth_answers_everything(threads):
    pool = Pool()
    assert isinstance(pool, LabelledImages)
    found = GroundTruthOracle(pool, 5, threads=threads).ask(QUERIES)
    assert isinstance(found, Answers)
    assert found.queries is QUERIES
    # Values from C on are void.
    known = np.where(LABELS < 5, LABELS, VOID).astype(np.uint8)
    for place, image in enumerate((0, 1, 0)):
        at = slice(place, place + 1)
        expected = cut(known[image], QUERIES.row[at], QUERIES.col[at], 1)
        np.testing.assert_array_equal(found.patches[at], expected)
    assert (found.patches == UNANSWERED).sum() == 3 + 5
    assert sorted(pool.read) == [0, 1]


def test_what_is_asked_and_where_people_answer():
    assert str(Pending(QUERIES, "http://127.0.0.1:8000")) == (
        "round 2 asks about 3 squares of 3 x 3 pixels in 2 images: answer them at "
        "http://127.0.0.1:8000, then start the same command again"
    )
    assert "in 2 images, 1 of them answered: answer them at x," in str(Pending(QUERIES, "x", 1))


def test_to_wait_for_answers_is_no_error():
    assert issubclass(AnswersPending, Paused)
    assert AnswersPending.status == 77


SETTING = Setting(Pool(), ("road", "car", "bus", "train", "sky"), Path("run"), seed=3)


def nobody(setting):
    """An oracle that knows where people would answer."""

    class Nobody:
        def ask(self, queries):
            return Pending(queries, str(setting.workdir / "people"))

    return Nobody()


def test_oracles_by_name_and_by_import_path(monkeypatch):
    truth = create_oracle("ground_truth", SETTING)
    assert isinstance(truth, GroundTruthOracle)
    assert isinstance(truth, Oracle)
    monkeypatch.setitem(sys.modules, "my_module", sys.modules[__name__])
    assert create_oracle("my_module:nobody", SETTING).ask(QUERIES).where == "run/people"
    monkeypatch.setitem(ORACLES, "nobody", nobody)
    assert create_oracle("nobody", SETTING).ask(QUERIES).where == "run/people"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("exact", GroundTruthOracle),
        ("centre", CentreOracle),
        ("majority", MajorityOracle),
        ("noisy", NoisyOracle),
    ],
)
def test_simulated_people(name, kind):
    setting = dataclasses.replace(SETTING, noise=1.0, noise_at_boundaries=1.0)
    oracle = create_oracle(name, setting)
    assert type(oracle) is kind
    found, true = (create_oracle(n, setting).ask(QUERIES).patches for n in (name, "ground_truth"))
    assert (found[:, 1, 1] != true[:, 1, 1]).all() == (name == "noisy")
    assert name in SIMULATED <= ORACLES.keys()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "ground_trut",
            f"annotation.oracle: 'ground_trut' found, expected one of {', '.join(ORACLES)}, or an "
            "import path 'my_module:my_function'; did you mean 'ground_truth'?",
        ),
        ("not_there:oracle", "annotation.oracle: 'not_there:oracle' found, expected"),
        ("builtins:id", "'builtins:id' makes a int without ask(queries), expected an oracle"),
        ("math:pi", "'math:pi' found, a float, expected a function"),
    ],
)
def test_what_is_no_oracle(name, expected):
    with pytest.raises(InputError) as error:
        create_oracle(name, SETTING)
    assert expected in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_what_an_oracle_gives_back_is_looked_at():
    class Own:
        def __init__(self, found):
            self.found = found

        def ask(self, queries):
            if isinstance(self.found, BaseException):
                raise self.found
            return self.found

    pending = Pending(QUERIES, "there")
    assert ask(Own(pending), QUERIES) is pending
    for found, message in (
        (7, "annotation.oracle: a int found, expected Answers or Pending"),
        (OSError("no\nline"), r"ask\(queries\) of round 2 fails with OSError.*mend the oracle"),
        (InputError("as it is"), "^as it is$"),
    ):
        with pytest.raises(InputError, match=message) as error:
            ask(Own(found), QUERIES)
        assert "\n" not in str(error.value)
    with pytest.raises(AnswersPending):
        ask(Own(AnswersPending()), QUERIES)
