"""A run that waits for people, and the desk that serves it."""

import shutil

import asked_rounds
import pytest

from cbda_jax.annotate.desk import Desk
from cbda_jax.annotate.photographs import open_target
from cbda_jax.annotate.pictures import Pictures
from cbda_jax.annotation.people import Ledger
from cbda_jax.annotation.people.freeze import ledger_path


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """Workdirs that have asked, by radius; they are copied, never used."""
    folder = tmp_path_factory.mktemp("asked")
    asked_rounds.make_run(folder / "run", hidden=0.2)
    asked_rounds.make_run(folder / "regions", radius=1)
    return {0: folder / "run", 1: folder / "regions"}


@pytest.fixture
def make_run(drawn, tmp_path):
    """`make_run(radius)`: a workdir of 12 queries in two images of 48 x 96 pixels."""

    def make(radius=0):
        return shutil.copytree(drawn[radius], tmp_path / f"run{radius}")

    return make


@pytest.fixture
def make_desk(make_run):
    """`make_desk(radius, quiet_s=...)`: a desk at which the round is open."""
    ledgers = []

    def make(radius=0, **named):
        run = make_run(radius)
        ledgers.append(Ledger(ledger_path(run)))
        target = open_target(run)
        pictures = Pictures(target.read, target.sizes)
        desk = Desk(run, ledgers[-1], target.space, pictures, **named)
        desk.look()
        return desk

    yield make
    for ledger in ledgers:
        ledger.close()
