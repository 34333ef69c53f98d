"""What was asked, when, and who answers. Knows NumPy and files; knows no JAX."""

from cbda_jax.annotation.analysis import analyse, label_entropy, tallies
from cbda_jax.annotation.oracle import Answers, GroundTruthOracle, Oracle, active_label
from cbda_jax.annotation.queries import Queries, queried_mask
from cbda_jax.annotation.query_log import QueryLog

__all__ = [
    "Answers",
    "GroundTruthOracle",
    "Oracle",
    "Queries",
    "QueryLog",
    "active_label",
    "analyse",
    "label_entropy",
    "queried_mask",
    "tallies",
]
