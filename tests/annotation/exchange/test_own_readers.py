"""What is written, as the tools' own libraries read it; skipped without them."""

import json
from xml.etree import ElementTree

import pytest

from cbda_jax.annotation.exchange import cvat, label_studio


def test_label_studio_takes_tasks_and_interface(make_sheet):
    reader = pytest.importorskip("label_studio_sdk.label_interface")
    sheet = make_sheet()
    files = label_studio.files(sheet, "http://x/")
    interface = reader.LabelInterface(files["config.xml"].decode())
    interface.validate()
    control = interface.get_control("answer")
    assert control.tag == "KeyPointLabels"
    assert [*control.labels] == [*sheet.values]
    for task in json.loads(files["tasks.json"]):
        # Of a task with predictions version 2.1.2 forgets to hand them on.
        assert interface.validate_task({"data": task["data"]})
        (prediction,) = task["predictions"]
        assert interface.validate_prediction(prediction, return_errors=True) == []
        prediction["result"][0]["value"]["keypointlabels"] = ["no class"]
        assert interface.validate_prediction(prediction, return_errors=True)


def test_cvat_takes_the_labels(make_sheet):
    models = pytest.importorskip("cvat_sdk.models")
    labels = json.loads(cvat.files(make_sheet())["labels.json"])
    for label in labels:
        attributes = [models.AttributeRequest(**one) for one in label["attributes"]]
        made = models.PatchedLabelRequest(**{**label, "attributes": attributes})
        assert (made.name, made.color) == (label["name"], label["color"])


def test_labels_are_the_same_in_both_files_of_cvat(make_sheet):
    files = cvat.files(make_sheet())
    labels = ElementTree.fromstring(files["annotations.xml"]).iterfind("meta/task/labels/label")
    assert [
        (label.findtext("name"), label.findtext("color"), label.findtext("type"))
        for label in labels
    ] == [(one["name"], one["color"], one["type"]) for one in json.loads(files["labels.json"])]
