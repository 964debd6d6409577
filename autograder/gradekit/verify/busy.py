"""Busy processes that cannot outlive the one who started them.

Four things see to it, each alone enough: the `with` block kills and reaps them however it is left; on Linux the kernel
kills them when the parent dies, of a SIGKILL even; each looks many times a second whether its parent is still there;
and each ends by itself after `lifetime_s`.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

LIFETIME_S = 600.0

_SPIN = """
import os, signal, sys, time
parent, end = int(sys.argv[1]), time.monotonic() + float(sys.argv[2])
signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C reaches it as well: no traceback
if sys.platform == "linux":
    import ctypes
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() == parent:
    os.write(1, b"!")
while os.getppid() == parent and time.monotonic() < end:
    for _ in range(100_000):
        pass
"""


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def busy(count: int, *, lifetime_s: float = LIFETIME_S) -> Iterator[list[int]]:
    """So many processes that do nothing but compute, all of them running before the block starts; gives their ids.

    To be entered from the main thread: for the kernel a child's parent is the thread that started it.
    Raises RuntimeError at the end of the block if one of them ended before it: the load was not what it should be.
    """
    with contextlib.ExitStack() as stack:
        command = [sys.executable, "-I", "-S", "-c", _SPIN, str(os.getpid()), str(lifetime_s)]
        started = []
        for _ in range(count):
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            stack.callback(_reap, child)
            started.append(child)
        for child in started:
            assert child.stdout is not None
            if child.stdout.read(1) != b"!":
                raise RuntimeError("a busy process did not start")
        yield [child.pid for child in started]
        if any(child.poll() is not None for child in started):
            raise RuntimeError("a busy process ended too early: what was measured meanwhile was not under full load")


def _reap(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    if child.stdout is not None:
        child.stdout.close()
