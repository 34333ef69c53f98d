"""How often the class that is thought of a pixel before anybody is asked is the true one.

    python scripts/class_evidence.py RUN [ANOTHER ...]

Class balance weighs a pixel by a class that nobody has told yet. For the network of a run's latest
checkpoint, its answers so far and the labels of its target, which a benchmark has, this counts how
often each way of knowing the class is right:

* argmax: the prediction;
* softmax: all classes, each as far as it is probable (class evidence "expected");
* softmax, temperature: the same at the temperature under which the answers so far are likeliest
  (Guo et al., ICML 2017, section 4.2);
* flip: that of the mean over an image and its mirror image;
* flip and scales: that of the mean over 0.75, 1 and 1.25 times the size too;
* prior-corrected: of the softmax under the target's class frequencies, by EM;
* corrected: what the predicted class mostly was in the answers so far;
* corrected by score: the same, of windows of several predicted classes and of one apart;
* nearest: the answers so far whose mean softmax is the nearest;
* nearest, flip: the same of the mean over mirror images;
* nearest features: those whose mean direction is, of what the network's linear classifier reads;
* neighbours: most of the 10 answers that are nearest in those directions.

It counts at the regions that RIPU would ask for next, as many in every image (--share of its
pixels), apart for those whose window is of several predicted classes and of one; and at as many
random pixels. "Mean" is the mean over the true classes, in which a rare one counts as much as a
frequent one. Void is left out. Answers count in the images that are looked at (--images).
"""

import argparse
import functools
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import harness
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import cbda_jax
from cbda_jax import acquisition, annotation, evaluation, models
from cbda_jax.acquisition.balance.nearest import discriminants
from cbda_jax.acquisition.scoring.impurity import one_class
from cbda_jax.acquisition.scoring.softmax import softmax_maps
from cbda_jax.errors import InputError
from cbda_jax.models.layers import Classifier
from cbda_jax.run import assembly
from cbda_jax.run.experience import Experience
from cbda_jax.run.logits import SAMPLED, nearest_pixel, over_mirror_images

WAYS = (
    *("argmax", "softmax", "softmax, temperature", "flip", "flip and scales", "prior-corrected"),
    *("corrected", "corrected by score"),
    *("nearest", "nearest, flip", "nearest features", "neighbours"),
)
SCALES = (0.75, 1.0, 1.25)
NEIGHBOURS = 10
MOST_ANSWERS = 20_000
"""Of all images together, among which neighbours are looked for; drawn at random."""

PLACES = ("several classes", "one class", "random")
"""Picks whose windows are of several predicted classes, and of one; and random pixels."""

_SQUARES = acquisition.geometry("region", 1)


class Look(NamedTuple):
    """What the network makes of an image.

    Attributes:
        logits: float32 `[h, w, C]`.
        flip: the logarithm of the mean softmax over mirror images, as `acquisition.flip` has it.
        features: float32 `[h, w, f]`, what the classifier reads, of length 1.
        scales: uint8 `[H, W]`, the prediction of the mean over mirror images and scales.
    """

    logits: np.ndarray
    flip: np.ndarray
    features: np.ndarray
    scales: np.ndarray


class Answered(NamedTuple):
    """The centres of regions that were answered, void left out.

    Attributes:
        answer: int64 `[m]`, classes.
        softmax: float32 `[m, C]`, at the nearest pixel of the logits.
        flip: float32 `[m, C]`, of the mean over mirror images.
        features: float32 `[m, f]`, there.
    """

    answer: np.ndarray
    softmax: np.ndarray
    flip: np.ndarray
    features: np.ndarray


def without_classifier(model: nnx.Module) -> nnx.Module:
    """A copy that gives what its linear classifier reads.

    Raises:
        InputError: it has none.
    """
    copy = nnx.clone(model)
    modules = dict(nnx.iter_modules(copy))
    for path, module in modules.items():
        if isinstance(module, Classifier):
            setattr(modules[path[:-1]], str(path[-1]), lambda x: x)
            return copy
    raise InputError(
        f"network: {type(model).__name__} found, expected one with a linear classifier, such as "
        "unet or deeplabv3plus_efficientnet_lite0"
    )


def means(rows: np.ndarray, answer: np.ndarray, classes: int) -> np.ndarray:
    """`[C, f]`, the mean row of every class; 0 for a class without rows."""
    each = np.eye(classes, dtype=rows.dtype)[answer]
    return (each.T @ rows) / each.sum(axis=0).clip(1)[:, None]


def temperature(softmax: np.ndarray, answer: np.ndarray) -> float:
    """T of softmax(log p / T) under which the answers are likeliest, in [1/16, 16].

    Their likelihood has one maximum in 1/T, of which the slope is bisected; without answers, 1.

    Args:
        softmax: `[m, C]`.
        answer: `[m]` classes.
    """
    if not len(answer):
        return 1.0
    logs = np.log(softmax.astype(np.float64).clip(1e-30))
    own, low, high = logs[np.arange(len(answer)), answer].mean(), -4.0, 4.0
    for _ in range(30):
        middle = (low + high) / 2
        too_hot = (sharpened(logs, 2**middle) * logs).sum(axis=1).mean() < own
        low, high = (low, middle) if too_hot else (middle, high)
    return 2.0**low


def sharpened(logits: np.ndarray, at: float) -> np.ndarray:
    """`[m, C]` float64, the softmax of logits at a temperature."""
    scaled = logits.astype(np.float64) / at
    each = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return each / each.sum(axis=1, keepdims=True)


def neighbours(features: np.ndarray, answered: Answered) -> np.ndarray:
    """What most of the nearest answers are, `[n]`; the smallest class of several.

    Args:
        features: `[n, f]` directions.
        answered: at least one answer.
    """
    k = min(NEIGHBOURS, len(answered.answer))
    each, found = np.arange(answered.answer.max() + 1), []
    for start in range(0, len(features), 4096):
        nearest = _nearest(features[start : start + 4096], answered.features, k=k)
        votes = answered.answer[np.asarray(nearest)]
        found.append((votes[:, :, None] == each).sum(axis=1).argmax(axis=1))
    return np.concatenate(found)


class Study:
    """A run, of which so many images are looked at.

    Args:
        folder: its workdir.
        images: how many of its target, the first ones.
        share: of the pixels of an image, in regions that RIPU asks for.

    Raises:
        InputError: there is no run or no checkpoint, or its network has no linear classifier.
    """

    def __init__(self, folder: Path, images: int, share: float):
        run = cbda_jax.open_run(folder)
        self._config: Any = run.config
        self._pool = assembly.open_records(self._config, "target")
        self._indices = range(min(images, len(self._pool)))
        self._classes = run.space.num_classes
        self._share = share
        self._rounds = run.answers()
        self._looks = self._seen(run.network)
        self._known = self._answered()

    def _seen(self, network: Any) -> dict[int, Look]:
        headless: Any = without_classifier(network)

        @functools.partial(jax.jit, static_argnames="native")
        def look(image: jax.Array, native: tuple[int, int]) -> tuple[jax.Array, ...]:
            normal = models.normalize(image[None])
            features = headless(normal)[0].astype(jnp.float32)
            length = jnp.linalg.norm(features, axis=-1, keepdims=True)
            scales = evaluation.probabilities(
                network, image[None], native, flip=True, scales=SCALES
            ).argmax(axis=-1)
            logits, flip = network(normal), over_mirror_images(network, normal)
            return logits[0], flip[0], features / length, scales[0].astype(jnp.uint8)

        return {
            index: Look(*map(np.asarray, look(self._pool.image(index), native=self._size(index))))
            for index in self._indices
        }

    @property
    def answers(self) -> int:
        """Answers that count."""
        return len(self._known.answer)

    @functools.cached_property
    def temperature(self) -> float:
        """Of the answers."""
        return temperature(self._known.softmax, self._known.answer)

    def counts(self) -> dict[str, np.ndarray]:
        """By way of knowing, `[places, C, C]` float64: true by told class."""
        answered = self._known
        sizes = annotation.image_sizes(self._pool.ids, self._pool.sizes)
        experience = Experience(assembly.resolve_method(self._config), self._classes, sizes)
        all_picks = experience.confusion(self._rounds)
        corrected = acquisition.corrected_classes(all_picks)
        by_score = np.stack(
            [acquisition.corrected_classes(own) for own in experience.by_score(self._rounds)]
        )
        prior = self._prior_corrected()
        near, near_flip = (
            self._nearest(answered.answer, softmax) for softmax in (answered.softmax, answered.flip)
        )
        centres = means(answered.features, answered.answer, self._classes)
        rng = np.random.default_rng(0)
        some = rng.permutation(len(answered.answer))[:MOST_ANSWERS]
        known = Answered(*(column[some] for column in answered))
        shape = (len(PLACES), self._classes, self._classes)
        found = {way: np.zeros(shape) for way in WAYS}
        temperatures = {"softmax": 1.0, "softmax, temperature": self.temperature}
        for index, look in self._looks.items():
            size, truth = self._size(index), self._pool.label(index)
            maps = _regions(look.logits, **self._sizes(size))
            row, col = self._points(index, maps, rng)
            argmax = np.asarray(maps.prediction)[row, col]
            window = np.asarray(one_class(maps.prediction, radius=1))[row, col].astype(np.int64)
            # As many as are picked, and behind them the random ones.
            picked = len(row) - self._number(size)
            place = np.where(np.arange(len(row)) < picked, window, PLACES.index("random"))
            told = {
                "argmax": argmax,
                "flip and scales": look.scales[row, col],
                "corrected": corrected[argmax],
                "corrected by score": by_score[window, argmax],
                **{
                    way: self._named(told, size)[row, col]
                    for way, told in {
                        "flip": look.flip,
                        "prior-corrected": prior(look.logits),
                        "nearest": near(look.logits),
                        "nearest, flip": near_flip(look.flip),
                    }.items()
                },
            }
            h, w = look.features.shape[:2]
            at = nearest_pixel(row, size[0], h), nearest_pixel(col, size[1], w)
            features = look.features[at]
            if len(known.answer):
                told["nearest features"] = (features @ centres.T).argmax(axis=1)
                told["neighbours"] = neighbours(features, known)
            true = truth[row, col]
            of = true < self._classes
            for way, classes in told.items():
                np.add.at(found[way], (place[of], true[of], classes[of]), 1)
            logits = look.logits[at][of]
            for way, at_temperature in temperatures.items():
                np.add.at(found[way], (place[of], true[of]), sharpened(logits, at_temperature))
        return found

    def _size(self, index: int) -> tuple[int, int]:
        height, width = self._pool.sizes[index].tolist()
        return height, width

    def _sizes(self, size: tuple[int, int]) -> dict[str, Any]:
        """Through which logits are enlarged to the native one."""
        seen = tuple(self._config.data.target_size)
        return {"size": size, "via": None if seen == size else seen}

    def _number(self, size: tuple[int, int]) -> int:
        """Picks of an image."""
        return acquisition.picks_per_image(self._share, size, 1, _SQUARES)

    def _named(self, told: np.ndarray | jax.Array, size: tuple[int, int]) -> np.ndarray:
        """The class of the largest number, at the native size."""
        found = softmax_maps(jnp.asarray(told), ["prediction"], **self._sizes(size))
        return np.asarray(found["prediction"])

    def _points(
        self, index: int, maps: acquisition.AcquisitionMaps, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """(row, col) of the next picks, and behind them of as many random pixels."""
        size = self._size(index)
        number, radius = self._number(size), _SQUARES.block_radius
        closed = annotation.closed_centres(self._rounds, self._pool.ids[index])
        picks = _picks(
            maps.score,
            number,
            radius=radius,
            capacity=number,
            blocked=acquisition.blocked_mask(*map(jnp.asarray, closed), shape=size, radius=radius),
        )
        taken = np.asarray(picks.row) >= 0
        row, col = np.asarray(picks.row)[taken], np.asarray(picks.col)[taken]
        others = rng.integers(0, np.array([size]).T, (2, number)).astype(np.int32)
        return np.append(row, others[0]), np.append(col, others[1])

    def _answered(self) -> Answered:
        """What was answered in the images that are looked at."""
        some = next(iter(self._looks.values()))
        found = [
            Answered(
                np.zeros(0, np.int64),
                np.zeros((0, self._classes), np.float32),
                np.zeros((0, self._classes), np.float32),
                np.zeros((0, some.features.shape[-1]), np.float32),
            )
        ]
        for answers in self._rounds:
            queries, radius = answers.queries, answers.queries.radius
            centre = answers.patches[:, radius, radius].astype(np.int64)
            for index, look in self._looks.items():
                own = queries.places.get(self._pool.ids[index], np.zeros(0, np.int64))
                own = own[centre[own] < self._classes]
                height, width = self._size(index)
                h, w = look.logits.shape[:2]
                at = (
                    nearest_pixel(queries.row[own], height, h),
                    nearest_pixel(queries.col[own], width, w),
                )
                softmax, flip = (
                    np.asarray(jax.nn.softmax(x[at])) for x in (look.logits, look.flip)
                )
                found.append(Answered(centre[own], softmax, flip, look.features[at]))
        return Answered(*map(np.concatenate, zip(*found, strict=True)))

    def _prior_corrected(self) -> Callable[[np.ndarray], np.ndarray]:
        pixels = assembly.open_records(self._config, "source").class_pixels.sum(axis=0)
        source = acquisition.source_prior(pixels)
        logits = np.concatenate([x.logits.reshape(-1, self._classes) for x in self._looks.values()])
        some = logits[:: max(len(logits) // SAMPLED, 1)]
        ratio = acquisition.log_ratio(
            np.asarray(acquisition.target_prior(jax.nn.softmax(some), source)), source
        )
        return lambda own: own + ratio

    def _nearest(
        self, answer: np.ndarray, softmax: np.ndarray
    ) -> Callable[[np.ndarray], jax.Array]:
        each = np.eye(self._classes)[answer]
        sums = each.T @ softmax.astype(np.float64)
        centres = acquisition.prototypes(sums, each.sum(axis=0).astype(np.int64))
        return lambda own: discriminants(jnp.asarray(own), jnp.asarray(centres))


def right(counts: np.ndarray) -> tuple[float, float]:
    """Which part is right, and the mean over the true classes. NaN of none."""
    number, hits = counts.sum(axis=1), np.diagonal(counts)
    there = number > 0
    if not there.any():
        return math.nan, math.nan
    return float(hits.sum() / number.sum()), float((hits[there] / number[there]).mean())


def table(counts: dict[str, np.ndarray]) -> Iterator[str]:
    """Lines of Markdown."""
    number = counts["argmax"].sum(axis=(1, 2)).tolist()
    places = [f"{place} ({n:,.0f}): right %" for place, n in zip(PLACES, number, strict=True)]
    yield f"| | {' | '.join(f'{place} | mean %' for place in places)} |"
    yield f"| --- |{' ---: |' * (2 * len(PLACES))}"
    for way, own in counts.items():
        if own.any():
            shares = [share for place in own for share in right(place)]
            cells = ("" if math.isnan(share) else f"{100 * share:.1f}" for share in shares)
            yield f"| {way} | {' | '.join(cells)} |"


def main(arguments: list[str] | None = None) -> None:
    """Prints a table a run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workdir", nargs="+", type=Path, help="of runs")
    parser.add_argument("--images", type=int, default=50, help="of the target, at most")
    parser.add_argument("--share", type=float, default=0.02, help="of the pixels, in regions")
    options = parser.parse_args(arguments)
    facts = harness.environment()
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    print(f"{facts['command']}\n{facts['device']}, {facts['cores']} cores, {versions}")
    try:
        for folder in options.workdir:
            study = Study(folder, options.images, options.share)
            answers = f"{study.answers:,} answers of temperature {study.temperature:.2f}"
            print(f"\n{folder.name}, {answers}\n")
            print("\n".join(table(study.counts())))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


_regions = jax.jit(acquisition.region_scores, static_argnames=("size", "via"))
_picks = jax.jit(acquisition.greedy_picks, static_argnames=("radius", "capacity"))


@functools.partial(jax.jit, static_argnames="k")
def _nearest(some: jax.Array, known: jax.Array, *, k: int) -> jax.Array:
    return jax.lax.top_k(some @ known.T, k)[1]


if __name__ == "__main__":
    main()
