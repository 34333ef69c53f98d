"""Runs the runs of a sweep: several processes, warm starts, stops and failures."""

import functools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cbda_jax import console
from cbda_jax.errors import InputError
from cbda_jax.run.workdir import claim, read_result
from cbda_jax.runtime.preemption import Preempted
from cbda_jax.sweep.plan import Plan, Warm

_POLL_S = 0.1
# How long runs have to save, all together, when they are told to stop.
_SAVE_S = 600


@dataclass(frozen=True)
class Job:
    """One process of the sweep.

    Attributes:
        name: unique.
        command: what is started.
        log: file that gets its output.
        needs: name of the job that must be done first, if any.
        prepare: called just before the start, if there is one.
        counts: whether it is a run of the sweep, and not a warm start that runs share.
    """

    name: str
    command: Sequence[str]
    log: Path
    needs: str | None = None
    prepare: Callable[[], object] | None = None
    counts: bool = True


@dataclass(frozen=True)
class Workers:
    """How many jobs run at a time, and on which devices.

    Attributes:
        count: processes at a time.
        devices: ids of the GPUs that they are given in turn; none: each gets its share of the
            processor's cores.
    """

    count: int = 1
    devices: Sequence[str] = ()

    def cores(self, place: int) -> set[int] | None:
        """The cores of a worker; None where it may use all."""
        if self.devices or self.count == 1 or not hasattr(os, "sched_getaffinity"):
            return None
        own = sorted(os.sched_getaffinity(0))
        share = len(own) / self.count
        return set(own[int(place * share) : int((place + 1) * share)]) or {own[place % len(own)]}

    def environment(self, place: int) -> dict[str, str]:
        """The environment of a worker's processes."""
        found = dict(os.environ)
        # Or what a process printed would follow in its log what it died of.
        found["PYTHONUNBUFFERED"] = "1"
        if self.devices:
            found["CUDA_VISIBLE_DEVICES"] = self.devices[place % len(self.devices)]
            sharers = -(-self.count // len(self.devices))
            if sharers > 1:
                # JAX takes three quarters of a GPU's memory for itself otherwise.
                found.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 / sharers:.3f}")
        else:
            # A step's memory comes and goes with it: in huge pages, a third of the time is saved
            # (docs/benchmarks/training.md). Read by glibc 2.35 and newer when a process starts.
            found.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
        return found


class Failure(NamedTuple):
    """A job that failed or could not be started, and why."""

    name: str
    why: str


# --------------------------------------------------------------------- the plan's jobs


def schedule(plan: Plan, out: Path, earlier: Collection[str] = ()) -> list[Job]:
    """The jobs that are left of a plan, seed by seed, each warm start before what needs it.

    Args:
        plan: of the sweep.
        out: its folder.
        earlier: names of runs that are done, though not there.
    """
    left = [
        run
        for run in plan.runs
        if run.name not in earlier and read_result(out / "runs" / run.name) is None
    ]
    left.sort(key=lambda run: run.seed)
    fresh = [run.warm.name for run in left if run.warm and not _is_started(out / "runs" / run.name)]
    jobs: dict[str, Job] = {}
    for run in left:
        workdir = out / "runs" / run.name
        needs, prepare = None, None
        if run.warm and not _is_started(workdir):
            trunk = out / "warm" / run.warm.name
            done = _checkpoint(trunk, run.warm).is_dir()
            if not done and fresh.count(run.warm.name) > 1:
                needs = f"warm-{run.warm.name}"
                if needs not in jobs:
                    until = f"--until={run.warm.step}"
                    command = [*_command(plan, trunk, run.warm.overrides), until]
                    log = out / "logs" / f"{needs}.log"
                    jobs[needs] = Job(needs, command, log, counts=False)
            if done or needs:
                prepare = functools.partial(start_from, trunk, workdir, run.warm, run.config)
        command = _command(plan, workdir, run.overrides)
        jobs[run.name] = Job(run.name, command, out / "logs" / f"{run.name}.log", needs, prepare)
    return list(jobs.values())


def start_from(trunk: Path, workdir: Path, warm: Warm, config: Any) -> None:
    """Makes a workdir that goes on from the checkpoint of a warm start, whole or not at all.

    Args:
        trunk: workdir of the warm start.
        workdir: of the run; left alone if something is there.
        warm: what they share.
        config: of the run.

    Raises:
        InputError: the warm start has no checkpoint, or the copy cannot be written.
    """
    if _is_started(workdir):
        return
    if not _checkpoint(trunk, warm).is_dir():
        raise InputError(f"{trunk}: no checkpoint of step {warm.step} found; delete the folder")
    copy = workdir.with_name(f".{workdir.name}.warm")
    try:
        # Left by a sweep that was killed; nobody else makes such a folder.
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir(parents=True)
        claim(copy, config, write=True)
        shutil.copytree(_checkpoint(trunk, warm), copy / "checkpoints" / str(warm.step))
        shutil.copy2(trunk / "metrics.jsonl", copy)
        copy.replace(workdir)
    except OSError as error:
        raise InputError(
            f"cannot write {workdir}: {error.strerror or error}; free some space or name another "
            "--out; nothing already written has changed"
        ) from error


def _command(plan: Plan, workdir: Path, overrides: Mapping[str, Any]) -> list[str]:
    return [
        *(sys.executable, "-m", "cbda_jax.main", f"--config={plan.config}"),
        f"--workdir={workdir}",
        *(f"--config.{name}={value}" for name, value in overrides.items()),
    ]


def _is_started(workdir: Path) -> bool:
    return workdir.is_dir() and any(workdir.iterdir())


def _checkpoint(trunk: Path, warm: Warm) -> Path:
    return trunk / "checkpoints" / str(warm.step)


# --------------------------------------------------------------------- processes


@dataclass
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    since: float = field(default_factory=time.monotonic)


def run_all(jobs: Sequence[Job], workers: Workers, *, finished: int = 0) -> list[Failure]:
    """Runs the jobs. Those that fail do not stop the others.

    Args:
        jobs: in the order in which they are wanted; one that needs another comes after it.
        workers: who does them.
        finished: runs that were done before, for the display.

    Returns:
        What failed.

    Raises:
        Preempted: SIGTERM or Ctrl-C came. The processes were told, and have ended.
    """
    waiting = list(jobs)
    running: dict[int, _Running] = {}
    failures: list[Failure] = []
    shown = ""
    total = finished + sum(job.counts for job in jobs)
    with (
        _stop_signals() as stop,
        console.progress(total, "sweep", initial=finished, unit="run") as progress,
    ):
        try:
            while waiting or running:
                if stop.is_set():
                    raise Preempted
                failures += _start_next(waiting, running, workers, failures)
                names = ", ".join(entry.job.name for entry in running.values())
                if names != shown:
                    progress.update(0, running=names)
                    shown = names
                stop.wait(_POLL_S)
                for place, entry in list(running.items()):
                    status = entry.process.poll()
                    if status is None:
                        continue
                    del running[place]
                    taken = console.duration(time.monotonic() - entry.since)
                    if status:
                        failures.append(Failure(entry.job.name, _why(entry.job, status)))
                    console.say(f"{entry.job.name}: {'failed' if status else 'done'} in {taken}")
                    progress.update(int(entry.job.counts))
        finally:
            _end(running.values())
    return failures


def _start_next(
    waiting: list[Job], running: dict[int, _Running], workers: Workers, failed: Sequence[Failure]
) -> list[Failure]:
    """Starts jobs on free workers. Returns the jobs that can no longer be done, with the reason."""
    lost = []
    for job in list(waiting):
        if job.needs in {failure.name for failure in failed}:
            waiting.remove(job)
            lost.append(Failure(job.name, f"not started, for {job.needs} failed"))
            continue
        place = next((i for i in range(workers.count) if i not in running), None)
        if place is None:
            break
        pending = {entry.job.name for entry in running.values()} | {w.name for w in waiting}
        if job.needs in pending:
            continue
        waiting.remove(job)
        try:
            if job.prepare:
                job.prepare()
            running[place] = _Running(job, _start(job, workers, place))
        except (InputError, OSError) as error:
            lost.append(Failure(job.name, str(error)))
    return lost


# Run in the child: `preexec_fn` would fork, which a process with JAX must not.
_BECOME = """
import ctypes, os, sys
cores, *command = sys.argv[1:]
if cores:
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
if sys.platform == "linux":
    # PR_SET_PDEATHSIG, SIGTERM: a sweep that is killed takes its runs along, which save.
    ctypes.CDLL(None).prctl(1, 15)
os.execvp(command[0], command)
"""


def _start(job: Job, workers: Workers, place: int) -> subprocess.Popen[bytes]:
    cores = ",".join(map(str, sorted(workers.cores(place) or ())))
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with job.log.open("ab") as log:
        # In a session of its own it gets no Ctrl-C from the terminal, but SIGTERM from here.
        return subprocess.Popen(
            [sys.executable, "-c", _BECOME, cores, *job.command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=workers.environment(place),
            start_new_session=True,
        )


def _why(job: Job, status: int) -> str:
    lines = job.log.read_text(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
    ended = f"signal {-status}" if status < 0 else f"exit status {status}"
    return f"{ended}, {job.log}: {last[:300]}"


def _end(running: Any) -> None:
    for entry in running:
        if entry.process.poll() is None:
            entry.process.terminate()
    # Together, not one after the other.
    end = time.monotonic() + _SAVE_S
    for entry in running:
        try:
            entry.process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            console.say(
                f"{entry.job.name}: still there {_SAVE_S} s after it was told to stop; killed, it "
                "goes on from the checkpoint before"
            )
            entry.process.kill()


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and Ctrl-C set."""
    stop = threading.Event()

    def notify(number: int, frame: object) -> None:
        del number, frame
        stop.set()

    numbers = (signal.SIGTERM, signal.SIGINT)
    previous = [signal.signal(number, notify) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, previous, strict=True):
            signal.signal(number, handler)
