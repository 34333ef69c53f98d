"""A round as it is handed out: ids, names and colours of its queries, and where each lies."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, UInt8

from cbda_jax.annotation.answers import UNANSWERED, VOID
from cbda_jax.annotation.queries import ImageSizes, Queries
from cbda_jax.label_space import LabelSpace

_ID = re.compile(r"r(\d+)-q(\d+)", re.ASCII)
_DEEPEST = 64  # folders above an image
_IMAGE = re.compile(r"\.(png|jpe?g)$", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Sheet:
    """What one round asks for, in the names that files of tools have.

    Attributes:
        queries: of the round; inside of their images.
        space: the classes.
        sizes: of the pool's images.
        hidden: the queries whose guess nobody is to see; None: all may be seen.
    """

    queries: Queries
    space: LabelSpace
    sizes: ImageSizes
    hidden: Bool[np.ndarray, " n"] | None = None

    @cached_property
    def void(self) -> str:
        """What void is called; differs from all classes."""
        return self._free("void")

    @cached_property
    def unanswered(self) -> str:
        """What a query without an answer is called; differs from all classes."""
        return self._free("unanswered")

    @cached_property
    def values(self) -> dict[str, int]:
        """Name -> train id, of the classes, void (255) and unanswered (254)."""
        classes = {name: value for value, name in enumerate(self.space.classes)}
        return {**classes, self.void: VOID, self.unanswered: UNANSWERED}

    @cached_property
    def colours(self) -> dict[str, tuple[int, int, int]]:
        """Name -> RGB, of all `values`: void is black, unanswered white."""
        colours = {}
        for name, (red, green, blue) in zip(
            self.space.classes, self.space.palette.tolist(), strict=True
        ):
            colours[name] = (red, green, blue)
        return {**colours, self.void: (0, 0, 0), self.unanswered: (255, 255, 255)}

    def hexadecimal(self, name: str) -> str:
        """The colour of a name as "#rrggbb"."""
        return "#{:02x}{:02x}{:02x}".format(*self.colours[name])

    def query_id(self, place: int) -> str:
        """The id of a query: "r03-q000123"."""
        return f"r{self.queries.round:02d}-q{place:06d}"

    def place(self, query_id: str) -> int | None:
        """The place of a query in the round by its id; None: it has none of this id."""
        match = _ID.fullmatch(query_id)
        # No id is longer, and `int` refuses texts of thousands of digits.
        if match is None or len(query_id) > 40:
            return None
        place = int(match[2])
        known = place < len(self.queries) and query_id == self.query_id(place)
        return place if known else None

    def guess(self, place: int) -> str | None:
        """Name of the class that the network predicted at the centre of a query; None: hidden."""
        if self.hidden is not None and self.hidden[place]:
            return None
        return self.space.classes[self.queries.predicted[place]]

    def centre(self, place: int) -> tuple[str, int, int]:
        """(image id, row, column) of a query."""
        queries = self.queries
        image_id = queries.image_ids[queries.image[place]]
        return image_id, int(queries.row[place]), int(queries.col[place])

    def by_image(self) -> Iterator[tuple[str, list[int]]]:
        """Images that are asked about with the places of their queries, sorted by image id."""
        for image_id in sorted(self.queries.places):
            yield image_id, self.queries.places[image_id].tolist()

    def square(self, place: int, value: int) -> UInt8[np.ndarray, "side side"]:
        """One answer for all pixels of a query; `UNANSWERED` outside of the image."""
        image_id, row, col = self.centre(place)
        height, width = self.sizes[image_id]
        around = np.arange(-self.queries.radius, self.queries.radius + 1)
        down = (row + around >= 0) & (row + around < height)
        right = (col + around >= 0) & (col + around < width)
        return np.where(down[:, None] & right, np.uint8(value), np.uint8(UNANSWERED))

    def image_of(self, name: str) -> str | None:
        """The image that a file name in a tool means; None: none of the pool.

        Tools put folders before a name and keep its ending. The longest id that fits is meant.
        """
        parts = _IMAGE.sub("", name.replace("\\", "/")).split("/")[-_DEEPEST:]
        names = ("/".join(parts[at:]) for at in range(len(parts)))
        return next((one for one in names if one in self.sizes), None)

    def _free(self, name: str) -> str:
        while name in self.space.classes:
            name += "_"
        return name
