"""Losses, optimizer, state and the step. Knows arrays and networks; knows no file and no config."""

from cbda_jax.training.optimizer import create_optimizer, poly_schedule
from cbda_jax.training.state import TrainState, create_state
from cbda_jax.training.step import Batch, Examples, LossWeights, make_train_step

__all__ = [
    "Batch",
    "Examples",
    "LossWeights",
    "TrainState",
    "create_optimizer",
    "create_state",
    "make_train_step",
    "poly_schedule",
]
