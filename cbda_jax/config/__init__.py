"""What a run can be told: every field once, and how a config is made of them, read and checked."""

from cbda_jax.config.build import (
    ARGUMENTS,
    apply_argument,
    base,
    budget_fields,
    check,
    field_of,
    flat,
    method_of,
    settled,
)
from cbda_jax.config.class_weights import class_weights_of, in_words_of_training
from cbda_jax.config.fields import FIELDS, SECTIONS
from cbda_jax.config.rules import Change, Field

__all__ = [
    "ARGUMENTS",
    "FIELDS",
    "SECTIONS",
    "Change",
    "Field",
    "apply_argument",
    "base",
    "budget_fields",
    "check",
    "class_weights_of",
    "field_of",
    "flat",
    "in_words_of_training",
    "method_of",
    "settled",
]
