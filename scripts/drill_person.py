"""Somebody who answers what a run asks, from a script, and can be killed at any moment.

    python scripts/drill_person.py JOURNAL http://127.0.0.1:8800/?token=... --pause 0.1
    python scripts/drill_person.py JOURNAL http://127.0.0.1:8800/?token=... --browser PROFILE

A part of `scripts/fault_drill_people.py`. What to answer follows from the round and the query, so
that everybody says the same whenever they are asked. By default it does over HTTP what the page
does: an event is kept in the journal, a file, before it is sent, and until the server has said
that it has it. With --browser it types at the page itself, in Chromium, and the journal has what
the page called saved; what that keeps, and how, is the page's affair.

It goes on from its journal, and ends when a file `done` is beside that. --die N:MOMENT kills it,
and --kill-server N,N,...:PIDFILE the server, at the N-th event from now; a file PIDFILE.killed says
which.
"""

import argparse
import contextlib
import hashlib
import http.client
import json
import os
import random
import signal
import sys
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cbda_jax.files import write_bytes

MOMENTS = ("kept", "sent", "told")
"""When it dies: with an event kept and not sent, sent and not answered, answered and not noted."""

DONE = "done"
_VOID = 255
_KEYS = "1234567890qwertyiop"  # of the page, by train id
_PATIENCE_S = 20.0


def value_of(number: int, query: int, classes: int) -> int:
    """What everybody answers to a query of a round: a class, or void."""
    drawn = hashlib.sha256(f"{number} {query}".encode()).digest()
    return _VOID if drawn[1] < 16 else drawn[0] % classes


def takes_back(number: int, query: int) -> bool:
    """Whether people take their first answer to a query back, and give it anew."""
    return hashlib.sha256(f"back {number} {query}".encode()).digest()[0] < 32


class Journal:
    """What was kept, and what became of it; a line each, on the disk when it is written."""

    def __init__(self, path: Path):
        self._path = path
        self.events: dict[str, dict[str, Any]] = {}
        self.told: set[str] = set()
        self.refused: set[str] = set()
        for line in path.read_text().splitlines() if path.exists() else ():
            # The last line may be cut; nothing was done about it then.
            with contextlib.suppress(ValueError):
                self._apply(json.loads(line))

    def _apply(self, entry: dict[str, Any]) -> None:
        for event in entry.get("events", ()):
            self.events[event["id"]] = event
        self.told.update(entry.get("told", ()))
        self.refused.update(entry.get("refused", ()))

    def write(self, **entry: list[Any]) -> None:
        """Keeps an entry: `events`, or the ids that were `told` or `refused`."""
        with self._path.open("a") as file:
            # After a line that was cut a new one begins.
            file.write(("\n" if self._cut() else "") + json.dumps(entry) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._apply(entry)

    def _cut(self) -> bool:
        with self._path.open("rb") as file:
            content = file.read()
        return bool(content) and not content.endswith(b"\n")

    @property
    def pending(self) -> list[dict[str, Any]]:
        """Events that the server has yet to answer, in their order."""
        settled = self.told | self.refused
        return [event for name, event in self.events.items() if name not in settled]


class Page:
    """What the page does, without a browser."""

    def __init__(self, journal: Journal, options: argparse.Namespace):
        address = urllib.parse.urlsplit(options.address)
        self._journal, self._options = journal, options
        self._host = address.netloc
        self._token = urllib.parse.parse_qs(address.query)["token"][0]
        self._cookie = ""
        self._number = 0

    def _ask(self, method: str, path: str, body: Any = None, sent: Any = None) -> tuple[int, Any]:
        """Status and content; status 0: nobody is there."""
        connection = http.client.HTTPConnection(self._host, timeout=_PATIENCE_S)
        headers = {"Content-Type": "application/json", "Cookie": self._cookie}
        content = None if body is None else json.dumps(body)
        with contextlib.closing(connection):
            try:
                connection.request(method, path, content, headers)
                if sent is not None:
                    sent()
                response = connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException):
                return 0, None
            if response.status == 303:
                self._cookie = (response.getheader("set-cookie") or "").partition(";")[0]
            is_json = (response.getheader("content-type") or "").startswith("application/json")
            return response.status, json.loads(content) if is_json else None

    def step(self) -> None:
        """Sends what is kept; else answers the next query."""
        if self._journal.pending:
            self._send(self._journal.pending[0])
            return
        status, about = self._ask("GET", "/api/round")
        if status in (401, 429) or (status == 0 and not self._cookie):
            self._ask("GET", f"/?token={self._token}")
        if status != 200 or about["round"] is None:
            time.sleep(0.2)
            return
        status, found = self._ask("POST", "/api/next", {})
        if status != 200 or found["next"] is None:
            time.sleep(0.2)
            return
        time.sleep(self._options.pause)
        number, query = about["round"], found["next"]["query"]
        side = 2 * found["next"]["radius"] + 1
        patch = side * side * [value_of(number, query, len(about["classes"]))]
        kinds = ["answer", "undo", "answer"] if takes_back(number, query) else ["answer"]
        self._journal.write(
            events=[
                {
                    "id": uuid.uuid4().hex,
                    "kind": kind,
                    "query": query,
                    "patch": patch if kind == "answer" else None,
                    "seconds": 1.5,
                    "guess_shown": found["next"]["guess"] is not None,
                    "queries": about["checksum"],
                    "round": number,
                }
                for kind in kinds
            ]
        )

    def _send(self, event: dict[str, Any]) -> None:
        self._number += 1
        self._dies_at("kept")

        def sent() -> None:
            events, _, file = (self._options.kill_server or ":").partition(":")
            if str(self._number) in events.split(","):
                # Anywhere between the arrival of the event and the answer to it.
                time.sleep(random.Random(event["id"]).uniform(0, 0.006))
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    pid = int(Path(file).read_text())
                    write_bytes(Path(f"{file}.killed"), str(self._number).encode())
                    os.kill(pid, signal.SIGKILL)
            self._dies_at("sent")

        known = {name: value for name, value in event.items() if name != "round"}
        status, found = self._ask("POST", "/api/event", known, sent)
        if status == 200:
            self._dies_at("told")
            self._journal.write(told=[event["id"]])
        elif status in (400, 404, 409):
            # Sent once more it would be refused again; its round is closed.
            print(f"refused: {status} {found}", file=sys.stderr)
            self._journal.write(refused=[event["id"]])
        else:
            if status == 401:
                self._ask("GET", f"/?token={self._token}")
            time.sleep(0.2)

    def _dies_at(self, moment: str) -> None:
        count, _, when = (self._options.die or "0:").partition(":")
        if self._number == int(count) and when == moment:
            os.kill(os.getpid(), signal.SIGKILL)


class Chromium:
    """Somebody who types at the page."""

    def __init__(self, journal: Journal, options: argparse.Namespace):
        from selenium import webdriver
        from selenium.webdriver.common.by import By

        chosen = webdriver.ChromeOptions()
        chosen.binary_location = options.chromium
        for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
            chosen.add_argument(f"--{word}")
        chosen.add_argument(f"--user-data-dir={options.browser}")
        self._driver = webdriver.Chrome(chosen, webdriver.ChromeService(options.driver))
        self._driver.set_page_load_timeout(_PATIENCE_S)
        self._by, self._journal, self._options = By, journal, options
        self._round = None
        self._open()

    def _open(self) -> None:
        from selenium.common.exceptions import WebDriverException

        for _ in range(600):
            with contextlib.suppress(WebDriverException):
                self._driver.get(self._options.address)
                if self._run("typeof s === 'object'"):
                    return
            time.sleep(0.2)
        sys.exit("error: the page did not open")

    def _run(self, script: str) -> Any:
        return self._driver.execute_script(f"return {script}")

    def step(self) -> None:
        """Types the answer to the query that is shown, and waits until the page calls it saved."""
        shown = self._run(
            "s.ready && !s.busy && s.task && s.about.round !== null"
            " ? [s.about.round, s.task.query, s.about.classes.length] : null"
        )
        if shown is None:
            time.sleep(0.1)
            return
        time.sleep(self._options.pause)
        number, query, classes = shown
        value = value_of(number, query, classes)
        body = self._driver.find_element(self._by.TAG_NAME, "body")
        body.send_keys("v" if value == _VOID else _KEYS[value])
        for _ in range(1200):
            if self._run(f"unsent().length === 0 && (s.task === null || s.task.query !== {query})"):
                break
            time.sleep(0.05)
        else:
            return
        event_id = f"{number} {query}"
        if not self._run("refused"):
            self._journal.write(
                events=[{"id": event_id, "round": number, "query": query, "patch": [value]}],
                told=[event_id],
            )


def steps(options: argparse.Namespace) -> Iterator[None]:
    """What it does, until it is done."""
    journal = Journal(options.journal)
    page = Chromium(journal, options) if options.browser else Page(journal, options)
    while not (options.journal.parent / DONE).exists():
        page.step()
        yield


def main() -> None:
    """Answers until it is killed or done."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("journal", type=Path)
    parser.add_argument("address")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds before each answer")
    parser.add_argument("--die", help=f"N:MOMENT, one of {', '.join(MOMENTS)}")
    parser.add_argument("--kill-server", help="N,N,...:PIDFILE")
    parser.add_argument("--browser", type=Path, help="folder of a profile of Chromium")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--driver", default="/usr/bin/chromedriver")
    for _ in steps(parser.parse_args()):
        pass


if __name__ == "__main__":
    main()
