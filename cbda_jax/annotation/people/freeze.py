"""From a closed round to the file that a run reads: the same bytes, whoever writes it."""

import math
import statistics
from pathlib import Path
from typing import Any

from cbda_jax.annotation.answer_log import AnswerLog
from cbda_jax.annotation.answers import Answers
from cbda_jax.annotation.people.agreement import Share
from cbda_jax.annotation.people.asked import Asked, read_asked
from cbda_jax.annotation.people.ledger import Ledger
from cbda_jax.annotation.people.tasks import Round
from cbda_jax.annotation.query_log import QueryLog
from cbda_jax.annotation.round_files import round_path
from cbda_jax.errors import InputError
from cbda_jax.stores import AnyPath, to_path

LEDGER = "ledger.sqlite"
"""Name of the ledger of a run, in its folder of answers."""

_ATTEMPTS = 5


def ledger_path(workdir: Path) -> Path:
    """The ledger of a run whose workdir is on a disk."""
    return Path(workdir) / "answers" / LEDGER


def answers_of(closed: Round) -> Answers:
    """The answers to a round, with what is known of how they came about.

    `about` has `oracle`; `people` who answered; `answers` that count; `seconds`: `median` and
    `total` of these; `unanswered` queries, if there are any; `anchoring`: `count` and `equal` of
    the answers by those who saw the guess (`shown`) and by those who did not (`hidden`); and, where
    two people or more answered a pixel, `agreement` (see `Agreement.as_dict`). It names nobody.
    """
    given = closed.answers()
    seconds = [answer.seconds for answer in given]
    patches = closed.patches()
    followed = closed.anchoring()
    about: dict[str, Any] = {
        "oracle": "people",
        "people": len({answer.person for answer in given}),
        "answers": len(given),
        "seconds": {
            "median": statistics.median(seconds) if seconds else None,
            "total": math.fsum(seconds),
        },
        "anchoring": {"shown": _plain(followed.shown), "hidden": _plain(followed.hidden)},
    }
    agreed = closed.agreement()
    if agreed is not None:
        about["agreement"] = agreed.as_dict()
    answers = Answers(closed.queries, patches, about)
    unanswered = len(closed.queries) - int(answers.answered.sum())
    if unanswered:
        answers = Answers(closed.queries, patches, {**about, "unanswered": unanswered})
    return answers


def open_asked(ledger: Ledger, workdir: AnyPath) -> Round | None:
    """The round that a run waits for; one that is closed already is frozen before.

    Args:
        ledger: of the run.
        workdir: of the run.

    Returns:
        None where nothing is asked of people by now.

    Raises:
        InputError: queries, answers or the ledger cannot be read or written.
    """
    workdir = to_path(workdir)
    log = QueryLog(workdir / "queries")
    if not log.rounds:
        return None
    queries = log.rounds[-1]
    asked = read_asked(workdir / "answers", queries)
    if asked is None or _answer_log(workdir, log, asked).path(queries.round).exists():
        return None
    found = ledger.open_round(
        queries,
        redundancy=asked.redundancy,
        hidden=asked.hidden,
        seed=asked.seed,
        num_classes=len(asked.classes),
        sizes=asked.sizes,
    )
    if found.closed:
        freeze(found, workdir)
        return None
    return found


def close(open_round: Round, workdir: AnyPath) -> AnyPath:
    """Closes a round, settled or not, and freezes it: the run goes on with what was answered.

    Args:
        open_round: of `open_asked`.
        workdir: of the run.

    Returns:
        The file of the answers.

    Raises:
        InputError: something cannot be written; what is closed is frozen at the next start.
    """
    open_round.close()
    return freeze(open_round, workdir)


def freeze(closed: Round, workdir: AnyPath) -> AnyPath:
    """Writes the answers to a closed round, unless they are there already.

    Args:
        closed: the round.
        workdir: of the run.

    Returns:
        The file of the answers.

    Raises:
        InputError: the round is open, or the file cannot be written.
    """
    workdir = to_path(workdir)
    if not closed.closed:
        raise InputError(
            f"round {closed.queries.round}: open found, expected a closed one; close it first"
        )
    asked = read_asked(workdir / "answers", closed.queries)
    if asked is None:
        raise InputError(
            f"{workdir}: no round {closed.queries.round} that people are asked about found, "
            "expected one; start the run first"
        )
    answers = answers_of(closed)
    path = round_path(workdir / "answers", closed.queries.round)
    for left in reversed(range(_ATTEMPTS)):
        if path.exists():
            break
        try:
            _answer_log(workdir, QueryLog(workdir / "queries"), asked).write(answers)
        except InputError as error:
            # A run that starts removes temporary files, this one too if it is just being written;
            # and it may have written the same answers by now.
            if not path.exists() and not (left and _is_gone(error)):
                raise
    return path


def _is_gone(error: InputError) -> bool:
    return isinstance(error.__cause__, FileNotFoundError)


def _answer_log(workdir: AnyPath, log: QueryLog, asked: Asked) -> AnswerLog:
    return AnswerLog(workdir / "answers", log, classes=asked.classes, sizes=asked.sizes)


def _plain(found: Share) -> dict[str, int]:
    return {"count": found.count, "equal": found.equal}
