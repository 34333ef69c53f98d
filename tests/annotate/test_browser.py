"""Two people in two browsers, until the round is answered; nothing they type is lost or doubled."""

import importlib
import os
import signal
import statistics
import sys
from pathlib import Path

import asked_rounds
import chromium
import pytest
import waiting

from cbda_jax.annotation import QueryLog, people
from cbda_jax.annotation.people.freeze import ledger_path

By = pytest.importorskip("selenium.webdriver.common.by", reason="selenium is not installed").By
Keys = importlib.import_module("selenium.webdriver.common.keys").Keys
pytestmark = chromium.MARKS
# In seconds, without a server; set it to 10 and more to try what takes long.
AWAY_S = float(os.environ.get("CBDA_JAX_AWAY_S", "3"))
KEYS = "1234567890qwertyiop"


class Person:
    """Somebody at a browser of their own, and what they have typed.

    Attributes:
        typed: kind and query of each event, and the class of an answer.
        ms: from a key to the next query on the screen.
    """

    def __init__(self, driver, address):
        self._driver = driver
        self.typed = []
        self.ms = []
        driver.get(address)
        self.query()

    def run(self, script):
        return self._driver.execute_script(f"return {script}")

    def query(self):
        """The number of the query that is shown, once it is."""
        # The page may not have run its script yet.
        shown = "typeof s !== 'undefined' && s.ready && !s.busy && `${s.task.query}`"
        return int(waiting.until(lambda: self.run(shown), "a query"))

    def key(self, key):
        self._driver.find_element(By.TAG_NAME, "body").send_keys(key)

    def leaves(self, query, key):
        """Types a key; something else is shown then."""
        time_of = "document.getElementById('main').dataset.ms"
        self.run(f"delete {time_of}")
        self.key(key)
        waiting.until(
            lambda: self.run(f"(!s.task && !s.busy) || (s.ready && s.task.query !== {query})"),
            f"what comes after query {query}",
        )
        if self.run("s.task !== null"):
            # The page writes it down in the frame after the one that shows the query.
            self.ms.append(float(waiting.until(lambda: self.run(time_of), "the time of a key")))

    def answers(self, value):
        query = self.query()
        self.typed.append(("answer", query, value))
        self.leaves(query, KEYS[value] if value < 255 else "v")

    def takes_the_guess(self):
        query, guess = self.query(), self.run("s.task.guess")
        self.typed.append(("answer", query, guess))
        self.leaves(query, Keys.ENTER)

    def skips(self):
        query = self.query()
        self.typed.append(("skip", query, None))
        self.leaves(query, "s")

    def undoes(self):
        """Takes the last one back, and answers it anew."""
        last = next(query for kind, query, _ in reversed(self.typed) if kind != "undo")
        self.typed.append(("undo", last, None))
        self.leaves(self.query(), "u")
        assert self.query() == last

    def all_saved(self):
        waiting.until(lambda: self.run("unsent().length") == 0, "all to be saved")

    def reloads(self):
        self._driver.refresh()
        waiting.until(lambda: self.run("document.readyState === 'complete'"), "the page")


@pytest.fixture
def browsers():
    """`browsers()`: another browser, with cookies and a store of its own."""
    opened = []

    def browser():
        opened.append(chromium.start("window-size=1280,800", patience_s=waiting.PATIENCE_S))
        return opened[-1]

    yield browser
    for one in opened:
        one.quit()


def serve(run, *arguments):
    command = (sys.executable, "-m", "cbda_jax.annotate", f"--workdir={run}", *arguments)
    return waiting.Child(command, "the server")


def events(run):
    """Who did what, in the order of the ledger."""
    queries = QueryLog(run / "queries").rounds[-1]
    found = []
    with people.Ledger(ledger_path(run)) as ledger:
        ledger.open_round(queries)
        for event in ledger._store.events(queries.round):
            value = event.patch[0] if event.kind == "answer" else None
            found.append((event.person, (event.kind, event.query, value)))
    return found


def test_two_people_answer_a_round(browsers, tmp_path, capsys):
    run = Path(tmp_path / "run")
    asked_rounds.make_run(run, count=24, hidden=0)
    with serve(run, "--person=Ada", "--person=Ben") as server:
        addresses = [server.says(f"{name}: ").split()[1] for name in ("Ada", "Ben")]
        ada, ben = (Person(browsers(), address) for address in addresses)
        assert ada.query() != ben.query()
        for value in range(3):
            ada.answers(value)
            ben.answers(value + 10)
        ada.takes_the_guess()
        ben.skips()
        ben.answers(255)
        ada.undoes()
        ada.answers(7)
        ben.undoes()
        ben.answers(8)
        ada.reloads()
        ada.answers(5)
        port = addresses[0].split(":")[2].partition("/")[0]
        server.send(signal.SIGKILL)
        server.end()
    # Nobody is there to hear it.
    for value in (1, 2, 3):
        ada.answers(value)
        ben.answers(value + 3)
    ada.undoes()
    ada.answers(11)
    ben.skips()
    waited = waiting.time.monotonic() + AWAY_S
    waiting.until(lambda: waiting.time.monotonic() > waited, "a while without a server", 60)
    assert ada.run("unsent().length") == 5
    assert ada.run("document.getElementById('saved').textContent").endswith("kept here")
    with serve(run, f"--port={port}") as server:
        server.says("http")
        ben.reloads()
        ada.all_saved()
        ben.all_saved()
        for person in (ada, ben):
            while (
                waiting.until(
                    lambda p=person: p.run("s.ready ? 1 : !s.task && !s.busy && 2"), "what is next"
                )
                == 1
            ):
                person.answers(9)
        both = ada.run("document.getElementById('why').textContent")
        assert both == "Nothing is left for you in this round"
        server.send(signal.SIGTERM)
        assert server.end() == 0
    found = events(run)
    for name, person in (("Ada", ada), ("Ben", ben)):
        assert [event for who, event in found if who == name] == person.typed
    assert len(found) == len(ada.typed) + len(ben.typed)
    ms = sorted(ada.ms + ben.ms)
    with capsys.disabled():
        print(
            f"\nfrom key to the next query, {len(ms)} keys: median {statistics.median(ms):.0f} ms, "
            f"at most {ms[-1]:.0f} ms"
        )
    assert statistics.median(ms) < 2000


def test_regions_pixel_by_pixel(browsers, tmp_path):
    run = Path(tmp_path / "run")
    asked_rounds.make_run(run, count=4, radius=1)
    queries = QueryLog(run / "queries").rounds[-1]
    assert (queries.row[0], queries.col[0]) == (0, 0)
    with serve(run, "--person=Ada") as server:
        ada = Person(browsers(), server.says("Ada: ").split()[1])
        ada.answers(4)
        ada.query()
        ada.key("x")
        ada.key("12")
        ada.key(Keys.ENTER)  # some have no class yet
        ada.key(Keys.ARROW_DOWN)
        ada.key("3")
        ada.key("a")
        second = ada.query()
        ada.leaves(second, Keys.ENTER)
        # It is looked at again, and answered anew.
        third = ada.query()
        ada.leaves(third, "b")
        assert ada.query() == second
        given = ada.run("s.task.answer")
        ada.all_saved()
    assert events(run)[0] == ("Ada", ("answer", 0, 254))
    with people.Ledger(ledger_path(run)) as ledger:
        ledger.open_round(queries)
        first, again = (event.patch for event in ledger._store.events(1))
    assert list(first) == [254, 254, 254, 254, 4, 4, 254, 4, 4]
    assert list(again) == given
    assert set(again) <= {0, 1, 2, 254}
    assert 254 in again


def test_closing_on_the_summary_page(browsers, tmp_path):
    run = Path(tmp_path / "run")
    asked_rounds.make_run(run, count=4)
    with serve(run, "--person=Ada") as server:
        driver = browsers()
        ada = Person(driver, server.says("Ada: ").split()[1])
        ada.answers(1)
        ada.all_saved()
        driver.find_element(By.LINK_TEXT, "Summary").click()
        waiting.until(lambda: ada.run("shown !== null && shown.round === 1"), "the summary")
        driver.find_element(By.ID, "close").click()
        assert "3 queries are not settled" in driver.find_element(By.ID, "what").text
        driver.find_element(By.ID, "no").click()
        assert not (run / "answers" / "round_01.npz").exists()
        driver.find_element(By.ID, "close").click()
        driver.find_element(By.ID, "yes").click()
        waiting.until((run / "answers" / "round_01.npz").exists, "the answers")
        driver.find_element(By.LINK_TEXT, "Answer").click()
        waiting.until(lambda: ada.run("s.about !== null && !s.task"), "the page")
        # The page goes on by itself with what the run asks next.
        asked_rounds.ask(run, 2, count=4)
        waiting.until(lambda: ada.run("s.ready && s.about.round === 2"), "the next round")
