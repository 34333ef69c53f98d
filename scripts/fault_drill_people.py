"""Kills a run that people answer, the server, and those who answer, and compares what comes of it.

    python scripts/fault_drill_people.py --kills 20 --seed 0
    python scripts/fault_drill_people.py --kills 20 --seed 0 --browser

A small run whose rounds two people answer is made without a break. In runs of the same config the
run, the server (`python -m cbda_jax.annotate`) and the people (`scripts/drill_person.py`; one of
them in Chromium with --browser) are then killed (SIGKILL) and started again, beside each other,
until the run has ended: before one of their writes, in the middle of an answer, at a random time.
Queries, what they were answered with, parameters, optimizer state, losses and evaluations must then
be those of the unbroken run, bit for bit; whatever anybody was told to be saved must be in the
ledger, once.

Exit status 1 if anything differs, is lost or doubled.
"""

import argparse
import functools
import json
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import drill_person
from drill_actor import Actor, Kill
from drill_person import MOMENTS, Journal
from fault_drill import (
    LIMIT,
    ROOT,
    Drill,
    differences,
    free_port,
    left_over,
    lost_and_twice,
    outcome,
    targets,
)

from cbda_jax.annotation import QueryLog
from cbda_jax.annotation.people import Ledger, ledger_path
from cbda_jax.files import write_bytes

PEOPLE = ("Ada", "Ben")
_CHROMIUM = tuple(map(shutil.which, ("chromium", "chromedriver")))
_FLAGS = (
    "--config.method=ripu_pixel",
    "--config.acquisition.radius=1",
    "--config.acquisition.budget=12",
    "--config.acquisition.budget_in=answers_per_image",
    "--config.annotation.oracle=people",
    "--config.annotation.redundancy=0.2",
)
_BY_PEOPLE = ("answers", "answer_seconds", "measured_answers")
_ROUNDS = (6, 12, 18)
_STEPS = 24


class Job:
    """A run, its server and its people, in a folder.

    Args:
        drill: says the flags of the run.
        home: the folder.
        kills: that are to happen.
        browser: whether Ben sits at a browser.
    """

    def __init__(self, drill: Drill, home: Path, kills: Sequence[Kill], browser: bool):
        self.home, self._drill = home, drill
        home.mkdir()
        self._port = free_port()
        self._tokens: dict[str, str] = {}
        self.kills = kills
        self._browser = browser
        of: dict[str, list[Kill]] = {who: [] for who in ("run", "server", *PEOPLE)}
        for kill in kills:
            of[kill.who].append(kill)
        # A kill in the middle of an answer is brought about by who sends it.
        self._answering = [kill for kill in of["server"] if kill.moment]
        own = [kill for kill in of["server"] if not kill.moment]
        self.run = Actor("run", of["run"], self._run, home)
        self.server = Actor("server", own, self._server, home, self._was_answering)
        self.people = [
            Actor(name, of[name], functools.partial(self._person, name), home) for name in PEOPLE
        ]

    def _watched(self, kill: Kill | None, name: str, module: str) -> list[str]:
        listed = self.home / f"writes-{name}.txt"
        number = str(kill.write if kill else 0)
        die_at = str(ROOT / "scripts" / "die_at.py")
        return [sys.executable, die_at, str(self.home), number, str(listed), module]

    def _run(self, kill: Kill | None) -> list[str]:
        return [
            *self._watched(kill, "run", "cbda_jax.main"),
            *self._drill.flags(self.home),
            "--wait",
        ]

    def _server(self, kill: Kill | None) -> list[str]:
        command = self._watched(kill, "server", "cbda_jax.annotate")
        command += [f"--workdir={self.home / 'run'}", f"--port={self._port}", "--quiet=0.5"]
        return command + ([] if self._tokens else [f"--person={name}" for name in PEOPLE])

    def _person(self, name: str, kill: Kill | None) -> list[str]:
        command = [sys.executable, str(ROOT / "scripts" / "drill_person.py")]
        command += [str(self.home / f"{name}.jsonl")]
        command += [f"http://127.0.0.1:{self._port}/?token={self._tokens[name]}"]
        if self._browser and name == PEOPLE[1]:
            chromium, driver = map(str, _CHROMIUM)
            command += [f"--browser={self.home / 'profile'}"]
            command += [f"--chromium={chromium}", f"--driver={driver}"]
            return command
        if kill is not None and kill.moment:
            command += [f"--die={kill.event}:{kill.moment}"]
        if name == PEOPLE[0]:
            events = ",".join(str(kill.event) for kill in self._answering)
            command += [f"--kill-server={events}:{self._pid_file}"] if events else []
        return command

    @property
    def _pid_file(self) -> Path:
        return self.home / "server.pid"

    def _was_answering(self) -> Kill | None:
        killed = Path(f"{self._pid_file}.killed")
        if not killed.exists():
            return None
        event = int(killed.read_text())
        killed.unlink()
        found = next(kill for kill in self._answering if kill.event == event)
        self._answering.remove(found)
        return found

    def go(self) -> None:
        """Has them all run until the run has ended.

        Raises:
            RuntimeError: one ended with an error.
            TimeoutError: it takes too long.
        """
        end = time.monotonic() + LIMIT
        try:
            while not self.run.ended:
                if time.monotonic() > end:
                    raise TimeoutError(f"{self.home}: waited {LIMIT:g} s for the end of the run")
                time.sleep(0.02)
                self.run.look()
                # The server needs a run that has prepared its data and asked.
                if (self.home / "run" / "answers" / "people_01.json").exists():
                    self._serve()
            (self.home / drill_person.DONE).touch()
            for person in self.people:
                while person.pid is not None and not person.ended:
                    time.sleep(0.02)
                    person.look()
        finally:
            for actor in (self.run, self.server, *self.people):
                actor.kill()

    def _serve(self) -> None:
        before = self.server.pid
        self.server.look()
        if self.server.pid is None:
            self._pid_file.unlink(missing_ok=True)
        elif self.server.pid != before:
            write_bytes(self._pid_file, str(self.server.pid).encode())
        self._read_tokens()
        for person in self.people if self._tokens else ():
            person.look()

    def _read_tokens(self) -> None:
        if not self._tokens and self.server.output.exists():
            said = self.server.output.read_text()
            found = dict(re.findall(r"(\w+): http\S+token=(\S+)\n", said))
            if len(found) == len(PEOPLE):
                self._tokens = found

    # ------------------------------------------------------------- what came of it

    def outcome(self) -> dict[str, Any]:
        """As of other runs, but for who answered when, and how often a query was given out."""
        found = outcome(self.home / "run")
        for name, value in [*found.items()]:
            if name.startswith("answers/") and name.endswith("/header"):
                del found[name]
            elif name.startswith("metrics/round/"):
                found[name] = {k: v for k, v in json.loads(value).items() if k not in _BY_PEOPLE}
        return found

    def writes(self, name: str) -> list[str]:
        """Those of an unbroken process."""
        return (self.home / f"writes-{name}.txt").read_text().splitlines()

    def ledger(self) -> Counter[str]:
        """Compares what people were told with the ledger.

        Returns:
            How many were `told` that an event is saved; `lost` of these; `doubled` answers of a
            person to a query; `wrong` events, which nobody sent.
        """
        run = self.home / "run"
        with Ledger(ledger_path(run)) as ledger:
            rows = [
                (queries.round, event)
                for queries in QueryLog(run / "queries").rounds
                for event in ledger._store.events(queries.round)
            ]
        found: Counter[str] = Counter(events=len(rows))
        ids = {event.id for _, event in rows}
        standing: Counter[tuple[str, int, int]] = Counter()
        sent = set()
        for name in PEOPLE:
            journal = Journal(self.home / f"{name}.jsonl")
            typed = self._browser and name == PEOPLE[1]
            found["told"] += len(journal.told)
            found["refused"] += len(journal.refused)
            if typed:
                ours = {f"{number} {e.query}" for number, e in rows if e.person == name}
                found["lost"] += len(journal.told - ours)
                sent |= {event.id for _, event in rows if event.person == name}
            else:
                found["lost"] += len(journal.told - ids)
                sent |= journal.events.keys()
        for number, event in rows:
            key = event.person, number, event.query
            standing[key] += {"answer": 1, "undo": -1}.get(event.kind, 0)
            found["doubled"] += standing[key] > 1
            said = drill_person.value_of(number, event.query, 19)
            found["wrong"] += event.kind == "answer" and set(event.patch) != {said}
        found["wrong"] += len(ids - sent)
        return found


def plan(rng: random.Random, writes: dict[str, list[tuple[int, str]]], browser: bool) -> list[Kill]:
    """The kills of one run: two of the run, five of the server, three of people or browsers."""

    def at_write(who: str) -> Kill:
        number, what = writes[who][rng.randrange(len(writes[who]))]
        return Kill(who, f"before write {number}: {what}", write=number)

    def at_time(who: str, least: float, most: float) -> Kill:
        after = rng.uniform(least, most)
        return Kill(who, f"{after:.1f} s after its start", after=after)

    def answering(event: int) -> Kill:
        return Kill("server", f"in the middle of answer {event}", event=event, moment="answering")

    def of_person() -> Kill:
        who, event, moment = rng.choice(PEOPLE), rng.randint(1, 6), rng.choice(MOMENTS)
        words = {"kept": "before it is sent", "sent": "before it is answered", "told": "answered"}
        return Kill(who, f"with answer {event}, {words[moment]}", event=event, moment=moment)

    kills = [at_write("run"), at_time("run", 4, 12), at_write("server")]
    kills += [at_time("server", 2, 6), *map(answering, sorted(rng.sample(range(1, 25), 3)))]
    if browser:
        # It takes seconds to start.
        return [*kills, *(at_time(PEOPLE[1], 3, 10) for _ in range(3))]
    return [*kills, of_person(), of_person(), at_time(rng.choice(PEOPLE), 0.5, 4)]


def drill(options: argparse.Namespace, folder: Path) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Runs with kills, each with what it came to, until there were enough."""
    job = Drill(folder, 1, _STEPS, _ROUNDS, options.network, _FLAGS)
    unbroken = Job(job, folder / "unbroken", [], False)
    unbroken.go()
    expected, ledger = unbroken.outcome(), unbroken.ledger()
    print(f"unbroken: {len(expected)} arrays and records, {dict(ledger)}", file=sys.stderr)
    writes = {
        name: [(number, what) for _, number, what in targets([unbroken.writes(name)])]
        for name in ("run", "server")
    }
    rng = random.Random(options.seed)
    fired = number = 0
    while fired < options.kills:
        number += 1
        kills = plan(rng, writes, options.browser)
        kills = rng.sample(kills, min(options.each, len(kills))) if options.each else kills
        one = Job(job, folder / f"run-{number}", kills, options.browser)
        one.go()
        found = one.outcome()
        lost, twice = lost_and_twice(expected, found)
        fired += sum(kill.fired for kill in one.kills)
        yield (
            one,
            {
                "differences": differences(expected, found),
                "asked twice": lost + twice,
                **one.ledger(),
                "left over": len(left_over(one.home / "run")),
            },
        )
        if not options.out:
            shutil.rmtree(one.home)


def table(done: Sequence[tuple[Job, dict[str, Any]]]) -> str:
    """Kills and comparisons as Markdown."""
    lines = ["| run | who | killed |", "| ---: | --- | --- |"]
    for number, (job, _) in enumerate(done, 1):
        for kill in job.kills:
            fate = kill.what if kill.fired else f"not: it ended first ({kill.what})"
            lines.append(f"| {number} | {kill.who} | {fate} |")
    names = ("events", "told", "lost", "doubled", "wrong", "asked twice", "refused", "left over")
    lines += ["", f"| run | differences | {' | '.join(names)} |"]
    lines += ["| ---: " * (len(names) + 2) + "|"]
    for number, (_, found) in enumerate(done, 1):
        values = " | ".join(str(found.get(name, 0)) for name in names)
        lines.append(f"| {number} | {len(found['differences'])} | {values} |")
    return "\n".join(lines)


def main() -> None:
    """Drills, prints the table, and fails if anything was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=0, help="planned kills of a run; 0: all ten")
    parser.add_argument("--network", default="small_unet", help="a name, or an import path")
    parser.add_argument("--browser", action="store_true", help="Ben types in Chromium")
    parser.add_argument("--out", type=Path, help="kept; default: a temporary folder")
    options = parser.parse_args()
    if options.browser and not all(_CHROMIUM):
        sys.exit("error: --browser: no chromium and chromedriver found; install both")
    start = time.perf_counter()
    done = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for job, found in drill(options, folder.resolve()):
            done.append((job, found))
            print(
                f"  {job.home.name}: {sum(k.fired for k in job.kills)} kills, {found}",
                file=sys.stderr,
            )
    print(table(done))
    sums = Counter[str]()
    for job, found in done:
        sums["kills"] += sum(kill.fired for kill in job.kills)
        sums["differ"] += bool(found["differences"])
        for name in ("told", "lost", "doubled", "wrong", "asked twice"):
            sums[name] += found.get(name, 0)
    print(
        f"\n{sums['kills']} kills in {len(done)} runs, {time.perf_counter() - start:.0f} s: "
        f"{sums['differ']} runs differ, {sums['told']} answers told to be saved, "
        f"{sums['lost']} lost, {sums['doubled']} doubled, {sums['wrong']} not what was sent, "
        f"{sums['asked twice']} queries lost or asked twice"
    )
    wrong = [sums[name] for name in ("differ", "lost", "doubled", "wrong", "asked twice")]
    sys.exit(int(any(wrong)))


if __name__ == "__main__":
    main()
