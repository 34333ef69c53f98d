"""What was asked, when, and what was answered. Knows NumPy and files; knows no JAX."""

from cbda_jax.annotation.analysis import analyse, label_entropy, tally
from cbda_jax.annotation.answer_log import AnswerLog, check_version
from cbda_jax.annotation.answers import (
    UNANSWERED,
    VOID,
    Answers,
    closed_centres,
    counts,
    cut,
    known_label,
)
from cbda_jax.annotation.oracles import (
    ORACLES,
    AnswersPending,
    GroundTruthOracle,
    LabelledImages,
    Oracle,
    Pending,
    Setting,
    create_oracle,
)
from cbda_jax.annotation.queries import ImageSizes, Queries, queried_mask
from cbda_jax.annotation.query_log import QueryLog

__all__ = [
    "ORACLES",
    "UNANSWERED",
    "VOID",
    "AnswerLog",
    "Answers",
    "AnswersPending",
    "GroundTruthOracle",
    "ImageSizes",
    "LabelledImages",
    "Oracle",
    "Pending",
    "Queries",
    "QueryLog",
    "Setting",
    "analyse",
    "check_version",
    "closed_centres",
    "counts",
    "create_oracle",
    "cut",
    "known_label",
    "label_entropy",
    "queried_mask",
    "tally",
]
