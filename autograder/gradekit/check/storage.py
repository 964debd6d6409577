"""What memory a call holds, second by second: counted, not sampled, so that it is the same every time.

Two meters, because torch and Python take memory from different places:

- `Storages` sees every tensor that comes out of an operator (a dispatch mode), on any device, notes when its storage
  is made and, by a weak reference, when it is freed. It does not see what an operator uses inside itself and gives
  back before it returns (the workspace of a convolution), nor tensors that are made in another thread. On a GPU torch's
  allocator sees all of that, and the larger of the two figures counts.
- `Heap` is `tracemalloc`: Python's objects and NumPy's arrays, in all threads. What stays below `NOISE` is Python's own
  bookkeeping and counts as nothing, so that code which uses tensors alone has one exact figure.
"""

import contextlib
import dataclasses
import gc
import sys
import threading
import tracemalloc
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gradekit.check import plain

NOISE = 64 * 1024
"""Bytes of Python's heap up to which a call is said to have used none."""


@dataclasses.dataclass(frozen=True)
class Held:
    """One piece of memory: its size, what it is (`(8, 1024, 1024) float32`), and the student's line that made it."""

    nbytes: int
    what: str
    where: str


@dataclasses.dataclass(frozen=True)
class Use:
    """The memory of one call, in bytes, inputs and outputs not counted.

    peak: the most that was held at any moment; kept: what was still held when the call had returned and its outputs
    were alive; outputs: the size of the outputs; largest, largest_kept: the biggest piece of each; graph: whether an
    output hangs on autograd's graph.
    """

    peak: int
    kept: int
    outputs: int
    largest: Held | None = None
    largest_kept: Held | None = None
    graph: bool = False


def use_in(report: dict[str, Any]) -> Use:
    """A report of `dataclasses.asdict(use)` as what it was. Raises KeyError, TypeError or ValueError if it is none."""

    def held(value: Any) -> Held | None:
        return (
            None if value is None else Held(_size(value["nbytes"]), str(value["what"])[:200], str(value["where"])[:200])
        )

    peak, kept, outputs = (_size(report[name]) for name in ("peak", "kept", "outputs"))
    return Use(peak, kept, outputs, held(report["largest"]), held(report["largest_kept"]), report["graph"] is True)


def _size(value: Any) -> int:
    if type(value) is not int:
        raise TypeError(f"expected a number of bytes, got {type(value).__name__}")
    return value


class Storages(contextlib.AbstractContextManager["Storages"]):
    """Accounts for the storages of tensors; `use` when the call is over."""

    use: Use

    def __init__(self, *, cuda: bool = False) -> None:
        self._cuda = cuda
        self._namespace: dict[str, Any] = {}
        self._made: list[Held] = []
        self._sizes: list[int] = []
        self._log: list[tuple[int, int]] = []  # (number of the storage, bytes more or less)
        self._known: dict[int, tuple[int | None, Any]] = {}  # address -> (its number, None if older than the call)
        self._modes = contextlib.ExitStack()
        self._open = False
        self._allocated = 0
        self._allocator_peak = self._allocator_kept = 0

    def start(self, namespace: dict[str, Any], experiment: Callable[..., Any]) -> None:
        """Called before the call with the student's namespace."""
        self._namespace = namespace

    def __enter__(self) -> "Storages":
        if self._cuda:
            gc.collect()  # what is freed within the call without being of the call would count as less
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self._allocated = torch.cuda.memory_allocated()
        self._open = True
        self._modes.enter_context(_Watch(self))
        return self

    def __exit__(self, *error: Any) -> None:
        self._modes.close()
        if self._cuda:
            torch.cuda.synchronize()
            self._allocator_peak = torch.cuda.max_memory_allocated() - self._allocated
        gc.collect(0)  # cycles that hold tensors; with collection off they are all in the youngest generation
        if self._cuda:
            self._allocator_kept = torch.cuda.memory_allocated() - self._allocated

    def finish(self, value: Any) -> None:
        """Called after the call with what it returned, still on autograd's graph."""
        self._open = False
        exempt, tensors = [0] * len(self._made), []
        for _, leaf in plain.leaves(value, ""):
            if isinstance(leaf, torch.Tensor) and (storage := _storage(leaf)) is not None:
                tensors.append(leaf)
                number, _ = self._known.get(storage._cdata, (None, None))
                if number is not None:  # a view of something large does not make that an output
                    exempt[number] = min(exempt[number] + leaf.numel() * leaf.itemsize, self._sizes[number])
        peak, moment, live = 0, 0, 0
        held = [0] * len(self._made)
        for step, (number, change) in enumerate(self._log, start=1):
            live -= max(held[number] - exempt[number], 0)
            held[number] += change
            live += max(held[number] - exempt[number], 0)
            if live > peak:
                peak, moment = live, step
        kept, largest_kept = live, self._largest(len(self._log), exempt)
        outputs = sum({id(leaf): leaf.numel() * leaf.itemsize for leaf in tensors}.values())
        if self._cuda:
            peak = max(peak, self._allocator_peak - sum(exempt))
            kept = max(kept, self._allocator_kept - sum(exempt))
        graph = any(leaf.requires_grad for leaf in tensors)
        self.use = Use(peak, kept, outputs, self._largest(moment, exempt), largest_kept, graph)

    def options(self) -> dict[str, Any]:
        """See `Meter.options`."""
        return {"cuda": self._cuda}

    def report(self) -> dict[str, Any]:
        """See `Meter.report`."""
        return dataclasses.asdict(self.use)

    def adopt(self, report: dict[str, Any]) -> None:
        """See `Meter.adopt`."""
        self.use = use_in(report)

    def before(self, arguments: Any) -> None:
        """Called by the dispatch mode: what goes into an operator unseen is older than the call."""
        for tensor in tensors_in(arguments):
            storage = _storage(tensor)
            if storage is not None and storage._cdata not in self._known:
                self._note(storage, None)

    def after(self, result: Any, frame: types.FrameType | None) -> None:
        """Called by the dispatch mode: what comes out of an operator unseen is new."""
        for tensor in tensors_in(result):
            storage = _storage(tensor)
            if storage is None:
                continue
            if storage._cdata not in self._known:
                what = f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
                self._note(storage, len(self._made))
                self._made.append(Held(0, what, line_of(frame, self._namespace)))
                self._sizes.append(0)
            number, _ = self._known[storage._cdata]
            if number is not None and (change := storage.nbytes() - self._sizes[number]):
                self._sizes[number] += change
                self._log.append((number, change))

    def _note(self, storage: torch.UntypedStorage, number: int | None) -> None:
        address = storage._cdata

        def freed(_: Any) -> None:
            self._known.pop(address, None)
            if self._open and number is not None:
                self._log.append((number, -self._sizes[number]))

        self._known[address] = number, weakref.ref(storage, freed)

    def _largest(self, moment: int, exempt: list[int]) -> Held | None:
        """The biggest of what was held after so many entries of the log."""
        held = [0] * len(self._made)
        for number, change in self._log[:moment]:
            held[number] += change
        counted = [size - less for size, less in zip(held, exempt, strict=True)]
        if not counted or max(counted) <= 0:
            return None
        number = counted.index(max(counted))
        return dataclasses.replace(self._made[number], nbytes=counted[number])


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, storages: Storages) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._storages = storages

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Otherwise the first operator imports torch's compiler, which takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._storages.before((args, kwargs or {}))
        result = func(*args, **(kwargs or {}))
        self._storages.after(result, sys._getframe(1))
        return result


class Heap(contextlib.AbstractContextManager["Heap"]):
    """Accounts for Python's objects and NumPy's arrays; `use` when the call is over.

    lines: find out in which of the student's lines the peak lies (slow: every one of their lines is traced).
    """

    use: Use

    def __init__(self, *, lines: bool = False) -> None:
        self._lines = lines
        self._namespace: dict[str, Any] = {}
        self._was_on = False
        self._before = self._peak = self._after = 0
        self._line = ""
        self._peak_line = ""
        self._tracer: Any = None

    def start(self, namespace: dict[str, Any], experiment: Callable[..., Any]) -> None:
        """Called before the call with the student's namespace."""
        self._namespace = namespace

    def __enter__(self) -> "Heap":
        self._was_on = tracemalloc.is_tracing()
        if not self._was_on:
            tracemalloc.start(1)
        if self._lines:
            self._tracer = sys.gettrace()
            threading.settrace(self._trace)
            sys.settrace(self._trace)
        self._before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        return self

    def __exit__(self, *error: Any) -> None:
        self._look("")
        if self._lines:
            sys.settrace(self._tracer)
            threading.settrace(None)
        gc.collect(0)
        self._after, _ = tracemalloc.get_traced_memory()
        if not self._was_on:
            tracemalloc.stop()

    def finish(self, value: Any) -> None:
        """Called after the call with what it returned."""
        arrays = {id(leaf): leaf.nbytes for _, leaf in plain.leaves(value, "") if isinstance(leaf, np.ndarray)}
        outputs = sum(arrays.values())
        taken = outputs + sum(sys.getsizeof(part) for part in _python_parts(value))
        peak, kept = self._peak - self._before - taken, self._after - self._before - taken
        largest = Held(peak, "", self._peak_line) if peak > NOISE else None
        self.use = Use(peak if peak > NOISE else 0, kept if kept > NOISE else 0, outputs, largest)

    def options(self) -> dict[str, Any]:
        """See `Meter.options`."""
        return {"lines": self._lines}

    def report(self) -> dict[str, Any]:
        """See `Meter.report`."""
        return dataclasses.asdict(self.use)

    def adopt(self, report: dict[str, Any]) -> None:
        """See `Meter.adopt`."""
        self.use = use_in(report)

    def _trace(self, frame: types.FrameType, event: str, _: Any) -> Any:
        if frame.f_globals is not self._namespace:
            return None
        if event == "return":
            self._look(line_of(frame.f_back, self._namespace))
        else:
            self._look(line_of(frame, self._namespace))
        return self._trace

    def _look(self, line: str) -> None:
        """Book the highest point since the last look on the line that has just run."""
        _, peak = tracemalloc.get_traced_memory()
        if peak > self._peak:
            self._peak, self._peak_line = peak, self._line
        tracemalloc.reset_peak()
        self._line = line


def line_of(frame: types.FrameType | None, namespace: dict[str, Any]) -> str:
    """The innermost line of the student's code on the stack: `line 7 of attention`; "" if there is none."""
    while frame is not None:
        if frame.f_globals is namespace:
            return f"line {frame.f_lineno} of {frame.f_code.co_name}"
        frame = frame.f_back
    return ""


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """All tensors in an operator's arguments or results."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))


def _storage(tensor: torch.Tensor) -> torch.UntypedStorage | None:
    """The memory behind a tensor; None for sparse tensors and others that have none of their own."""
    try:
        return tensor.untyped_storage()
    except (NotImplementedError, RuntimeError):
        return None


def _python_parts(value: Any) -> Iterator[Any]:
    """The Python objects of an output: its lists, tuples, dicts, numbers and strings."""
    if isinstance(value, dict):
        value = [value, *value.keys(), *value.values()]
        yield value[0]
        for item in value[1:]:
            yield from _python_parts(item)
    elif isinstance(value, tuple | list):
        yield value
        for item in value:
            yield from _python_parts(item)
    elif isinstance(value, float | str | bytes | complex | int):
        yield value
