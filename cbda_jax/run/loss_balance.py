"""What the loss on target labels is balanced by: from the labels that a run has so far."""

import numpy as np
from jaxtyping import Int64

from cbda_jax import acquisition, annotation, training
from cbda_jax.config import class_weights_of, in_words_of_training
from cbda_jax.methods import Method
from cbda_jax.run import assembly
from cbda_jax.run.rounds import Rounds


def is_balanced(config: assembly.Config) -> bool:
    """Whether classes are weighted, or logits adjusted, in the loss on target labels."""
    return class_weights_of(config).weighted or config.training.logit_adjustment > 0


def loss_balance(
    config: assembly.Config, counts: Int64[np.ndarray, " classes"]
) -> training.LossBalance:
    """The balance of the loss with so many labels of every class.

    Without any label it is none: up to its first answers a run is the same, to the bit, whatever
    its loss is balanced by.

    Args:
        config: of `cbda_jax.config`.
        counts: labelled pixels of every class, void left out.

    Raises:
        InputError: a scheme of the user's own fails, or makes no weights.
    """
    if not is_balanced(config) or not counts.any():
        return training.UNBALANCED
    scheme, tau, weights = class_weights_of(config), config.training.logit_adjustment, None
    if scheme.weighted:
        with in_words_of_training():
            weights = acquisition.class_weights(counts, scheme.class_balance, **scheme.options)
        if scheme.weight_ratio:
            weights = acquisition.clip_weights(weights, scheme.weight_ratio)
    return training.LossBalance(weights, training.logit_offsets(counts, tau) if tau else None)


def label_counts(
    method: Method, pool: Int64[np.ndarray, "images classes"], rounds: Rounds, step: int
) -> Int64[np.ndarray, " classes"]:
    """Pixels of every class among the target labels that a step is trained with, void left out.

    Args:
        method: whether it acquires, or has all labels, or none.
        pool: pixels of every class in the label of every target image.
        rounds: what was asked and answered so far.
        step: of training.
    """
    if not method.acquires:
        return pool.sum(axis=0) * int(method.target)
    held = [answers for answers in rounds.answers.rounds if answers.queries.step <= step]
    return annotation.counts(held)[: pool.shape[1]]
