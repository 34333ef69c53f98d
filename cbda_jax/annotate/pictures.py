"""The pictures of a query: the pixels asked about, what is around them, and the whole image."""

import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from cbda_jax.errors import InputError

VIEWS = ("crop", "around", "whole")
"""From near to far."""

_CROP = 48  # pixels on each side of the centre: enough for a wide screen at four times
_AROUND = (216, 324)
_WHOLE = 512  # the longer side of the whole image, in pixels of the picture
_DETAIL = 3  # at most so many pixels of the picture for one of the label
_OUTSIDE = (72, 72, 72)
_BYTES = 256 * 2**20
_LOCKS = 16


class Window(NamedTuple):
    """A part of an image, in pixels of its label. It may reach beyond the image."""

    top: int
    left: int
    height: int
    width: int


def window(view: str, row: int, col: int, radius: int, size: tuple[int, int]) -> Window:
    """What a view of a query shows.

    Args:
        view: one of `VIEWS`. The crop has the query in its middle; the other two lie inside of the
            image.
        row: of the query's centre.
        col: as above.
        radius: of its square.
        size: (height, width) of the image's label.

    Raises:
        InputError: there is no such view.
    """
    if view == "crop":
        half = max(_CROP, 4 * radius)
        return Window(row - half, col - half, 2 * half + 1, 2 * half + 1)
    if view == "around":
        # A large square needs more around it.
        height, width = (
            min(max(n, factor * (2 * radius + 1)), most)
            for n, factor, most in zip(_AROUND, (6, 9), size, strict=True)
        )
        top = min(max(row - height // 2, 0), size[0] - height)
        left = min(max(col - width // 2, 0), size[1] - width)
        return Window(top, left, height, width)
    if view == "whole":
        return Window(0, 0, *size)
    raise InputError(f"view: {view!r} found, expected one of {', '.join(VIEWS)}")


class Pictures:
    """Draws the views of a query as JPEGs; safe in threads.

    An image may be larger or smaller than its label, which it is stretched over.

    Args:
        read: gives the RGB of an image by its id, uint8 `[H, W, 3]`.
        sizes: (height, width) of the labels, in whose pixels queries are, by image id.
        memory: bytes of images that are kept decoded; the last one is, whatever its size.
    """

    def __init__(
        self,
        read: Callable[[str], UInt8[np.ndarray, "height width 3"]],
        sizes: Mapping[str, tuple[int, int]],
        *,
        memory: int = _BYTES,
    ):
        self.sizes = sizes
        self._read = read
        self._memory = memory
        self._kept: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()
        # The three views of an image are asked for at once, and it is decoded once.
        self._reading = [threading.Lock() for _ in range(_LOCKS)]

    def draw(self, view: str, image_id: str, row: int, col: int, radius: int) -> bytes:
        """A view of a query, as a JPEG.

        Args:
            view: one of `VIEWS`.
            image_id: of its image.
            row: of its centre, in pixels of the label.
            col: as above.
            radius: of its square.

        Raises:
            InputError: there is no such view, or the image cannot be read.
        """
        size = self.sizes[image_id]
        shown = window(view, row, col, radius, size)
        photograph = self._photograph(image_id)
        scale = photograph.shape[0] / size[0], photograph.shape[1] / size[1]
        if view == "whole":
            per_pixel = min(_WHOLE / max(size), max(scale), _DETAIL)
        else:
            per_pixel = float(np.clip(round(max(scale)), 1, _DETAIL))
        drawn = _stretched(photograph, shown, size, per_pixel)
        content = io.BytesIO()
        # Of single pixels people see every bit of what JPEG makes of them.
        near = {"quality": 95, "subsampling": 0} if view == "crop" else {"quality": 85}
        drawn.save(content, "JPEG", **near)
        return content.getvalue()

    def _photograph(self, image_id: str) -> UInt8[np.ndarray, "height width 3"]:
        with self._reading[hash(image_id) % _LOCKS]:
            with self._lock:
                if image_id in self._kept:
                    self._kept.move_to_end(image_id)
                    return self._kept[image_id]
            found = self._read(image_id)
            with self._lock:
                self._kept[image_id] = found
                used = sum(image.nbytes for image in self._kept.values())
                while used > self._memory and len(self._kept) > 1:
                    used -= self._kept.popitem(last=False)[1].nbytes
            return found


def _stretched(
    photograph: UInt8[np.ndarray, "height width 3"],
    shown: Window,
    size: tuple[int, int],
    per_pixel: float,
) -> Image.Image:
    """A window of an image that is stretched over its label, grey where it reaches beyond.

    Args:
        photograph: RGB, of any size.
        shown: in pixels of the label.
        size: (height, width) of the label.
        per_pixel: pixels of the result for one of the label.
    """
    top, left = max(shown.top, 0), max(shown.left, 0)
    bottom = min(shown.top + shown.height, size[0])
    right = min(shown.left + shown.width, size[1])
    down, across = photograph.shape[0] / size[0], photograph.shape[1] / size[1]
    image = Image.fromarray(photograph)
    if (down, across, per_pixel) == (1, 1, 1):
        inside = image.crop((left, top, right, bottom))
    else:
        to = _rounded(right - left, per_pixel), _rounded(bottom - top, per_pixel)
        box = (left * across, top * down, right * across, bottom * down)
        inside = image.resize(to, Image.Resampling.BICUBIC, box=box)
    if (top, left, bottom - top, right - left) == shown:
        return inside
    whole = _rounded(shown.width, per_pixel), _rounded(shown.height, per_pixel)
    drawn = Image.new("RGB", whole, _OUTSIDE)
    drawn.paste(
        inside, (round((left - shown.left) * per_pixel), round((top - shown.top) * per_pixel))
    )
    return drawn


def _rounded(length: int, per_pixel: float) -> int:
    return max(round(length * per_pixel), 1)
