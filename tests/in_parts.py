"""Five images and a small network, for rounds that are held in parts."""

import functools

import jax
import numpy as np
from flax import nnx
from tiny import Tiny

from cbda_jax import models, reporting, sharding, training
from cbda_jax.annotation import GroundTruthOracle
from cbda_jax.label_space import CITYSCAPES_19
from cbda_jax.run.acquirer import Acquirer
from cbda_jax.run.plan import Plan
from cbda_jax.run.rounds import Rounds

INPUT, NATIVE, COUNT, PARTS = (24, 40), (36, 60), 5, 3
IDS = ("d", "a", "c", "e", "b")
_RNG = np.random.default_rng(3)
IMAGES = _RNG.integers(0, 256, (COUNT, 6, 10, 3), np.uint8).repeat(4, 1).repeat(4, 2)
LABELS = _RNG.integers(0, 19, (COUNT, 6, 10)).astype(np.uint8).repeat(6, 1).repeat(6, 2)
LABELS[:, :6] = 255


class Pool:
    ids = IDS
    sizes = np.tile(np.array(NATIVE, np.int32), (COUNT, 1))

    def __len__(self):
        return COUNT

    def image(self, index):
        return IMAGES[index]

    def label(self, index):
        return LABELS[index]


SOURCE = np.arange(19) ** 3


class Counting:
    """The ground truth, which keeps what it was asked."""

    def __init__(self):
        self.truth, self.asked = GroundTruthOracle(Pool(), 19), []

    def ask(self, queries):
        self.asked.append((queries.round, queries.step, len(queries)))
        return self.truth.ask(queries)


@functools.cache
def network():
    optimizer = training.create_optimizer(
        "sgd", lambda _: np.float32(0.1), head_multiplier=1.0, is_head=models.is_head
    )
    return training.create_state(lambda: Tiny(rngs=nnx.Rngs(5)), optimizer)


@functools.cache
def acquirer_of(scoring, devices=2, flip=False):
    graphdef, state = network()
    mesh = sharding.make_mesh(jax.devices()[:devices])
    acquirer = Acquirer(graphdef, mesh, scoring, INPUT, batch=devices, flip=flip)
    return acquirer, sharding.replicate(mesh, state)


def rounds_in(workdir, method, oracle=None):
    return Rounds(
        workdir,
        Pool(),
        CITYSCAPES_19,
        Counting() if oracle is None else oracle,
        Plan("test", method, 0.1, 2, source_pixels=SOURCE.copy),
        gallery=0,
    )


def hold(rounds, workdir, numbers=(1, 2), devices=2, **named):
    acquirer, state = acquirer_of(rounds._method.scoring, devices, rounds._method.flip)
    with reporting.MetricWriter(workdir, resume_step=1000) as metrics:
        for number in numbers:
            rounds.hold(number, 10 * number, state, acquirer, metrics, **named)


def picks_of(queries):
    """(image id, row, column), part after part."""
    ids = [queries.image_ids[i] for i in queries.image]
    return list(zip(ids, queries.row.tolist(), queries.col.tolist(), strict=True))
