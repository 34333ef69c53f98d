"""What processes that tests start do: see `processes`."""

import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import waiting
from flax import nnx
from tiny import Tiny

from cbda_jax import models, sharding, stores
from cbda_jax.acquisition import RoundBalance, Scoring, log_ratio, prototypes, target_prior
from cbda_jax.errors import InputError
from cbda_jax.evaluation import Mistakes, worst_images
from cbda_jax.reporting import MetricWriter
from cbda_jax.run import experiment
from cbda_jax.run.acquirer import Acquirer, Target
from cbda_jax.run.evaluator import Evaluator
from cbda_jax.run.logits import Answered
from cbda_jax.run.request import Request, Share, part_of
from cbda_jax.runtime import determinism, hosts, local_devices
from cbda_jax.runtime.preemption import EXIT_STATUS, Preempted, Preemption
from cbda_jax.training import TrainState

IMAGES, CLASSES, SIZE = 9, 5, (16, 24)
SMALL = (12, 20)  # of the labels of every other image


def end_together(index, count, coordinator, scene, victim):
    """A run in which process `victim` does what the scene says."""
    is_victim = index == victim
    hosts._LEAVE_S = 1
    if scene == "differs":
        jax.config.update("jax_num_cpu_devices", 1 + index)
    try:
        hosts.start("auto", coordinator, count, index, patience_s=60, heartbeat_s=6)
        with hosts.session():
            _play(scene, is_victim)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        hosts.leave(2)
    print("the end", flush=True)


def _refuse():
    raise InputError("/some/workdir is refused")


def _play(scene, is_victim):
    if scene == "first gives":
        assert hosts.first(lambda: 7) == (7 if jax.process_index() == 0 else None)
        return
    if scene == "first refuses":
        hosts.first(_refuse)
    hosts.sync("all are there")
    if is_victim and scene == "refuses alone":
        _refuse()
    if is_victim and scene == "breaks":
        raise ZeroDivisionError("an error of the program")
    if is_victim:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if scene == "killed while all work":
            time.sleep(0.01)
        elif scene == "killed while waited for" and is_victim:
            time.sleep(60)
        else:
            hosts.sync("a step")


def arrive(index, count, coordinator, told):
    """A start in which not all processes come; `told` is how many this one expects."""
    del count
    try:
        hosts.start("auto", coordinator, told, index, patience_s=1)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        hosts.leave(2)


def leave_on_notice(index, count, coordinator, hang):
    """Steps until a notice to stop comes; then says after how many, and hangs if it is to."""
    if count > 1:
        jax.distributed.initialize(coordinator, count, index)
    steps, end = 0, time.monotonic() + waiting.LIMIT_S
    with Preemption() as preemption:
        print("ready", flush=True)
        try:
            while time.monotonic() < end:
                # One of them is much further than the other when the notice comes.
                time.sleep(0.005 * (index + 1))
                steps += 1
                preemption.check()
        except Preempted:
            print("left after", steps, flush=True)
            if hang:
                time.sleep(waiting.LIMIT_S)
            if count > 1:
                jax.distributed.shutdown()
            sys.exit(EXIT_STATUS)


class Thresholds(nnx.Module):
    """A network that rounds nothing: its prediction is the red channel's fifth of the range."""

    def __call__(self, images):
        steps = jnp.arange(CLASSES, dtype=images.dtype)
        return -jnp.abs(images[..., :1] - (steps - 2)[None, None, None, :])


class Records:
    """Random images and labels of two sizes, with some pixels to be ignored."""

    def __init__(self):
        random = np.random.default_rng(3)
        self.ids = tuple(map(str, range(IMAGES)))
        self.sizes = np.array([SMALL if i % 2 else SIZE for i in range(IMAGES)], np.int32)
        self.images = random.integers(0, 256, (IMAGES, *SIZE, 3)).astype(np.uint8)
        self.labels = random.integers(0, CLASSES + 1, (IMAGES, *SIZE)).astype(np.uint8)
        self.labels[self.labels == CLASSES] = 255
        # What lies outside of the smaller ones.
        self.labels[1::2, SMALL[0] :] = self.labels[1::2, :, SMALL[1] :] = 255

    def __len__(self):
        return IMAGES

    def image(self, index):
        return self.images[index]

    def label(self, index):
        height, width = self.sizes[index]
        return self.labels[index, :height, :width].copy()


def evaluate_and_acquire(mesh, host, batch):
    """Confusion matrix, predictions kept by this process, and the picks of a round."""
    graphdef, params, frozen = nnx.split(Thresholds(), nnx.Param, ...)
    state = TrainState(step=jnp.int32(0), params=params, frozen=frozen, opt_state=())
    records, kept = Records(), {}

    def keep(index, prediction):
        assert prediction.shape == tuple(records.sizes[index])
        (height, width), kept[index] = prediction.shape, np.full(SIZE, 255, np.uint8)
        kept[index][:height, :width] = prediction

    evaluator = Evaluator(graphdef, mesh, num_classes=CLASSES, flip=True, batch=batch, host=host)
    mistakes = Mistakes(IMAGES, 2)
    confusion = evaluator.confusion(state, records, keep=keep, judge=mistakes.add)
    counted = hosts.total(np.stack([mistakes.pixels, mistakes.right]))
    # Whichever process was told of it keeps it.
    worst = worst_images(*counted, 2)
    held = hosts.total(np.array([index in mistakes.kept for index in worst], np.int32))
    acquirer = Acquirer(
        graphdef,
        mesh,
        Scoring(score="random"),
        SIZE,
        batch=batch,
        host=host,
    )
    earlier = [np.arange(i, dtype=np.int32) for i in range(IMAGES)]
    chosen, report = acquirer.choose(
        state,
        Target(records.sizes, records.image, lambda index: (earlier[index], earlier[index])),
        Request(number=2, shares={SIZE: Share(4), SMALL: Share(2)}, allocation="global"),
    )
    small = small_rounds(graphdef, mesh, host, batch, state)
    return (
        small
        | {
            "confusion": confusion,
            "counted": counted,
            "worst": np.array(worst),
            "held": held,
            "kept": np.array(sorted(kept), np.int32),
            "predictions": np.array([kept[i] for i in sorted(kept)], np.uint8),
            "taken": np.int64(report.taken),
        }
        | {f"picked_{name}": value for name, value in chosen._asdict().items()}
    )


def small_rounds(graphdef, mesh, host, batch, state):
    """The picks of a round in three parts, and what was learnt of all images before."""
    records = Records()
    scoring = Scoring(class_evidence="nearest", ties="balanced_uncertainty")
    acquirer = Acquirer(graphdef, mesh, scoring, SIZE, batch=batch, host=host)
    asked = [np.zeros((2, 0), np.int32)] * IMAGES
    target = Target(records.sizes, records.image, lambda index: tuple(asked[index]))
    logits = acquirer.logits(state, target)
    prior = np.full(CLASSES, 1 / CLASSES, np.float32)
    ratio = log_ratio(np.asarray(target_prior(logits.sample(), prior)), prior)
    request = Request(number=2, shares={SIZE: Share(4, 6), SMALL: Share(2, 3)}, allocation="global")
    weights = np.linspace(1, 2, CLASSES, dtype=np.float32)
    found = {"ratio": ratio, "sums": np.zeros((CLASSES, CLASSES))}
    for place in (1, 2, 3):
        taken = np.array([own.shape[1] for own in asked])
        part = part_of(request, place, 3, records.sizes, taken)
        answered = {
            index: Answered(*own, records.label(index)[tuple(own)] % CLASSES)
            for index, own in enumerate(asked)
            if own.shape[1]
        }
        sums = logits.sums(answered, CLASSES)
        number = np.round(sums.sum(axis=1)).astype(np.int64)
        balance = RoundBalance(weights, prototypes=prototypes(sums, number))
        chosen, _ = acquirer.choose(state, target, part, balance=balance, logits=logits)
        for index in range(IMAGES):
            mine = chosen.image == index
            own = np.stack([chosen.row[mine], chosen.col[mine]])
            asked[index] = np.concatenate([asked[index], own], axis=1)
        found |= {"sums": sums, f"image_{place}": chosen.image, f"row_{place}": chosen.row}
        found |= {f"col_{place}": chosen.col, f"score_{place}": chosen.score}
    return {f"small_{name}": value for name, value in found.items()}


def share(index, count, coordinator, out):
    """One process of several that evaluate and acquire together."""
    hosts.start("auto", coordinator, count, index)
    with hosts.session():
        found = evaluate_and_acquire(sharding.make_mesh(), (index, count), 4)
        np.savez(out / f"{index}.npz", **found)


def train(index, count, coordinator, flags):
    """One process of a run of the main program."""
    connected = (f"--coordinator={coordinator}", f"--processes={count}", f"--process={index}")
    main([*flags, *(connected if count > 1 else ())])


def train_on_a_machine(index, count, coordinator, flags, environment, caches, hold=None):
    """One process of a run, on a machine that shares no disk with those of the others."""
    os.environ.update(environment)
    os.environ["XDG_CACHE_HOME"] = str(caches / str(index))
    connected = (f"--coordinator={coordinator}", f"--processes={count}", f"--process={index}")
    main([*flags, *(connected if count > 1 else ())], None if index else hold)


class Hold(NamedTuple):
    """A place of a run at which it waits for a test, which need not be quick then."""

    folder: Path
    """Gets the file "held"; goes on when "go" is there."""
    step: int = 0
    """When the losses of this step are written."""
    file: str = ""
    """Before a file whose path has this in it gets its name."""

    def pause(self):
        (self.folder / "held").touch()
        end = time.monotonic() + waiting.LIMIT_S
        while not (self.folder / "go").exists():
            if time.monotonic() > end:
                os._exit(9)
            time.sleep(0.005)


def main(flags, hold=None):
    """The main program, with a small network: processes on CPUs compile each for itself."""
    models.create_model = lambda _, *arguments, **named: Tiny(*arguments, **named)
    if hold is not None:
        _prepare(hold)
    sys.argv = ["cbda_jax.main", *flags]
    runpy.run_module("cbda_jax.main", run_name="__main__")


def _prepare(hold):
    write = MetricWriter.write

    def write_and_wait(self, kind, step, **values):
        write(self, kind, step, **values)
        if (kind, step) == ("train", hold.step):
            hold.pause()

    def wait_and_rename(event, arguments):
        if event == "os.rename" and hold.file in os.fsdecode(arguments[1]):
            hold.pause()

    if hold.step:
        MetricWriter.write = write_and_wait

    def wait_and(write):
        def call(path, content):
            if hold.file in os.fspath(path):
                hold.pause()
            write(path, content)

        return call

    if hold.file:
        sys.addaudithook(wait_and_rename)
        # An object has no other name before.
        stores.put, stores.create = wait_and(stores.put), wait_and(stores.create)


def compile_deterministically(folder):
    """Compiles a program as a run with `deterministic` does; XLA writes its options to a folder."""
    os.environ["XLA_FLAGS"] = f"--xla_dump_to={folder}"
    local_devices.gpus_expected = lambda: True
    determinism.request()
    jax.jit(lambda x: x + 1)(1).block_until_ready()


def say_xla_flags(flags):
    """The main program on a machine with GPUs, up to the run: says with which flags of XLA."""
    os.environ["XLA_FLAGS"] = ""
    local_devices.gpus_expected = lambda: True
    experiment.run = lambda *_, **__: print("flags:", os.environ["XLA_FLAGS"], flush=True)
    main(flags)
