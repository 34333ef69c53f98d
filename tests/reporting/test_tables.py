import pytest

from cbda_jax.reporting import result_table
from cbda_jax.reporting.tables import (
    aligned,
    count,
    hours,
    lowest_class,
    of_budget,
    paid,
    percent,
)

IOU = {"road": 0.974, "traffic light": 0.51, "train": 0.2144, "bus": None}
EVALUATION = {
    "split": "target_val",
    "step": 1500,
    "miou": 0.5661,
    "min_iou": 0.2144,
    "worst5_iou": 0.33,
    "pixel_accuracy": 0.921,
    "iou": IOU,
    "subsets": {"13 classes": 0.66},
}
ROUND = {
    "round": 1,
    "step": 500,
    "requested": 1200,
    "picked": 1198,
    "pixels": 10700,
    "void_pixels": 535,
    "fraction": 0.01021,
    "images": 25,
    "leftover": 2,
}


def test_scores_are_in_percent_and_the_lowest_class_is_named():
    text = result_table(EVALUATION, title="cbda, 5 %")
    assert text.startswith("cbda, 5 %\ntarget_val at step 1500\n")
    words = " ".join(text.split())
    assert "mIoU 56.6 % over 13 classes 66.0 % lowest class 21.4 % (train)" in words
    assert "mean of the five lowest 33.0 % pixel accuracy 92.1 %" in words
    assert "Labels" not in text


def test_every_class_is_there_and_an_absent_one_has_a_dash():
    words = " ".join(result_table(EVALUATION).split())
    assert "road 97.4" in words
    assert "traffic light 51.0" in words
    assert "bus -" in words


def test_rounds_and_what_was_spent():
    second = ROUND | {
        "round": 2,
        "step": 700,
        "pixels": 10000,
        "void_pixels": 500,
        "fraction": 0.02,
    }
    text = result_table(EVALUATION, [ROUND, second], budget=0.05)
    rows = [line.split() for line in text.splitlines()]
    assert ["1", "500", "1", "200", "1", "198", "2", "25", "10", "700", "535", "1.02"] in rows
    assert "\n20 700 pixels labelled, 1 035 of them void (5.0 %)\n" in text
    assert "\n2.00 % of the target's pixels, of a budget of 5.00 %\n" in text


def test_what_people_paid():
    first = ROUND | {"answers": 1198, "answer_seconds": 2396.0, "measured_answers": 0}
    second = first | {"round": 2, "answers": 802, "answer_seconds": 3004.0}
    text = result_table(EVALUATION, [first, second], budget="2,000 answers")
    head, one, two = (line.split() for line in text.split("Labels asked for\n")[1].splitlines()[:3])
    assert head[-4:] == ["total", "%", "answers", "hours"]
    assert (one[-3:], two[-2:]) == (["1", "198", "0.67"], ["802", "0.83"])
    assert "of the target's pixels, of a budget of 2,000 answers\n" in text
    assert text.endswith("\n2 000 answers, 1.50 hours (estimated at 2.7 s an answer)\n")
    half = [first, second | {"measured_answers": 802}]
    assert paid(half) == (
        "2 000 answers, 1.50 hours (802 of the answers measured, the others estimated at 2.7 s an "
        "answer)"
    )
    whole = [record | {"measured_answers": record["answers"]} for record in half]
    assert paid(whole) == "2 000 answers, 1.50 hours (measured at 2.7 s an answer)"
    nothing = first | {"answers": 0, "answer_seconds": 0.0}
    assert paid([nothing]) == "0 answers, 0.00 hours (measured)"
    # A run that was begun before answers were counted.
    assert paid([ROUND, second]) == paid([]) == ""
    assert "hours" not in result_table(EVALUATION, [ROUND, second])


@pytest.mark.parametrize("name", ["c", "a class with a very long name that fills half of a line"])
def test_fits_a_terminal(name):
    iou = {f"{name} {i}": i / 40 for i in range(40)}
    wide = ROUND | {"requested": 10**8, "picked": 10**8, "pixels": 10**9, "void_pixels": 10**9}
    wide |= {"answers": 10**9, "answer_seconds": 2e9, "measured_answers": 0}
    text = result_table(EVALUATION | {"iou": iou}, [wide], budget=0.2)
    assert max(map(len, text.splitlines())) <= 100
    assert "\n      1  1 000 000 000  555 556\n" in text
    assert sum(text.count(f"{name} {i} ") for i in range(40)) == 40


def test_run_without_classes_or_rounds():
    text = result_table(EVALUATION | {"iou": {}, "min_iou": None, "subsets": {}})
    assert "lowest class" in text
    assert "- %" not in text


def test_small_parts():
    assert percent(None) == percent(float("nan")) == "-"
    assert count(1234567) == "1 234 567"
    assert [hours(s) for s in (None, 0, 4520, 36000, 3.6e6)] == [
        "-",
        "0.00",
        "1.26",
        "10.0",
        "1 000",
    ]
    assert [of_budget(b) for b in (None, 0.05, "3 hours")] == ["", "5.00 %", "3 hours"]
    assert lowest_class({"a": None}) is None
    assert aligned([["a", "10"], ["bcd", "2"]]) == ["a    10", "bcd   2"]
