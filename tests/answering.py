"""People who answer in tests: queries to ask them, and what they do."""

import itertools

import numpy as np

from cbda_jax.annotation import AnswerLog, Queries, QueryLog, people

CLASSES = ("road", "car", "sky")
SIZES = {"a": (8, 12), "b": (6, 20)}
_numbers = itertools.count()


def queries(count=6, *, radius=0, number=1):
    """So many queries in two images, at different centres in every round."""
    place = np.arange(count)
    image = place % 2
    # Image "b" has rows enough for those that "a" has.
    row, col = (place // 2) % 6, (place // 12) % 12
    return Queries(
        round=number,
        step=10 * number,
        image_ids=tuple(SIZES),
        image=image.astype(np.int32),
        row=((row + number - 1) % 6).astype(np.int32),
        col=col.astype(np.int32),
        score=np.linspace(1, 0.5, count, dtype=np.float32),
        predicted=(place % len(CLASSES)).astype(np.uint8),
        radius=radius,
        about={"requested": count},
    )


def event(kind, query, person="ada", patch=b"", **named):
    """An event of a new id."""
    values = {"guess": 0, "guess_shown": True, "seconds": 2.0, "time": 1000.0, **named}
    name = values.pop("id", f"event {next(_numbers)}")
    return people.Event(name, kind, query, person, bytes(patch), **values)


def answer(query, person="ada", patch=b"\0", **named):
    """An answer; `patch` may be a list of train ids."""
    return event("answer", query, person, patch, **named)


def ask(workdir, asked=None, **named):
    """Writes what a run does when it asks people about a round."""
    asked = queries() if asked is None else asked
    log = QueryLog(workdir / "queries")
    log.append(asked)
    about = {"redundancy": 0, "hidden": 0, "seed": 3, **named}
    people.write_asked(
        workdir / "answers",
        people.Asked(asked.round, asked.checksum, CLASSES, SIZES, **about),
    )
    return asked


def frozen(workdir):
    """The answers that a run would read."""
    log = QueryLog(workdir / "queries")
    return AnswerLog(workdir / "answers", log, classes=CLASSES, sizes=SIZES).rounds


def answer_all(opened, person="ada", patch=lambda query: b"\1", now=0):
    """Has a person answer all that is left; gives the queries in their order."""
    done = []
    while (task := opened.next(person, now=now)) is not None:
        shown = task.guess is not None
        guess = int(opened.queries.predicted[task.query])
        assert opened.record(
            answer(task.query, person, patch(task.query), guess=guess, guess_shown=shown)
        )
        done.append(task.query)
    return done
