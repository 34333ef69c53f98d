import json
from xml.etree import ElementTree

import numpy as np
import pytest
from round_files import message

from cbda_jax.annotation.exchange import label_studio


def exported(sheet, prefix="http://x/"):
    return json.loads(label_studio.files(sheet, prefix)["tasks.json"])


def answered(sheet, answers):
    """What Label Studio gives back: annotations of the predictions that were kept and edited."""
    names = {value: name for name, value in sheet.values.items()}
    tasks = exported(sheet)
    for number, task in enumerate(tasks, 1):
        regions = json.loads(json.dumps(task["predictions"][0]["result"]))
        kept = []
        for region in regions:
            place = sheet.place(region["id"])
            if place in answers:
                region["value"]["keypointlabels"] = [names[answers[place]]]
                region["origin"] = "prediction-changed"
                kept.append(region)
        task |= {
            "id": number,
            "drafts": [{"result": regions}],
            "annotations": [
                {"id": 7, "completed_by": 1, "was_cancelled": True, "result": regions},
                {"id": 8, "completed_by": 1, "was_cancelled": False, "result": kept[::-1]},
            ],
        }
    return tasks


def read(sheet, tasks):
    content = tasks if isinstance(tasks, bytes) else json.dumps(tasks).encode()
    return label_studio.read(content, sheet, "x.json")


def test_every_column_of_every_width_comes_back():
    for width in range(1, 4097):
        columns = np.arange(width)
        # As `percent` and `pixels` compute, in the same double precision.
        shares = (columns + 0.5) / width * 100
        assert (np.floor(shares * width / 100) == columns).all()
        for column in {0, width // 3, width // 2, width - 1}:
            share = label_studio.percent(column, width)
            assert share == shares[column]
            assert label_studio.pixels(share, width) // 1 == column


def test_left_edges_would_lose_columns():
    lost = 0
    for width in range(1, 4097):
        columns = np.arange(width)
        lost += (np.floor(columns / width * 100 * width / 100) != columns).sum()
    assert lost > 100_000


def test_what_was_not_touched_is_unanswered(sheet):
    for tasks in (exported(sheet), []):
        found = read(sheet, tasks)
        assert not found.problems
        assert not found.answered.any()
        assert (found.patches == 254).all()


def test_answers_come_back(sheet, answers, expect):
    given = answers(sheet)
    found = read(sheet, answered(sheet, given))
    found.check("x.json")
    np.testing.assert_array_equal(found.patches, expect(sheet, given))
    assert np.flatnonzero(found.answered).tolist() == sorted(given)


def test_guesses_that_were_confirmed(sheet, expect):
    tasks = exported(sheet)
    for task in tasks:
        task["annotations"] = [{"result": task["predictions"][0]["result"]}]
    guesses = dict(enumerate(sheet.queries.predicted.tolist()))
    np.testing.assert_array_equal(read(sheet, tasks).patches, expect(sheet, guesses))


def test_tasks(make_sheet):
    sheet = make_sheet(radius=1)
    tasks = exported(sheet)
    assert [task["data"]["image"] for task in tasks] == [
        "http://x/images/a/0.png",
        "http://x/images/a/1.png",
        "http://x/images/b%20%C3%A9.png",
    ]
    assert sum(len(task["predictions"][0]["result"]) for task in tasks) == len(sheet.queries)
    region = tasks[2]["predictions"][0]["result"][0]
    place = sheet.place(region["id"])
    _, row, col = sheet.centre(place)
    assert region == {
        "id": sheet.query_id(place),
        "from_name": "answer",
        "to_name": "image",
        "type": "keypointlabels",
        "original_width": 47,
        "original_height": 31,
        "image_rotation": 0,
        "value": {
            "x": (col + 0.5) / 47 * 100,
            "y": (row + 0.5) / 31 * 100,
            "width": 300 / 47,
            "keypointlabels": [sheet.guess(place)],
        },
    }
    assert tasks[0]["predictions"][0]["model_version"] == "round 3"


def test_interface(make_sheet):
    view = ElementTree.fromstring(label_studio.config(make_sheet()))
    control = view.find("KeyPointLabels")
    assert control.get("toName") == view.find("Image").get("name")
    found = {label.get("value"): label.get("background") for label in control}
    assert found["traffic <sign> & light"] == "#804080"
    assert [*found][-3:] == ["été", "void", "unanswered"]


def test_a_moment_of_the_documented_format(make_sheet):
    """A region as https://labelstud.io/tags/keypointlabels shows it, in one of our tasks."""
    sheet = make_sheet(radius=0)
    tasks = exported(sheet)
    region = tasks[0]["predictions"][0]["result"][0]
    shown = {
        "original_width": 20,
        "original_height": 12,
        "image_rotation": 0,
        "value": {**region["value"], "width": 2, "keypointlabels": ["sky"]},
        "id": f"{region['id']}#17",
        "from_name": "answer",
        "to_name": "image",
        "type": "keypointlabels",
        "origin": "manual",
    }
    tasks[0] |= {"annotations": [{"id": "1001", "result": [shown], "lead_time": 4.288}]}
    found = read(sheet, tasks)
    assert not found.problems
    (place,) = np.flatnonzero(found.answered)
    assert found.patches[place].item() == 2
    assert sheet.query_id(int(place)) == region["id"]


def spoil(tasks, **changes):
    """One region more than there is, changed."""
    region = json.loads(json.dumps(tasks[0]["annotations"][1]["result"][0]))
    for name, value in changes.items():
        holder = region["value"] if name in region["value"] else region
        holder[name] = value
    tasks[0]["annotations"][1]["result"][0] = region


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"id": "hqudA4A3U4"}, "unknown ids", "'hqudA4A3U4'"),
        ({"id": "r02-q000001"}, "unknown ids", "'r02-q000001'"),
        ({"id": None}, "points without an id", "one in image 'a/0' at row "),
        ({"keypointlabels": ["rode"]}, "unknown classes", "'rode' of 'r03-q0000"),
        ({"keypointlabels": ["rode"]}, "unknown classes", "did you mean 'road'?"),
        ({"keypointlabels": ["road", "sky"]}, "unknown classes", "'road', 'sky' of "),
        ({"keypointlabels": []}, "unknown classes", "none of 'r03-q0000"),
        ({"type": "rectanglelabels"}, "what is no key point", "of type 'rectanglelabels'"),
        ({"image_rotation": 90}, "points in a rotated image", "by 90 degrees"),
        ({"original_width": 10}, "images of another size", "'a/0' of 10 x 12 instead of 20 x 12"),
        ({"original_height": "no"}, "images of another size", "'a/0' of 20 x no instead"),
        ({"x": 101}, "points outside of their image", "column 20 of 20 x 12"),
        ({"y": -0.1}, "points outside of their image", "at row -1 column "),
        ({"x": None}, "points outside of their image", "at (nan, "),
        ({"x": 10**400}, "points outside of their image", "at (nan, "),
        ({"x": True}, "points outside of their image", "at (nan, "),
    ],
)
def test_what_cannot_be_is_listed(make_sheet, answers, changes, kind, text):
    sheet = make_sheet()
    tasks = answered(sheet, answers(sheet))
    spoil(tasks, **changes)
    found = read(sheet, tasks)
    assert [*found.problems] == [kind]
    (problem,) = found.problems[kind]
    assert text in problem
    assert message(found.check, "x.json").startswith(f"x.json: 1 problem found, {kind} (1): ")


def test_points_that_moved_by_a_pixel(make_sheet, answers):
    sheet = make_sheet()
    tasks = answered(sheet, answers(sheet))
    region = tasks[0]["annotations"][1]["result"][0]
    _, row, col = sheet.centre(sheet.place(region["id"]))
    # Within the pixel is no move: people drag without meaning to.
    region["value"]["x"] += 0.4 / 20 * 100
    assert not read(sheet, tasks).problems
    step = 1 if col < 19 else -2
    region["value"]["x"] += step / 20 * 100
    assert read(sheet, tasks).problems == {
        "moved points": (
            f"'{region['id']}' at row {row} column {col + step} instead of row {row} column {col}",
        )
    }


def test_all_problems_are_in_one_error(make_sheet, answers):
    sheet = make_sheet()
    tasks = answered(sheet, answers(sheet))
    spoil(tasks, id="x")
    results = [task["annotations"][1]["result"] for task in tasks]
    results[1].append(results[1][0])
    results[2][0]["value"]["keypointlabels"] = ["Strasse"]
    results[2].append({**results[0][1], "id": results[1][1]["id"]})
    del results[1][1]
    tasks.append({"data": {"image_id": "c", "queries": sheet.queries.checksum}})
    tasks.append({"data": {"image_id": "a/0"}})
    found = read(sheet, tasks)
    assert {kind: len(texts) for kind, texts in found.problems.items()} == {
        "unknown ids": 1,
        "ids that are there twice": 1,
        "unknown classes": 1,
        "images of another size": 1,
        "ids in another image": 1,
        "unknown images": 1,
        "images that are there twice": 1,
        "tasks of other queries": 1,
    }
    said = message(found.check, "x.json")
    assert "8 problems found" in said
    assert said.endswith("import the file again, nothing of it was taken")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "Expecting value: line 1 column 1 (char 0) found, expected the JSON of"),
        (b"[" * 10**5, "found, expected the JSON of a Label Studio project"),
        (b"\xff\xfe", "found, expected the JSON of a Label Studio project"),
        (b'[{"data": {"x": NaN}}]', "NaN, which JSON does not know found"),
        (b'[{"data": {}, "data": {}}]', "an object with a name that is there twice found"),
        (b"{}", "what it holds: an object found, expected a list"),
        (b"[3]", "task 1: a number or a truth value found, expected an object"),
        (b'[{"image": "1.png", "answer": []}]', "task 1: no data found, expected the full JSON"),
        (b'[{"data": {}, "annotations": {}}]', "annotations: an object found, expected a list"),
        (b'[{"data": {}, "annotations": [null]}]', "an annotation: null found"),
        (b'[{"data": {}, "annotations": [{"result": "x"}]}]', "the result: a text found"),
        (b'[{"data": {}, "annotations": [{"result": [[]]}]}]', "a region: a list found"),
    ],
)
def test_files_of_another_format(make_sheet, content, text):
    said = message(read, make_sheet(), content)
    assert said.startswith("x.json: ")
    assert text in said
    assert said.endswith("; export the project once more as JSON")


def test_the_tool_s_own_library_takes_it(make_sheet, answers):
    interfaces = pytest.importorskip("label_studio_sdk.label_interface")
    sheet = make_sheet()
    interface = interfaces.LabelInterface(label_studio.config(sheet).decode())
    interface.validate()
    (control,) = interface.controls
    assert control.labels == [*sheet.values]
    for task in answered(sheet, answers(sheet)):
        assert interface.validate_task({"data": task["data"]})
        (prediction,) = task["predictions"]
        assert interface.validate_prediction(prediction, return_errors=True) == []
        for annotation in task["annotations"]:
            assert interface.validate_annotation({"result": annotation["result"]})
    # It would say so otherwise.
    prediction["result"][0]["value"]["keypointlabels"] = ["nothing of this kind"]
    assert interface.validate_prediction(prediction, return_errors=True)
