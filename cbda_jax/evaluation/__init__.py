"""Confusion matrix, IoU and prediction. Knows arrays and networks; knows no file and no config."""

from cbda_jax.evaluation.metrics import SegmentationScores, confusion_matrix, scores
from cbda_jax.evaluation.mistakes import Mistakes, worst_images
from cbda_jax.evaluation.predict import make_evaluate_step, probabilities

__all__ = [
    "Mistakes",
    "SegmentationScores",
    "confusion_matrix",
    "make_evaluate_step",
    "probabilities",
    "scores",
    "worst_images",
]
