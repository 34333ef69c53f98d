"""In which order records are drawn: functions of (seed, epoch), so that a run resumes exactly."""

import collections
import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int32, Int64

from cbda_jax.errors import InputError

# Names the two orders apart, so that one seed gives unrelated random numbers to each.
_CLASS_UNIFORM, _SHUFFLED = 1, 2


def class_uniform_order(
    class_pixels: Int64[np.ndarray, "images classes"],
    length: int,
    *,
    seed: int,
    epoch: int,
    temperature: float = 1.0,
) -> Int32[np.ndarray, " length"]:
    """Draws records so that rare classes are seen as often as common ones.

    For every draw, a class with probability proportional to (1 / log(1.01 + p_c))^(1/temperature),
    p_c being its share of the labelled pixels of the images drawn before in this epoch (uniform at
    first), then, uniformly, an image that holds it. A class that no image holds is never drawn. As
    in RIPU (Xie et al., CVPR 2022), after the log-balanced weights of ENet (Paszke et al., 2016).

    Args:
        class_pixels: int64 [n, C], labelled pixels of every class in every image.
        length: How many draws the epoch has.
        seed: Of the run.
        epoch: Counted from 0.
        temperature: Above 1 draws classes more evenly, below 1 favours rare ones more.

    Returns:
        int32 [length], record indices, with repetition.

    Raises:
        InputError: No image holds any labelled pixel, or the temperature is not above 0.
    """
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}; expected a number above 0.")
    holders = [np.flatnonzero(column) for column in class_pixels.T]
    drawable = np.array([len(images) > 0 for images in holders])
    if not drawable.any():
        raise InputError(
            f"none of {len(class_pixels)} images holds a labelled pixel; expected some to draw"
            " images by their classes. Check the labels and num_classes."
        )
    uniform = _generator(_CLASS_UNIFORM, seed, epoch).random((length, 2))
    pixels = class_pixels.astype(np.float64)
    seen = np.zeros(class_pixels.shape[1])
    order = np.empty(length, np.int32)
    exponent = -1.0 / temperature
    for draw, (which_class, which_image) in enumerate(uniform.tolist()):
        weights = np.log(1.01 + seen / max(seen.sum(), 1.0)) ** exponent * drawable
        steps = weights.cumsum()
        # The product may round up to the last step, which no class lies beyond.
        point = min(which_class * steps[-1], steps[-1] * (1 - 1e-15))
        images = holders[np.searchsorted(steps, point, side="right")]
        order[draw] = image = images[int(which_image * len(images))]
        seen += pixels[image]
    return order


def shuffled_order(n: int, length: int, *, seed: int, epoch: int) -> Int32[np.ndarray, " length"]:
    """Draws every record once before any is drawn again: permutation after permutation.

    Args:
        n: How many records there are.
        length: How many draws the epoch has.
        seed: Of the run.
        epoch: Counted from 0.

    Returns:
        int32 [length], record indices.

    Raises:
        InputError: There is no record.
    """
    if n < 1:
        raise InputError("no record to draw; expected a split with at least one image.")
    generator = _generator(_SHUFFLED, seed, epoch)
    rounds = [generator.permutation(n) for _ in range(-(-length // n))]
    return np.concatenate([np.zeros(0, np.int64), *rounds])[:length].astype(np.int32)


class DrawOrder:
    """The record of every draw of a run: `order[i]` for i = 0, 1, 2, ... without end.

    Epoch i // length is computed when first asked for. Safe in threads; can be pickled where
    `epoch_order` can.

    Args:
        epoch_order: Epoch -> int32 [length].
        length: Draws an epoch.
    """

    _KEPT = 3

    def __init__(self, epoch_order: Callable[[int], np.ndarray], length: int):
        self.length = length
        self._epoch_order = epoch_order
        self._epochs: collections.OrderedDict[int, np.ndarray] = collections.OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def class_uniform(
        cls,
        class_pixels: Int64[np.ndarray, "images classes"],
        *,
        seed: int,
        temperature: float = 1.0,
    ) -> "DrawOrder":
        """Epochs of `class_uniform_order`, as long as there are images."""
        length = len(class_pixels)
        order = functools.partial(
            _class_uniform_epoch, class_pixels, length, seed=seed, temperature=temperature
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


def _class_uniform_epoch(
    class_pixels: np.ndarray, length: int, epoch: int, *, seed: int, temperature: float
) -> np.ndarray:
    return class_uniform_order(
        class_pixels, length, seed=seed, epoch=epoch, temperature=temperature
    )


def _shuffled_epoch(n: int, epoch: int, *, seed: int) -> np.ndarray:
    return shuffled_order(n, n, seed=seed, epoch=epoch)


def _generator(stream: int, seed: int, epoch: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([stream, seed % 2**63, epoch]))
