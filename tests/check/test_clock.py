"""The clock: what a call takes, without what it waited for its neighbours."""

import os
import subprocess
import sys
import time

import pytest

from gradekit.check.clock import Stopwatch


def work(seconds):
    """Compute for so much processor time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_a_span_is_wall_time_where_nothing_is_known_of_waiting(monkeypatch):
    monkeypatch.setattr("gradekit.check.clock._SCHEDSTAT", "/nowhere/schedstat")
    with Stopwatch() as clock:
        clock.start()
        time.sleep(0.02)
        span = clock.stop()
    assert span.waited == 0
    assert span.worked == span.wall >= 0.02


def test_a_file_of_another_form_counts_as_knowing_nothing(monkeypatch, tmp_path):
    odd = tmp_path / "schedstat"
    odd.write_text("0\n")
    monkeypatch.setattr("gradekit.check.clock._SCHEDSTAT", str(odd))
    with Stopwatch() as clock:
        clock.start()
        assert clock.stop().waited == 0


def test_sleeping_is_no_way_to_stop_the_clock():
    with Stopwatch() as clock:
        clock.start()
        time.sleep(0.05)
        span = clock.stop()
    assert span.processor < 0.04
    assert span.worked > 0.04


def test_it_starts_anew_and_leaves_nothing_open():
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with Stopwatch() as clock:
        clock.start()
        work(0.02)
        clock.start()
        assert clock.stop().wall < 0.02
    assert before == (len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0)


@pytest.mark.timing
def test_a_neighbour_on_the_same_core_makes_a_call_wait_and_not_longer():
    """On one core with a neighbour that never rests, the wall shows twice the work and the clock shows the work."""
    if not os.path.exists("/proc/thread-self/schedstat"):  # a system that does not say: then wall time it is
        with Stopwatch() as clock:
            clock.start()
            assert clock.stop().waited == 0
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    neighbour = subprocess.Popen([sys.executable, "-I", "-S", "-c", "while True: pass"])  # inherits the core
    try:
        with Stopwatch() as clock:
            clock.start()
            work(0.3)
            span = clock.stop()
    finally:
        neighbour.kill()
        neighbour.wait()
        os.sched_setaffinity(0, cores)
    assert span.wall > 1.4 * span.processor
    assert abs(span.worked / span.processor - 1) < 0.1
