"""In which order records are drawn: functions of (seed, epoch), so that a run resumes exactly."""

import collections
import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64, Int32, Int64

from cbda_jax.errors import InputError

# Names the orders apart, so that one seed gives unrelated random numbers to each.
_CLASS_UNIFORM, _SHUFFLED, _RARE_CLASS = 1, 2, 3


def class_uniform_order(
    class_pixels: Int64[np.ndarray, "images classes"],
    length: int,
    *,
    seed: int,
    epoch: int,
) -> Int32[np.ndarray, " length"]:
    """Draws records so that rare classes are seen as often as common ones.

    For every draw, a class with probability proportional to 1 / log(1.01 + p_c), p_c being its
    share of the labelled pixels of the images drawn before in this epoch (uniform at first), then,
    uniformly, an image that holds it. A class that no image holds is never drawn. As in RIPU (Xie
    et al., CVPR 2022), after the log-balanced weights of ENet (Paszke et al., 2016).

    Args:
        class_pixels: int64 `[n, C]`, labelled pixels of every class in every image.
        length: how many draws the epoch has.
        seed: of the run.
        epoch: counted from 0.

    Returns:
        int32 [length], record indices, with repetition.

    Raises:
        InputError: no image holds any labelled pixel.
    """
    _check_labelled(class_pixels)
    holders = [np.flatnonzero(column) for column in class_pixels.T]
    drawable = class_pixels.any(axis=0)
    uniform = _generator(_CLASS_UNIFORM, seed, epoch).random((length, 2))
    pixels = class_pixels.astype(np.float64)
    seen = np.zeros(class_pixels.shape[1])
    order = np.empty(length, np.int32)
    for draw, (which_class, which_image) in enumerate(uniform.tolist()):
        weights = drawable / np.log(1.01 + seen / max(seen.sum(), 1.0))
        steps = weights.cumsum()
        # The product may round up to the last step, which no class lies beyond.
        point = min(which_class * steps[-1], steps[-1] * (1 - 1e-15))
        images = holders[np.searchsorted(steps, point, side="right")]
        order[draw] = image = images[int(which_image * len(images))]
        seen += pixels[image]
    return order


def rare_class_probabilities(
    class_pixels: Int64[np.ndarray, "images classes"], temperature: float
) -> Float64[np.ndarray, " classes"]:
    """P(c) proportional to exp((1 - f_c) / temperature), f_c the class's share of labelled pixels.

    Rare class sampling of DAFormer (Hoyer et al., CVPR 2022). The lower the temperature, the more
    it favours rare classes; infinity draws all alike. A class without pixels has probability 0.

    Args:
        class_pixels: int64 `[n, C]`, labelled pixels of every class in every image.
        temperature: above 0.

    Returns:
        float64 [C], of sum 1.

    Raises:
        InputError: no image holds any labelled pixel, or the temperature is not above 0.
    """
    if not temperature > 0:
        raise InputError(
            f"temperature of rare-class sampling: {temperature} found, expected a number above 0, "
            "such as 0.01; correct it"
        )
    _check_labelled(class_pixels)
    pixels = class_pixels.sum(axis=0)
    present = pixels > 0
    share = pixels[present] / pixels.sum()
    weights = np.zeros(len(pixels))
    # Relative to the rarest class, whose weight is 1: no exponential overflows.
    with np.errstate(over="ignore"):
        weights[present] = np.exp((share.min() - share) / temperature)
    return weights / weights.sum()


def rare_class_order(
    class_pixels: Int64[np.ndarray, "images classes"],
    length: int,
    *,
    seed: int,
    epoch: int,
    temperature: float = 0.01,
    min_pixels: int = 3000,
) -> Int32[np.ndarray, " length"]:
    """Draws records by rare-class sampling: a class by its rarity, then an image that shows it.

    For every draw, a class by `rare_class_probabilities`, then, uniformly, one of the images that
    hold at least `min_pixels` of it; of all that hold it where none holds so many. As in DAFormer
    (Hoyer et al., CVPR 2022), whose network sees crops around such pixels; here, whole images.

    Args:
        class_pixels: int64 `[n, C]`, labelled pixels of every class in every image.
        length: how many draws the epoch has.
        seed: of the run.
        epoch: counted from 0.
        temperature: above 0.
        min_pixels: DAFormer counts its 3000 in labels of 1914 x 1052, the size of GTAV; the same
            area is 1370 pixels of labels of 1280 x 720.

    Returns:
        int32 [length], record indices, with repetition.

    Raises:
        InputError: no image holds any labelled pixel, the temperature is not above 0, or min_pixels
            is below 1.
    """
    if min_pixels < 1:
        raise InputError(
            f"min_pixels of rare-class sampling: {min_pixels} found, expected 1 or more"
        )
    probability = rare_class_probabilities(class_pixels, temperature)
    uniform = _generator(_RARE_CLASS, seed, epoch).random((length, 2))
    steps = probability.cumsum()
    # The product may round up to the last step, which no class lies beyond.
    points = np.minimum(uniform[:, 0] * steps[-1], steps[-1] * (1 - 1e-15))
    classes = np.searchsorted(steps, points, side="right")
    order = np.empty(length, np.int32)
    for c in np.unique(classes):
        pixels, drawn = class_pixels[:, c], classes == c
        least = min_pixels if pixels.max() >= min_pixels else 1
        images = np.flatnonzero(pixels >= least)
        order[drawn] = images[(uniform[drawn, 1] * len(images)).astype(np.intp)]
    return order


def shuffled_order(n: int, length: int, *, seed: int, epoch: int) -> Int32[np.ndarray, " length"]:
    """Draws every record once before any is drawn again: permutation after permutation.

    Args:
        n: how many records there are.
        length: how many draws the epoch has.
        seed: of the run.
        epoch: counted from 0.

    Returns:
        int32 [length], record indices.

    Raises:
        InputError: there is no record.
    """
    if n < 1:
        raise InputError("records: none found, expected at least one to draw; check the split")
    generator = _generator(_SHUFFLED, seed, epoch)
    rounds = [generator.permutation(n) for _ in range(-(-length // n))]
    return np.concatenate([np.zeros(0, np.int64), *rounds])[:length].astype(np.int32)


class DrawOrder:
    """The record of every draw of a run: `order[i]` for i = 0, 1, 2, ... without end.

    Epoch i // length is computed when first asked for. Safe in threads; can be pickled where
    `epoch_order` can.

    Args:
        epoch_order: epoch -> int32 [length].
        length: draws an epoch.
    """

    _KEPT = 3

    def __init__(self, epoch_order: Callable[[int], np.ndarray], length: int):
        self.length = length
        self._epoch_order = epoch_order
        self._epochs: collections.OrderedDict[int, np.ndarray] = collections.OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def class_uniform(
        cls, class_pixels: Int64[np.ndarray, "images classes"], *, seed: int
    ) -> "DrawOrder":
        """Epochs of `class_uniform_order`, as long as there are images."""
        length = len(class_pixels)
        return cls(functools.partial(_class_uniform_epoch, class_pixels, length, seed=seed), length)

    @classmethod
    def rare_class(
        cls,
        class_pixels: Int64[np.ndarray, "images classes"],
        *,
        seed: int,
        temperature: float = 0.01,
        min_pixels: int = 3000,
    ) -> "DrawOrder":
        """Epochs of `rare_class_order`, as long as there are images."""
        length = len(class_pixels)
        order = functools.partial(
            _rare_class_epoch,
            class_pixels,
            length,
            seed=seed,
            temperature=temperature,
            min_pixels=min_pixels,
        )
        return cls(order, length)

    @classmethod
    def shuffled(cls, n: int, *, seed: int) -> "DrawOrder":
        """Epochs of `shuffled_order`, as long as there are images."""
        return cls(functools.partial(_shuffled_epoch, n, seed=seed), n)

    def __getitem__(self, draw: int) -> int:
        epoch, position = divmod(int(draw), self.length)
        if epoch < 0:
            raise IndexError(f"draw {draw}: draws are counted from 0")
        return int(self.epoch(epoch)[position])

    def epoch(self, epoch: int) -> Int32[np.ndarray, " length"]:
        """The records of one epoch, in order."""
        # The lock is held while an epoch is computed: threads that need the same one wait for it.
        with self._lock:
            if epoch not in self._epochs:
                self._epochs[epoch] = self._epoch_order(epoch)
                if len(self._epochs) > self._KEPT:
                    self._epochs.popitem(last=False)
            self._epochs.move_to_end(epoch)
            return self._epochs[epoch]

    def __getstate__(self) -> dict[str, Any]:
        return {"length": self.length, "epoch_order": self._epoch_order}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["epoch_order"], state["length"])


def _check_labelled(class_pixels: np.ndarray) -> None:
    if not class_pixels.any():
        raise InputError(
            f"labels: no labelled pixel in {len(class_pixels)} images found, expected some to draw "
            "images by their classes; check the labels and the label space"
        )


def _class_uniform_epoch(
    class_pixels: np.ndarray, length: int, epoch: int, *, seed: int
) -> np.ndarray:
    return class_uniform_order(class_pixels, length, seed=seed, epoch=epoch)


def _rare_class_epoch(
    class_pixels: np.ndarray, length: int, epoch: int, **options: Any
) -> np.ndarray:
    return rare_class_order(class_pixels, length, epoch=epoch, **options)


def _shuffled_epoch(n: int, epoch: int, *, seed: int) -> np.ndarray:
    return shuffled_order(n, n, seed=seed, epoch=epoch)


def _generator(stream: int, seed: int, epoch: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([stream, seed % 2**63, epoch]))
