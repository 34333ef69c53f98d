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
from cbda_jax.annotation.asking import AnswersPending, Oracle, Pending, Setting, ask
from cbda_jax.annotation.cost import Cost, CountsAnswers, answers_per_query, cost_of
from cbda_jax.annotation.oracles import ORACLES, SIMULATED, create_oracle
from cbda_jax.annotation.queries import ImageSizes, Queries, image_sizes, queried_mask
from cbda_jax.annotation.query_log import QueryLog
from cbda_jax.annotation.simulated import (
    CentreOracle,
    GroundTruthOracle,
    LabelledImages,
    MajorityOracle,
    NoisyOracle,
)

__all__ = [
    "ORACLES",
    "SIMULATED",
    "UNANSWERED",
    "VOID",
    "AnswerLog",
    "Answers",
    "AnswersPending",
    "CentreOracle",
    "Cost",
    "CountsAnswers",
    "GroundTruthOracle",
    "ImageSizes",
    "LabelledImages",
    "MajorityOracle",
    "NoisyOracle",
    "Oracle",
    "Pending",
    "Queries",
    "QueryLog",
    "Setting",
    "analyse",
    "answers_per_query",
    "ask",
    "check_version",
    "closed_centres",
    "cost_of",
    "counts",
    "create_oracle",
    "cut",
    "image_sizes",
    "known_label",
    "label_entropy",
    "queried_mask",
    "tally",
]
