"""The worker's side: a student's notebook in a jail, which runs cells and experiments when the judge asks for it.

It answers one request with one reply, and nothing in a reply is believed that the judge can measure. The student's code
shares this process: it may break anything here, which costs its owner this process and nobody else anything.
"""

import bdb  # noqa: F401  (as IPython.core.logger, below)
import contextlib
import dataclasses
import gc
import importlib
import marshal
import os
import resource
import socket
import sys
import types
from collections.abc import Callable
from typing import Any, NoReturn

import IPython.core.logger  # noqa: F401  (which a first cell imports: here, once for all)
import torch
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from gradekit.check import plain
from gradekit.check.counts import Tally
from gradekit.check.failure import AuthoringError, CheckFailed
from gradekit.check.operations import Operations
from gradekit.check.storage import Heap, Storages
from gradekit.check.subject import LocalSubject
from gradekit.sandbox import sentry
from gradekit.sandbox.jail import Isolation, Policy
from gradekit.sandbox.wire import Channel, WireError

_NOTHING: dict[str, Any] = {}
METERS = {meter.__name__: meter for meter in (Storages, Heap, Operations, Tally)}
_KEPT = {
    *("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "GRADEKIT_DEVICE"),
    *("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"),  # OpenBLAS asks anew after a fork
}


class _Shell(InteractiveShell):
    """IPython as in a notebook, without its history and without other programs."""

    def showtraceback(self, *args: Any, **options: Any) -> None:
        """Nobody reads it: what went wrong is in the reply. To lay it out takes longer than most cells."""

    showsyntaxerror = showtraceback

    def system(self, cmd: str) -> NoReturn:
        raise PermissionError("a notebook that is graded can start no other programs: no `!command`, no subprocess")

    def getoutput(self, cmd: str, split: bool = True, depth: int = 0) -> NoReturn:
        self.system(cmd)


def _shell() -> InteractiveShell:
    config = Config()
    config.HistoryManager.enabled = False
    return _Shell.instance(config=config)


SHELL = _shell()
"""Made once, before any fork."""

_trim = sentry.trimmer()


def work(stream: socket.socket, isolation: Isolation, policy: Policy) -> NoReturn:
    """Serve the judge until it hangs up."""
    _settle_in(policy)
    channel = Channel(stream)
    channel.send({"level": isolation.level, "layers": isolation.layers, "thread": _thread()})
    with contextlib.suppress(EOFError, WireError):
        sentry.install(channel.receive()["key"])
        served = _Served(channel)
        while True:
            request = channel.receive()
            reply = served.answer(request)
            if reply is _NOTHING:  # a twin has answered
                continue
            try:
                channel.send(reply)
            except WireError as error:
                channel.send({"turn": request.get("turn"), "failed": f"the output cannot be handed over: {error}"})
    os._exit(0)  # without waiting for threads that the notebook left running


class _Served:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._namespace: dict[str, Any] = SHELL.user_ns
        self._subject = LocalSubject(self._namespace)
        self._held: Any = None
        self._answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "cell": self._cell,
            "call": self._call,
            "metered": self._metered,
            "module": self._module,
            "hold": self._hold,
            "carry": self._carry,
            "sentry": self._sentry,
            "twin": self._twin,
            "leave": self._leave,
        }
        self._namespace["grader"] = _Grader()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to one request; the student's failures are replies as well."""
        try:
            reply = self._answers[request["ask"]](request)
        except CheckFailed as failure:
            reply = {"failed": str(failure)}
        except AuthoringError as error:
            reply = {"author": str(error)}
        except BaseException as error:  # a KeyboardInterrupt that the student raised, say
            reply = {"failed": f"{type(error).__name__}: {error}"}
        return reply if reply is _NOTHING else reply | {"turn": request["turn"]}

    def _cell(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run a cell as IPython does. An error in it is noted, and the next cell runs, as with Otter."""
        outcome = SHELL.run_cell(request["source"], store_history=True)
        error = outcome.error_before_exec or outcome.error_in_exec
        said = "" if error is None else f"{type(error).__name__}: {error}"[:500]
        if figures := sys.modules.get("matplotlib.pyplot"):
            with contextlib.suppress(Exception):
                figures.close("all")
        return {"error": said}

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        options = {name: request[name] for name in ("timed", "record", "watch", "seed", "stop_after")}
        outcome = self._subject.call(_experiment(request), request["inputs"], **options)
        return {
            "outputs": outcome.outputs,
            "recorded": [dataclasses.astuple(item) for item in outcome.recorded],
            "operations": outcome.operations,
            "damaged": outcome.damaged,
            "aliased": outcome.aliased,
        }

    def _metered(self, request: dict[str, Any]) -> dict[str, Any]:
        meter: Any = METERS[request["meter"]](**request["options"])
        outcome = self._subject.metered(_experiment(request), request["inputs"], meter, seed=request["seed"])
        return {"outputs": outcome.outputs, "report": meter.report()}

    def _module(self, request: dict[str, Any]) -> dict[str, Any]:
        """For a reference, which runs in a worker to be timed: its module is the namespace."""
        sys.path.insert(0, request["folder"])
        self._namespace = vars(importlib.import_module(request["name"]))
        self._subject = LocalSubject(self._namespace)
        return {}

    def _hold(self, request: dict[str, Any]) -> dict[str, Any]:
        self._held = request["outputs"]
        return {}

    def _carry(self, request: dict[str, Any]) -> dict[str, Any]:
        """As a call that does nothing: what is left is the way there and back."""
        self._inputs = plain.refill(getattr(self, "_inputs", None), request["inputs"])
        return {"outputs": plain.snapshot(self._held), "recorded": [], "operations": 0, "damaged": (), "aliased": ()}

    def _sentry(self, request: dict[str, Any]) -> dict[str, Any]:
        return sentry.ask(**request["command"])

    def _twin(self, request: dict[str, Any]) -> dict[str, Any]:
        """A copy of this process answers in its place, alone and with one thread, until the judge lets it go.

        The judge sees to it that this one stands still meanwhile.
        """
        gc.collect()  # here, since the kernel takes what the twin has at its start for the least that its peak can be
        _trim(0)
        twin = os.fork()
        if twin == 0:
            resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
            asked = request["command"]
            functions = sentry.functions(asked.pop("forbid"), asked.pop("names"))
            return sentry.ask(**asked, functions=functions)
        os.waitpid(twin, 0)
        return _NOTHING

    def _leave(self, request: dict[str, Any]) -> dict[str, Any]:
        """The last answer of a twin."""
        self._channel.send(sentry.ask(**request["command"]) | {"turn": request["turn"]})
        os._exit(0)


class _Grader:
    """Stands in for `otter.Notebook`: the judge runs the tests, at the places where the release checks."""

    def check(self, question: str, *args: Any, **options: Any) -> None: ...

    def check_all(self, *args: Any, **options: Any) -> None: ...

    def export(self, *args: Any, **options: Any) -> None: ...


def _experiment(request: dict[str, Any]) -> types.FunctionType:
    """The experiment that the judge sent: code of its own making, for this very interpreter."""
    code = marshal.loads(request["code"])
    function = types.FunctionType(code, {"__builtins__": {}}, request["name"])
    return function


def _thread() -> int:
    """This thread's number as the kernel of this jail counts it."""
    import threading

    return threading.get_native_id()


def _settle_in(policy: Policy) -> None:
    """A home in the scratch folder, no output, one thread, and an environment without anything of the instructor's."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115  (for as long as the process lives)
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8", errors="replace")  # noqa: SIM115
    home = str(policy.scratch)
    kept = {n: v for n, v in os.environ.items() if n in _KEPT or n.startswith(("CUDA_", "NVIDIA_"))}
    os.environ.clear()
    os.environ.update(kept)
    os.environ.update(
        HOME=home, TMPDIR=home, IPYTHONDIR=home, MPLCONFIGDIR=home, MPLBACKEND="Agg", PYTHONDONTWRITEBYTECODE="1"
    )
    os.chdir(home)
    sys.path.insert(0, home)
    sys.argv[:] = ["notebook"]
    torch.set_num_threads(1)


sentry.prepare()
