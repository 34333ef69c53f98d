"""Kills the embedded job again and again, restarts it, and compares what comes of it.

    python scripts/fault_drill.py --kills 20 --seed 0
    python scripts/fault_drill.py --kills 10 --seed 0 --processes 2

A small run is made without a break. Then runs of the same config are killed (SIGKILL): first just
before one of the writes that the unbroken run made, another kind of write each time; started again
with the same command, then at a random time; and started again to their end. Queries, answers,
parameters, optimizer state, losses and evaluations must then be those of the unbroken run, bit for
bit. Of several processes one is killed; the others must end by themselves.

Exit status 1 if anything differs, is lost, or was asked for twice.
"""

import argparse
import dataclasses
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
# Compiled programs are shared with whatever else uses it; else the drill keeps its own.
_CACHE = os.environ.get("JAX_COMPILATION_CACHE_DIR")
# How long the processes that were not killed may take to notice.
PATIENCE = 120.0
# How long a run may take that nobody kills, or that is to kill itself.
LIMIT = 1800.0


@dataclasses.dataclass
class Kill:
    """One kill, and what the next start made of it."""

    run: int
    process: int
    where: str
    fired: bool = False
    others: str = ""
    resumed: str = ""


class Drill:
    """Starts the job in folders of its own, whole or to be killed.

    Args:
        folder: for everything.
        processes: that share the job.
        steps: of training.
        rounds: steps before which rounds are held.
        network: that is trained.
        also: more flags.
    """

    def __init__(
        self,
        folder: Path,
        processes: int,
        steps: int,
        rounds: tuple[int, ...],
        network: str,
        also: Sequence[str] = (),
    ):
        self.folder, self.processes, self._also = folder, processes, also
        self._steps, self._rounds, self._network = steps, rounds, network

    def start(
        self, name: str, *, fatal: tuple[int, int] = (0, 0), keep: bool = False
    ) -> list[subprocess.Popen[str]]:
        """Starts the processes of a run.

        Args:
            name: of its folder, made where it is missing.
            fatal: (process, number of its write before which it dies), 0: none.
            keep: write the list of writes anew.
        """
        home = self.folder / name
        home.mkdir(exist_ok=True)
        port = free_port()
        found = []
        for process in range(self.processes):
            listed = self.folder / f"{name}-writes-{process}.txt"
            if keep:
                listed.unlink(missing_ok=True)
            number = fatal[1] if fatal[0] == process else 0
            command = [sys.executable, str(ROOT / "scripts" / "die_at.py")]
            command += [str(home), str(number), str(listed), "cbda_jax.main", *self.flags(home)]
            if self.processes > 1:
                command += [f"--coordinator=127.0.0.1:{port}", f"--process={process}"]
                command += [f"--processes={self.processes}"]
            found.append(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env={**os.environ, "JAX_NUM_CPU_DEVICES": "1", "JAX_PLATFORMS": "cpu"},
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        return found

    def flags(self, home: Path) -> list[str]:
        """The flags of the job in a folder."""
        return [
            "--config=configs/synthetic.py:method=cbda",
            f"--workdir={home / 'run'}",
            f"--config.data.dir={home / 'data'}",
            "--config.data.source_size=(32,64)",
            "--config.data.target_size=(32,64)",
            "--config.data.synthetic_city.source_train=6",
            *(f"--config.data.synthetic_city.target_{s}=5" for s in ("train", "val", "test")),
            "--config.data.source_batch=2",
            "--config.data.target_batch=2",
            f"--config.network={self._network}",
            f"--config.training.steps={self._steps}",
            f"--config.acquisition.rounds={self._rounds}",
            "--config.evaluation.every=10",
            "--config.checkpoint.every=4",
            "--config.report.log_every=1",
            "--config.report.gallery=1",
            "--config.acquisition.batch_per_device=2",
            "--config.evaluation.batch_per_device=2",
            f"--config.compilation_cache={'' if _CACHE else self.folder / 'xla'}",
            *self._also,
        ]

    def unbroken(self) -> tuple[dict[str, Any], list[list[str]], float]:
        """Outcome, list of writes of every process, and seconds of a run that is left alone.

        Raises:
            RuntimeError: it did not finish.
        """
        # The first compiles; the second takes the time that kills are spread over.
        seconds = 0.0
        for name in ("unbroken",) if _CACHE else ("warmup", "unbroken"):
            start = time.perf_counter()
            running = self.start(name, keep=True)
            errors = _errors(running, f"the run {name!r}")
            seconds = time.perf_counter() - start
            if any(process.returncode for process in running):
                raise RuntimeError(f"the unbroken run failed:\n{errors}")
        writes = [
            (self.folder / f"unbroken-writes-{i}.txt").read_text().splitlines()
            for i in range(self.processes)
        ]
        return outcome(self.folder / "unbroken" / "run"), writes, seconds

    def kill(self, name: str, kill: Kill, write: int, after: float) -> None:
        """Starts a run and kills one process of it, unless it ends before.

        Args:
            name: of the run's folder.
            kill: which process; told what became of the others and of the start before.
            write: number of the write before which it kills itself; 0: not.
            after: seconds after which it is killed else.
        """
        running = self.start(name, fatal=(kill.process, write), keep=True)
        victim = running[kill.process]
        if not write:
            try:
                victim.wait(timeout=after)
            except subprocess.TimeoutExpired:
                victim.send_signal(signal.SIGKILL)
        messages = self._end(running, kill)
        kill.fired = victim.returncode == -signal.SIGKILL
        kill.resumed = _resumed(messages[0])
        well = any(p.returncode == 0 for p in running if p is not victim)
        if not kill.fired and victim.returncode:
            raise RuntimeError(f"{name}: status {victim.returncode}\n{messages}")
        # Killed on its way out, it leaves a run that is finished, and others that have ended well.
        if kill.fired and well and not (self.folder / name / "run" / "result.json").exists():
            raise RuntimeError(f"{name}: a process ended well though another was killed")

    def _end(self, running: list[subprocess.Popen[str]], kill: Kill) -> list[str]:
        """Waits for all; those left over by a kill have `PATIENCE`."""
        victim = running[kill.process]
        messages = [""] * len(running)
        (messages[kill.process],) = _errors([victim], f"the process to be killed, {kill.where}")
        start = time.perf_counter()
        for i, process in enumerate(running):
            if process is victim:
                continue
            try:
                messages[i] = process.communicate(timeout=PATIENCE)[1]
                kill.others = f"ended after {time.perf_counter() - start:.0f} s"
            except subprocess.TimeoutExpired:
                process.kill()
                (messages[i],) = _errors([process], f"process {i}, which hung and was killed")
                kill.others = "HUNG"
        return messages


def _errors(running: list[subprocess.Popen[str]], what: str) -> list[str]:
    """What processes said until they ended; they are killed, and it is an error, after `LIMIT`."""
    end = time.monotonic() + LIMIT
    try:
        return [p.communicate(timeout=max(0.0, end - time.monotonic()))[1] for p in running]
    except subprocess.TimeoutExpired:
        for process in running:
            process.kill()
        said = [process.communicate(timeout=PATIENCE)[1] for process in running]
        raise TimeoutError(f"waited {LIMIT:g} s for the end of {what}:\n{said}") from None


def outcome(workdir: Path) -> dict[str, Any]:
    """What must not depend on how often a run was killed: arrays and numbers, by name."""
    found: dict[str, Any] = {}
    for folder in ("queries", "answers"):
        for path in sorted((workdir / folder).glob("round_*.npz")):
            with np.load(path) as arrays:
                found |= {f"{folder}/{path.name}/{n}": arrays[n] for n in arrays.files}
    for name, leaf in _checkpoint(workdir / "checkpoints").items():
        found[f"checkpoint/{name}"] = leaf
    result = json.loads((workdir / "result.json").read_text())
    found["result"] = json.dumps(result["evaluation"], sort_keys=True)
    measured = {"steps_per_second", "data_wait_ms", "seconds"}
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        record = {k: v for k, v in json.loads(line).items() if k not in measured}
        key = f"metrics/{record['kind']}/{record['step']}/{record.get('split', '')}"
        found[key + ("/final" if record.get("final") else "")] = json.dumps(record, sort_keys=True)
    return found


def _checkpoint(folder: Path) -> dict[str, np.ndarray]:
    import orbax.checkpoint as ocp

    last = max((p for p in folder.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
    names = json.loads((last / "manifest" / "metadata").read_text())["arrays"]
    # As arrays of the host: the devices that saved them may be of more processes than this.
    host = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name in names}
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        return checkpointer.restore(
            last / "state",
            args=ocp.args.PyTreeRestore(item=dict.fromkeys(names, 0), restore_args=host),
        )


def differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """Names of what is missing, more than expected, or not equal bit for bit."""
    names = []
    for name in sorted(expected.keys() | found.keys()):
        a, b = expected.get(name), found.get(name)
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            equal = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        else:
            equal = type(a) is type(b) and a == b
        if not equal:
            names.append(name)
    return names


def lost_and_twice(expected: dict[str, Any], found: dict[str, Any]) -> tuple[int, int]:
    """How many queries of the unbroken run are missing, and how many were made more than once."""

    def queries(values: dict[str, Any]) -> list[tuple[int, ...]]:
        rounds = sorted({n.rpartition("/")[0] for n in values if n.startswith("queries/")})
        return [
            tuple(query)
            for name in rounds
            for query in np.stack([values[f"{name}/{c}"] for c in ("image", "row", "col")], 1)
            .astype(int)
            .tolist()
        ]

    asked = queries(found)
    return len(set(queries(expected)) - set(asked)), len(asked) - len(set(asked))


def _resumed(message: str) -> str:
    match = re.search(r"going on from step (\d+)", message)
    return f"step {match[1]}" if match else "the start"


def free_port() -> int:
    """A port that nobody listens at just now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def targets(writes: list[list[str]]) -> list[tuple[int, int, str]]:
    """(process, number, what) of the writes of an unbroken run, kind after kind.

    Temporary names and numbers are left out of a kind, so that each kind of write comes once before
    any comes again.
    """
    kinds: dict[str, list[tuple[int, int, str]]] = {}
    for process, lines in enumerate(writes):
        for number, line in enumerate(lines, 1):
            kind = re.sub(r"\d+|(?<=\.)[a-z0-9_]{8}(?=\.tmp)", "*", line)
            kinds.setdefault(f"{process} {kind}", []).append((process, number, line))
    return [one for group in kinds.values() for one in group[:: max(1, len(group) // 2)][:2]]


def drill(options: argparse.Namespace, folder: Path) -> tuple[list[Kill], list[dict[str, Any]]]:
    """All kills, and what each run that they hit came to."""
    rounds = tuple(options.rounds)
    job = Drill(folder, options.processes, options.steps, rounds, options.network)
    expected, writes, seconds = job.unbroken()
    print(
        f"unbroken: {seconds:.1f} s, {' + '.join(str(len(w)) for w in writes)} writes, "
        f"{len(expected)} arrays and records",
        file=sys.stderr,
    )
    rng = random.Random(options.seed)
    points = targets(writes)
    rng.shuffle(points)
    kills: list[Kill] = []
    runs: list[dict[str, Any]] = []
    while sum(kill.fired for kill in kills) < options.kills:
        name, number = f"run-{len(runs) + 1}", len(runs) + 1
        # The writes of a first start are those of the unbroken run; later ones go on elsewhere.
        process, write, what = points[(number - 1) % len(points)]
        kills.append(Kill(number, process, f"before write {write}: {what}"))
        job.kill(name, kills[-1], write, 0.0)
        # Past the imports, in which nothing happens.
        after = seconds * rng.uniform(0.35, 1)
        if sum(kill.fired for kill in kills) < options.kills:
            kills.append(Kill(number, rng.randrange(options.processes), f"after {after:.1f} s"))
            job.kill(name, kills[-1], 0, after)
        for kill in kills:
            if kill.run == number:
                fate = "killed" if kill.fired else "ended before"
                print(f"  {name}, process {kill.process}, {kill.where}: {fate}", file=sys.stderr)
        running = job.start(name)
        errors = _errors(running, f"the last start of {name}")
        if any(process.returncode for process in running):
            raise RuntimeError(f"{name} does not go on after its kills:\n{errors}")
        found = outcome(folder / name / "run")
        lost, twice = lost_and_twice(expected, found)
        runs.append(
            {
                "run": number,
                "differences": differences(expected, found),
                "lost": lost,
                "twice": twice,
                "left over": left_over(folder / name),
            }
        )
        shutil.rmtree(folder / name)
    return kills, runs


def left_over(folder: Path) -> list[str]:
    """Temporary files that the last start should have dropped."""
    return [str(p.relative_to(folder)) for p in folder.rglob("*tmp*") if "xla" not in p.parts]


def table(kills: list[Kill], runs: list[dict[str, Any]]) -> str:
    """Kills and comparisons as Markdown."""
    lines = [
        "| run | process | killed | that start had gone on from | other processes |",
        "| ---: | ---: | --- | --- | --- |",
    ]
    for kill in kills:
        where = kill.where if kill.fired else f"not: it ended first ({kill.where})"
        lines.append(
            f"| {kill.run} | {kill.process} | {where} | {kill.resumed} | {kill.others or '-'} |"
        )
    lines += ["", "| run | differences | labels lost | asked twice | left over |"]
    lines += ["| ---: | ---: | ---: | ---: | ---: |"]
    for run in runs:
        lines.append(
            f"| {run['run']} | {len(run['differences'])} | {run['lost']} | {run['twice']} | "
            f"{len(run['left over'])} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Drills, prints the table, and fails if anything was lost."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, nargs="+", default=[6, 12, 18])
    parser.add_argument("--network", default="small_unet", help="a name, or an import path")
    parser.add_argument("--out", type=Path, help="kept; default: a temporary folder")
    options = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        kills, runs = drill(options, folder.resolve())
    print(table(kills, runs))
    fired = sum(kill.fired for kill in kills)
    wrong = [run for run in runs if run["differences"] or run["lost"] or run["twice"]]
    hung = sum(kill.others == "HUNG" for kill in kills)
    print(
        f"\n{fired} kills in {len(runs)} runs of {options.processes} process(es), "
        f"{time.perf_counter() - start:.0f} s: {len(wrong)} runs differ, "
        f"{sum(run['lost'] for run in runs)} labels lost, "
        f"{sum(run['twice'] for run in runs)} asked twice, {hung} processes hung, "
        f"{sum(len(run['left over']) for run in runs)} temporary files left"
    )
    for run in wrong:
        print(f"run {run['run']}: {', '.join(run['differences'][:10])}", file=sys.stderr)
    sys.exit(1 if wrong or hung else 0)


if __name__ == "__main__":
    main()
