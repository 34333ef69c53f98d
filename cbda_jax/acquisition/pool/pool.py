"""One selector for the candidates of every target image, on every device of every host.

The sequential picks of the images compete in the order (score descending, image ascending, place
in the image's sequence ascending). That order is total, so the result depends on neither the order
in which images come nor on batches, devices and hosts.
"""

from typing import NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh

from cbda_jax.acquisition.balance.weights import class_quota
from cbda_jax.acquisition.pool import candidates, spread
from cbda_jax.acquisition.selection.keys import LOWEST, from_key_host
from cbda_jax.acquisition.selection.select import Picks
from cbda_jax.errors import InputError


class Selection(NamedTuple):
    """The chosen picks, image by image, each image's in the order in which they were picked.

    Attributes:
        image: `[n]` int32, index of the image in the pool.
        row: `[n]` int32.
        col: `[n]` int32.
        score: `[n]` float32, as they competed.
        predicted: `[n]` uint8, the class predicted at the pick.
    """

    image: np.ndarray
    row: np.ndarray
    col: np.ndarray
    score: np.ndarray
    predicted: np.ndarray


class Report(NamedTuple):
    """What a pool did, over all hosts.

    Attributes:
        budget: picks asked for.
        taken: picks chosen; `budget - taken` found no candidate.
        offered: `[groups]` int64, candidates seen; if there is a quota, by predicted class, or by
            what `group_of` makes of it.
        quota: `[groups]` int64, picks chosen of each such class if there is a quota, else
            `[taken]`.
    """

    budget: int
    taken: int
    offered: np.ndarray
    quota: np.ndarray


class Pool:
    """The `budget` best candidates of all images, exactly, in memory proportional to the budget.

    Candidates wait on the device that found them. Now and then the devices agree, by radix
    selection over summed histograms, on the score that the budget-th best candidate so far has, and
    drop what is below: up to twelve sums of 256 counts a group, nothing else. The host waits for
    nothing before `finish`. Memory: `slots` candidates a device, and 12 bytes an image; with a
    quota, one more of each class.

    With several hosts every process makes the same calls in the same order (`add` with its own
    images), as with any function that is mapped over a mesh.

    Args:
        budget: number of picks to choose from the whole pool.
        counts: `[C]` integers, labels collected so far of each class, in units of a pick. If given,
            the budget is divided over the predicted classes by `class_quota`, and each class gets
            the best of its candidates.
        group_of: `[C]` uint8, with counts: as which class the candidates of a predicted class
            compete; default: as that class. `Selection.predicted` stays what was predicted.
        per_image: every candidate is chosen: the caller asked each image for its own share, and
            the budget is the sum of the shares.
        mesh: the devices; default: the first local one.
        axis: the mesh's axis over which batches of images are split.

    Raises:
        InputError: A budget below 1, or a quota that is to be spent per image.
    """

    def __init__(
        self,
        budget: int,
        *,
        counts: np.ndarray | None = None,
        group_of: np.ndarray | None = None,
        per_image: bool = False,
        mesh: Mesh | None = None,
        axis: str = "data",
    ):
        if budget < 1:
            raise InputError(f"budget of {budget} picks in the whole pool: expected 1 or more")
        if per_image and counts is not None:
            raise InputError(
                "class quota with an allocation per image: a quota is divided over the whole pool; "
                "set the allocation to global"
            )
        if group_of is not None and (
            counts is None or group_of.shape != counts.shape or group_of.max() >= len(counts)
        ):
            raise ValueError("group_of: expected a class for each of those that have counts")
        if mesh is None:
            devices = jax.local_devices()[:1]
            mesh = jax.make_mesh((1,), (axis,), devices=devices, axis_types=(AxisType.Auto,))
        self._budget = int(budget)
        self._per_image = per_image
        self._counts = None if counts is None else np.asarray(counts, np.int64)
        self._group_of = None if group_of is None else np.asarray(group_of, np.uint8)
        self._groups = 1 if self._counts is None else len(self._counts)
        self._devices = mesh.devices.size
        self._hosts = {device.process_index for device in mesh.devices.flat}
        self._steps = spread.steps(mesh, axis, self._groups)
        self._buffer = None
        self._batch = 0  # candidates that one device is offered by a call of `add`
        self._waiting = 0  # candidates that all devices were offered since they last agreed
        self._tails = []
        self._final = None
        self._thresholds = self._same(np.full(self._groups, LOWEST, np.int32))
        gap = np.zeros(1, np.int64) if self._counts is None else self._counts - self._counts.min()
        self._limits = (
            self._same(np.minimum(gap, 2**30).astype(np.int32)),
            self._same(np.int32(self._budget)),
        )

    @property
    def threshold(self) -> jax.Array:
        """float32 scalar on every device: no candidate that scores less can be chosen any more.

        It only rises, and starts at -inf. Meant for the `floor` of the next image's `greedy_picks`.
        """
        return self._steps.floor(self._thresholds)

    @property
    def slots(self) -> int:
        """Candidates that each device has room for, at `candidates.SLOT_BYTES` bytes each."""
        return self._budget + self._groups + -(-self._budget // self._devices) + self._batch

    def add(
        self,
        image: np.ndarray | jax.Array,
        picks: Picks,
        predicted: np.ndarray | jax.Array | None = None,
        *,
        start: int = 0,
        left: np.ndarray | jax.Array | None = None,
    ) -> None:
        """Offer a batch of images' picks. Returns at once; the devices do the work in time.

        Args:
            image: `[N]` int32, each image's index in the pool, negative for images that only fill
                up the batch. Of several processes, each gives those of its own images, as an array
                of this process's part, or all give one global array.
            picks: of `greedy_picks`, batched: `[N, capacity]`. N is a multiple of the devices.
            predicted: `[N, capacity]` uint8, the class predicted at each pick; default 0.
            start: the picks before it were offered already (of images in `truncated`).
            left: `[N, C]` bool, with counts: whether a pixel of each predicted class could still be
                picked after these picks; default: one may. The more is known, the fewer images are
                in `truncated`; what is chosen in the end is the same.
        """
        if predicted is None:
            predicted = np.zeros(picks.row.shape, np.uint8)
        image, predicted = self._split(image, np.int32), self._split(predicted, np.uint8)
        picks = Picks(
            self._split(picks.row, np.int32),
            self._split(picks.col, np.int32),
            self._split(picks.score, np.float32),
            self._split(picks.count, np.int32),
        )
        batch = picks.row.size // self._devices
        if self._buffer is None or batch > self._batch:
            self._batch = max(batch, self._batch)
            self._buffer = self._steps.resize(self._buffer, self._group_of, slots=self.slots)
        self._buffer, tails = self._steps.append(
            self._buffer, image, picks, predicted, self._same(np.int32(start)), self._thresholds
        )
        left = None if left is None or self._counts is None else self._split(left, bool)
        self._tails.append((tails, left))
        self._final = None
        self._waiting += picks.row.size
        if self._waiting >= self._budget:
            self._buffer, self._thresholds = self._steps.agree(
                self._buffer, self._thresholds, *self._limits
            )
            self._waiting = 0

    def truncated(self) -> np.ndarray:
        """`[n]` int32: images that may hold more of the best picks than their capacity gave.

        The caller selects again in these images with a larger capacity, and adds them with `start`
        at the old one, until none is left. The same on every host. Waits for the devices.
        """
        if self._per_image:
            return np.empty(0, np.int32)
        final = self._settle()
        latest = {}
        for tails, left in self._tails:
            tails = _local(tails)
            groups = self._groups_left(left, len(tails))
            for (image, capacity, key), may in zip(tails.tolist(), groups, strict=True):
                latest[image] = ((~key + 2**31, image, capacity), may)
        bounds = [tuple(bound) for bound in final.bounds.T.tolist()]
        # A class of which nothing was seen has no quota, but would have one.
        more = [
            image
            for image, (tail, may) in latest.items()
            if image >= 0
            and tail[2] > 0
            and any(
                may[c] and (final.short[c] or (final.quota[c] > 0 and tail <= bound))
                for c, bound in enumerate(bounds)
            )
        ]
        return np.unique(self._gather(np.array(more, np.int32)))

    def finish(
        self, *, accept_truncated: bool = False, everywhere: bool = False
    ) -> tuple[Selection, Report]:
        """The chosen picks of this process's images, and the report of all. Waits for the devices.

        Args:
            everywhere: give every process the picks of all.
            accept_truncated: an image's candidates are its first `capacity` picks by definition;
                otherwise `truncated` must be empty.

        Raises:
            InputError: A score map held NaN.
            ValueError: There are truncated images, or `per_image` pools were offered more than the
                budget.
        """
        final = self._settle()
        if not accept_truncated and (truncated := self.truncated()).size:
            raise ValueError(
                f"{truncated.size} images (first: {truncated[0]}) may hold more of the best picks "
                "than were offered: select in those of Pool.truncated() with a larger capacity"
            )
        if self._per_image and final.offered.sum() > self._budget:
            raise ValueError(
                f"{final.offered.sum()} picks in a pool with a budget of {self._budget} picks for "
                "its images one by one: expected no more than the budget"
            )
        best = final.buffer
        used = np.arange(best.key.shape[1])[None, :] < _local(best.fill)[:, None]
        image, position, row, col, key, predicted = (
            self._gather(_local(x)[used]) if everywhere else _local(x)[used]
            for x in (best.image, best.position, best.row, best.col, best.key, best.predicted)
        )
        by_image = np.lexsort((position, image))
        score = from_key_host(key)
        selection = Selection(*(x[by_image] for x in (image, row, col, score, predicted)))
        return selection, Report(self._budget, int(final.taken.sum()), final.offered, final.taken)

    def _settle(self) -> "_Final":
        if self._final is None:
            if self._buffer is None:
                raise ValueError("a pool without candidates: add the picks of at least one image")
            offered, invalid = map(np.asarray, self._steps.totals(self._buffer))
            offered = offered.astype(np.int64)
            if invalid != candidates.NO_IMAGE:
                raise InputError(
                    f"score map of image {invalid} of the pool: found NaN, expected numbers; look "
                    "for a diverged network or a broken checkpoint"
                )
            if self._counts is None:
                quota = np.array([self._budget])
                short = offered < self._budget
            else:
                quota = self._quota(offered)
                step = np.eye(self._groups, dtype=np.int64)
                short = [self._quota(offered + step[c])[c] > quota[c] for c in range(self._groups)]
            best, bounds = self._steps.best(self._buffer, self._same(quota.astype(np.int32)))
            taken = np.minimum(quota, offered)
            bounds = np.asarray(bounds).astype(np.int64)
            self._final = _Final(best, bounds, quota, np.asarray(short), taken, offered)
        return self._final

    def _groups_left(self, left, length):
        """[length, groups] bool: what `add` was told of this process's images of a batch."""
        if left is None:
            return np.ones((length, self._groups), bool)
        if self._group_of is None:
            return _local(left)
        members = self._group_of == np.arange(self._groups)[:, None]
        return _local(left).astype(np.int32) @ members.T > 0

    def _quota(self, available):
        assert self._counts is not None
        return np.asarray(class_quota(self._counts, available, self._budget), np.int64)

    def _same(self, x):
        """A small host array on every device."""
        return jax.make_array_from_callback(x.shape, self._steps.everywhere, lambda _: x)

    def _split(self, x, dtype):
        """A batch over the devices."""
        split = self._steps.split
        if not isinstance(x, jax.Array) or (x.is_fully_addressable and len(self._hosts) > 1):
            return jax.make_array_from_process_local_data(split, np.asarray(x, dtype))
        return x if x.sharding.is_equivalent_to(split, x.ndim) else jax.device_put(x, split)

    def _gather(self, x):
        """The concatenation of all hosts' vectors."""
        if len(self._hosts) == 1:
            return x
        sizes = multihost_utils.process_allgather(np.array([x.size], np.int32)).ravel()
        padded = np.zeros(sizes.max(), x.dtype)
        padded[: x.size] = x
        padded = multihost_utils.process_allgather(padded).reshape(len(sizes), -1)
        return np.concatenate([row[:size] for row, size in zip(padded, sizes, strict=True)])


class _Final(NamedTuple):
    buffer: candidates.Buffer
    bounds: np.ndarray
    quota: np.ndarray
    short: np.ndarray  # groups that would take more, had they more candidates
    taken: np.ndarray
    offered: np.ndarray


def _local(x):
    """This process's part of an array that is split over the devices."""
    shards = sorted(x.addressable_shards, key=lambda shard: shard.index[0].start or 0)
    return np.concatenate([np.asarray(shard.data) for shard in shards])
