"""What guards a counted call in the process that it runs in, out of reach of the Python code that shares it.

A recorder or a meter is Python, and so is what a student writes: whoever shares the process can patch it. So what is
forbidden is also made *unavailable* in the process that a counted call runs in, a twin of the worker's that is not used
again (see `guard`): in torch's dispatcher a kernel that refuses takes the place of the real one at every backend, so
that threads, popped modes and other names for the same function all meet it, and functions of NumPy, SciPy and autograd
have other code. The judge asks for that before it sends any input.

That it was done is told by a keyed digest. The key comes before the first line of the student's code, lies in a closure
and nowhere else, and the closure is an audit hook (PEP 578): it cannot be taken off again, `sys.audit` reaches it
without knowing where it is, and Python's garbage collector is made to overlook it. It works in a twin alone, which has
one thread, with no signal handled and nothing collected: so no other code runs in its middle, and sees its frames.

Beside that the closure remembers which functions the harness consisted of before the first cell, and says which of them
are others now; and whether a profile function was set by anybody but the recorder.

What it does not keep is written in docs/threat-model.md: code that reads or writes the memory of its own process.
"""

from __future__ import annotations

import builtins
import ctypes
import fnmatch
import functools
import gc
import hashlib
import importlib
import os
import re
import resource
import secrets
import signal
import sys
import threading
import tracemalloc
import types
import warnings
from collections.abc import Iterator
from typing import Any

import torch
import torch.overrides
import torch.utils._python_dispatch

from gradekit.check.failure import Denied

COMMAND = "gradekit.sentry"
DENIED = "gradekit.denied"
HANDLE = "gradekit.handle"

_BACKENDS = (
    *("CPU", "CUDA", "MPS", "MkldnnCPU", "QuantizedCPU", "QuantizedCUDA", "SparseCPU", "SparseCUDA", "SparseCsrCPU"),
    *("SparseCsrCUDA", "NestedTensorCPU", "NestedTensorCUDA", "CompositeExplicitAutograd"),
    *("CompositeExplicitAutogradNonFunctional", "CompositeImplicitAutograd", "CompositeImplicitAutogradNestedTensor"),
)
_DIFFERENTIATE = frozenset({"backward", "grad", "vjp", "jvp", "jacrev", "jacfwd", "hessian", "linearize"})
_LIBRARIES = frozenset({"numpy", "scipy", "sklearn", "skimage", "cv2", "torchvision", "jax"})
_OFTEN_PATCHED = frozenset({"print", "open", "input", "__import__", "breakpoint", "help", "exit", "quit", "display"})
_TENSOR = (
    "numel",
    "itemsize",
    "element_size",
    "untyped_storage",
    "nbytes",
    "data_ptr",
    "requires_grad",
    "dtype",
    "shape",
)
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


def names_of(experiment: types.FunctionType) -> list[str]:
    """All that its own body names."""
    return sorted(set(_names(experiment.__code__)))


def functions(forbid: list[str], names: list[str]) -> list[types.FunctionType]:
    """What is forbidden and is no operator: functions of NumPy, SciPy and others that are loaded in this process, and
    those of torch that are named without a wildcard (autograd's), less what the experiment's own body names.
    """
    found: dict[int, types.FunctionType] = {}
    patterns = [each for each in forbid if not each.startswith(("torch.", "torch._", "aten::"))]
    leaves = [max(re.split(r"[*?\[\].:]+", each), key=len) for each in patterns]
    whole = re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)")
    for module in [m for name, m in list(sys.modules.items()) if name.partition(".")[0] in _LIBRARIES]:
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if any(leaf in name for leaf in leaves) and name not in names:
                value = getattr(value, "_implementation", value)  # NumPy's dispatcher has it behind it
                if isinstance(value, types.FunctionType) and whole.match(f"{module.__name__}.{name}"):
                    found[id(value)] = value
    for each in forbid:
        if each.startswith("torch.") and not set("*?[") & set(each):
            owner: Any = torch
            *path, last = each.split(".")[1:]
            for part in path:
                owner = getattr(owner, part, None)
            value = getattr(owner, last, None)
            differs = not _DIFFERENTIATE & set(names) if last in _DIFFERENTIATE else last not in names
            if isinstance(value, types.FunctionType) and differs:
                found[id(value)] = value
    return list(found.values())


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


def digest_of(pairs: list[tuple[str, str]]) -> str:
    """What a sentry says of the operators that it denies."""
    return hashlib.blake2b(repr(pairs).encode()).hexdigest()


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
    tools = types.SimpleNamespace(
        dispatch_library=torch._C._dispatch_library,
        digest=hashlib.blake2b.digest,
        hexdigest=hashlib.blake2b.hexdigest,
        blake2b=hashlib.blake2b,
        opaque=functools.cmp_to_key,
        kind_of_opaque=type(functools.cmp_to_key(max)),
        collect_no_more=gc.disable,
        # Those of _signal are written in C.
        handler=importlib.import_module("_signal").getsignal,
        handle=importlib.import_module("_signal").signal,
        ignore=int(signal.SIG_IGN),
        signals=tuple(sorted(set(map(int, signal.valid_signals())) - {int(signal.SIGKILL), int(signal.SIGSTOP)})),
        threads=sys._current_frames,  # what _thread counts is not set back by a fork
        limit=resource.getrlimit,
        processes=resource.RLIMIT_NPROC,
        getframe=sys._getframe,
        audit=sys.audit,
        refusal=_refusal,
        trim=trimmer(),
        getpid=os.getpid,
        handles=handles,
        refusing=_refusing,
        kind_of_function=types.FunctionType,
        spaces=frozenset(name.split("::")[0] for name in _kernels()),
        denied=Denied,
    )
    # Globals of its own: what is patched later, builtins included, is not asked.
    scope = {"__builtins__": dict(vars(builtins)), "COMMAND": COMMAND, "DENIED": DENIED, "HANDLE": HANDLE}
    make = types.FunctionType(_make.__code__, scope)
    hook, hidden = make(key, tools, harness, own_codes)
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


def _make(key: bytes, tools: Any, harness: Any, own_codes: Any) -> Any:
    """The closure, see the top of this module.

    Whoever interrupts it sees its frames, and with them what they name. So the hook names what has the key only behind
    an object that calls it and shows it to nobody, and while that runs it is alone, and calls nothing that is written
    in Python or that may be of another type than it looks.
    """
    home = tools.getpid()  # where the notebook's cells run, perhaps with threads: there it says nothing
    held: list[Any] = []  # what refuses, for good: what is never freed has no finalizer
    refusals: dict[str, Any] = {}  # one for each operator
    denied: dict[str, int] = {}
    state = {"armed": False, "profiled": False}

    def changed() -> list[str]:
        found = []
        for where, owner, name, value, code in harness:
            now = owner.get(name)
            if now is not value or (code is not None and now.__code__ is not code):
                found.append(where)
        return found[:5]

    def arm(operators: Any, functions: Any) -> None:
        libraries: dict[str, Any] = {}
        for name, backend in operators:
            space, operator = name.split("::")
            if space not in libraries:
                libraries[space] = tools.dispatch_library("IMPL", space, "", "", 0)
            if name not in refusals:
                refusals[name] = tools.refusal(name.split(".")[0], tools.denied, tools.audit, DENIED)
            libraries[space].impl(operator, backend, refusals[name], False)
        for function in functions:
            held.append((function, function.__code__))
            function.__code__ = tools.refusing(exactly(function, tools.kind_of_function))
        held.append(libraries)
        state["armed"] = True

    def exactly(value: Any, kind: Any) -> Any:
        if type(value) is not kind:
            raise TypeError
        return value

    def answer(asked: Any) -> Any:
        command, nonce = exactly(asked["command"], str), exactly(asked["nonce"], bytes)
        what = ""
        if command == "arm":
            operators = [
                tuple([exactly(word, str) for word in exactly(pair, list)])
                for pair in exactly(asked["operators"], list)
            ]
            arm(operators, exactly(asked["functions"], list))
            tools.trim(0)
            what = tools.hexdigest(tools.blake2b(repr(operators).encode()))
        elif command == "trim":
            tools.trim(0)
        elif command != "tell":
            raise ValueError
        told = {"command": command, "what": what, "pid": tools.getpid(), "changed": changed()}
        text = repr(told | {"denied": list(denied)[:5], "profiled": state["profiled"]})
        return {"text": text, "proof": tools.digest(tools.blake2b(nonce + text.encode(), key=key))}

    def secret(box: Any, _: Any) -> int:
        try:
            box.append(answer(exactly(box[0], dict)))
        except BaseException:  # a traceback would show this closure
            return 1
        return 0

    opaque = tools.opaque(secret)

    def rest() -> None:
        """Signals that have come before they were ignored are handled when a function is called: here."""

    def alone(box: Any) -> None:
        """In a twin, which starts with one thread and can start no other."""
        if tools.getpid() == home or len(tools.threads()) != 1 or tools.limit(tools.processes) != (0, 0):
            return
        tools.collect_no_more()
        handlers = [(number, tools.handler(number)) for number in tools.signals]
        handlers = [
            (number, handler) for number, handler in handlers if type(handler) is not int and handler is not None
        ]
        for number, _ in handlers:
            tools.handle(number, tools.ignore)
        rest()
        opaque(box) < opaque(None)  # noqa: B015
        for number, handler in handlers:
            tools.handle(number, handler)

    def hook(event: str, arguments: Any) -> None:
        if event == "sys.setprofile":
            if state["armed"] and tools.getframe(1).f_code not in own_codes:
                state["profiled"] = True
        elif event == DENIED:
            if len(arguments) == 1 and type(arguments[0]) is str:
                denied[arguments[0]] = 1
        elif event == COMMAND:
            if len(arguments) == 1 and type(arguments[0]) is list and len(arguments[0]) == 1:
                alone(arguments[0])
        elif event == HANDLE:
            if len(arguments) == 2 and type(arguments[0]) is list and type(arguments[1]) is tuple:
                name, *more = arguments[1]
                if type(name) is str and name.split("::")[0] not in tools.spaces:
                    arguments[0].append(tools.handles(name, *more))
        elif event == "gc.get_referents":
            for each in arguments[0]:
                if type(each) is tools.kind_of_opaque:
                    raise RuntimeError("nobody looks into a comparison")

    parts = (changed, arm, exactly, answer, secret, opaque, rest, alone)
    return hook, (*parts, held, refusals, denied, state, harness, tools)


def _refusal(name: str, kind: Any, audit: Any, event: str) -> Any:
    """A kernel that refuses. Nothing of the sentry is in its reach: its frame can be seen by who is refused."""

    def refuse(*_: Any, **__: Any) -> Any:
        audit(event, name)
        raise kind(f"{name}, which this question forbids: write it yourself")

    return refuse


def _template() -> types.CodeType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a text is not called: something else will stand in its place
        text = "def refuse(*_, **__):\n    'audit'('event', 'name')\n    raise 'kind'('text')"
        module = compile(text, "<refusal>", "exec")
    return next(each for each in module.co_consts if isinstance(each, types.CodeType))


_TEMPLATE = _template()


def _refusing(function: Any) -> types.CodeType:
    """Code under the same name that refuses, for whoever has the function, by whatever name."""
    code, name = function.__code__, f"{function.__module__}.{function.__qualname__}"
    said = f"{name}, which this question forbids: write it yourself"
    constants = {"audit": sys.audit, "event": DENIED, "name": name, "kind": Denied, "text": said}
    return _TEMPLATE.replace(
        co_consts=tuple(constants.get(each, each) for each in _TEMPLATE.co_consts),
        co_name=code.co_name,
        co_qualname=code.co_qualname,
        co_filename=code.co_filename,
        co_freevars=code.co_freevars,
    )


def _handle_of(audit: Any) -> Any:
    def handle(name: Any, *more: Any) -> Any:
        box: list[Any] = []
        audit(HANDLE, box, (name, *more))
        if not box:
            raise RuntimeError("a notebook that is graded gets no handles of the kernels of torch's own operators")
        return box[0]

    return handle


def trimmer() -> Any:
    """Gives back what malloc keeps of freed memory, so that what is taken again is seen."""
    return getattr(ctypes.CDLL(None), "malloc_trim", abs)


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
        _note(
            found,
            module.__name__,
            vars(module),
            lambda value: isinstance(value, types.FunctionType | types.ModuleType | type),
        )
        for kind in vars(module).values():
            if isinstance(kind, type) and kind.__module__ == module.__name__:
                parts: Any = (types.FunctionType, classmethod, staticmethod, property)
                _note(
                    found, f"{module.__name__}.{kind.__name__}", vars(kind), lambda v, parts=parts: isinstance(v, parts)
                )
    for module in (sys, tracemalloc, threading, builtins):
        names = {"setprofile", "settrace", "getprofile", "gettrace", "audit", "_getframe"} if module is sys else None
        names = {"setprofile", "settrace"} if module is threading else names
        _note(
            found,
            module.__name__,
            vars(module),
            lambda value: callable(value),
            only=lambda name, names=names: name in names if names else name not in _OFTEN_PATCHED and name[0] != "_",
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
