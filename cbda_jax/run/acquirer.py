"""Acquisition as one program (forward pass, scores, picks), streamed over the target set.

Nothing the size of an image comes back to the host: each image leaves its picks on the device, and
the pool keeps those that may still be chosen.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx
from jax import lax
from jax.sharding import Mesh

from cbda_jax import acquisition, models, sharding
from cbda_jax.data import pipeline
from cbda_jax.training import TrainState

# Keys of the random scores are kept apart from those of training steps.
_STREAM = 2**31 - 1


class Scoring(NamedTuple):
    """How pixels are scored and picked.

    Attributes:
        native: (height, width) of labels and picks.
        via: size of the network's input; logits pass through it on their way to `native`, as in
            the reference.
        unit, score, radius, clamp_impurity, class_evidence, impurity_floor, ties: of
            `acquisition.score_maps`.
        seed: of random scores and ties.
    """

    native: tuple[int, int]
    via: tuple[int, int]
    unit: str
    score: str
    radius: int
    clamp_impurity: bool = False
    seed: int = 0
    class_evidence: str = "argmax"
    impurity_floor: float | int = 0
    ties: str = "reference"


class Acquirer:
    """The compiled programs of a run's rounds.

    Args:
        graphdef: structure of the network.
        mesh: over which a batch of images is spread.
        scoring: see `Scoring`.
        num_classes: of the network.
        batch: images of a global batch, a multiple of the devices.
        host: (index, count) of this process.
        threads: decoding threads.
    """

    def __init__(
        self,
        graphdef: nnx.GraphDef,
        mesh: Mesh,
        scoring: Scoring,
        *,
        num_classes: int,
        batch: int,
        host: tuple[int, int] = (0, 1),
        threads: int = 2,
    ):
        self._num_classes = num_classes
        self._graphdef = graphdef
        self._mesh = mesh
        self._scoring = scoring
        self._squares = acquisition.geometry(scoring.unit, scoring.radius)
        self._batch = batch
        self._host = host
        self._threads = threads

    def choose(
        self,
        state: TrainState,
        image: Callable[[int], np.ndarray],
        count: int,
        *,
        previous: Callable[[int], tuple[np.ndarray, np.ndarray]],
        number: int,
        picks_per_image: int,
        allocation: str,
        weights: np.ndarray | None = None,
        tie_weights: np.ndarray | None = None,
        counts: np.ndarray | None = None,
        group_of: np.ndarray | None = None,
        most_in_image: int | None = None,
        truth: Callable[[int], np.ndarray] | None = None,
        done: Callable[[int], None] = lambda images: None,
    ) -> tuple[acquisition.Selection, acquisition.Report]:
        """Holds a round.

        Args:
            state: whose network scores.
            image: RGB uint8 [h, w, 3] of a record, at the network's input size.
            count: records in the pool.
            previous: (row, col) of the picks of earlier rounds in a record.
            number: of the round, from 1.
            picks_per_image: the budget; of each image, or on average if the allocation is global.
            allocation: "per_image" or "global".
            weights: float32 [C], multiply the score, by the class that `Scoring.class_evidence`
                names.
            tie_weights: float32 [C], by predicted class, of class-balanced ties; default: equal.
            counts: int [C], pixels of every class labelled so far: spend the budget by a quota of
                every predicted class.
            group_of: uint8 [C], as which class a predicted one counts in the quota.
            most_in_image: with a global allocation, an image's candidates are its first so many.
            truth: uint8 [H, W], the native label of a record; for class evidence "true" alone.
            done: told how many images have been handed to the devices, for a progress bar.

        Returns:
            The picks of all hosts, and what became of the budget.

        Raises:
            InputError: a score map held NaN.
        """
        per_image = allocation == "per_image"
        pool = acquisition.Pool(
            count * picks_per_image,
            counts=None if counts is None else counts // self._squares.pixels,
            group_of=group_of,
            per_image=per_image,
            mesh=self._mesh,
            axis=sharding.DATA,
        )
        weight, round_ = sharding.replicate(
            self._mesh, (self._weight(weights, tie_weights), np.int32(number))
        )
        most = acquisition.most_picks(self._scoring.native, self._squares)
        if most_in_image is not None and not per_image:
            most = min(most, most_in_image)
        # Images differ in how much they are asked; those that would be asked more are redone.
        capacity = min(picks_per_image if per_image else 2 * picks_per_image, most)
        indices: Sequence[int] = range(count)
        start = passed = 0
        while len(indices):
            step = self._step(capacity)
            with self._placed(image, indices, previous, truth) as batches:
                for images, index, blocked, *true_class in batches:
                    picks, predicted = step(
                        state.evaluated,
                        state.frozen,
                        images,
                        index,
                        blocked,
                        weight,
                        round_,
                        pool.threshold,
                        *true_class,
                    )
                    pool.add(index, picks, predicted, start=start)
                    if start == 0:  # else an image is being asked again
                        done(min(self._batch, count - passed))
                        passed += self._batch
            if per_image or capacity == most:
                break
            indices = pool.truncated().tolist()
            start, capacity = capacity, min(4 * capacity, most)
        return pool.finish(accept_truncated=capacity == most, everywhere=True)

    def maps(
        self,
        state: TrainState,
        image: np.ndarray,
        index: int,
        *,
        number: int,
        weights: np.ndarray | None = None,
        tie_weights: np.ndarray | None = None,
        truth: np.ndarray | None = None,
    ) -> acquisition.AcquisitionMaps:
        """Score map and prediction of one image, on the host: for pictures. See `choose`."""
        weight = self._weight(weights, tie_weights)
        arguments = sharding.replicate(
            self._mesh, (image, np.int32(index), weight, np.int32(number), truth)
        )
        found = self._maps(state.evaluated, state.frozen, *arguments)
        return jax.tree.map(np.asarray, found)

    def _weight(self, weights: np.ndarray | None, tie_weights: np.ndarray | None) -> Any:
        """Weights of scores; with class-balanced ties, (these, weights of ties)."""
        equal = np.ones(self._num_classes, np.float32)
        weights, tie_weights = (equal if x is None else x for x in (weights, tie_weights))
        return (weights, tie_weights) if self._scoring.ties == "class_balanced" else weights

    # ---------------------------------------------------------------- programs

    def _score(self, logits, index, weight, number, truth=None) -> acquisition.AcquisitionMaps:
        scoring = self._scoring
        weight, tie_weight = weight if scoring.ties == "class_balanced" else (weight, None)
        key = jax.random.fold_in(jax.random.key(scoring.seed), _STREAM)
        key = jax.random.fold_in(jax.random.fold_in(key, number), index)
        return acquisition.score_maps(
            logits,
            unit=scoring.unit,
            score=scoring.score,
            radius=scoring.radius,
            size=scoring.native,
            via=None if scoring.via == scoring.native else scoring.via,
            class_weight=weight,
            class_evidence=scoring.class_evidence,
            true_class=truth,
            clamp_impurity=scoring.clamp_impurity,
            impurity_floor=scoring.impurity_floor,
            ties=scoring.ties,
            tie_weight=tie_weight,
            key=key,
        )

    @functools.cached_property
    def _maps(self) -> Callable[..., acquisition.AcquisitionMaps]:
        def maps(params, frozen, image, index, weight, number, truth):
            model = nnx.merge(self._graphdef, params, frozen)
            logits = model(models.normalize(image[None]))[0]
            return self._score(logits, index, weight, number, truth)

        return jax.jit(maps)

    @functools.cache  # noqa: B019 - an Acquirer lives as long as the run
    def _step(self, capacity: int) -> Callable[..., tuple[acquisition.Picks, jax.Array]]:
        """The round's program: a batch of images to the picks of each."""
        # Labels come in for the diagnostic that knows them, and for nothing else.
        truths = [sharding.BATCH] if self._scoring.class_evidence == "true" else []

        def replica(params, frozen, images, index, blocked, weight, number, floor, *truth):
            model = nnx.merge(self._graphdef, params, frozen)
            logits = model(models.normalize(images))

            def one(arguments):
                logits, index, blocked, *truth = arguments
                maps = self._score(logits, index, weight, number, *truth)
                picks = acquisition.greedy_picks(
                    maps.score,
                    capacity,
                    radius=self._squares.block_radius,
                    capacity=capacity,
                    # Padding has the index -1 and is blocked altogether.
                    blocked=blocked | (index < 0),
                    floor=floor,
                )
                return picks, maps.prediction[picks.row, picks.col]

            return lax.map(one, (logits, index, blocked, *truth))

        return sharding.per_replica(
            replica,
            self._mesh,
            in_specs=(
                *[sharding.REPLICATED] * 2,
                *[sharding.BATCH] * 3,
                *[sharding.REPLICATED] * 3,
                *truths,
            ),
            out_specs=sharding.BATCH,
        )

    @functools.cached_property
    def _blocked(self) -> Callable[..., jax.Array]:
        """Masks of where no pick may be centred, from the picks of earlier rounds.

        Apart from `_step`, so that longer lists of picks compile this alone again.
        """
        radius, shape = self._squares.block_radius, self._scoring.native

        def replica(row, col):
            return lax.map(
                lambda rc: acquisition.blocked_mask(rc[0], rc[1], shape, radius), (row, col)
            )

        return sharding.per_replica(
            replica, self._mesh, in_specs=sharding.BATCH, out_specs=sharding.BATCH
        )

    def _placed(
        self,
        image: Callable[[int], np.ndarray],
        indices: Sequence[int],
        previous: Callable[[int], tuple[np.ndarray, np.ndarray]],
        truth: Callable[[int], np.ndarray] | None,
    ) -> pipeline.Prefetch:
        longest = max(len(previous(index)[0]) for index in indices)
        padded = 1 << max(longest - 1, 0).bit_length()

        def load(index: int) -> dict[str, np.ndarray]:
            centres = np.full((2, padded), -1, np.int32)
            row, col = previous(index)
            centres[0, : len(row)], centres[1, : len(col)] = row, col
            record = {"image": image(index), "row": centres[0], "col": centres[1]}
            return record if truth is None else {**record, "label": truth(index)}

        def place(batch: dict[str, np.ndarray]) -> tuple[jax.Array, ...]:
            placed = sharding.shard_batch(self._mesh, batch)
            blocked = self._blocked(placed["row"], placed["col"])
            labels = () if truth is None else (placed["label"],)
            return placed["image"], placed["index"], blocked, *labels

        batches = pipeline.record_batches(
            load, indices, batch=self._batch, host=self._host, threads=self._threads
        )
        return pipeline.Prefetch(batches, place)
