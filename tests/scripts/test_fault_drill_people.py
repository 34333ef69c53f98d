"""A short drill with people: the full one is `python scripts/fault_drill_people.py --kills 20`."""

import argparse
import importlib
import json
import os
import re
import sys
import time

import pytest
import waiting
from answering import answer, ask, event, queries

from cbda_jax.annotation.people import Ledger, ledger_path


@pytest.fixture
def scripts(monkeypatch):
    """`scripts(name)` is the module of a script."""
    monkeypatch.syspath_prepend(str(waiting.ROOT / "scripts"))
    return importlib.import_module


@pytest.mark.slow
@pytest.mark.timeout(3 * waiting.LIMIT_S)  # a run, and another one that is started again
def test_killed_among_answers_nothing_is_lost(tmp_path):
    done = waiting.run(
        [
            *(sys.executable, "scripts/fault_drill_people.py", "--kills", "1", "--seed", "3"),
            *("--each", "3", "--network", "tiny:Tiny", "--out", str(tmp_path)),
        ],
        2 * waiting.LIMIT_S,
        env={**os.environ, "PYTHONPATH": str(waiting.ROOT / "tests")},
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert re.search(r"\n[1-9]\d* kills in 1 runs, \d+ s: 0 runs differ, [1-9]\d* ", done.stdout)
    assert " 0 lost, 0 doubled, 0 not what was sent, 0 queries lost or asked" in done.stdout


def test_a_journal_survives_a_line_that_was_cut(scripts, tmp_path):
    path, person = tmp_path / "ada.jsonl", scripts("drill_person")
    journal = person.Journal(path)
    journal.write(events=[{"id": "a"}, {"id": "b"}])
    journal.write(told=["a"])
    with path.open("a") as file:
        file.write('{"told": ["b"')
    again = person.Journal(path)
    assert (again.told, again.pending) == ({"a"}, [{"id": "b"}])
    again.write(refused=["b"])
    last = person.Journal(path)
    assert (last.told, last.refused, last.pending) == ({"a"}, {"b"}, [])


def test_what_is_lost_doubled_or_wrong_is_counted(scripts, tmp_path):
    found = scripts("fault_drill_people").Job(argparse.Namespace(), tmp_path / "home", [], False)
    value = [scripts("drill_person").value_of(1, query, 19) for query in range(6)]
    asked = ask(found.home / "run", queries(6))
    ids = {}
    with Ledger(ledger_path(found.home / "run")) as ledger:
        opened = ledger.open_round(asked)
        for query in (0, 1):
            ids[query] = answer(query, "Ada", [value[query]])
        ids["undo"] = event("undo", 1, "Ada")
        ids["again"] = answer(1, "Ada", [value[1]])
        opened.record_all(ids.values())

        def journal(events, told):
            path = found.home / "Ada.jsonl"
            path.write_text(json.dumps({"events": [{"id": one} for one in events], "told": told}))

    names = [one.id for one in ids.values()]
    journal(names, names)
    assert +found.ledger() == {"events": 4, "told": 4}
    journal([*names, "gone"], [*names, "gone"])
    assert +found.ledger() == {"events": 4, "told": 5, "lost": 1}
    # Kept, and not told: nobody was promised anything.
    journal([*names, "kept"], names)
    assert +found.ledger() == {"events": 4, "told": 4}
    journal(names[1:], names[1:])
    assert +found.ledger() == {"events": 4, "told": 3, "wrong": 1}
    with Ledger(ledger_path(found.home / "run")) as ledger:
        twice = answer(0, "Ada", [value[0] + 1])
        ledger.open_round(asked).record(twice)
    journal([*names, twice.id], names)
    assert +found.ledger() == {"events": 5, "told": 4, "doubled": 1, "wrong": 1}


def test_kills_happen_as_planned(scripts, tmp_path):
    actors = scripts("drill_actor")
    at_time = actors.Kill("one", "in time", after=0.05)
    itself = actors.Kill("one", "by itself", write=3)
    other = actors.Kill("another", "by somebody else", event=2, moment="answering")
    by_others = [None, other]
    starts = []

    def command(kill):
        starts.append(kill)
        dies = "import os; os.kill(os.getpid(), 9)"
        sleeps = f"import time; time.sleep({waiting.LIMIT_S})"
        # The third start is killed by somebody else, so that its own kill is left for the fourth.
        code = {1: sleeps, 2: dies, 3: dies, 4: ""}[len(starts)]
        return [sys.executable, "-c", code]

    kills = [at_time, other, itself]
    actor = actors.Actor(
        "one", kills, command, tmp_path, lambda: by_others.pop(0) if by_others else None
    )
    end = time.monotonic() + waiting.PATIENCE_S
    while not actor.ended and time.monotonic() < end:
        actor.look()
        time.sleep(0.01)
    assert actor.ended
    assert starts == [at_time, other, other, itself]
    assert (at_time.fired, other.fired, itself.fired) == (True, True, False)


def test_an_error_is_told_with_what_was_said(scripts, tmp_path):
    command = [sys.executable, "-c", "print('what happened'); raise SystemExit(2)"]
    actor = scripts("drill_actor").Actor("one", [], lambda _: command, tmp_path)
    with pytest.raises(RuntimeError, match="one: status 2\nwhat happened"):
        waiting.until(lambda: actor.look() or actor.ended, "an end")
