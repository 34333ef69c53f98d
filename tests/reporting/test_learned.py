import pytest

from cbda_jax.reporting import learned


def evaluation(step, road, car=None):
    return {"step": step, "miou": road / 2, "iou": {"road": road, "car": car}}


WATCHED = [
    evaluation(5, 0.1),
    evaluation(10, 0.2, 0.5),
    evaluation(15, 0.25, 0.4),
    evaluation(20, 0.4, 0.45),
    evaluation(30, 0.7, 0.1),
]
ROUNDS = [
    {"round": 1, "step": 10, "class_pixels": {"road": 1200, "car": 5}},
    {"round": 2, "step": 20, "class_pixels": {"road": 34, "car": 5}},
]


def test_an_evaluation_at_the_step_of_a_round_is_before_it():
    found = learned.stages(WATCHED, ROUNDS)
    assert [(stage.name, stage.record["step"]) for stage in found] == [
        ("before round 1", 10),
        ("after round 1", 20),
        ("after round 2", 30),
    ]


def test_a_stretch_without_an_evaluation_has_no_column():
    found = learned.stages([WATCHED[0], WATCHED[-1]], ROUNDS)
    assert [stage.name for stage in found] == ["before round 1", "after round 2"]
    assert learned.stages([], ROUNDS) == []


def test_without_rounds_first_and_last():
    found = learned.stages(WATCHED, [])
    assert [stage.name for stage in found] == ["step 5", "step 30"]


def test_table_of_the_classes():
    found = learned.stages(WATCHED, ROUNDS)
    table = learned.class_table(found, ROUNDS, ("road", "car"))
    road, car = table["rows"]
    assert [cell["text"] for cell in road["cells"]] == ["20.0", "40.0", "70.0"]
    assert [cell["change"]["text"] for cell in road["cells"]] == ["", "+20.0", "+30.0"]
    assert road["change"] == {"text": "+50.0", "look": "up"}
    assert road["labelled"] == "1 234"
    assert car["change"] == {"text": "\u221240.0", "look": "down"}
    assert table["mean"]["change"]["text"] == "+25.0"
    assert learned.class_table(found[:1], ROUNDS, ("road",)) is None


@pytest.mark.parametrize(
    ("difference", "text", "look"),
    [
        (0.004, "+0.4", ""),
        (0.005, "+0.5", "up"),
        (-0.0001, "", ""),
        (None, "", ""),
        (float("nan"), "", ""),
    ],
)
def test_small_changes_have_no_colour(difference, text, look):
    assert learned.change(difference) == {"text": text, "look": look}


def test_sentence():
    said = learned.sentence(learned.stages(WATCHED, ROUNDS), "val")
    assert said == (
        "mIoU on val from 10.0 % (before round 1) to 35.0 %; most gained: road +50.0; "
        "lost: car \u221240.0."
    )
    assert learned.sentence(learned.stages(WATCHED[:1], []), "val") == ""
