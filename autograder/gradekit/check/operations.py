"""How many elementary operations a call takes: counted, so that it is the same every time and on every machine.

Two counters are open at once:

- a dispatch mode sees torch's operators. A matrix product, a convolution or an attention counts as the floating-point
  operations that torch's own formulas give; a sort as n log n; whatever picks or writes elements by index as the
  elements picked, the elements written or the indices, whichever are most; every other operator as the elements that
  go in or come out, whichever are more; a view as 1. Every operator counts as at least 1.
- a trace function (`sys.settrace`, which behaves alike from Python 3.11 to 3.14) counts lines of Python. A loop or a
  comprehension on a single line counts one for every turn, since Python reports a line anew on every jump back.

Neither looks inside what is written in C: `x in list`, `sorted(...)`, a slice of a list or a NumPy call count as their
line alone. NumPy is therefore refused; for the rest, measure time.
"""

import contextlib
import math
import sys
import threading
import types
from collections import Counter
from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from gradekit.check.storage import line_of, tensors_in

_OWN = ("torch", "gradekit", "importlib", "_frozen_importlib")  # library code that runs a bounded number of lines
_BY_INDEX = {
    "aten::index",
    "aten::index_select",
    "aten::gather",
    "aten::take",
    "aten::embedding",
    "aten::_local_scalar_dense",
}
_WRITES_BY_INDEX = {
    "aten::index_put_",
    "aten::_index_put_impl_",
    "aten::index_add_",
    "aten::index_copy_",
    "aten::index_fill_",
    "aten::scatter_",
    "aten::scatter_add_",
    "aten::scatter_reduce_",
    "aten::put_",
}
_SORTS = {"aten::sort", "aten::argsort", "aten::topk", "aten::msort", "aten::_unique2", "aten::unique_dim"}
UNINITIALISED = {"aten::empty", "aten::empty_like", "aten::empty_strided", "aten::new_empty", "aten::lift_fresh"}
"""Operators that compute nothing: they take memory, and leave it as it is."""


class Operations(contextlib.AbstractContextManager["Operations"]):
    """Counts what runs inside; `total` and `most` when the call is over."""

    def __init__(self) -> None:
        self._namespace: dict[str, Any] = {}
        self._experiment: Any = None
        self._counts: Counter[tuple[str, str]] = Counter()  # (operator, or "" for Python; the student's line)
        self._lines: Counter[tuple[types.CodeType, int]] = Counter()
        self._foreign_lines = 0
        self._modes = contextlib.ExitStack()
        self._tracer: Any = None
        self._busy = False  # what runs is the counting itself
        self._adopted: tuple[int, str] | None = None

    @property
    def total(self) -> int:
        """All operations and lines."""
        if self._adopted is not None:
            return self._adopted[0]
        return sum(self._counts.values()) + sum(self._lines.values()) + self._foreign_lines

    @property
    def most(self) -> str:
        """Where the largest part is spent: `aten::bmm in line 7 of attention`; "" if it is not known."""
        if self._adopted is not None:
            return self._adopted[1]
        counts = self._counts.copy()
        for (code, line), count in self._lines.items():
            counts["", f"line {line} of {code.co_name}"] += count
        if not counts:
            return ""
        (name, where), _ = max(counts.items(), key=lambda item: (item[1], item[0]))
        return " in ".join(part for part in (name, where) if part)

    def start(self, namespace: dict[str, Any], experiment: Callable[..., Any]) -> None:
        """Called before the call with the student's namespace."""
        self._namespace, self._experiment = namespace, experiment.__code__

    def __enter__(self) -> "Operations":
        self._modes.enter_context(_Count(self))
        self._tracer = sys.gettrace()
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        return self

    def __exit__(self, *error: Any) -> None:
        sys.settrace(self._tracer)
        threading.settrace(None)
        self._modes.close()

    def finish(self, value: Any) -> None:
        """Called after the call with what it returned."""

    def options(self) -> dict[str, Any]:
        """See `Meter.options`."""
        return {}

    def report(self) -> dict[str, Any]:
        """See `Meter.report`."""
        return {"total": self.total, "most": self.most}

    def adopt(self, report: dict[str, Any]) -> None:
        """See `Meter.adopt`."""
        if type(report["total"]) is not int:
            raise TypeError("expected a number of operations")
        self._adopted = report["total"], str(report["most"])[:200]

    def operator(self, func: Any, args: Any, kwargs: Any, result: Any, frame: types.FrameType | None) -> None:
        """Called by the dispatch mode."""
        self._busy = True
        self._counts[func._schema.name, line_of(frame, self._namespace)] += cost(func, args, kwargs, result)
        self._busy = False

    def _trace(self, frame: types.FrameType, event: str, _: Any) -> Any:
        if event == "call":
            if frame.f_globals is not self._namespace:
                if (
                    self._busy
                    or frame.f_code is self._experiment
                    or str(frame.f_globals.get("__name__")).split(".")[0] in _OWN
                ):
                    return None
                return self._trace_foreign
            return self._trace
        if event == "line":
            self._lines[frame.f_code, frame.f_lineno] += 1
        return self._trace

    def _trace_foreign(self, frame: types.FrameType, event: str, _: Any) -> Any:
        self._foreign_lines += event == "line"
        return self._trace_foreign


class _Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, operations: Operations) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._operations = operations

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Otherwise the first operator imports torch's compiler, which takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self._operations.operator(func, args, kwargs or {}, result, sys._getframe(1))
        return result


def flops(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> int | None:
    """Floating-point operations by torch's own formula for this operator, None where it has none."""
    from torch.utils.flop_counter import flop_registry  # half a second

    formula = flop_registry.get(func.overloadpacket)
    if formula is not None:
        with contextlib.suppress(Exception):  # a formula that does not know these arguments
            return int(formula(*args, **kwargs, out_val=result))
    return None


def cost(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> int:
    """Elementary operations of one operator."""
    known = flops(func, args, kwargs, result)
    if known is not None:
        return max(1, known)
    name = func._schema.name
    if func.is_view or name in UNINITIALISED:
        return 1
    indexed = name in _BY_INDEX or name in _WRITES_BY_INDEX
    went_in = _elements((args[1:] if indexed else args, kwargs))
    came_out = 0 if name in _WRITES_BY_INDEX else _elements(result)
    n = max(1, came_out, went_in)
    return n * max(1, math.ceil(math.log2(n))) if name in _SORTS else n


def _elements(value: Any) -> int:
    """The elements of the largest tensor, those that a stride of 0 repeats included: they are read as often."""
    return max((tensor.numel() for tensor in tensors_in(value)), default=0)
