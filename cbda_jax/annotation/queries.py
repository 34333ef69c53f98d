"""What one round asked for, and what must hold of it."""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, Integer, UInt8

# Rows and columns from here on are of no image. Two of them and an image fit into 64 bits.
_LARGEST = 2**20

ImageSizes = Mapping[str, tuple[int, int]]
"""(height, width) of the native label of every image of a pool, by image id."""


@dataclass(frozen=True, eq=False)
class Queries:
    """What one round asked for, in canonical order: score descending, then image, then position.

    Small rounds come one after another, each in this order.

    Attributes:
        round: number of the round, from 1.
        step: training step before which the round was held.
        image_ids: ids of the pool's images, sorted.
        image: index into `image_ids` of each query.
        row, col: centre of each query, in pixels of the native label.
        score: acquisition score (weighted, where classes were balanced).
        predicted: class that the network predicted at the centre.
        radius: a query covers the (2 radius + 1)^2 square around its centre, clipped at the border.
        about: anything else worth keeping (method, budget, ...); JSON values.
    """

    round: int
    step: int
    image_ids: tuple[str, ...]
    image: Int32[np.ndarray, " n"]
    row: Int32[np.ndarray, " n"]
    col: Int32[np.ndarray, " n"]
    score: Float32[np.ndarray, " n"]
    predicted: UInt8[np.ndarray, " n"]
    radius: int
    about: dict[str, Any]

    def __len__(self) -> int:
        return len(self.image)

    @cached_property
    def checksum(self) -> str:
        """SHA-256, in hexadecimal, of what is asked and in which order. Not of `about`."""
        head = json.dumps([self.round, self.step, self.radius, self.image_ids])
        digest = hashlib.sha256(head.encode())
        for column, kind in (
            *((self.image, "<i4"), (self.row, "<i4"), (self.col, "<i4")),
            *((self.score, "<f4"), (self.predicted, "u1")),
        ):
            digest.update(column.astype(kind).tobytes())
        return digest.hexdigest()

    @cached_property
    def places(self) -> dict[str, Integer[np.ndarray, " m"]]:
        """Where the queries of each image that has any stand in this round, in their order."""
        order = np.argsort(self.image, kind="stable")
        images, starts = np.unique(self.image[order], return_index=True)
        return {
            self.image_ids[image]: own
            for image, own in zip(images, np.split(order, starts)[1:], strict=True)
        }

    @cached_property
    def by_image(self) -> dict[str, tuple[Int32[np.ndarray, " m"], Int32[np.ndarray, " m"]]]:
        """(row, col) of the queries of each image that has any."""
        return {image_id: (self.row[own], self.col[own]) for image_id, own in self.places.items()}


def image_sizes(
    image_ids: Sequence[str], sizes: Int32[np.ndarray, "images 2"]
) -> dict[str, tuple[int, int]]:
    """(height, width) by image id, of a table of sizes in the order of the ids."""
    rows: list[list[int]] = sizes.tolist()
    return {
        image_id: (height, width) for image_id, (height, width) in zip(image_ids, rows, strict=True)
    }


def queried_mask(
    row: Int32[np.ndarray, " n"], col: Int32[np.ndarray, " n"], shape: Sequence[int], radius: int
) -> Bool[np.ndarray, "height width"]:
    """The union of the (2 radius + 1)^2 squares around the centres, clipped at the border."""
    height, width = shape
    # Corners of each square enter a 2-D difference image; its double running sum counts coverage.
    edges = np.zeros((height + 1, width + 1), np.int32)
    top, bottom = np.maximum(row - radius, 0), np.minimum(row + radius + 1, height)
    left, right = np.maximum(col - radius, 0), np.minimum(col + radius + 1, width)
    np.add.at(edges, (top, left), 1)
    np.add.at(edges, (bottom, right), 1)
    np.add.at(edges, (top, right), -1)
    np.add.at(edges, (bottom, left), -1)
    return edges.cumsum(0).cumsum(1)[:height, :width] > 0


def own_sizes(
    queries: Queries, sizes: ImageSizes
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """(height, width) of the image that each query is about.

    Args:
        queries: of images that all have a size.
        sizes: of the pool.
    """
    # Of the pool first: there are many more queries than images.
    of_images = np.array([sizes[i] for i in queries.image_ids], np.int64).reshape(-1, 2)
    height, width = of_images[queries.image].T
    return height, width


def problem(queries: Queries, previous: Queries | None) -> str | None:
    """What cannot be of a round, after the one before it and whatever the pool is; None if all can.

    Says what was found and what was expected.
    """
    ids = queries.image_ids
    if any(a >= b for a, b in itertools.pairwise(ids)):
        return "image ids out of order or twice, expected them sorted"
    for name, end in (("image", len(ids)), ("row", _LARGEST), ("col", _LARGEST)):
        column = getattr(queries, name)
        if column.size and not 0 <= column.min() <= column.max() < end:
            return f"{name} from {column.min()} to {column.max()}, expected 0 to {end - 1}"
    if previous is None:
        return None
    if queries.step <= previous.step:
        return (
            f"held before step {queries.step}, expected a step after that of round "
            f"{previous.round}, {previous.step}"
        )
    if queries.radius != previous.radius:
        return f"radius {queries.radius}, expected {previous.radius} as in the round before"
    if ids != previous.image_ids:
        return f"queries of {difference(ids, previous.image_ids)} in the round before"
    return None


def repeated(
    rounds: Sequence[Queries], closed: Sequence[Bool[np.ndarray, " _"]] | None = None
) -> tuple[Queries, int] | None:
    """A query that asks for a centre again, if there is one: (its round, its place there).

    Args:
        rounds: in their order.
        closed: for each round, the queries whose centre may not be asked for again in a later
            round; default: all. Within a round no centre may come twice.
    """
    keys = [
        (queries.image.astype(np.int64) * _LARGEST + queries.row) * _LARGEST + queries.col
        for queries in rounds
    ]
    in_order = np.sort(np.concatenate([np.zeros(0, np.int64), *keys]))
    twice = np.unique(in_order[1:][in_order[1:] == in_order[:-1]])
    if not len(twice):
        return None
    # Few are left here, or those of rounds that were hardly answered.
    done = np.zeros(0, np.int64)
    for number, (queries, own) in enumerate(zip(rounds, keys, strict=True)):
        places = np.flatnonzero(np.isin(own, twice))
        again = np.isin(own[places], done)
        first = np.zeros(len(places), bool)
        first[np.unique(own[places], return_index=True)[1]] = True
        if (again | ~first).any():
            return queries, int(places[again | ~first][0])
        kept = places if closed is None else places[closed[number][places]]
        done = np.concatenate([done, own[kept]])
    return None


def where(queries: Queries, place: int) -> str:
    """`image 'a' row 3 column 4`: how errors name a query."""
    image_id = queries.image_ids[queries.image[place]]
    return f"image {image_id!r} row {queries.row[place]} column {queries.col[place]}"


def difference(found: Sequence[str], expected: Sequence[str]) -> str:
    """`3 images instead of 4 (missing: 'b')`: how a list of ids differs."""
    alone = {
        "unknown": sorted(set(found) - set(expected)),
        "missing": sorted(set(expected) - set(found)),
    }
    some = [f"{kind}: {', '.join(map(repr, ids[:3]))}" for kind, ids in alone.items() if ids]
    return f"{len(found)} images instead of {len(expected)} ({'; '.join(some) or 'some twice'})"
