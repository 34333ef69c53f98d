"""SIGTERM to real processes: one, and one of several."""

import os
import signal

import pytest
import waiting
from processes import start
from scenes import leave_on_notice

from cbda_jax.runtime.preemption import EXIT_STATUS, Preempted, Preemption


def test_one_process_leaves_with_its_own_status():
    with start(leave_on_notice, 1, False) as (process,):
        process.says("ready")
        process.send(signal.SIGTERM)
        assert process.end() == EXIT_STATUS == 75
        assert "\nleft after " in process.output


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_second_notice_ends_a_process_that_is_saving(processes):
    with start(leave_on_notice, processes, True) as running:
        for process in running:
            process.says("ready")
        running[-1].send(signal.SIGTERM)
        for process in running:
            process.says("left after ")
        running[-1].send(signal.SIGTERM)
        assert running[-1].end() == -signal.SIGTERM


@pytest.mark.slow
def test_all_processes_leave_at_the_same_call_if_one_is_told():
    with start(leave_on_notice, 2, False) as running:
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
