"""Pictures of single images: the photograph, scores, predictions, and what was asked."""

import base64
import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, Int, UInt8
from matplotlib import colors
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from cbda_jax.annotation.query_log import Queries
from cbda_jax.errors import InputError
from cbda_jax.label_space import IGNORE, paint
from cbda_jax.reporting.tables import count
from cbda_jax.stores import AnyPath

_BYTES = 2_000_000  # of all pictures together, so that the report can be sent around
_NAME = re.compile(r"round_(\d+)_.+\.npz")
# Bright, and apart for the colour-blind too.
_ROUND_COLOURS = ("#ffb000", "#00b4ff", "#ff4fa3", "#e1ffa6", "#ff0055", "#7f66ff", "#66ffcc")
_SMALLEST = 2.0  # the side of the smallest square that can be seen, in pixels of the picture
_OUTLINED = 7.0  # from this side on a square lets through what is below it


def round_colours(rounds: int) -> list[str]:
    """A colour for each round that stands out from grey and from photographs.

    More rounds than have a colour of their own go from dark to bright, in their order.
    """
    if rounds <= len(_ROUND_COLOURS):
        return list(_ROUND_COLOURS[:rounds])
    spread = mpl.colormaps["plasma"](np.linspace(0.3, 1, rounds))
    return [colors.to_hex(colour) for colour in spread]


def grey_scores(
    score: Float[np.ndarray, "height width"],
) -> UInt8[np.ndarray, "height width 3"]:
    """A score map as grey levels: black at 0 and below, white at the 99.9th percentile.

    What is not finite (a pixel that cannot be asked about) is black too.
    """
    score = np.nan_to_num(score.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    white = np.percentile(score, 99.9)
    level = np.clip(score / white, 0, 1) if white > 0 else np.zeros_like(score)
    # The square root lifts the many low scores, in which the picks of large budgets lie.
    grey = np.round(255 * np.sqrt(level)).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def picture(
    pixels: UInt8[np.ndarray, "rows cols 3"],
    *,
    size: Sequence[int],
    picks: Sequence[tuple[str, Int[np.ndarray, "_ 2"], int]] = (),
    width: int = 800,
    photo: bool = True,
) -> bytes:
    """An image with the pixels that were asked about, as an image file.

    Args:
        pixels: RGB, of any size: it is stretched over the image.
        size: (height, width) of the image that the picks' coordinates are in.
        picks: for each round the colour, the (row, col) of the centres, and the radius of the
            square asked about. Squares too small to be seen are drawn larger.
        width: of the picture, in pixels.
        photo: JPEG, for photographs and score maps; otherwise PNG, for areas of one colour.
    """
    height = round(width * size[0] / size[1])
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    extent = (-0.5, size[1] - 0.5, size[0] - 0.5, -0.5)
    smooth = "antialiased" if photo else "nearest"
    axes.imshow(pixels, extent=extent, aspect="auto", interpolation=smooth)
    scale = width / size[1]
    for colour, centres, radius in picks:
        half = max(radius + 0.5, _SMALLEST / 2 / scale)
        outlined = 2 * half * scale >= _OUTLINED
        corners = half * np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])
        squares = PolyCollection(
            list(centres[:, None, ::-1] + corners[None, :, :]),
            facecolors=colors.to_rgba(colour, 0.35 if outlined else 1.0),
            edgecolors=colour if outlined else "none",
            linewidths=0.9,  # in points: 1.25 pixels of the picture
        )
        axes.add_collection(squares, autolim=False)
    axes.set_xlim(extent[:2])
    axes.set_ylim(extent[2:])
    buffer = io.BytesIO()
    if photo:
        figure.savefig(buffer, format="jpeg", pil_kwargs={"quality": 85, "optimize": True})
    else:
        figure.savefig(buffer, format="png")
    return buffer.getvalue()


def entries(
    folder: AnyPath,
    log: Sequence[Queries],
    palette: UInt8[np.ndarray, "classes 3"],
    radius: int,
) -> tuple[list[dict[str, Any]], int]:
    """The pictures of every image that has a file in the gallery, for the report.

    Args:
        folder: of `round_NN_<image>.npz` files; need not be there.
        log: the rounds asked so far.
        palette: uint8 [C, 3], RGB.
        radius: of the square that a question covers.

    Returns:
        For each image a dict of `image_id`, `pictures` (the image, and score map, prediction and
        ground truth of the last round it was kept for) and `earlier` (score maps of the rounds
        before), each picture a dict of `caption` and `data`, a data URL; and the number of images
        that were left out because the report would have become too large.

    Raises:
        InputError: a file cannot be read.
    """
    files = _by_image(folder)
    made, size = [], 0
    for image_id, by_round in files.items():
        rounds = [queries.round for queries in log]
        picks = dict(zip(rounds, asked(log, image_id, radius), strict=True))
        entry = _pictures(image_id, by_round, picks, palette)
        size += sum(len(one["data"]) for one in entry["pictures"] + entry["earlier"])
        if size > _BYTES and made:
            break
        made.append(entry)
    return made, len(files) - len(made)


def asked(
    log: Sequence[Queries], image_id: str, radius: int | None = None
) -> list[tuple[str, Int[np.ndarray, "_ 2"], int]]:
    """What was asked in an image in every round, as `picture` takes it.

    Args:
        log: the rounds asked so far.
        image_id: of the image.
        radius: of the square that a question covers; None: as the log has it.
    """
    nothing = np.zeros(0, np.int32), np.zeros(0, np.int32)
    return [
        (
            colour,
            np.stack(queries.by_image.get(image_id, nothing), axis=1),
            queries.radius if radius is None else radius,
        )
        for queries, colour in zip(log, round_colours(len(log)), strict=True)
    ]


def last_pictures(folder: AnyPath) -> dict[str, dict[str, np.ndarray]]:
    """What the gallery has of each image from the last round that it was kept for, by image id.

    Raises:
        InputError: a file cannot be read.
    """
    return {image_id: by[max(by)] for image_id, by in _by_image(folder).items()}


def _by_image(folder: AnyPath) -> dict[str, dict[int, dict[str, np.ndarray]]]:
    files: dict[str, dict[int, dict[str, np.ndarray]]] = {}
    for path in sorted(folder.glob("round_*.npz")) if folder.is_dir() else ():
        if match := _NAME.fullmatch(path.name):
            arrays = _load(path)
            files.setdefault(str(arrays["image_id"]), {})[int(match[1])] = arrays
    return files


def _load(path: AnyPath) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: not a picture of the gallery ({error}); delete the file, it is only shown"
        ) from error
    missing = {"image_id", "image", "score", "prediction"} - set(found)
    if missing:
        raise InputError(f"{path}: {', '.join(sorted(missing))} missing; delete the file")
    return found


def _pictures(
    image_id: str,
    by_round: Mapping[int, Mapping[str, np.ndarray]],
    picks: Mapping[int, tuple[str, np.ndarray, int]],
    palette: UInt8[np.ndarray, "classes 3"],
) -> dict[str, Any]:
    *earlier, last = sorted(by_round)
    arrays = by_round[last]
    size = arrays["prediction"].shape
    until = {number: [p for r, p in picks.items() if r <= number] for number in by_round}
    number = sum(len(centres) for _, centres, _ in picks.values())
    pictures = [
        shown(
            f"image, with all {count(number)} questions" if number else "image",
            picture(arrays["image"], size=size, picks=list(picks.values())),
        ),
        shown(
            f"score in round {last}, with the questions so far",
            picture(grey_scores(arrays["score"]), size=size, picks=until[last]),
        ),
    ]
    labels = [(f"prediction before round {last}", arrays["prediction"])]
    truth = arrays.get("label")
    if truth is not None and (truth != IGNORE).any():
        labels.append(("ground truth", truth))
    for caption, label in labels:
        pixels = paint(label, palette)
        pictures.append(shown(caption, picture(pixels, size=size, photo=False)))
    before = [
        shown(
            f"score in round {number}",
            picture(
                grey_scores(by_round[number]["score"]),
                size=by_round[number]["prediction"].shape,
                picks=until[number],
                width=400,
            ),
        )
        for number in earlier
    ]
    return {"image_id": image_id, "pictures": pictures, "earlier": before}


def shown(caption: str, data: bytes) -> dict[str, str]:
    """A picture for the report: its `caption`, and `data`, the image file as a data URL."""
    kind = "jpeg" if data[:2] == b"\xff\xd8" else "png"
    encoded = base64.b64encode(data).decode()
    return {"caption": caption, "data": f"data:image/{kind};base64,{encoded}"}


def note(rounds: int, left_out: int, radius: int) -> str:
    """How to read the pictures."""
    side = 2 * radius + 1
    covers = "1 pixel" if radius == 0 else f"{side} x {side} pixels"
    parts = [
        "The brighter a pixel of a score map, the sooner it is asked about.",
        f"A coloured square is what one question covers, {covers}; "
        "where that is too small to be seen it is drawn larger."
        if rounds
        else "",
        f"Images left out here, in the folder gallery/: {left_out}." if left_out else "",
    ]
    return " ".join(part for part in parts if part)
