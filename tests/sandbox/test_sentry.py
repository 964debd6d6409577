"""The sentry of a worker's process: what it denies, and that Python code cannot get behind it.

Each runs in a process of its own, since a sentry cannot be taken off again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import traceback

import pytest
import torch  # noqa: F401  (so that no fork has to)

import gradekit.sandbox.worker  # noqa: F401

PREPARED = """
import gc, os, resource, signal, sys, threading, torch
torch.set_num_threads(1)  # those that torch had are not there after a fork, and would be waited for
from gradekit import check
from gradekit.check.failure import Denied
from gradekit.sandbox import sentry
import scipy.special
def experiment(conv2d, x): return conv2d(x)
def differentiates(conv2d, x): return conv2d(x).sum().backward()
KEY = bytes(range(32))
sentry.prepare()
sentry.install(bytes(range(32)))
one = torch.ones(1, 1, 3, 3)
def arm(forbid, experiment=experiment, nonce=b"n"):
    return sentry.ask(
        "arm", nonce=nonce, operators=[list(pair) for pair in sentry.to_deny(forbid, experiment)],
        functions=sentry.functions(list(forbid), sentry.names_of(experiment)),
    )
def tell():
    return eval(sentry.ask("tell", nonce=b"m")["text"])
def denied(call):
    try:
        call()
    except Denied:
        return True
    return False
"""
IN_A_TWIN = """
if twin := os.fork():
    os._exit(os.waitstatus_to_exitcode(os.waitpid(twin, 0)[1]))
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))  # which does not keep root from starting threads
"""


def run(code: str, twin: str = IN_A_TWIN) -> None:
    """In a fork of this process, which has imported torch already."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            exec(compile(PREPARED + twin + code, "<test>", "exec"), {"__name__": "test"})
            os._exit(0)
        except BaseException:
            os.write(write, traceback.format_exc().encode()[-3000:])
        finally:
            os._exit(1)
    os.close(write)
    with open(read, "rb") as said:
        told = said.read().decode()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, told


def test_what_is_forbidden_is_denied() -> None:
    run("""
assert not denied(lambda: torch.conv2d(one, one))
armed = arm(check.CONVOLUTION)
told = eval(armed["text"])
assert armed["proof"] == sentry.token(KEY, b"n", armed["text"])
assert told["changed"] == [] and told["what"] == sentry.digest_of(sentry.to_deny(check.CONVOLUTION, experiment))
assert denied(lambda: torch.conv2d(one, one))
assert denied(lambda: torch.nn.Conv2d(1, 1, 3)(one))
assert denied(lambda: torch.ops.aten.convolution(one, one, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1))
assert not denied(lambda: one @ one)
assert "aten::conv2d" in tell()["denied"]
""")


def test_it_says_nothing_where_others_could_run_in_its_middle() -> None:
    """In the process of the cells, and beside another thread."""
    run("assert arm(check.CONVOLUTION) == {} and not denied(lambda: torch.conv2d(one, one))", twin="")
    run(
        """
# Threads that a fork has left behind are none.
assert "text" in arm(check.CONVOLUTION)
""",
        twin="threading.Thread(target=threading.Event().wait, daemon=True).start()" + IN_A_TWIN,
    )
    run("""
rest = threading.Event()
threading.Thread(target=rest.wait, daemon=True).start()
assert arm(check.CONVOLUTION) == {}
rest.set()
""")
    run(
        "resource.setrlimit(resource.RLIMIT_NPROC, (0, 1))\nassert arm(check.CONVOLUTION) == {}",
        twin=IN_A_TWIN.replace("(0, 0)", "(0, 1)"),
    )


def test_threads_and_children_meet_it_as_well() -> None:
    run("""
arm(check.CONVOLUTION)
found = []
thread = threading.Thread(target=lambda: found.append(denied(lambda: torch.conv2d(one, one))))
thread.start(), thread.join()
assert found == [True]
child = os.fork()
if child == 0:
    os._exit(42 if denied(lambda: torch.conv2d(one, one)) else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
""")


def test_functions_that_are_no_operators_are_denied_under_every_name() -> None:
    run("""
import numpy as np
kept = scipy.special.softmax
arm(("*softmax*", "numpy*.convolve", *check.AUTOGRAD))
assert denied(lambda: kept([1.0])) and denied(lambda: np.convolve([1.0], [1.0]))
x = torch.ones(2, requires_grad=True)
assert denied(lambda: x.sum().backward()) and denied(lambda: torch.autograd.grad(x.sum(), x))
told = tell()["denied"]
assert "scipy.special._logsumexp.softmax" in told and "torch._tensor.Tensor.backward" in told
""")


def test_what_the_experiment_itself_does_is_not_denied() -> None:
    run("""
def convolves(mine, x): return torch.conv2d(mine(x), x)
arm((*check.CONVOLUTION, *check.AUTOGRAD), convolves)
assert not denied(lambda: torch.conv2d(one, one))
""")
    run("""
x = torch.ones(1, 1, 3, 3, requires_grad=True)
arm((*check.CONVOLUTION, *check.AUTOGRAD), differentiates)
assert denied(lambda: torch.conv2d(one, one))
assert not denied(lambda: (x * 2).sum().backward())
""")


def test_arming_for_nothing_beforehand_does_not_keep_it_from_denying() -> None:
    run("""
sentry.ask("arm", nonce=b"", operators=[], functions=[])
arm(check.CONVOLUTION)
assert denied(lambda: torch.conv2d(one, one))
""")


@pytest.mark.parametrize(
    "change",
    [
        "import gradekit.check.recorder as r; r.Recorder.recorded = lambda self, objects: ()",
        "import gradekit.check.storage as s; s.Storages.report = lambda self: {}",
        "import gradekit.check.subject as s; s.as_timed.__code__ = (lambda: None).__code__",
        "import torch.utils._python_dispatch as d; d.TorchDispatchMode.__enter__ = lambda self: self",
        "sys.setprofile = lambda function: None",
        "torch.Tensor.numel = lambda self: 1",
        "import builtins; builtins.sum = lambda *a: 0",
        "sentry.functions = lambda *a: []",
    ],
)
def test_a_changed_harness_is_told(change: str) -> None:
    run(f"assert tell()['changed'] == []\n{change}\nassert tell()['changed']")


def test_changing_what_is_often_changed_is_not() -> None:
    run("""
import builtins
builtins.print = lambda *a: None
torch.Tensor.__repr__ = lambda self: "a tensor"
torch.set_default_dtype(torch.float64)
assert tell()["changed"] == []
""")


def test_a_profile_function_of_another_is_told_while_it_denies() -> None:
    run("""
sys.setprofile(None)
arm(("aten::_softmax",))
assert not tell()["profiled"]
sys.setprofile(None)
assert tell()["profiled"]
""")


def test_the_collector_overlooks_it() -> None:
    run("""
arm(check.CONVOLUTION)
import types
functions = [o for o in gc.get_objects() if type(o) is types.FunctionType]
found = [f for f in functions if f.__qualname__.startswith("_make.")]
assert found == []
assert KEY not in [o for o in gc.get_objects() if type(o) is bytes]
""")


def test_who_interrupts_it_does_not_find_the_key() -> None:
    """A signal and a collection, each of which looks through all frames it can see."""
    run("""
keys, looks = set(), [0]
KEYS = {KEY}
del KEY
def look(value, depth=0):
    looks[0] += 1
    if type(value) is bytes and len(value) == 32:
        keys.add(value)
    elif depth < 7:
        for cell in getattr(value, "__closure__", None) or ():
            look(cell.cell_contents, depth + 1)
        if type(value) in (list, tuple):
            for each in value[:50]:
                look(each, depth + 1)
        if type(value).__name__ == "KeyWrapper":
            try:
                for each in gc.get_referents(value):
                    look(each, depth + 1)
            except RuntimeError:
                pass
def walk(*_):
    try:
        frame = sys._getframe(1)
    except ValueError:
        return
    while frame is not None:
        for name, value in list(frame.f_locals.items()):
            if frame.f_globals is not globals():
                look(value)
        frame = frame.f_back
gc.callbacks.append(walk)
gc.set_threshold(1)
signal.signal(signal.SIGALRM, walk)
for n in range(300):
    gc.enable()
    signal.setitimer(signal.ITIMER_REAL, 0.00001 + (n % 50) * 2e-6)
    sys.audit("gradekit.sentry", [{"command": "tell", "nonce": b""}])
signal.setitimer(signal.ITIMER_REAL, 0)
gc.set_threshold(700)
assert looks[0] > 100, looks
assert not keys & KEYS
assert tell()["command"] == "tell"
""")


def test_handles_of_torchs_own_kernels_are_not_to_be_had() -> None:
    run("""
lib = torch.library.Library("mine", "DEF")
lib.define("twice(Tensor x) -> Tensor")
lib.impl("twice", lambda x: 2 * x, "CPU")
torch.library.get_kernel("mine::twice", "CPU")
try:
    torch.library.get_kernel("aten::_softmax", "CPU")
except RuntimeError as error:
    assert "no handles" in str(error)
else:
    raise AssertionError
""")


def test_a_process_with_a_sentry_ends_as_any_other() -> None:
    program = (
        "import os, sys; from gradekit.sandbox import sentry; sentry.install(bytes(32)); child = os.fork();"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child else 0)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=200).returncode == 0
