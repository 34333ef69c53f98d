"""In which images a network is wrong, from labels and predictions on the host."""

import heapq
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer, UInt8

from cbda_jax.label_space import IGNORE


class Kept(NamedTuple):
    """An image's label and prediction, train ids uint8 [H, W]; 255 in a label is void."""

    label: UInt8[np.ndarray, "height width"]
    prediction: UInt8[np.ndarray, "height width"]


class Mistakes:
    """Counts the pixels of every image that are right, and keeps the images with most errors.

    Of several hosts each is told of its own images: the sums of their `pixels` and `right` are
    those of all, and each of the worst images of all is kept by the host that was told of it.

    Args:
        images: how many there are.
        keep: of how many the label and the prediction are kept.

    Attributes:
        pixels: int32 [images], pixels that have a class.
        right: int32 [images], those of them that are predicted as it.
        keep: of how many at most the label and the prediction are kept.
        kept: by index, the images with the largest share of wrong pixels.
    """

    def __init__(self, images: int, keep: int):
        self.pixels = np.zeros(images, np.int32)
        self.right = np.zeros(images, np.int32)
        self.kept: dict[int, Kept] = {}
        self.keep = keep
        self._heap: list[tuple[float, int]] = []

    def add(
        self,
        index: int,
        label: UInt8[np.ndarray, "height width"],
        prediction: UInt8[np.ndarray, "height width"],
    ) -> None:
        """Counts an image; each is told once."""
        pixels = int(np.count_nonzero(label != IGNORE))
        # No prediction is 255.
        right = int(np.count_nonzero(label == prediction))
        self.pixels[index], self.right[index] = pixels, right
        if right == pixels or not self.keep:
            return
        # As `worst_images` sorts: of equal shares the first image.
        entry = ((pixels - right) / pixels, -index)
        if len(self._heap) < self.keep:
            heapq.heappush(self._heap, entry)
        elif entry > self._heap[0]:
            del self.kept[-heapq.heapreplace(self._heap, entry)[1]]
        else:
            return
        # Copies: what they are part of is a whole batch.
        self.kept[index] = Kept(label.copy(), prediction.copy())


def worst_images(
    pixels: Integer[np.ndarray, " images"], right: Integer[np.ndarray, " images"], count: int
) -> list[int]:
    """Indices of the images with the largest share of wrong pixels, the worst first.

    Args:
        pixels: that have a class, of every image.
        right: those of them that are predicted as it.
        count: of the images wanted. Those without an error are left out; of equal shares the first
            comes first.
    """
    wrong = pixels - right
    found = np.flatnonzero(wrong)
    order = np.argsort(-(wrong[found] / pixels[found]), kind="stable")
    return found[order][:count].tolist()
