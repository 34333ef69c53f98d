"""The class weights of the loss, as a config means them: schemes of acquisition, other fields."""

import contextlib
from collections.abc import Iterator
from typing import Any

from cbda_jax.acquisition import Balance
from cbda_jax.errors import InputError

# The second is the beginning of the first.
_NAMES = {
    "acquisition.class_balance_options": "training.class_weight_options",
    "acquisition.class_balance": "training.class_weights",
    "acquisition.weight_ratio": "training.class_weight_ratio",
    "with class_balance": "with class_weights",
}


@contextlib.contextmanager
def in_words_of_training() -> Iterator[None]:
    """Has errors about a scheme of weights name the fields of `training` that chose it."""
    try:
        yield
    except InputError as error:
        words = str(error)
        for theirs, ours in _NAMES.items():
            words = words.replace(theirs, ours)
        raise InputError(words) from error


def class_weights_of(config: Any) -> Balance:
    """The scheme, its parameters and the limit of the loss's class weights.

    Args:
        config: of `cbda_jax.config`.

    Raises:
        InputError: an unknown scheme or parameter, or a number out of its range.
    """
    training = config.training
    with in_words_of_training():
        return Balance(
            class_balance=training.class_weights,
            class_balance_options=training.class_weight_options,
            weight_ratio=training.class_weight_ratio,
        )
