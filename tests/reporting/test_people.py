from cbda_jax.reporting.people import HEAD, of_people, rows, rows_of_classes

CLASSES = ("road", "car")
ABOUT = {
    "oracle": "people",
    "people": 2,
    "answers": 1100,
    "seconds": {"median": 1.84, "total": 3700.0},
    "anchoring": {"shown": {"count": 1000, "equal": 700}, "hidden": {"count": 100, "equal": 50}},
    "agreement": {
        "pixels": 100,
        "equal": 0.9,
        "kappa": 0.8512,
        "by_class": {"0": {"kappa": 0.5, "answers": 9}, "255": {"kappa": None, "answers": 2}},
    },
}


def test_only_people():
    about = [(1, {"oracle": "ground_truth"}), (2, ABOUT), (3, {}), (4, {"seconds": 3})]
    found = of_people(about, CLASSES)
    assert [(entry["round"], entry["people"]) for entry in found] == [(2, 2)]
    assert "oracle" not in found[0]


def test_a_row_of_a_round():
    (row,) = rows(of_people([(3, ABOUT)], CLASSES))
    assert row == [
        "3",
        "2",
        "1 100",
        "0",
        "1.8",
        "1 h 1 min",
        "100",
        "90.0",
        "0.85",
        "70.0",
        "50.0",
    ]
    assert len(row) == len(HEAD)


def test_what_is_not_known():
    about = {
        **ABOUT,
        "unanswered": 7,
        "seconds": {"median": None, "total": 0.0},
        "anchoring": {name: {"count": 0, "equal": 0} for name in ("shown", "hidden")},
    }
    del about["agreement"]
    (row,) = rows(of_people([(1, about)], CLASSES))
    assert row[3:] == ["7", "-", "0 s", "-", "-", "-", "-", "-"]


def test_agreement_by_class():
    of_class = {"0": {"kappa": 0.25, "answers": 1}, "1": {"kappa": -0.1, "answers": 3}}
    later = {**ABOUT, "agreement": {"by_class": of_class}}
    alone = {name: value for name, value in ABOUT.items() if name != "agreement"}
    found = of_people([(1, ABOUT), (2, alone), (3, later)], CLASSES)
    assert found[0]["agreement"]["by_class"]["void"] == {"kappa": None, "answers": 2}
    assert rows_of_classes(found, CLASSES) == [
        ["class", "round 1", "round 3"],
        ["road", "0.50 (9)", "0.25 (1)"],
        ["car", "-", "-0.10 (3)"],
        ["void", "- (2)", "-"],
    ]
    assert rows_of_classes(of_people([(1, alone)], CLASSES), CLASSES) == []
