import json
from xml.etree import ElementTree

import numpy as np
import pytest
from round_files import message

from cbda_jax.annotation.exchange import cvat


def tree(sheet):
    return ElementTree.fromstring(cvat.files(sheet)["annotations.xml"])


def answered(sheet, answers, prefix=""):
    """What CVAT gives back: attributes in its order, more of meta, labels that people changed."""
    names = {value: name for name, value in sheet.values.items()}
    root = tree(sheet)
    task = root.find("meta/task")
    ElementTree.SubElement(task, "owner").text = "someone"
    ElementTree.SubElement(root.find("meta"), "dumped").text = "2026-01-01 00:00:00.000000+00:00"
    for image in root.iter("image"):
        image.set("name", prefix + image.get("name"))
        image.set("task_id", "3")
        for point in image:
            place = sheet.place(point[0].text)
            label = names[answers[place]] if place in answers else point.get("label")
            x, y = point.get("points").split(",")
            own = {"z_order": "0", "points": f"{x},{y}", "occluded": "0", "source": "file"}
            point.attrib.clear()
            point.attrib.update({**own, "label": label})
            point[:] = point[::-1]
        # Those that were touched last come last.
        image[:] = sorted(image, key=lambda point: sheet.place(point[1].text) in answers)
    return root


def read(sheet, root):
    content = root if isinstance(root, bytes) else ElementTree.tostring(root)
    return cvat.read(content, sheet, "x.xml")


def test_what_was_not_touched_is_unanswered(sheet):
    for content in (cvat.annotations(sheet), b"<annotations><version>1.1</version></annotations>"):
        found = read(sheet, content)
        assert not found.problems
        assert (found.patches == 254).all()


@pytest.mark.parametrize("prefix", ["", "images/", "upload/x/"])
def test_answers_come_back(sheet, answers, expect, prefix):
    given = answers(sheet)
    found = read(sheet, answered(sheet, given, prefix))
    found.check("x.xml")
    np.testing.assert_array_equal(found.patches, expect(sheet, given))
    assert np.flatnonzero(found.answered).tolist() == sorted(given)


def test_points_that_were_removed_are_unanswered(make_sheet, answers, expect):
    sheet = make_sheet()
    given = answers(sheet)
    root = answered(sheet, given)
    for image in root.iter("image"):
        for point in image[-1:]:
            del given[sheet.place(point[1].text)]
            image.remove(point)
    found = read(sheet, root)
    assert not found.problems
    np.testing.assert_array_equal(found.patches, expect(sheet, given))


def test_points(make_sheet):
    sheet = make_sheet()
    root = tree(sheet)
    images = root.findall("image")
    assert [image.attrib for image in images] == [
        {"id": str(number), "name": f"{image_id}.png", "width": str(width), "height": str(height)}
        for number, (image_id, (height, width)) in enumerate(sheet.sizes.items())
    ]
    assert sum(map(len, images)) == len(sheet.queries)
    point = images[0][0]
    place = sheet.queries.places["a/0"][0]
    _, row, col = sheet.centre(int(place))
    assert point.attrib == {
        "label": "unanswered",
        "source": "auto",
        "occluded": "0",
        "points": f"{col}.50,{row}.50",
        "z_order": "0",
    }
    assert {one.get("name"): one.text for one in point} == {
        "query": sheet.query_id(int(place)),
        "guess": sheet.guess(int(place)),
    }


def test_labels(make_sheet):
    sheet = make_sheet()
    labels = json.loads(cvat.files(sheet)["labels.json"])
    assert [label["name"] for label in labels] == [*sheet.values]
    assert {label["type"] for label in labels} == {"points"}
    assert labels[1]["color"] == "#804080"
    # The same in all, so that a point keeps them when its label changes.
    assert len({json.dumps(label["attributes"]) for label in labels}) == 1
    names = [label.findtext("name") for label in tree(sheet).find("meta/task/labels")]
    assert names == [*sheet.values]


def test_a_moment_of_the_documented_format(make_sheet):
    """An image as https://docs.cvat.ai/docs/other/xml_format describes it, about our queries."""
    sheet = make_sheet(radius=0)
    place = int(sheet.queries.places["a/1"][0])
    _, row, col = sheet.centre(place)
    content = f"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>4</id><name>segmentation</name><size>27</size><mode>annotation</mode>
      <overlap>0</overlap><bugtracker></bugtracker><flipped>False</flipped>
      <labels><label><name>sky</name><attributes></attributes></label></labels>
      <segments><segment><id>4</id><start>0</start><stop>26</stop></segment></segments>
    </task>
    <dumped>2018-10-31 17:56:00.111111+03:00</dumped>
  </meta>
  <image id="0" name="a/1.jpg" width="20" height="12">
    <points label="sky" points="{col + 0.5:.2f},{row + 0.5:.2f}" occluded="0" z_order="5">
      <attribute name="guess">road</attribute>
      <attribute name="query">
        {sheet.query_id(place)}
      </attribute>
    </points>
  </image>
</annotations>"""
    found = read(sheet, content.encode())
    assert not found.problems
    assert np.flatnonzero(found.answered).tolist() == [place]
    assert found.patches[place].item() == 2


@pytest.mark.parametrize(
    ("attribute", "value", "kind", "text"),
    [
        ("query", "17", "unknown ids", "'17'"),
        ("query", "", "points without an id", "one in image 'a/0' at row"),
        ("name", "c.png", "unknown images", "'c.png'"),
        ("width", "10", "images of another size", "'a/0' of 10 x 12 instead of 20 x 12"),
        ("height", "x" * 300, "images of another size", "'a/0' of 20 x xxx"),
        ("label", "Road", "unknown classes", "'Road' of 'r03-q0000"),
        ("label", "void2", "unknown classes", "did you mean 'void'?"),
        ("points", "20.00,3.00", "points outside of their image", "column 20 of 20 x 12"),
        ("points", "3.00,-0.01", "points outside of their image", "at row -1 column 3"),
        ("points", "3.00,nan", "points outside of their image", "at (3.0, nan)"),
        ("points", "1.00,1.00;2.00,2.00", "points outside of their image", "at (nan, nan)"),
        ("points", "", "points outside of their image", "at (nan, nan)"),
        ("points", "0,0", "moved points", "at row 0 column 0 instead of row"),
    ],
)
def test_what_cannot_be_is_listed(make_sheet, answers, attribute, value, kind, text):
    sheet = make_sheet()
    root = answered(sheet, answers(sheet))
    image = root.find("image")
    if attribute == "query":
        image[0][1].text = value
    elif attribute in image.attrib:
        image.set(attribute, value)
    else:
        image[0].set(attribute, value)
    found = read(sheet, root)
    assert [*found.problems] == [kind]
    (problem,) = found.problems[kind]
    assert text in problem
    assert len(message(found.check, "x.xml")) < 600


def test_all_problems_are_in_one_error(make_sheet, answers):
    sheet = make_sheet()
    root = answered(sheet, answers(sheet))
    first, second, third = root.iter("image")
    first.append(first[0])
    box = ElementTree.SubElement(second, "box", label="sky")
    box.append(second[0][1])
    second.append(third[0])
    third[1].set("label", "?")
    ElementTree.SubElement(third, "points", label="sky", points="1,1")
    root.append(third)
    ElementTree.SubElement(root, "job")
    kinds = {kind: len(texts) for kind, texts in read(sheet, root).problems.items()}
    assert kinds == {
        "ids that are there twice": 2 + len(third) - 1,
        "what is no point": 1,
        "ids in another image": 1,
        "unknown classes": 2,
        "points without an id": 2,
        "images that are there twice": 1,
        "unknown elements": 1,
    }


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "no element found"),
        (b"<annotations>", "no element found"),
        (b"<a/>", "<a> of version 'None' found, expected <annotations> of version '1.1'"),
        (b"<annotations><version>1.0</version></annotations>", "of version '1.0' found"),
        (b"<annotations><version>1.1</version><track/></annotations>", "CVAT for video found"),
        (b"<a>" * 10**5, "17 elements in each other found"),
        (b"<?xml version='1.0' encoding='nonsense'?><a/>", "unknown encoding"),
        (b"<!DOCTYPE a><a/>", "a document type (<!DOCTYPE ...>), whose entities may be anything"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "a document type (<!DOCTYPE ...>)"),
        (b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>', "a document type (<!DOCTYPE ...>)"),
        (b"<annotations>&x;</annotations>", "undefined entity"),
    ],
)
def test_files_of_another_format(make_sheet, content, text):
    said = message(read, make_sheet(), content)
    assert said.startswith("x.xml: ")
    assert text in said
    assert said.endswith("; export the task once more as CVAT for images 1.1")


def test_the_tool_s_own_library_takes_the_labels(make_sheet):
    models = pytest.importorskip("cvat_sdk").models
    sheet = make_sheet()
    for label in json.loads(cvat.files(sheet)["labels.json"]):
        attributes = [models.AttributeRequest(**one) for one in label["attributes"]]
        made = models.PatchedLabelRequest(**{**label, "attributes": attributes})
        assert (made.name, made.type) == (label["name"], "points")
        assert [one.name for one in made.attributes] == ["query", "guess"]
    with pytest.raises(TypeError):
        models.AttributeRequest(**{**label["attributes"][0], "mutable": "no"})
