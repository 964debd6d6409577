"""The code that an experiment runs on. Nothing outside this module and `recorder` touches a student's objects.

A check asks a `Subject` to run an experiment and gets plain data back. `LocalSubject` runs it in this process; a
subject that forwards the call to a jailed worker over a socket can take its place, and no check would notice.
"""

import contextlib
import contextvars
import dataclasses
import gc
import linecache
import math
import random
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from gradekit import device
from gradekit.check import plain
from gradekit.check.beside import read_beside
from gradekit.check.clock import Span, Stopwatch
from gradekit.check.experiment import Experiment, Parameters, parameters, transplant
from gradekit.check.failure import AuthoringError, CheckFailed, Denied
from gradekit.check.recorder import EDGE, Enough, Recorded, Recorder, edge

_MISSING = object()


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one call of an experiment gave. All of it is plain data.

    outputs: a copy of what the experiment returned;
    seconds: wall time of the call, its outputs complete on the device; in a timed call on a CPU without what it waited
        for other programs (see `clock`), and at least the processor time of all threads, so that extra threads gain
        nothing;
    processor_s: processor time of all threads in this process, which a busy neighbour does not lengthen; where the
        code runs in another process that of its children as well, and at least half of `seconds`, since some may have
        been missed;
    round_trip_s: what a call takes that does nothing, where the code runs in another process, else 0;
    recorded: what the student's code used (record=True); operations: how many tensor operations that were;
    damaged: names of inputs that were changed in place (watch=True);
    aliased: pairs (output, what it shares memory with: an input, or the previous call's output) (watch=True).
    """

    outputs: Any
    seconds: float
    recorded: tuple[Recorded, ...] = ()
    operations: int = 0
    damaged: tuple[str, ...] = ()
    aliased: tuple[tuple[str, str], ...] = ()
    processor_s: float = math.inf
    round_trip_s: float = 0.0


@runtime_checkable
class Subject(Protocol):
    """The seam between judge and student."""

    def call(
        self,
        experiment: Experiment,
        inputs: dict[str, Any],
        *,
        timed: bool = False,
        record: bool = False,
        watch: bool = False,
        seed: int = 0,
        stop_after: int | None = None,
    ) -> Outcome:
        """Run the experiment once on a copy of the inputs it names.

        timed: under the conditions of a benchmark (`quiet`); record: note what the student's code uses; watch: look
        for damaged inputs and shared memory; seed: of torch's, NumPy's and Python's global generators for this call;
        stop_after: with record, end the call, with outputs of None, at so many tensor operations.
        Raises CheckFailed for a missing name, a placeholder, any exception of the student's, and outputs that are not
        plain data.
        """
        ...

    def identity(self, experiment: Experiment, inputs: Mapping[str, Any]) -> tuple[object, ...]:
        """Tokens that stay the same objects as long as the names under test are not bound anew."""
        ...


class LocalSubject:
    """A namespace in this process: the student's notebook, or the reference module."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace
        self._held: dict[str, Any] = {}
        self._previous: Any = None

    def call(
        self,
        experiment: Experiment,
        inputs: dict[str, Any],
        *,
        timed: bool = False,
        record: bool = False,
        watch: bool = False,
        seed: int = 0,
        stop_after: int | None = None,
    ) -> Outcome:
        """See `Subject.call`."""
        split = parameters(experiment, inputs)
        given = {key: inputs[key] for key in split.inputs}
        arguments = self._arguments(split, given, record)
        recorder = Recorder(self._namespace, experiment, stop_after) if record else None
        with _seeded(seed), quiet() if timed else one_thread():
            if timed:
                _flush_cache()
            value, seconds, processor = self._run(experiment, arguments, recorder, timed)
        outputs = plain.snapshot(value)
        damaged: tuple[str, ...] = ()
        aliased: tuple[tuple[str, str], ...] = ()
        if watch:
            damaged = tuple(key for key in given if not plain.unchanged(self._held[key], given[key]))
            aliased = tuple(self._shared(value))
            self._previous = value
        if recorder is None:
            return Outcome(outputs, seconds, (), 0, damaged, aliased, processor)
        objects = {name: self._namespace[name] for name in split.names}
        recorded = recorder.recorded(objects)
        return Outcome(outputs, seconds, recorded, recorder.operations, damaged, aliased, processor)

    def identity(self, experiment: Experiment, inputs: Mapping[str, Any]) -> tuple[object, ...]:
        """See `Subject.identity`."""
        names = parameters(experiment, inputs).names
        return (self._namespace, *(self._namespace.get(name, _MISSING) for name in names))

    def handed_in(self, name: str, most_bytes: int) -> bytes:
        """See `holding.HoldingSubject`: a notebook runs in the folder that it lies in."""
        return read_beside(Path.cwd(), name, most_bytes)

    def metered(self, experiment: Experiment, inputs: dict[str, Any], meter: Any, *, seed: int = 0) -> Outcome:
        """Run it once inside a meter, see `meter.MeteredSubject`."""
        split = parameters(experiment, inputs)
        arguments = self._arguments(split, {key: inputs[key] for key in split.inputs}, record=False)
        meter.start(self._namespace, experiment)
        with _seeded(seed):
            value, seconds, _ = self._run(experiment, arguments, meter, timed=False)
        meter.finish(value)
        return Outcome(plain.snapshot(value), seconds)

    def differentiate(
        self, experiment: Experiment, inputs: dict[str, Any], *, wrt: tuple[str, ...], upstream: str
    ) -> tuple[torch.Tensor, ...]:
        """Autograd's gradients of sum(output * inputs[upstream]) with respect to the inputs `wrt`.

        For the reference only, which is always in this process. Raises AuthoringError if the experiment does not give
        one tensor of upstream's shape, or does not depend on an input of `wrt`.
        """
        split = parameters(experiment, inputs)
        given = {key: plain.duplicate(inputs[key], key) for key in split.inputs}
        for name in wrt:
            if not isinstance(given.get(name), torch.Tensor):
                raise AuthoringError(f"{experiment.__name__} takes no tensor {name} to differentiate by")
            given[name] = given[name].detach().requires_grad_()
        names = {name: self._find(name) for name in split.names}
        with torch.enable_grad(), _seeded(0):
            output = transplant(experiment)(**names, **given)
            dout = inputs.get(upstream)
            if not isinstance(output, torch.Tensor) or not isinstance(dout, torch.Tensor):
                raise AuthoringError(f"{experiment.__name__} must give one tensor, and the inputs {upstream}")
            if output.shape != dout.shape:
                raise AuthoringError(
                    f"{upstream} has shape {tuple(dout.shape)}: {experiment.__name__} gives {tuple(output.shape)}"
                )
            total = (output * dout.to(output.dtype)).sum()  # as grad(..., dout), which would import sympy (2 s)
            found = torch.autograd.grad(total, [given[name] for name in wrt], allow_unused=True)
        for name, gradient in zip(wrt, found, strict=True):
            if gradient is None:
                raise AuthoringError(f"{experiment.__name__} does not depend on {name}")
        return tuple(gradient.detach().clone() for gradient in found)

    def _arguments(self, split: Parameters, given: dict[str, Any], record: bool) -> dict[str, Any]:
        names = {name: self._find(name) for name in split.names}
        if record:
            names = {name: edge(name, value, self._namespace) for name, value in names.items()}
        held = {key: self._held.get(key) for key in given}
        self._held = {key: plain.refill(held[key], value) for key, value in given.items()}
        return {name: names[name] if name in names else self._held[name] for name in split.order}

    def _find(self, name: str) -> Any:
        found = self._namespace.get(name, _MISSING)
        if found is _MISSING:
            raise CheckFailed(f"{name} is not defined: run the cell that defines it")
        if found is ...:
            raise CheckFailed(f"{name} is still the placeholder `...`: replace it with your answer")
        return found

    def _run(
        self, experiment: Experiment, arguments: dict[str, Any], recorder: Recorder | None, timed: bool
    ) -> tuple[Any, float, float]:
        function = transplant(experiment)
        accelerated = device.current().kind == "cuda"
        value: Any = None
        span = Span(0.0, 0.0, 0.0)
        try:
            with Stopwatch() as clock, _settings(), recorder if recorder is not None else contextlib.nullcontext():
                if accelerated:
                    torch.cuda.synchronize()
                clock.start()
                value = function(**arguments)
                if accelerated:
                    torch.cuda.synchronize()
                span = clock.stop()
        except KeyboardInterrupt:
            raise
        except Enough:
            pass
        except Denied as denied:
            if not isinstance(recorder, Recorder):  # which says itself what it saw, and where
                raise CheckFailed(_explain(denied, self._namespace, experiment)) from None
        except BaseException as error:
            raise CheckFailed(_explain(error, self._namespace, experiment)) from None
        seconds = span.wall if accelerated or not timed else max(span.worked, span.processor)
        return value, seconds, span.processor

    def _shared(self, value: Any) -> Iterator[tuple[str, str]]:
        inputs = [span for key, held in self._held.items() for span in plain.spans(held, key)]
        before = [("the previous call's output", low, high) for _, low, high in plain.spans(self._previous, "")]
        for where, low, high in plain.spans(value, "the output"):
            for other, start, end in inputs + before:
                if low < end and start < high:
                    yield where, other
                    break


def as_subject(env: Any) -> Subject:
    """A subject for a namespace (otter's `env`), for a module (the reference), or the subject that was given."""
    if isinstance(env, dict):
        return LocalSubject(env)
    if isinstance(env, types.ModuleType):
        return LocalSubject(vars(env))
    if isinstance(env, Subject):
        return env
    raise AuthoringError(f"expected the test's env, a module or a subject, got {type(env).__name__}")


_stand_in: contextvars.ContextVar[Callable[[types.ModuleType], Subject] | None] = contextvars.ContextVar(
    "stand_in", default=None
)


@contextlib.contextmanager
def references_run_on(stand_in: Callable[[types.ModuleType], Subject]) -> Iterator[None]:
    """Inside, a reference that is timed is `stand_in(module)`: where the student's code runs in another process, it
    must run in such a process as well, so that what the way there and back takes stands on both sides.
    """
    token = _stand_in.set(stand_in)
    try:
        yield
    finally:
        _stand_in.reset(token)


def as_timed(reference: Any) -> Subject:
    """The subject of a reference whose calls will be timed."""
    stand_in = _stand_in.get()
    if stand_in is not None and isinstance(reference, types.ModuleType):
        return stand_in(reference)
    return as_subject(reference)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The conditions of a timed call: one CPU thread, no garbage collection. Restored afterwards; may be nested."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        with one_thread():
            yield
    finally:
        if collecting:
            gc.enable()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One CPU thread, as long as the code inside does not ask for more: threads that wait for one another on busy
    cores take twenty times as long as one that does the work alone.
    """
    threads = torch.get_num_threads()
    if threads != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The global random generators start from `seed` inside, and go on afterwards as if nothing had been drawn."""
    accelerated = device.current().kind == "cuda"
    states = (torch.get_rng_state(), np.random.get_state(), random.getstate())
    cuda = torch.cuda.get_rng_state() if accelerated else None
    torch.default_generator.manual_seed(seed)
    if accelerated:
        torch.cuda.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
        if cuda is not None:
            torch.cuda.set_rng_state(cuda)


@contextlib.contextmanager
def _settings() -> Iterator[None]:
    """Gradients on; what the student's code changes of torch's global settings is put back."""
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    try:
        with torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


_flush: torch.Tensor | None = None


def _flush_cache() -> None:
    """On a GPU, overwrite twice the L2 cache, so that no call finds its inputs there. On a CPU nothing."""
    global _flush
    if device.current().kind != "cuda":
        return
    if _flush is None:
        size = 2 * torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size
        _flush = torch.empty(size, dtype=torch.uint8, device="cuda")
    _flush.zero_()


def _explain(error: BaseException, namespace: dict[str, Any], experiment: Experiment) -> str:
    """An exception in words: what it is, and the line of the student's code that it came from."""
    frames = list(traceback.walk_tb(error.__traceback__))
    try:
        message = str(error)
    except BaseException:  # the student's own exception class may be broken
        message = "(its message cannot be shown)"
    message = message if len(message) <= 400 else message[:397] + "..."
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    if "NoneType" in message:
        text += ". Something is None here: did a function return nothing because its body is still the placeholder?"
    own = [(f, line) for f, line in frames if f.f_globals is namespace and f.f_code.co_filename != EDGE]
    if own:
        frame, line = own[-1]
        source = linecache.getline(frame.f_code.co_filename, line).strip()
        place = f"in {frame.f_code.co_name}, line {line} of {_place(frame.f_code.co_filename)}"
        return f"{place}: {text}" + (f"\n    {source[:200]}" if source else "")
    names = ", ".join(experiment.__code__.co_varnames[: experiment.__code__.co_argcount])
    return f"calling {experiment.__name__}({names}): {text}"


def _place(filename: str) -> str:
    name = PurePath(filename).name
    return "its cell" if "ipykernel" in filename or name.startswith("<") else name
