"""How much is asked for: of a round, of an image, and of the parts that a round is held in."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Integer

from cbda_jax import acquisition


class Share(NamedTuple):
    """How much a round asks of an image of one size.

    Attributes:
        picks: of the image or, if the allocation is global, what it adds to the budget of all.
        most: with a global allocation, the image's candidates are its first so many; None: all.
    """

    picks: int
    most: int | None = None


class Request(NamedTuple):
    """How much a round asks for.

    Attributes:
        number: of the round, from 1.
        shares: by the (height, width) of native labels.
        allocation: "per_image" or "global".
        picks: of all images together, if the allocation is global; None: the sum of the shares.
        limits: int32 [n], most picks of every record, of a part of a round; None: as `shares` say.
    """

    number: int
    shares: Mapping[tuple[int, int], Share]
    allocation: str
    picks: int | None = None
    limits: np.ndarray | None = None

    def total(self, sizes: Iterable[tuple[int, int]]) -> int:
        """Picks of all images together.

        Args:
            sizes: (height, width) of every image's native label.
        """
        if self.picks is not None:
            return self.picks
        return sum(self.shares[size].picks for size in sizes)


def part_of(
    request: Request,
    place: int,
    parts: int,
    sizes: Int32[np.ndarray, "images 2"],
    taken: Integer[np.ndarray, " images"],
) -> Request:
    """What one of the small rounds asks for that a round is held in.

    Together they ask for what the round does, each for as equal a part as can be. With an
    allocation per image, images that get fewer picks than there are small rounds take turns.

    Args:
        request: of the whole round.
        place: of the small round, from 1.
        parts: how many there are.
        sizes: (height, width) of every record's native label.
        taken: picks of every record in the small rounds before.
    """
    rows = [(height, width) for height, width in sizes.tolist()]
    if request.allocation == "per_image":
        whole = np.array([request.shares[size].picks for size in rows], np.int64)
        turn = np.arange(len(rows)) % parts
        limits = (whole * place + turn) // parts - (whole * (place - 1) + turn) // parts
        picks = int(limits.sum())
        shares = {size: Share(-(-own.picks // parts)) for size, own in request.shares.items()}
        return request._replace(shares=shares, picks=picks, limits=limits.astype(np.int32))
    # Images are asked for as many candidates as by the whole round, and so for all of its classes.
    picks = acquisition.of_round(request.total(rows), place, parts)
    most = [request.shares[size].most for size in rows]
    limits = [
        np.iinfo(np.int32).max if own is None else max(own - int(there), 0)
        for own, there in zip(most, taken, strict=True)
    ]
    return request._replace(picks=picks, limits=np.array(limits, np.int32))
