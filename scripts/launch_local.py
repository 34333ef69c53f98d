"""Runs one command in several processes on this machine, connected as hosts are.

    python scripts/launch_local.py --processes 4 -- --config=configs/synthetic.py --workdir=runs/4

What follows `--` are flags of `python -m cbda_jax.main`, or a command of its own if it does not
start with a dash; each process gets --coordinator, --processes and --process behind them. SIGTERM
and SIGINT are passed on. When a process fails, the others have --patience seconds to end by
themselves.

Exit status: 0 if all processes ended with 0; else that of the first that failed, where 76 (another
process ended) only counts if all say so, and 128 + N stands for signal N. So it is 75 after a
notice to stop, and the same command goes on.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

# What the kernel needs to end a process that it was told to kill.
_KILL_S = 30
# `cbda_jax.runtime.hosts.LOST_STATUS`, without the seconds that importing JAX takes.
LOST_STATUS = 76


def launch(command: Sequence[str], processes: int, devices: int | None, patience_s: float) -> int:
    """Runs the command in all processes until they have ended.

    Args:
        command: without the flags that connect them.
        processes: how many.
        devices: CPU devices of each; None as the environment says.
        patience_s: seconds that the others have when one has failed.

    Returns:
        The exit status of all together.
    """
    coordinator = f"127.0.0.1:{_free_port()}"
    environment = dict(os.environ)
    if devices is not None:
        environment["JAX_NUM_CPU_DEVICES"] = str(devices)
    running: dict[int, subprocess.Popen[bytes]] = {}
    threads = []

    def forward(number: int, _: object) -> None:
        for process in running.values():
            process.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, forward)
    for index in range(processes):
        own = (f"--coordinator={coordinator}", f"--processes={processes}", f"--process={index}")
        # The first has the terminal, and with it a progress bar. In a session of its own, a process
        # gets Ctrl-C once, from here.
        running[index] = subprocess.Popen(
            [*command, *own],
            env=environment,
            start_new_session=True,
            stdout=subprocess.PIPE if index else None,
            stderr=subprocess.STDOUT if index else None,
        )
        if index:
            threads.append(
                threading.Thread(target=_show, args=(index, running[index]), daemon=True)
            )
            threads[-1].start()
    try:
        ended = _wait(running, patience_s)
    finally:
        for process in running.values():
            process.kill()
    for thread in threads:
        thread.join(timeout=5)
    failed = [status for status in ended.values() if status]
    return next((status for status in failed if status != LOST_STATUS), max(failed, default=0))


def _wait(running: dict[int, subprocess.Popen[bytes]], patience_s: float) -> dict[int, int]:
    """The statuses of the processes, in the order in which they ended.

    A run may last for days: there is no limit as long as all go on.
    """
    ended: dict[int, int] = {}
    deadline = None
    while len(ended) < len(running):
        for index, process in running.items():
            if index in ended or (code := process.poll()) is None:
                continue
            ended[index] = code if code >= 0 else 128 - code
            if code:
                deadline = deadline or time.monotonic() + patience_s
                how = f"status {code}" if code > 0 else signal.Signals(-code).name
                _say(f"process {index} of {len(running)} ended with {how}")
        if deadline is not None and time.monotonic() > deadline:
            late = [index for index in running if index not in ended]
            _say(f"process {', '.join(map(str, late))} still there after {patience_s:g} s: killed")
            for index in late:
                running[index].kill()
            for index in late:
                try:
                    running[index].wait(_KILL_S)
                except subprocess.TimeoutExpired:
                    # In a system call of a disk or a device that does not come back.
                    _say(f"process {index} cannot be killed, {_KILL_S} s after: left behind")
                    ended[index] = 128 + signal.SIGKILL
            deadline = None
        time.sleep(0.05)
    return ended


def _show(index: int, process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        sys.stderr.buffer.write(b"[%d] " % index + line)
        sys.stderr.flush()


def _say(text: str) -> None:
    print(f"launch_local: {text}", file=sys.stderr, flush=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def main() -> int:
    """Reads the flags and launches."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, required=True, help="how many")
    parser.add_argument("--devices-per-process", type=int, help="CPU devices of each process")
    parser.add_argument(
        "--patience", type=float, default=90, help="seconds for the others when one has failed"
    )
    parser.add_argument("command", nargs="+", help="flags of cbda_jax.main, or another command")
    found = parser.parse_args()
    for name in ("processes", "devices_per_process"):
        value = getattr(found, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')}: {value} found, expected 1 or more")
    command = found.command
    if command[0].startswith("-"):
        command = [sys.executable, "-m", "cbda_jax.main", *command]
    return launch(command, found.processes, found.devices_per_process, found.patience)


if __name__ == "__main__":
    sys.exit(main())
