"""SIGTERM to real processes: one, and one of several."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cbda_jax.runtime.preemption import EXIT_STATUS, Preempted, Preemption

ROOT = Path(__file__).parent.parent.parent

WORKER = """
import os, signal, sys, time
import jax
from cbda_jax.runtime.preemption import EXIT_STATUS, Preempted, Preemption

address, processes, index = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if processes > 1:
    jax.distributed.initialize(address, processes, index)
count = 0
with Preemption() as preemption:
    print("ready", flush=True)
    try:
        while count < 4000:
            # One of them is much further than the other when the notice comes.
            time.sleep(0.005 * (index + 1))
            count += 1
            preemption.check()
    except Preempted:
        print("left after", count, flush=True)
        if "hang" in sys.argv:
            time.sleep(60)
        sys.exit(EXIT_STATUS)
"""


def _start(processes, *flags):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, address, str(processes), str(i), *flags],
            cwd=ROOT,
            env=os.environ | {"JAX_NUM_CPU_DEVICES": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(processes)
    ]


def _line(process):
    assert process.stdout is not None
    return process.stdout.readline()


def test_one_process_leaves_with_its_own_status():
    (process,) = _start(1)
    assert _line(process) == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[0].startswith("left after ")
    assert process.returncode == EXIT_STATUS == 75


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_second_notice_ends_a_process_that_is_saving(processes):
    running = _start(processes, "hang")
    try:
        for process in running:
            assert _line(process) == "ready\n"
        running[-1].send_signal(signal.SIGTERM)
        for process in running:
            assert _line(process).startswith("left after ")
        running[-1].send_signal(signal.SIGTERM)
        assert running[-1].wait(timeout=30) == -signal.SIGTERM
    finally:
        for process in running:
            process.kill()
            process.communicate()


@pytest.mark.slow
def test_all_processes_leave_at_the_same_call_if_one_is_told():
    running = _start(2)
    for process in running:
        assert _line(process) == "ready\n"
    running[1].send_signal(signal.SIGTERM)
    outputs = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [EXIT_STATUS] * 2
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith("left after ")


def test_nothing_happens_without_a_notice_and_the_handler_is_restored():
    before = signal.getsignal(signal.SIGTERM)
    with Preemption() as preemption:
        assert signal.getsignal(signal.SIGTERM) != before
        for _ in range(1000):
            preemption.check()
    assert signal.getsignal(signal.SIGTERM) == before


def test_every_check_after_the_notice_stops():
    before = signal.getsignal(signal.SIGTERM)
    with Preemption() as preemption:
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(2):
            with pytest.raises(Preempted):
                preemption.check()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) == before


def test_another_thread_leaves_the_signals_alone():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def enter():
        with Preemption() as preemption:
            preemption.check()
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]
