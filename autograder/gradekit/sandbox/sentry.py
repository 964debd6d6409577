"""What guards a counted call in the worker's own process, out of reach of the Python code that shares it.

A recorder or a meter is Python, and so is what a student writes: whoever shares the process can patch it. So what is
forbidden is also made *unavailable* while such a call runs, in torch's dispatcher and for the whole process: a kernel
that refuses takes the place of the real one at every backend, and threads, forked children, popped modes and other names
for the same function all meet it. The judge asks for that before it sends any input, and for the end of it only when it
holds the output.

That it was done is told by a keyed digest. The key comes before the first line of the student's code, lies in a closure
and nowhere else, and the closure is an audit hook (PEP 578): it cannot be taken off again, `sys.audit` reaches it without
knowing where it is, and Python's garbage collector is made to overlook it. To lift the refusal takes the key as well.

Beside that the closure remembers which functions the harness consisted of before the first cell, and says which of them
are others now; and how often a profile function was set by anybody but the recorder.

What it does not keep is written in docs/threat-model.md: code that reads or writes the memory of its own process.
"""

from __future__ import annotations

import builtins
import ctypes
import fnmatch
import functools
import gc
import hashlib
import json
import os
import re
import secrets
import sys
import threading
import tracemalloc
import types
from collections.abc import Iterator
from typing import Any

import torch
import torch.overrides
import torch.utils._python_dispatch

from gradekit.check.failure import Denied

COMMAND = "gradekit.sentry"
DENIED = "gradekit.denied"

_BACKENDS = (
    *("CPU", "CUDA", "MPS", "MkldnnCPU", "QuantizedCPU", "QuantizedCUDA", "SparseCPU", "SparseCUDA", "SparseCsrCPU"),
    *("SparseCsrCUDA", "NestedTensorCPU", "NestedTensorCUDA", "CompositeExplicitAutograd"),
    *("CompositeExplicitAutogradNonFunctional", "CompositeImplicitAutograd", "CompositeImplicitAutogradNestedTensor"),
)
_DIFFERENTIATE = frozenset({"backward", "grad", "vjp", "jvp", "jacrev", "jacfwd", "hessian", "linearize"})
_OFTEN_PATCHED = frozenset({"print", "open", "input", "__import__", "breakpoint", "help", "exit", "quit", "display"})
_TENSOR = ("numel", "itemsize", "element_size", "untyped_storage", "nbytes", "data_ptr", "requires_grad", "dtype", "shape")
_prepared: list[Any] = []
_HANDLES = "_dispatch_get_computed_kernel_for_dispatch_key"


@functools.lru_cache(maxsize=1)
def _kernels() -> dict[str, tuple[str, ...]]:
    """For each operator the backends at which it has a kernel: 3,577 operators, 9 ms."""
    found: dict[str, list[str]] = {}
    for backend in _BACKENDS:
        for name in torch._C._dispatch_get_registrations_for_dispatch_key(backend):
            found.setdefault(name, []).append(backend)
    return {name: tuple(backends) for name, backends in found.items()}


def to_deny(forbid: tuple[str, ...], experiment: types.FunctionType) -> list[tuple[str, str]]:
    """Operators and backends of what is forbidden, less what the experiment's own body uses.

    What the body itself calls is no matter of the student's: where it names something that is forbidden, nothing is
    denied, and where it differentiates, nothing that runs on the way back is.
    """
    if not forbid:
        return []
    names = frozenset(_names(experiment.__code__))
    found = [name for name in _matching(forbid) if not (names & _DIFFERENTIATE and "backward" in name)]
    if any(_bare(name) in names for name in found):
        return []
    return [(name, backend) for name in found for backend in _kernels()[name]]


@functools.lru_cache(maxsize=64)
def _matching(forbid: tuple[str, ...]) -> tuple[str, ...]:
    pattern = re.compile("|".join(fnmatch.translate(each) for each in forbid))
    return tuple(name for name in _kernels() if pattern.match(name.split(".")[0]))


def _bare(name: str) -> str:
    return name.split("::")[1].split(".")[0].strip("_")


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def token(key: bytes, nonce: bytes, text: str) -> bytes:
    """What only who has the key can say of a text, once."""
    return hashlib.blake2b(nonce + text.encode(), key=key).digest()


def new_key() -> bytes:
    return secrets.token_bytes(32)


def ask(command: str, **more: Any) -> dict[str, Any]:
    """Ask this process's sentry; nothing comes back where there is none."""
    box = [{"command": command, **more}]
    sys.audit(COMMAND, box)
    return box[1] if len(box) > 1 else {}


def prepare() -> None:
    """Look at everything once, before any fork."""
    _kernels()
    _prepared.append((_harness(), _recorders_own()))


def install(key: bytes) -> None:
    """Put up the sentry of this process. Once, before the first line of a student's code."""
    if not _prepared:
        prepare()
    harness, own_codes = _prepared.pop()
    handles = getattr(torch._C, _HANDLES, None)
    scope: dict[str, Any] = {
        "__builtins__": dict(vars(builtins)),
        "COMMAND": COMMAND,
        "DENIED": DENIED,
        "Denied": Denied,
        "dispatch_library": torch._C._dispatch_library,
        "digest": hashlib.blake2b.digest,
        "blake2b": hashlib.blake2b,
        "dumps": json.dumps,
        "getframe": sys._getframe,
        "audit": sys.audit,
        "refusal": _refusal,
        "trim": _trimmer(),
        "getpid": os.getpid,
        "handles": handles,
        "spaces": frozenset(name.split("::")[0] for name in _kernels()),
    }
    make = types.FunctionType(_make.__code__, scope)
    hook, hidden = make(key, harness, own_codes)
    sys.addaudithook(hook)
    if handles is not None:
        setattr(torch._C, _HANDLES, _handle_of(sys.audit))
    everything = (hook, scope, scope["__builtins__"], *hidden, *_cells(hook), *(c for f in hidden for c in _cells(f)))
    for each in {id(one): one for one in everything}.values():
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))  # what is not tracked must not be deallocated either
        if gc.is_tracked(each):
            ctypes.pythonapi.PyObject_GC_UnTrack(ctypes.py_object(each))


def _cells(value: Any) -> tuple[Any, ...]:
    return (value.__closure__ or ()) if isinstance(value, types.FunctionType) else ()


def _make(key: bytes, harness: Any, own_codes: Any) -> Any:
    """The closure. Its globals are copies, so that what is patched later, builtins included, is not asked."""
    held: list[Any] = []  # kernels that refuse, as long as they are held
    denied: dict[str, int] = {}
    profiled = [False]  # whether anybody but the recorder has set a profile function
    armed = [False]

    def changed() -> list[str]:
        found = []
        for where, owner, name, value, code in harness:
            now = owner.get(name)
            if now is not value or (code is not None and now.__code__ is not code):
                found.append(where)
        return found

    def arm(operators: Any) -> None:
        libraries: dict[str, Any] = {}
        refusals: dict[str, Any] = {}
        for name, backend in operators:
            space, operator = name.split("::")
            if space not in libraries:
                libraries[space] = dispatch_library("IMPL", space, "", "", 0)  # type: ignore[name-defined]  # noqa: F821
            if name not in refusals:
                refusals[name] = refusal(name.split(".")[0], Denied, audit, DENIED)  # type: ignore[name-defined]  # noqa: F821
            libraries[space].impl(operator, backend, refusals[name], False)
        held.append(libraries)

    def answer(asked: Any) -> Any:
        command = asked["command"]
        if command == "arm":
            denied.clear()
            profiled[0] = False
            if not armed[0]:
                arm(asked["operators"])
            armed[0] = True
        elif command == "lift":
            if asked["token"] != digest(blake2b(asked["nonce"] + b"lift", key=key)):  # type: ignore[name-defined]  # noqa: F821
                return None
            held.clear()
            armed[0] = False
        elif command == "alone":
            trim()  # type: ignore[name-defined]  # noqa: F821
        text = dumps(  # type: ignore[name-defined]  # noqa: F821
            {
                "command": command,
                "pid": getpid(),  # type: ignore[name-defined]  # noqa: F821
                "changed": changed()[:5],
                "denied": list(denied)[:5],
                "profiled": profiled[0],
            }
        )
        proof = digest(blake2b(asked["nonce"] + text.encode(), key=key))  # type: ignore[name-defined]  # noqa: F821
        return {"text": text, "proof": proof}

    def handle(asked: Any) -> Any:
        """Of an operator that the student has defined. Another's kernel would stay the real one when it is denied."""
        name = asked["name"]
        if type(name) is not str or name.split("::")[0] in spaces:  # type: ignore[name-defined]  # noqa: F821
            return None
        return handles(name, *asked["more"])  # type: ignore[name-defined]  # noqa: F821

    def hook(event: str, arguments: Any) -> None:
        if event == "sys.setprofile":
            if armed[0]:
                profiled[0] |= getframe(1).f_code not in own_codes  # type: ignore[name-defined]  # noqa: F821
        elif event == DENIED:  # type: ignore[name-defined]  # noqa: F821
            denied[arguments[0]] = 1
        elif event == COMMAND:  # type: ignore[name-defined]  # noqa: F821
            try:
                asked = arguments[0][0]
                arguments[0].append(handle(asked) if asked["command"] == "handle" else answer(asked))
            except BaseException:  # a traceback would show this closure
                pass

    return hook, (changed, arm, answer, handle, held, denied, profiled, armed, harness)


def _refusal(name: str, kind: Any, audit: Any, event: str) -> Any:
    """A kernel that refuses. Nothing of the sentry is in its reach: its frame can be seen by who is refused."""

    def refuse(*_: Any, **__: Any) -> Any:
        audit(event, name)
        raise kind(f"{name}, which this question forbids: write it yourself")

    return refuse


def _handle_of(audit: Any) -> Any:
    def handle(name: Any, *more: Any) -> Any:
        box: list[Any] = [{"command": "handle", "name": name, "more": more}]
        audit(COMMAND, box)
        if len(box) < 2 or box[1] is None:
            raise RuntimeError("a notebook that is graded gets no handles of the kernels of torch's own operators")
        return box[1]

    return handle


def _trimmer() -> Any:
    """Gives back what malloc keeps of freed memory, so that what is taken again is seen."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except AttributeError:
        return lambda: None
    return lambda: trim(0)


def _recorders_own() -> frozenset[Any]:
    from gradekit.check.counts import Tally
    from gradekit.check.recorder import Recorder

    functions = [each for kind in (Recorder, Tally) for each in (kind.__enter__, kind.__exit__)]
    starts_a_thread = threading.Thread._bootstrap_inner  # type: ignore[attr-defined]
    return frozenset(each.__code__ for each in (*functions, starts_a_thread))


def _harness() -> list[tuple[str, Any, str, Any, Any]]:
    """What counts, as it is now: (name, the namespace it stands in, its name there, the object, its code)."""
    found: list[tuple[str, Any, str, Any, Any]] = []
    modules = [m for name, m in sorted(sys.modules.items()) if m is not None and _counts(name)]
    for module in modules:
        _note(found, module.__name__, vars(module), lambda value: isinstance(value, types.FunctionType | type))
        for kind in vars(module).values():
            if isinstance(kind, type) and kind.__module__ == module.__name__:
                parts = types.FunctionType | classmethod | staticmethod | property
                _note(found, f"{module.__name__}.{kind.__name__}", vars(kind), lambda v, parts=parts: isinstance(v, parts))
    for module in (sys, tracemalloc, threading, builtins):
        names = {"setprofile", "settrace", "getprofile", "gettrace", "audit", "_getframe"} if module is sys else None
        names = {"setprofile", "settrace"} if module is threading else names
        _note(
            found,
            module.__name__,
            vars(module),
            lambda value: callable(value),
            only=lambda name, names=names: (name in names if names else name not in _OFTEN_PATCHED and name[0] != "_"),
        )
    found += [
        (f"torch.Tensor.{name}", vars(torch.Tensor), name, vars(torch.Tensor).get(name), None) for name in _TENSOR
    ]
    return found


def _counts(name: str) -> bool:
    if name.startswith("gradekit."):
        return name.startswith(("gradekit.check.", "gradekit.sandbox."))
    return name in ("torch.utils._python_dispatch", "torch.overrides", "torch.utils.flop_counter")


def _note(found: Any, where: str, space: Any, wanted: Any, only: Any = lambda name: True) -> None:
    for name, value in list(space.items()):
        if only(name) and wanted(value):
            code = value.__code__ if isinstance(value, types.FunctionType) else None
            found.append((f"{where}.{name}", space, name, value, code))
