"""What a student's code uses: noted while it runs, and read from its code.

While it runs, three nets with different holes are out at once:

- a dispatch mode sees every operator that reaches torch's dispatcher, whatever it was called as, also in autograd's
  backward (`aten::convolution`);
- a function mode sees torch's own Python interface (`torch.nn.functional.conv2d`);
- a profile function sees calls into other modules (`scipy.signal._signaltools.convolve2d`) and of the student's own
  functions (`conv2d`, no module), also in threads that the student starts.

Only what happens below a frame of the student's code counts, not what the experiment's own body does. Read from the
code is what a run may not reach: the bytecode of the names under test and of all that they name in the same namespace,
with every global name, import and attribute resolved to the object behind it, so that an alias has no name to hide.
"""

import contextlib
import dataclasses
import dis
import functools
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode

How = Literal["operator", "function", "call", "own call", "source"]

_TRANSPARENT = {"PUSH_NULL", "PRECALL", "NOP", "CACHE", "EXTENDED_ARG", "COPY_FREE_VARS", "RESUME"}
_BUILT_IN = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.ClassMethodDescriptorType,
)
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class that a class statement made, not a built-in one
EDGE = "<edge>"
_CONTAINERS = {"_VariableFunctionsClass", "TensorBase"}


@dataclasses.dataclass(frozen=True)
class Recorded:
    """One thing that the student's code uses.

    name: `aten::convolution`, `torch.nn.functional.conv2d`, `scipy.signal._signaltools.convolve2d`, or without a dot
    a function of the student's; how: which net caught it ("source": read, not run); where: `conv2d, line 7`.
    """

    name: str
    how: How
    where: str


class Enough(BaseException):
    """Ends a call in which no more operations are wanted; no `except Exception` of the student's stops it."""


class Recorder(contextlib.AbstractContextManager["Recorder"]):
    """Notes what runs inside. `operations` counts the tensor operations; `stop_after` of them it raises Enough."""

    def __init__(
        self, namespace: dict[str, Any], experiment: Callable[..., Any], stop_after: int | None = None
    ) -> None:
        self.operations = 0
        self._stop_after = stop_after
        self._namespace = namespace
        self._experiment = experiment.__code__
        self._names: dict[tuple[str, How], str] = {}
        self._functions: dict[Any, str] = {}
        self._modes = contextlib.ExitStack()
        self._profile_before: Any = None

    def __enter__(self) -> "Recorder":
        self._modes.enter_context(_Functions(self))
        self._modes.enter_context(_Operators(self))
        self._profile_before = sys.getprofile()
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._profile_before)
        threading.setprofile(None)
        self._modes.close()

    def recorded(self, objects: dict[str, Any]) -> tuple[Recorded, ...]:
        """All that ran, and all that the code of `objects` (the names under test) names."""
        for function, where in list(self._functions.items()):  # a thread of the student's may still be running
            for name in names_of(function):
                self._names.setdefault((name, "function"), where)
        ran = [Recorded(name, how, where) for (name, how), where in list(self._names.items())]
        return (*ran, *Reader(self._namespace).read(objects))

    def operator(self, name: str, frame: types.FrameType | None) -> None:
        """Called by the dispatch mode."""
        self.operations += 1
        if self.operations == self._stop_after:
            raise Enough
        if (name, "operator") not in self._names:
            self._note(name, "operator", frame)

    def function(self, function: Any, frame: types.FrameType | None) -> None:
        """Called by the function mode; names are looked up later, so that the looking up is not recorded."""
        if function not in self._functions and (where := self._student(frame)):
            self._functions[function] = where

    def _profile(self, frame: types.FrameType, event: str, arg: Any) -> None:
        scope = frame.f_globals
        if event == "call":
            if scope is self._namespace:
                self._names.setdefault((frame.f_code.co_qualname, "own call"), _where(frame))
            elif scope is not globals():
                name = f"{scope.get('__name__')}.{frame.f_code.co_qualname}"
                if (name, "call") not in self._names:
                    self._note(name, "call", frame.f_back)
        elif event == "c_call" and scope is self._namespace:
            for name in _spelled(arg):
                self._names.setdefault((name, "call"), _where(frame))

    def _note(self, name: str, how: How, frame: types.FrameType | None) -> None:
        if where := self._student(frame):
            self._names[name, how] = where

    def _student(self, frame: types.FrameType | None) -> str:
        """The innermost line of the student's code on the stack, "" if there is none above the experiment.

        What a module does while it is imported is not the student's either.
        """
        while frame is not None and frame.f_code is not self._experiment:
            if frame.f_globals is self._namespace:
                return _where(frame)
            if frame.f_globals.get("__name__") == "importlib._bootstrap":
                return ""
            frame = frame.f_back
        return ""


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._recorder = recorder

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Otherwise the first operator imports torch's compiler, which takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._recorder.operator(func._schema.name, sys._getframe(1))
        return func(*args, **(kwargs or {}))


class _Functions(TorchFunctionMode):
    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._recorder.function(func, sys._getframe(1))
        return func(*args, **(kwargs or {}))


class Reader:
    """Reads which foreign objects the code of a namespace names."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._module = namespace.get("__name__", "builtins")
        self._visited: dict[int, Any] = {}  # the objects too, so that no address is used twice
        self._found: dict[str, Recorded] = {}

    def read(self, objects: dict[str, Any]) -> tuple[Recorded, ...]:
        """Everything foreign that these objects are or name, followed through the namespace's own functions."""
        for name, value in objects.items():
            self._visit(value, name)
        return tuple(self._found.values())

    def _visit(self, value: Any, where: str) -> None:
        if isinstance(value, _Unloaded):
            self._found.setdefault(str(value), Recorded(str(value), "source", where))
            return
        if id(value) in self._visited or isinstance(value, types.ModuleType):
            return
        self._visited[id(value)] = value
        if isinstance(value, types.FunctionType):
            if value.__globals__ is not self._namespace:
                self._note(value, where)
            else:
                cells = dict(zip(value.__code__.co_freevars, value.__closure__ or (), strict=True))
                self._scan(value.__code__, {name: _content(cell) for name, cell in cells.items()})
                for cell in cells.values():
                    self._visit(_content(cell), where)
            self._visit(getattr(value, "__wrapped__", None), where)
        elif isinstance(value, type):
            if self._is_own(value):
                for part in (*value.__bases__, *vars(value).values()):
                    self._visit(part, where)
            else:
                self._note(value, where)
        elif isinstance(value, staticmethod | classmethod):
            self._visit(value.__func__, where)
        elif isinstance(value, property):
            for accessor in (value.fget, value.fset, value.fdel):
                self._visit(accessor, where)
        elif isinstance(value, types.MethodType):
            self._visit(value.__func__, where)
            self._visit(value.__self__, where)
        elif isinstance(value, functools.partial):
            self._visit(value.func, where)
        elif isinstance(value, torch.nn.Module):
            for module in torch.nn.Module.modules(value):
                self._visit(type(module), where)
        elif self._is_own(type(value)):
            self._visit(type(value), where)
        elif callable(value):
            self._note(value, where)
            if not isinstance(value, _BUILT_IN):
                self._note(type(value), where)

    def _is_own(self, kind: type) -> bool:
        return kind.__module__ == self._module and bool(kind.__flags__ & _HEAP_TYPE)

    def _scan(self, code: types.CodeType, local: dict[str, Any]) -> None:
        """Follow chains like `torch.nn.functional.conv2d`; `local` holds local names that are bound to modules.

        One pass in the order of the bytecode: enough for names, without following branches.
        """
        current: Any = None  # the object on top of the stack, where it is known
        constant: Any = None
        package, names = "", None  # of the import statement that is under way
        line = code.co_firstlineno
        for step in dis.get_instructions(code):
            op, argument = step.opname, step.argval
            line = (step.positions.lineno if step.positions else None) or line
            where = f"{code.co_name}, line {line}"
            if op in _TRANSPARENT or (package and op in ("SWAP", "ROT_TWO", "POP_TOP")):
                continue
            if op == "IMPORT_NAME":
                package, names = argument, constant
                current = _module(package if names else package.split(".")[0])
            elif op == "IMPORT_FROM":  # without a list of names this is `import a.b.c as d`
                current = self._attribute(_module(package), argument, where) if names else _module(package)
            elif op in ("LOAD_ATTR", "LOAD_METHOD"):
                current = self._attribute(current, argument, where)
            elif op in ("LOAD_GLOBAL", "LOAD_NAME"):
                package, current = "", self._namespace.get(argument)
            elif op.startswith(("LOAD_FAST", "LOAD_DEREF", "STORE_FAST", "STORE_NAME", "STORE_DEREF")):
                first, last = argument if isinstance(argument, tuple) else (argument, argument)
                if op.startswith("STORE"):
                    local[first] = current if _is_module(current) else None
                    package = package if names else ""
                current = None if op.startswith("STORE") and "LOAD" not in op else local.get(last)
            else:
                package, current = "", None
                constant = argument if op == "LOAD_CONST" else constant
            if current is not None and not isinstance(current, types.ModuleType):
                self._visit(current, where)
        for inner in code.co_consts:
            if isinstance(inner, types.CodeType):
                self._scan(inner, dict(local))

    def _attribute(self, owner: Any, name: str, where: str) -> Any:
        """The attribute of a module or a foreign class; None for all else, whose attributes may run code."""
        if isinstance(owner, _Unloaded):
            return _Unloaded(f"{owner}.{name}")
        if isinstance(owner, types.ModuleType):
            spelled = f"{owner.__name__}.{name}"
            try:
                value = getattr(owner, name)
            except Exception:  # a lazy module may fail in any way
                value = None
            if not isinstance(value, types.ModuleType):
                self._found.setdefault(spelled, Recorded(spelled, "source", where))
            return value
        if isinstance(owner, type) and not self._is_own(owner):
            return getattr(owner, name, None)
        return None

    def _note(self, value: Any, where: str) -> None:
        for name in names_of(value):
            self._found.setdefault(name, Recorded(name, "source", where))


class _Unloaded(str):
    """The dotted name of something in a module that was never imported."""


def names_of(value: Any) -> Iterator[str]:
    """The names of a foreign function or class: torch's public one, and the one by which it introduces itself."""
    try:
        public = resolve_name(value)
    except Exception:  # unhashable
        public = None
    if public:
        yield public
    yield from _spelled(value)


def edge(name: str, value: Any, namespace: dict[str, Any]) -> Any:
    """A callable that is foreign to the namespace behind a function that belongs to it.

    So `conv2d = torch.conv2d` as a whole answer runs below a frame of the student's, like all other answers. Classes
    and modules stay what they are, since experiments use their attributes; the reader names them.
    """
    own = isinstance(value, types.FunctionType) and value.__globals__ is namespace
    if own or not callable(value) or isinstance(value, type | torch.nn.Module):
        return value
    plain = isinstance(value, types.FunctionType | types.BuiltinFunctionType | types.MethodType | functools.partial)
    if not plain and type(value).__module__ == namespace.get("__name__", "builtins"):
        return value  # an instance of the student's own class

    def call(*args: Any, **kwargs: Any) -> Any:
        return value(*args, **kwargs)

    code = call.__code__.replace(co_name=name, co_qualname=name, co_filename=EDGE)
    return types.FunctionType(code, namespace, name, None, call.__closure__)


def _spelled(value: Any) -> Iterator[str]:
    """`module.name` of a function or class, without the private containers that torch keeps its functions in."""
    try:
        module = getattr(value, "__module__", None)
        name = str(getattr(value, "__qualname__", None) or getattr(value, "__name__", ""))
    except Exception:
        return
    parts = name.split(".")
    if parts[0].startswith("pybind11_"):
        parts = parts[1:]
    if parts[0] in _CONTAINERS:
        module, parts = ("torch.Tensor" if parts[0] == "TensorBase" else "torch"), parts[1:]
    if not module:
        owner = getattr(value, "__self__", None)
        module = type(owner).__module__ if owner is not None else getattr(value, "__objclass__", object).__module__
    if parts and parts[-1]:
        yield f"{module}.{'.'.join(parts)}"


def _module(name: str) -> Any:
    return sys.modules.get(name) or _Unloaded(name)


def _is_module(value: Any) -> bool:
    return isinstance(value, types.ModuleType | _Unloaded)


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return None


def _where(frame: types.FrameType) -> str:
    name = frame.f_code.co_name
    return name if frame.f_code.co_filename == EDGE else f"{name}, line {frame.f_lineno}"
