"""SIGTERM to real processes: one, and one of several."""

import os
import signal

import pytest
import waiting

from cbda_jax.runtime.preemption import EXIT_STATUS, Preempted, Preemption

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
            time.sleep(600)
        sys.exit(EXIT_STATUS)
"""


def _start(processes, *flags):
    address = waiting.free_address()
    commands = [waiting.python(WORKER, address, processes, i, *flags) for i in range(processes)]
    # JAX's own threads may log at any time, in the middle of a line: not among what is read here.
    return waiting.children(commands, together=False, env=os.environ | {"JAX_NUM_CPU_DEVICES": "1"})


def test_one_process_leaves_with_its_own_status():
    with _start(1) as (process,):
        process.says("ready")
        process.send(signal.SIGTERM)
        assert process.end() == EXIT_STATUS == 75
        assert "\nleft after " in process.output


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_second_notice_ends_a_process_that_is_saving(processes):
    with _start(processes, "hang") as running:
        for process in running:
            process.says("ready")
        running[-1].send(signal.SIGTERM)
        for process in running:
            process.says("left after ")
        running[-1].send(signal.SIGTERM)
        assert running[-1].end() == -signal.SIGTERM


@pytest.mark.slow
def test_all_processes_leave_at_the_same_call_if_one_is_told():
    with _start(2) as running:
        for process in running:
            process.says("ready")
        running[1].send(signal.SIGTERM)
        assert waiting.end_all(running) == [EXIT_STATUS] * 2
        outputs = [child.output for child in running]
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith("ready\nleft after ")


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

    with waiting.thread(enter, "another thread"):
        pass
    assert seen == [before]
