"""Masks: a grey PNG of train ids an image, for whatever paints pixels.

254 is not asked or not answered, 255 void. Arrays come and go; encoding them is for the caller.
"""

import csv
import io
from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import UInt8

from cbda_jax.annotation.answers import UNANSWERED, VOID, cut
from cbda_jax.annotation.exchange.imported import Collector, Imported
from cbda_jax.annotation.exchange.sheet import Sheet
from cbda_jax.annotation.queries import queried_mask
from cbda_jax.errors import InputError


def files(sheet: Sheet) -> dict[str, bytes]:
    """What lies beside the masks: `classes.csv`, of void and unanswered too."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["train_id", "name", "red", "green", "blue"])
    for name, value in sheet.values.items():
        writer.writerow([value, name, *sheet.colours[name]])
    return {"classes.csv": table.getvalue().encode()}


def draw(sheet: Sheet) -> Iterator[tuple[str, dict[str, UInt8[np.ndarray, "height width"]]]]:
    """The masks of every image that is asked about, by the folder that they belong into.

    Yields:
        Image id, and uint8 `[h, w]` of two: `masks`, 254 throughout, to be painted; `guesses`, to
        look at: the network's guess in the squares that are asked about, 255 where it is hidden,
        254 elsewhere.
    """
    for image_id, places in sheet.by_image():
        size = sheet.sizes[image_id]
        guesses = np.full(size, UNANSWERED, np.uint8)
        radius = sheet.queries.radius
        for place in places:
            _, row, col = sheet.centre(place)
            down = slice(max(row - radius, 0), row + radius + 1)
            right = slice(max(col - radius, 0), col + radius + 1)
            guesses[down, right] = sheet.values[sheet.guess(place) or sheet.void]
        yield image_id, {"masks": np.full(size, UNANSWERED, np.uint8), "guesses": guesses}


def read(found: Mapping[str, np.ndarray | InputError], sheet: Sheet) -> Imported:
    """Reads painted masks, pixel by pixel.

    An image without a mask is unanswered.

    Args:
        found: name of each file, without its ending -> uint8 `[h, w]`, or why it cannot be read.
        sheet: the round.

    Returns:
        What was painted. Pixels that were painted and not asked about are among the problems, as
        they tell that a mask has moved.
    """
    collector = Collector(sheet)
    queries, classes = sheet.queries, sheet.space.num_classes
    for name, mask in sorted(found.items()):
        if isinstance(mask, InputError):
            collector.problem("files that cannot be read", str(mask))
            continue
        image_id = sheet.image_of(name)
        collector.image(name, image_id, mask.shape if mask.ndim == 2 else (0, 0))
        if image_id is None or mask.shape != sheet.sizes[image_id]:
            continue
        unknown = np.unique(mask[(mask >= classes) & (mask != UNANSWERED) & (mask != VOID)])
        if len(unknown):
            values = ", ".join(map(str, unknown[:5].tolist()))
            collector.problem("unknown values", f"{values} in {name!r}")
        places = queries.places.get(image_id, np.zeros(0, np.int64))
        row, col = queries.row[places], queries.col[places]
        beside = mask != UNANSWERED
        beside &= ~queried_mask(row, col, mask.shape, queries.radius)
        if beside.any():
            at = np.argwhere(beside)
            first = f"row {at[0, 0]} column {at[0, 1]}"
            collector.problem(
                "answers where nothing was asked", f"{len(at)} pixels of {name!r}, first {first}"
            )
        for place, patch in zip(places, cut(mask, row, col, queries.radius), strict=True):
            collector.patch(int(place), patch)
    return collector.done()
