"""Acquisition as one program (forward pass, scores, picks), streamed over the target set.

Nothing the size of an image comes back to the host: each image leaves its picks on the device, and
the pool keeps those that may still be chosen.
"""

import contextlib
import functools
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from cbda_jax import acquisition, models, platform, sharding
from cbda_jax.data import pipeline
from cbda_jax.run.logits import Logits, over_mirror_images
from cbda_jax.run.request import Request
from cbda_jax.training import TrainState

# Keys of the random scores are kept apart from those of training steps.
_STREAM = 2**31 - 1


class Target(NamedTuple):
    """The target images, as a round asks about them.

    Attributes:
        sizes: int32 [n, 2], (height, width) of every record's native label, which picks are of.
        image: RGB uint8 [h, w, 3] of a record, at the network's input size.
        previous: (row, col) of the picks of earlier rounds in a record.
        truth: uint8 [H, W], the native label of a record; for class evidence "true" alone.
    """

    sizes: np.ndarray
    image: Callable[[int], np.ndarray]
    previous: Callable[[int], tuple[np.ndarray, np.ndarray]]
    truth: Callable[[int], np.ndarray] | None = None


class Acquirer:
    """The compiled programs of a run's rounds: of each size of native labels their own.

    Args:
        graphdef: structure of the network.
        mesh: over which a batch of images is spread.
        scoring: how pixels are scored.
        via: (height, width) of the network's input; logits pass through it on their way to the
            native size, as in the reference.
        seed: of random scores and ties.
        flip: predictions are averaged over an image and its mirror image.
        quota: rounds may have a quota: the programs also tell which classes picks leave.
        batch: images of a global batch, a multiple of the devices.
        host: (index, count) of this process.
        threads: decoding threads.
    """

    def __init__(
        self,
        graphdef: nnx.GraphDef,
        mesh: Mesh,
        scoring: acquisition.Scoring,
        via: tuple[int, int],
        *,
        batch: int,
        seed: int = 0,
        flip: bool = False,
        quota: bool = False,
        host: tuple[int, int] = (0, 1),
        threads: int = 2,
    ):
        self._graphdef = graphdef
        self._mesh = mesh
        self._platform = platform.of(mesh)
        self._scoring = scoring
        self._via = via
        self._squares = scoring.squares
        self._seed = seed
        self._flip = flip
        self._quota = quota
        self._batch = batch
        self._host = host
        self._threads = threads

    def choose(
        self,
        state: TrainState,
        target: Target,
        request: Request,
        *,
        balance: acquisition.RoundBalance = acquisition.UNBALANCED,
        done: Callable[[int], None] = lambda images: None,
        logits: Logits | None = None,
    ) -> tuple[acquisition.Selection, acquisition.Report]:
        """Holds a round. Batches are of images of one size; all images compete in one pool.

        Args:
            state: whose network scores.
            target: the pool of images.
            request: how much is asked for; with limits, it needs logits.
            balance: of the classes; with counts, the budget is spent by a quota.
            done: told how many images have been handed to the devices, for a progress bar.
            logits: of the same state and images, of `logits`; None: computed here, kept nowhere.

        Returns:
            The picks of all hosts, and what became of the budget.

        Raises:
            InputError: a score map held NaN.
        """
        asked = pipeline.by_size(target.sizes)
        per_image = request.allocation == "per_image"
        pool = acquisition.Pool(
            request.total(size for size, indices in asked for _ in indices),
            counts=None if balance.counts is None else balance.counts // self._squares.pixels,
            group_of=balance.group_of,
            per_image=per_image,
            mesh=self._mesh,
            axis=sharding.DATA,
        )
        weights, round_ = sharding.replicate(
            self._mesh, (_of_scores(balance), np.int32(request.number))
        )
        capacity, most = {}, {}
        for size, _ in asked:
            capacity[size], most[size] = self.capacities(request, size)
        start = dict.fromkeys(capacity, 0)
        while asked:
            for size, indices in asked:
                left = len(indices)
                if logits is None:
                    step = self.program(capacity[size], size)
                    network = (state.inference_params, state.frozen)
                    batches = self._placed(target, size, indices)
                else:
                    network, step = (), self.program_of_logits(capacity[size], size)
                    batches = self._with_logits(logits, target, size, indices, request.limits)
                with contextlib.closing(batches):
                    for images, index, blocked, *rest in batches:
                        picks, predicted, more = step(
                            *network, images, index, blocked, weights, round_, pool.threshold, *rest
                        )
                        pool.add(index, picks, predicted, start=start[size], left=more)
                        if start[size] == 0:  # else an image is being asked again
                            done(min(self._batch, left))
                            left -= self._batch
            if per_image or capacity == most:
                break
            # An image whose capacity is the most it may have holds no more, by definition.
            asked = [
                (size, indices)
                for size, indices in pipeline.by_size(target.sizes, pool.truncated().tolist())
                if capacity[size] < most[size]
            ]
            for size, _ in asked:
                start[size] = capacity[size]
                capacity[size] = min(4 * capacity[size], most[size])
        full = any(capacity[size] == most[size] for size in capacity)
        return pool.finish(accept_truncated=full, everywhere=True)

    def maps(
        self,
        state: TrainState,
        target: Target,
        index: int,
        *,
        number: int,
        balance: acquisition.RoundBalance = acquisition.UNBALANCED,
    ) -> acquisition.AcquisitionMaps:
        """Maps of one image in a round, on the host: for pictures. See `choose`."""
        # Longer lists compile the program again, so only where a score looks at them.
        looks = "blocked" in self._scoring.function.names
        previous = _padded(*target.previous(index)) if looks else None
        truth = None if target.truth is None else target.truth(index)
        arguments = sharding.replicate(
            self._mesh,
            (
                target.image(index),
                np.int32(index),
                previous,
                _of_scores(balance),
                np.int32(number),
                truth,
            ),
        )
        native = _size_of(target, index)
        found = self._maps(native)(state.inference_params, state.frozen, *arguments)
        return jax.tree.map(np.asarray, found)

    def logits(self, state: TrainState, target: Target) -> Logits:
        """The logits of all images, for several calls of `choose` with the same state."""
        network = self._network

        def compute(images: jax.Array) -> jax.Array:
            return network(state.inference_params, state.frozen, images)

        def read(native: tuple[int, int], indices: Sequence[int]) -> pipeline.Prefetch:
            return self._read(target, native, indices)

        return Logits(compute, read, target.sizes, batch=self._batch, devices=self._mesh.size)

    # ---------------------------------------------------------------- programs

    def score(
        self, logits, index, blocked, balance, number, truth=None, *, native: tuple[int, int]
    ) -> acquisition.AcquisitionMaps:
        """The maps of one image, by its logits, at its native size; to be traced."""
        key = jax.random.fold_in(jax.random.key(self._seed), _STREAM)
        key = jax.random.fold_in(jax.random.fold_in(key, number), index)
        return acquisition.score_maps(
            logits,
            self._scoring,
            size=native,
            via=None if self._via == native else self._via,
            balance=balance,
            true_class=truth,
            blocked=blocked,
            key=key,
            platform=self._platform,
        )

    def select(self, score, blocked, floor, limit=None, *, capacity: int) -> acquisition.Picks:
        """The picks of one image, by its score map; to be traced."""
        return acquisition.greedy_picks(
            score,
            capacity if limit is None else limit,
            radius=self._squares.block_radius,
            capacity=capacity,
            blocked=blocked,
            floor=floor,
        )

    @functools.cache  # noqa: B019 - an Acquirer lives as long as the run
    def _maps(self, native: tuple[int, int]) -> Callable[..., acquisition.AcquisitionMaps]:
        def maps(params, frozen, image, index, previous, balance, number, truth):
            logits = self._logits_of(params, frozen, image[None])[0]
            blocked = None if previous is None else self._blocked_by(*previous, native=native)
            return self.score(logits, index, blocked, balance, number, truth, native=native)

        return jax.jit(maps)

    def capacities(self, request: Request, native: tuple[int, int]) -> tuple[int, int]:
        """How many picks of an image a round's program has room for, at first and at most.

        Images differ in how much they are asked; those that would be asked more are redone.
        """
        per_image, share = request.allocation == "per_image", request.shares[native]
        most = acquisition.most_picks(native, self._squares)
        if share.most is not None and not per_image:
            most = min(most, share.most)
        return min(share.picks if per_image else 2 * share.picks, most), most

    @functools.cache  # noqa: B019
    def program(
        self, capacity: int, native: tuple[int, int]
    ) -> Callable[..., tuple[acquisition.Picks, jax.Array, jax.Array | None]]:
        """The round's program: a batch of images to the picks of each, and their classes.

        With `quota`, there are also bool `[N, C]`: whether the picks leave a pixel of each class
        that could still be picked. Else None.

        It takes the parameters and the rest of the network, images, indices and blocked masks of
        the batch, the balance of scores, the round, the least score that still counts and, for
        class evidence "true", the labels.
        """

        def replica(params, frozen, images, *rest):
            logits = self._logits_of(params, frozen, images)
            return self._picked(logits, *rest, limit=None, capacity=capacity, native=native)

        return sharding.per_replica(
            replica,
            self._mesh,
            in_specs=(*[sharding.REPLICATED] * 2, *self._inputs),
            out_specs=sharding.BATCH,
        )

    @functools.cache  # noqa: B019
    def program_of_logits(
        self, capacity: int, native: tuple[int, int]
    ) -> Callable[..., tuple[acquisition.Picks, jax.Array, jax.Array | None]]:
        """As `program`, with logits in place of the network and the images.

        Last comes int32 [N], the most picks of each image, where that is less than the capacity.
        """

        def replica(*arguments):
            *arguments, limit = arguments
            return self._picked(*arguments, limit=limit, capacity=capacity, native=native)

        return sharding.per_replica(
            replica,
            self._mesh,
            in_specs=(*self._inputs, sharding.BATCH),
            out_specs=sharding.BATCH,
        )

    @property
    def _inputs(self) -> list[PartitionSpec]:
        """Of images or logits, indices and masks; of balance, round and floor; of labels."""
        # Labels come in for the diagnostic that knows them, and for nothing else.
        truths = [sharding.BATCH] if self._scoring.class_evidence == "true" else []
        return [*[sharding.BATCH] * 3, *[sharding.REPLICATED] * 3, *truths]

    def _picked(
        self, logits, index, blocked, balance, number, floor, *truth, limit, capacity, native
    ) -> tuple[acquisition.Picks, jax.Array, jax.Array | None]:
        def one(arguments):
            logits, index, blocked, limit, *truth = arguments
            # Padding has the index -1 and is blocked altogether.
            blocked = blocked | (index < 0)
            maps = self.score(logits, index, blocked, balance, number, *truth, native=native)
            picks = self.select(maps.score, blocked, floor, limit, capacity=capacity)
            more = None
            if self._quota:
                blocked |= self._blocked_by(picks.row, picks.col, native=native)
                more = acquisition.classes_left(maps, blocked, classes=logits.shape[-1])
            return picks, maps.prediction[picks.row, picks.col], more

        return lax.map(one, (logits, index, blocked, limit, *truth))

    def _logits_of(self, params, frozen, images) -> jax.Array:
        model, normal = nnx.merge(self._graphdef, params, frozen), models.normalize(images)
        return over_mirror_images(model, normal) if self._flip else model(normal)

    @functools.cached_property
    def _network(self) -> Callable[..., jax.Array]:
        """The logits of a batch of images."""
        return sharding.per_replica(
            self._logits_of,
            self._mesh,
            in_specs=(sharding.REPLICATED, sharding.REPLICATED, sharding.BATCH),
            out_specs=sharding.BATCH,
        )

    @functools.cache  # noqa: B019
    def _blocked(self, native: tuple[int, int]) -> Callable[..., jax.Array]:
        """Masks of where no pick may be centred, from the picks of earlier rounds.

        Apart from `program`, so that longer lists of picks compile this alone again.
        """

        def replica(row, col):
            return lax.map(lambda rc: self._blocked_by(*rc, native=native), (row, col))

        return sharding.per_replica(
            replica, self._mesh, in_specs=sharding.BATCH, out_specs=sharding.BATCH
        )

    def _blocked_by(self, row, col, *, native: tuple[int, int]) -> jax.Array:
        return acquisition.blocked_mask(row, col, native, self._squares.block_radius)

    def _placed(
        self, target: Target, native: tuple[int, int], indices: Sequence[int]
    ) -> pipeline.Prefetch:
        longest = max(len(target.previous(index)[0]) for index in indices)
        truth = target.truth

        def load(index: int) -> dict[str, np.ndarray]:
            row, col = _padded(*target.previous(index), longest)
            record = {"image": target.image(index), "row": row, "col": col}
            return record if truth is None else {**record, "label": truth(index)}

        def place(batch: dict[str, np.ndarray]) -> tuple[jax.Array, ...]:
            placed = sharding.shard_batch(self._mesh, batch)
            blocked = self._blocked(native)(placed["row"], placed["col"])
            labels = () if truth is None else (placed["label"],)
            return placed["image"], placed["index"], blocked, *labels

        batches = pipeline.record_batches(
            load, indices, batch=self._batch, host=self._host, threads=self._threads
        )
        return pipeline.Prefetch(batches, place)

    def _read(
        self, target: Target, native: tuple[int, int], indices: Sequence[int]
    ) -> pipeline.Prefetch:
        """Images and, where they are looked at, labels; of one size."""
        del native
        truth = target.truth

        def load(index: int) -> dict[str, np.ndarray]:
            record = {"image": target.image(index)}
            return record if truth is None else {**record, "label": truth(index)}

        def place(batch: dict[str, np.ndarray]) -> tuple[jax.Array, ...]:
            placed = sharding.shard_batch(self._mesh, batch)
            return placed["image"], *(() if truth is None else (placed["label"],))

        batches = pipeline.record_batches(
            load, indices, batch=self._batch, host=self._host, threads=self._threads
        )
        return pipeline.Prefetch(batches, place)

    def _with_logits(
        self,
        logits: Logits,
        target: Target,
        native: tuple[int, int],
        indices: Sequence[int],
        limits: np.ndarray | None,
    ) -> Generator[tuple[jax.Array, ...]]:
        """As `_placed`, of logits; with the most picks of each image. Others are padding."""
        longest = max(len(target.previous(index)[0]) for index in indices)
        wanted, (host, hosts) = frozenset(indices), self._host
        share = self._batch // hosts
        for chunk, found, *truth in logits.batches(native, wanted):
            padded = [i if i in wanted else -1 for i in chunk]
            padded += [-1] * (self._batch - len(padded))
            own = padded[host * share : (host + 1) * share]
            nothing = np.full_like(_padded(*target.previous(indices[0]), longest), -1)
            places = [_padded(*target.previous(i), longest) if i >= 0 else nothing for i in own]
            row, col = np.stack(places, axis=1)
            index = np.array(own, np.int32)
            # Records may have fewer picks left than the program has room for.
            limit = np.full(share, np.iinfo(np.int32).max, np.int32)
            limit = limit if limits is None else np.where(index < 0, 0, limits[index])
            index, row, col, limit = sharding.shard_batch(
                self._mesh, (index, row, col, limit.astype(np.int32))
            )
            blocked = self._blocked(native)(row, col)
            yield found, index, blocked, *truth, limit


def _size_of(target: Target, index: int) -> tuple[int, int]:
    height, width = target.sizes[index].tolist()
    return height, width


def _of_scores(balance: acquisition.RoundBalance) -> acquisition.RoundBalance:
    """The part that score maps read; the quota is the pool's."""
    return balance._replace(counts=None, group_of=None)


def _padded(row: np.ndarray, col: np.ndarray, longest: int | None = None) -> np.ndarray:
    """Lists of picks as `[2, n]` int32, n the next power of two; -1 after the last pick."""
    length = len(row) if longest is None else longest
    padded = np.full((2, 1 << max(length - 1, 0).bit_length()), -1, np.int32)
    padded[0, : len(row)], padded[1, : len(col)] = row, col
    return padded
