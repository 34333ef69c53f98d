"""CVAT for images 1.1: the queries as points, their ids as an attribute.

The format is that of https://docs.cvat.ai/docs/other/xml_format. Positions are in pixels, with two
decimals: the centre of a pixel is (column + 0.5, row + 0.5), which is read back by rounding down.
CVAT does not tell whether a person has looked at a point that came with the file. So all begin as
unanswered, with the network's guess as an attribute, and what is given a class is answered.
"""

import json
import math
from typing import NoReturn
from xml.etree import ElementTree
from xml.parsers import expat

from cbda_jax.annotation.exchange.imported import Collector, Imported
from cbda_jax.annotation.exchange.sheet import Sheet
from cbda_jax.errors import InputError

_QUERY, _GUESS = "query", "guess"
_DEEPEST = 16  # of elements in each other; the format has 7
_AGAIN = "export the task once more as CVAT for images 1.1"


def files(sheet: Sheet, prefix: str = "") -> dict[str, bytes]:
    """The files to set up a task with.

    Args:
        sheet: the round.
        prefix: of the images' names in the task, before `ID.png`.

    Returns:
        `annotations.xml`, to upload into the task, and `labels.json`, its labels in raw form.
    """
    labels = json.dumps(_labels(sheet), indent=1)
    return {"annotations.xml": annotations(sheet, prefix), "labels.json": f"{labels}\n".encode()}


def annotations(sheet: Sheet, prefix: str = "") -> bytes:
    """The points of a round, in the order of the images' ids; see `files`."""
    root = ElementTree.Element("annotations")
    _text(root, "version", "1.1")
    images = [*sheet.by_image()]
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    _text(task, "name", f"round {sheet.queries.round}")
    _text(task, "size", str(len(images)))
    _text(task, "mode", "annotation")
    labels = ElementTree.SubElement(task, "labels")
    for label in _labels(sheet):
        element = ElementTree.SubElement(labels, "label")
        for key in ("name", "color", "type"):
            _text(element, key, label[key])
        attributes = ElementTree.SubElement(element, "attributes")
        for attribute in label["attributes"]:
            one = ElementTree.SubElement(attributes, "attribute")
            _text(one, "name", attribute["name"])
            _text(one, "mutable", "False")
            _text(one, "input_type", attribute["input_type"])
            _text(one, "default_value", "")
            _text(one, "values", "")
    for number, (image_id, places) in enumerate(images):
        height, width = sheet.sizes[image_id]
        image = ElementTree.SubElement(
            root,
            "image",
            id=str(number),
            name=f"{prefix}{image_id}.png",
            width=str(width),
            height=str(height),
        )
        for place in places:
            _, row, col = sheet.centre(place)
            point = ElementTree.SubElement(
                image,
                "points",
                label=sheet.unanswered,
                source="auto",
                occluded="0",
                points=f"{col + 0.5:.2f},{row + 0.5:.2f}",
                z_order="0",
            )
            for key, value in ((_QUERY, sheet.query_id(place)), (_GUESS, sheet.guess(place) or "")):
                ElementTree.SubElement(point, "attribute", name=key).text = value
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def read(content: bytes, sheet: Sheet, where: str) -> Imported:
    """Reads a task's export as CVAT for images 1.1.

    A query is answered by the label of the point with its id, by one class in the whole square. A
    point that still is "unanswered", or is not there, is no answer.

    Args:
        content: of the `annotations.xml`.
        sheet: the round.
        where: names the file in errors.

    Raises:
        InputError: it is not such an export, or declares a document type or entities. What else is
            wrong is in `Imported.problems`.
    """
    root = _parse(content, where)
    version = root.findtext("version")
    if root.tag != "annotations" or version != "1.1":
        raise InputError(
            f"{where}: <{root.tag[:40]}> of version {str(version)[:40]!r} found, expected "
            f"<annotations> of version '1.1'; {_AGAIN}"
        )
    collector = Collector(sheet)
    for element in root:
        if element.tag == "image":
            _read_image(element, sheet, collector)
        elif element.tag == "track":
            raise InputError(f"{where}: tracks of CVAT for video found, expected images; {_AGAIN}")
        elif element.tag not in ("version", "meta"):
            collector.problem("unknown elements", repr(element.tag))
    return collector.done()


def _labels(sheet: Sheet) -> list[dict]:
    """The labels of a task in CVAT's raw form. All have the same attributes.

    An object that is given another label keeps the attributes that the new one has too.
    """
    attributes = [
        {"name": name, "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
        for name in (_QUERY, _GUESS)
    ]
    return [
        {
            "name": name,
            "color": sheet.hexadecimal(name),
            "type": "points",
            "attributes": attributes,
        }
        for name in sheet.values
    ]


def _read_image(element: ElementTree.Element, sheet: Sheet, collector: Collector) -> None:
    name = element.get("name", "")
    image_id = sheet.image_of(name)
    size = _integer(element.get("height")), _integer(element.get("width"))
    collector.image(name, image_id, size)
    for shape in element:
        ids = [one.text for one in shape.iterfind("attribute") if one.get("name") == _QUERY]
        query_id = (ids[0] or "").strip() if len(ids) == 1 else None
        if shape.tag != "points":
            collector.problem("what is no point", f"<{shape.tag}> in image {name!r}")
            continue
        # A point that was drawn anew has the attribute too, and nothing in it.
        classes = [shape.get("label", "")]
        collector.point(query_id or None, image_id, _position(shape.get("points", "")), classes)


def _position(text: str) -> tuple[float, float]:
    """(x, y) of one point; NaN, which lies nowhere, for what is none."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        return math.nan, math.nan
    return x, y


def _integer(text: str | None) -> int | str:
    """A number of the file, or its text if it is none."""
    text = text or "nothing"
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text


def _text(parent: ElementTree.Element, tag: str, text: str) -> None:
    ElementTree.SubElement(parent, tag).text = text


def _parse(content: bytes, where: str) -> ElementTree.Element:
    """The elements of an XML file without a document type, so without entities of its own."""
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    depth = 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(f"{depth} elements in each other")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_: object) -> NoReturn:
        raise ValueError("a document type (<!DOCTYPE ...>), whose entities may be anything,")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(content, True)
        return builder.close()
    # An encoding that is none is a LookupError.
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise InputError(
            f"{where}: {' '.join(str(error).split())} found, expected the XML of a CVAT task; "
            f"{_AGAIN}"
        ) from error
