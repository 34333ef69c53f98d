"""Losses, optimizer, state and the step. Knows arrays and networks; knows no file and no config."""

from cbda_jax.training.augment import Augment
from cbda_jax.training.batch import Batch, Examples
from cbda_jax.training.losses import UNBALANCED, LossBalance, logit_offsets
from cbda_jax.training.optimizer import create_optimizer, poly_schedule
from cbda_jax.training.state import TrainState, create_state
from cbda_jax.training.step import LossWeights, make_train_step

__all__ = [
    "UNBALANCED",
    "Augment",
    "Batch",
    "Examples",
    "LossBalance",
    "LossWeights",
    "TrainState",
    "create_optimizer",
    "create_state",
    "logit_offsets",
    "make_train_step",
    "poly_schedule",
]
