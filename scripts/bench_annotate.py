"""Many simulated people answer at once: what is lost or doubled, and how long an answer takes.

    python scripts/bench_annotate.py
    python scripts/bench_annotate.py --people 10 --rate 1 --seconds 20 --pictures

A round about drawn images is asked and served by `python -m cbda_jax.annotate`, a process of its
own. Each person answers over HTTP, on a connection that stays open, and goes on with the query that
came with the last answer; every twentieth answer is sent twice, as after a connection that broke.
The server is then killed (SIGKILL), and its ledger compared with what was sent. The time of an
answer is from sending it until the next query is there: by then it is on the disk.

Exit status 1 if anything is lost, doubled, or not what was sent.
"""

import argparse
import contextlib
import http.client
import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from cbda_jax.annotation import Queries, QueryLog
from cbda_jax.annotation.people import (
    Asked,
    Ledger,
    export_csv,
    ledger_path,
    read_round,
    write_asked,
)
from cbda_jax.config import files
from cbda_jax.run import assembly, workdir

ROOT = Path(__file__).resolve().parent.parent
SIZE = (256, 512)
IMAGES = 8
CLASSES = 19
TWICE = 20
"""Every so many answers one is sent twice."""
START_S = 120.0
RETRY_S = 0.5
PACKAGES = ("starlette", "uvicorn", "numpy")


@dataclass
class Person:
    """Somebody who answers, and what came of it.

    Attributes:
        name: of the ledger.
        token: of the address.
        sent: query and class by the id of the event.
        acknowledged: ids that the server said it has.
        seconds: of each answer.
        refused: statuses other than 200; 0: no answer came.
    """

    name: str
    token: str
    sent: dict[str, tuple[int, int]] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)


class Browser:
    """A connection with a person's cookie."""

    def __init__(self, port: int, person: Person):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._person = person
        self._headers = {"Content-Type": "application/json"}

    def enter(self) -> None:
        """Opens the person's address."""
        self._connection.request("GET", f"/?token={self._person.token}")
        response = self._connection.getresponse()
        response.read()
        self._headers["Cookie"] = (response.getheader("set-cookie") or "").partition(";")[0]

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """What the server says, JSON or a picture; None where it has refused or is not there."""
        sent = None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, sent, self._headers)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            self._person.refused[0] += 1
            return None
        if response.status != 200:
            self._person.refused[response.status] += 1
            return None
        return content if path.startswith("/image/") else json.loads(content)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


def ask_round(folder: Path, count: int) -> Queries:
    """Makes the workdir of a run that waits for people to answer so many queries."""
    config = files.load("synthetic")
    config.annotation.oracle = "people"
    config.data.dir = str(folder / "data")
    config.data.target_size = SIZE
    drawn = config.data.synthetic_city
    drawn.source_train = drawn.target_val = drawn.target_test = 1
    drawn.target_train = IMAGES
    run = folder / "run"
    workdir.claim(run, config, write=True)
    pool = assembly.open_records(config, "target")
    height, width = SIZE
    ids = tuple(sorted(pool.ids))
    rng = np.random.default_rng(0)
    places = rng.permutation(IMAGES * height * width)[:count]
    image, place = np.divmod(places, height * width)
    queries = Queries(
        round=1,
        step=1,
        image_ids=ids,
        image=image.astype(np.int32),
        row=(place // width).astype(np.int32),
        col=(place % width).astype(np.int32),
        score=np.linspace(1, 0, count, dtype=np.float32),
        predicted=rng.integers(0, CLASSES, count, dtype=np.uint8),
        radius=0,
        about={},
    )
    (run / "answers").mkdir()
    QueryLog(run / "queries").append(queries)
    sizes = dict.fromkeys(ids, SIZE)
    asked = Asked(1, queries.checksum, pool.classes, sizes, redundancy=0.05, hidden=0.1, seed=0)
    write_asked(run / "answers", asked)
    return queries


@contextlib.contextmanager
def served(folder: Path, names: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """The server, until it is killed; gives its port, and the tokens of people."""
    command = [sys.executable, "-m", "cbda_jax.annotate", f"--workdir={folder / 'run'}"]
    command += [f"--person={name}" for name in names]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    output = folder / "output"
    with output.open("wb") as log:
        server = subprocess.Popen(command, stdout=log, env={**os.environ, "PYTHONPATH": path})
    try:
        end = time.monotonic() + START_S
        while len(lines := _addresses(output)) < len(names):
            if server.poll() is not None or time.monotonic() > end:
                sys.exit("error: the server did not start; its output is above")
            time.sleep(0.05)
        yield int(lines[0][0]), [token for _, token in lines]
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait(30)


def _addresses(output: Path) -> list[tuple[str, str]]:
    """Port and token of every address that the server has printed, in their order."""
    return re.findall(r":(\d+)/\?token=(\S+)\n", output.read_text())


def answer(port: int, person: Person, start: float, options: argparse.Namespace) -> None:
    """Answers from the start on, at the rate, until the time is over or nothing is left."""
    rng = random.Random(person.name)
    browser = Browser(port, person)
    browser.enter()
    found = browser.ask("POST", "/api/next", {})
    due = start + rng.random() / options.rate
    number = 0
    while found and found["next"] and due < start + options.seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        task = found["next"]
        value = rng.randrange(CLASSES)
        event_id = uuid.uuid4().hex
        person.sent[event_id] = task["query"], value
        event = {"id": event_id, "kind": "answer", "query": task["query"], "patch": [value]}
        event |= {"seconds": 1 / options.rate, "guess_shown": task["guess"] is not None}
        before = time.monotonic()
        while (said := browser.ask("POST", "/api/event", event)) is None:
            if time.monotonic() > start + options.seconds + 30:
                return
            time.sleep(RETRY_S)
        person.seconds.append(time.monotonic() - before)
        person.acknowledged.add(event_id)
        number += 1
        found = said
        if number % TWICE == 0:
            found = browser.ask("POST", "/api/event", event)
        if options.pictures and found and found["next"]:
            for view in ("crop", "around", "whole"):
                browser.ask("GET", f"/image/{found['next']['query']}.jpg?view={view}")
        # Who was held up does not hurry after.
        due = max(due + 1 / options.rate, time.monotonic())
    browser.close()


def compare(folder: Path, queries: Queries, everybody: Sequence[Person]) -> dict[str, int]:
    """Counts what is in the ledger, what is lost and what is doubled."""
    path = ledger_path(folder / "run")
    with read_round(path, queries) as found:
        if found is None:
            sys.exit("error: the ledger does not know the round")
        standing = found.progress().mine
    # The ledger opens after the kill as after any end of a server.
    with Ledger(path):
        pass
    export_csv(path, folder / "all.csv")
    sent = {key: (p.name, *said) for p in everybody for key, said in p.sent.items()}
    rows = [line.split(",") for line in (folder / "all.csv").read_text().splitlines()]
    names, rows = rows[0], rows[1:]
    column = {name: names.index(name) for name in ("id", "query", "person", "patch")}
    kept = {
        row[column["id"]]: (
            row[column["person"]],
            int(row[column["query"]]),
            int(row[column["patch"]]),
        )
        for row in rows
    }
    places = Counter((person, query) for person, query, _ in kept.values())
    acknowledged = set[str]().union(*(person.acknowledged for person in everybody))
    return {
        "sent": len(sent),
        "acknowledged": len(acknowledged),
        "in the ledger": len(rows),
        "that count": standing,
        "lost": len(acknowledged - kept.keys()),
        "doubled": len(rows) - len(kept) + sum(count - 1 for count in places.values()),
        "not what was sent": sum(sent.get(key) != said for key, said in kept.items()),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves, answers, kills, compares, and prints the table; gives the exit status."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        count = int(options.people * options.rate * options.seconds) + 10 * options.people
        queries = ask_round(folder, count)
        names = [f"person {number}" for number in range(options.people)]
        with served(folder, names) as (port, tokens):
            everybody = [Person(*one) for one in zip(names, tokens, strict=True)]
            start = time.monotonic() + 2
            threads = [
                threading.Thread(target=answer, args=(port, person, start, options), daemon=True)
                for person in everybody
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(options.seconds + 90)
            if any(thread.is_alive() for thread in threads):
                sys.exit("error: some people did not come to an end")
        counts = compare(folder, queries, everybody)
    ms = 1000 * np.array([second for person in everybody for second in person.seconds])
    refused: Counter[int] = sum((person.refused for person in everybody), Counter())
    rows = {
        **{what: f"{number:,}" for what, number in counts.items()},
        "answers a second": f"{len(ms) / options.seconds:.1f}",
        "requests that failed": f"{refused.total():,}",
        "median": f"{np.median(ms):.1f} ms",
        "99th percentile": f"{np.percentile(ms, 99):.1f} ms",
        "longest": f"{ms.max():.1f} ms",
    }
    print(describe(options), "", "| answers | |", "| --- | ---: |", sep="\n")
    for what, number in rows.items():
        print(f"| {what} | {number} |")
    for status, number in sorted(refused.items()):
        print(f"note: status {status}: {number}", file=sys.stderr)
    return int(any(counts[what] for what in ("lost", "doubled", "not what was sent")))


def describe(options: argparse.Namespace) -> str:
    """What was measured on what."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    pictures = "with" if options.pictures else "without"
    return (
        f"{options.people} people, {options.rate:g} answers a second each, {options.seconds:g} s, "
        f"{pictures} pictures; server and people on {os.cpu_count()} CPU cores, "
        f"Python {platform.python_version()}, {versions}"
    )


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--rate", type=float, default=2.0, help="answers a second of each")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument(
        "--pictures", action="store_true", help="each query's three pictures are fetched too"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
