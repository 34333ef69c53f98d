"""An oracle for tests that has people take their time, and a round that several processes hold."""

import runpy
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cbda_jax import acquisition, reporting
from cbda_jax.annotation import AnswersPending, GroundTruthOracle, Pending
from cbda_jax.label_space import CITYSCAPES_19
from cbda_jax.methods import METHODS
from cbda_jax.run.plan import Plan
from cbda_jax.run.rounds import Rounds
from cbda_jax.runtime import hosts, lock
from cbda_jax.training import TrainState

LABELS = np.random.default_rng(0).integers(0, 19, (2, 12, 16)).astype(np.uint8)


class Pool:
    """Two target images; their labels can be hidden."""

    ids = ("a", "b")
    sizes = np.tile(np.array([12, 16], np.int32), (2, 1))

    def __init__(self):
        self.read = 0

    def __len__(self):
        return 2

    def image(self, index):
        return np.zeros((12, 16, 3), np.uint8)

    def label(self, index):
        self.read += 1
        return LABELS[index]


class Slow:
    """Answers a round the second time it is asked; a file of the run remembers the first."""

    def __init__(self, setting):
        self._folder = setting.workdir / "people"
        self._truth = GroundTruthOracle(setting.pool, len(setting.classes))

    def ask(self, queries):
        asked = self._folder / f"{queries.round}.txt"
        if asked.exists():
            assert asked.read_text() == queries.checksum
            return self._truth.ask(queries)
        self._folder.mkdir(exist_ok=True)
        asked.write_text(queries.checksum)
        return Pending(queries, str(self._folder))


class Picker:
    """Picks one place in each image, another one in each round; remembers what it was told."""

    def __init__(self, *columns):
        self.columns = list(columns)

    def choose(self, *arguments, **told):
        self.told = (*arguments, *told.values())
        column = self.columns.pop(0)
        places = np.array([[0, 1], [4, 9], [column, column]], np.int32)
        chosen = acquisition.Selection(
            *places, np.array([2, 1], np.float32), np.array([3, 4], np.uint8)
        )
        return chosen, acquisition.Report(2, 0, np.zeros(19, int), np.zeros(19, int))

    def maps(self, *arguments, **told):
        raise NotImplementedError

    def logits(self, *arguments, **told):
        raise NotImplementedError


def hold(rounds, workdir, number=1, picker=None, **named):
    """Holds a round with a network that is not looked at."""
    # Made here: the processes of a test are forked before JAX computes anything.
    state = TrainState(step=jnp.int32(0), params={}, frozen={}, opt_state=())
    with reporting.MetricWriter(workdir, resume_step=1000, enabled=hosts.is_first()) as metrics:
        picker = Picker(3) if picker is None else picker
        rounds.hold(number, 10 * number, state, picker, metrics, **named)


def new_rounds(workdir, oracle, *, method="ripu", pool=None, wait_s=None):
    """The rounds of a run that goes on in a folder."""
    return Rounds(
        Path(workdir),
        Pool() if pool is None else pool,
        CITYSCAPES_19,
        oracle,
        Plan(method, METHODS[method], budget=0.1, count=2),
        gallery=0,
        wait_s=wait_s,
    )


class Alone:
    """Refuses to be asked in another process than the first."""

    def __init__(self, setting):
        self._slow = Slow(setting)

    def ask(self, queries):
        assert jax.process_index() == 0
        return self._slow.ask(queries)


def hold_together(index, count, coordinator, workdir, setting):
    """One of several processes that hold a round, which is answered when asked again."""
    hosts.start("auto", coordinator, count, index)
    try:
        with hosts.session():
            rounds = new_rounds(workdir, Alone(setting))
            hold(rounds, workdir)
            label = rounds.label(0, 10)
            print(f"answered {np.flatnonzero(label != 255).tolist()}", flush=True)
    except AnswersPending as pause:
        print("pending", flush=True)
        hosts.leave(pause.status)
    sys.exit(0)


def hold_and_die(index, count, coordinator, workdir, fatal, listed):
    """Holds a round that the ground truth answers; ends before a write, see `scripts/die_at.py`."""
    del index, count, coordinator
    workdir.mkdir(exist_ok=True)
    watch = runpy.run_path(str(Path(__file__).parents[1] / "scripts" / "die_at.py"))["watch"]
    watch(workdir, fatal, listed)
    lock.remove_leftovers(workdir)
    hold(new_rounds(workdir, GroundTruthOracle(Pool(), 19)), workdir)
