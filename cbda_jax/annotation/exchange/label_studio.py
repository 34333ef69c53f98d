"""Label Studio: tasks with the queries as key points, predicted to be what the network guesses.

The format is that of https://labelstud.io/guide/task_format and
https://labelstud.io/tags/keypointlabels. Positions are percentages of the image. The centre of a
pixel, (column + 0.5) / width x 100, is read back by rounding down, which is exact; its left edge,
column / width x 100, is not: the floating-point number may lie below the column.
"""

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from cbda_jax.annotation.exchange.imported import Collector, Imported
from cbda_jax.annotation.exchange.sheet import Sheet
from cbda_jax.errors import InputError

_CONTROL, _OBJECT, _KIND = "answer", "image", "keypointlabels"
_SMALLEST = 0.25  # of a point, in percent of the image's width: one that can be clicked at
_AGAIN = "export the project once more as JSON"


def percent(place: int, length: int) -> float:
    """The centre of a pixel's row or column in percent of the image's height or width."""
    return (place + 0.5) / length * 100


def pixels(share: float, length: int) -> float:
    """Pixels from the edge of an image, of a position in percent."""
    return share * length / 100


def files(sheet: Sheet, prefix: str) -> dict[str, bytes]:
    """The files to set up a project with.

    Args:
        sheet: the round.
        prefix: of the images' addresses, before `images/ID.png`.

    Returns:
        `tasks.json`, to import, and `config.xml`, the labelling interface.
    """
    tasks = [_task(sheet, image_id, places, prefix) for image_id, places in sheet.by_image()]
    return {"tasks.json": f"{json.dumps(tasks, indent=1)}\n".encode(), "config.xml": config(sheet)}


def config(sheet: Sheet) -> bytes:
    """The labelling interface: key points of all classes, void and unanswered."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(
        view, "Image", {"name": _OBJECT, "value": "$image", "zoom": "true", "zoomControl": "true"}
    )
    control = ElementTree.SubElement(
        view,
        "KeyPointLabels",
        {"name": _CONTROL, "toName": _OBJECT, "choice": "single", "strokeWidth": "2"},
    )
    for name in sheet.values:
        ElementTree.SubElement(
            control, "Label", {"value": name, "background": sheet.hexadecimal(name)}
        )
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="utf-8") + b"\n"


def read(content: bytes, sheet: Sheet, where: str) -> Imported:
    """Reads a project's export as JSON.

    Submitted annotations count; predictions, drafts and skipped tasks do not. A query is answered
    by the region of its id, by one class in the whole square. Without a region it is unanswered.

    Args:
        content: of the file.
        sheet: the round.
        where: names the file in errors.

    Raises:
        InputError: it is not such an export. What else is wrong is in `Imported.problems`.
    """
    collector = Collector(sheet)
    try:
        tasks = json.loads(content, parse_constant=_no_number, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{where}: {' '.join(str(error).split())} found, expected the JSON of a Label Studio "
            f"project; {_AGAIN}"
        ) from error
    for number, task in enumerate(_list(tasks, f"{where}: what it holds"), 1):
        name = f"{where}: task {number}"
        data = _mapping(task, name).get("data")
        if not isinstance(data, dict):
            raise InputError(
                f"{name}: no data found, expected the full JSON of a Label Studio project, not "
                f"JSON-MIN; {_AGAIN}"
            )
        _read_task(task, data, sheet, collector, name)
    return collector.done()


def _task(sheet: Sheet, image_id: str, places: list[int], prefix: str) -> dict[str, Any]:
    height, width = sheet.sizes[image_id]
    side = 2 * sheet.queries.radius + 1
    regions = []
    for place in places:
        _, row, col = sheet.centre(place)
        value = {
            "x": percent(col, width),
            "y": percent(row, height),
            "width": max(100 * side / width, _SMALLEST),
            _KIND: [sheet.guess(place) or sheet.unanswered],
        }
        regions.append(
            {
                "id": sheet.query_id(place),
                "from_name": _CONTROL,
                "to_name": _OBJECT,
                "type": _KIND,
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": value,
            }
        )
    return {
        "data": {
            "image": f"{prefix}images/{quote(image_id)}.png",
            "image_id": image_id,
            "round": sheet.queries.round,
            "queries": sheet.queries.checksum,
        },
        "predictions": [{"model_version": f"round {sheet.queries.round}", "result": regions}],
    }


def _read_task(
    task: Mapping[str, Any],
    data: Mapping[str, Any],
    sheet: Sheet,
    collector: Collector,
    where: str,
) -> None:
    name = data.get("image_id")
    image_id = name if isinstance(name, str) and name in sheet.sizes else None
    collector.image(str(name), image_id, None)
    if data.get("queries") != sheet.queries.checksum:
        collector.problem("tasks of other queries", f"{name!r}, {data.get('queries')!r}")
    for annotation in _list(task.get("annotations", []), f"{where}: annotations"):
        annotation = _mapping(annotation, f"{where}: an annotation")
        if annotation.get("was_cancelled"):
            continue
        for region in _list(annotation.get("result", []), f"{where}: the result"):
            _read_region(_mapping(region, f"{where}: a region"), image_id, sheet, collector, where)


def _read_region(
    region: Mapping[str, Any], image_id: str | None, sheet: Sheet, collector: Collector, where: str
) -> None:
    name = region.get("id")
    # The page puts the annotation's number behind the id, and takes it off again when it saves.
    query_id = name.partition("#")[0] if isinstance(name, str) else None
    if region.get("type") != _KIND:
        collector.problem("what is no key point", f"{name!r} of type {region.get('type')!r}")
        return
    value = _mapping(region.get("value"), f"{where}: the value of region {name!r}")
    classes = _list(value.get(_KIND, []), f"{where}: the classes of region {name!r}")
    rotation = region.get("image_rotation", 0)
    if rotation != 0:
        collector.problem("points in a rotated image", f"{name!r}, by {rotation!r} degrees")
    shares = _number(value.get("x")), _number(value.get("y"))
    height, width = sheet.sizes[image_id] if image_id is not None else (100, 100)
    if image_id is not None:
        given = region.get("original_height", height), region.get("original_width", width)
        collector.size(image_id, given)
    position = pixels(shares[0], width), pixels(shares[1], height)
    collector.point(query_id, image_id, position, [str(one) for one in classes])


def _number(value: object) -> float:
    """A number of the file; NaN, which lies nowhere, for what is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{where}: {_kind(value)} found, expected a list; {_AGAIN}")
    return value


def _mapping(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: {_kind(value)} found, expected an object; {_AGAIN}")
    return value


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a text", type(None): "null"}
    return names.get(type(value), "a number or a truth value")


def _no_number(text: str) -> None:
    raise ValueError(f"{text}, which JSON does not know")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object with a name that is there twice")
    return found
