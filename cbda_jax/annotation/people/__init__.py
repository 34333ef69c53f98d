"""People answer: what they do is kept in a ledger, which a closed round's answers follow from.

Knows neither JAX nor the web, and nothing of data sets: the page is that of `cbda_jax.annotate`.
"""

from cbda_jax.annotation.people.agreement import Agreement, Anchoring, OfClass, Share
from cbda_jax.annotation.people.asked import Asked, read_asked, write_asked
from cbda_jax.annotation.people.events import Event
from cbda_jax.annotation.people.freeze import answers_of, close, freeze, ledger_path, open_asked
from cbda_jax.annotation.people.ledger import Ledger, backup, export_csv, read_round
from cbda_jax.annotation.people.tasks import LEASE_S, Progress, Round, Task

__all__ = [
    "LEASE_S",
    "Agreement",
    "Anchoring",
    "Asked",
    "Event",
    "Ledger",
    "OfClass",
    "Progress",
    "Round",
    "Share",
    "Task",
    "answers_of",
    "backup",
    "close",
    "export_csv",
    "freeze",
    "ledger_path",
    "open_asked",
    "read_asked",
    "read_round",
    "write_asked",
]
