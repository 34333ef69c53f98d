"""Intersection over union, as the Cityscapes benchmark defines it."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64, Int32, Integer, UInt8


def confusion_matrix(
    prediction: UInt8[Array, "*shape"], label: UInt8[Array, "*shape"], num_classes: int
) -> Int32[Array, "classes classes"]:
    """Pixel counts [label, prediction], on the device; labels from num_classes on are left out.

    Counts are exact below 2^31 pixels a call.
    """
    valid = label < num_classes
    cell = label.astype(jnp.int32) * num_classes + prediction.astype(jnp.int32)
    # One more bin swallows what is ignored.
    cell = jnp.where(valid, cell, num_classes * num_classes)
    counts = jnp.bincount(cell.reshape(-1), length=num_classes * num_classes + 1)
    return counts[:-1].reshape(num_classes, num_classes).astype(jnp.int32)


@dataclass(frozen=True)
class SegmentationScores:
    """Figures of one evaluation, as fractions; NaN for a class that neither occurs nor is found."""

    iou: Float64[np.ndarray, " classes"]
    pixel_accuracy: float

    @property
    def miou(self) -> float:
        """Mean over the classes that are not NaN."""
        return _mean(self.iou)

    @property
    def min_iou(self) -> float:
        """The worst class."""
        return float(np.nanmin(self.iou)) if np.isfinite(self.iou).any() else float("nan")

    @property
    def worst5_iou(self) -> float:
        """Mean of the five worst classes."""
        return _mean(np.sort(self.iou[np.isfinite(self.iou)])[:5])

    def subset(self, classes: Sequence[int]) -> float:
        """Mean over some classes only, such as SYNTHIA's 13."""
        return _mean(self.iou[list(classes)])


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def scores(confusion: Integer[np.ndarray, "classes classes"]) -> SegmentationScores:
    """IoU = TP / (TP + FP + FN) of every class, and the share of pixels that are right."""
    confusion = confusion.astype(np.float64)
    true_positive = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - true_positive
    with np.errstate(invalid="ignore", divide="ignore"):
        return SegmentationScores(
            iou=true_positive / union,
            pixel_accuracy=float(true_positive.sum() / confusion.sum()),
        )
