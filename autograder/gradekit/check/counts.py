"""The student's function does at most so much: floating-point operations, kernel launches, calls, collectives.

Counted and not timed, so that the verdict is the same every time and on every machine. What can be counted:

    flops         floating-point operations of products, convolutions and attention, by torch's own formulas
                  (a multiplication and an addition are two); all other operators count as none
    launches      operators that compute something: every dispatched operator but views and uninitialised memory. On a
                  GPU each of them starts at least one kernel
    collectives   operators of torch.distributed: all_reduce, broadcast, all_gather, ...
    any other     a pattern of fnmatch over operators (`aten::mm`, `c10d::allreduce_*`) and over the student's own
                  functions by their bare name (`conv2d`): how often they ran
"""

import contextlib
import math
import sys
import threading
import types
from collections import Counter
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from gradekit import device
from gradekit.check import cases, evidence
from gradekit.check.experiment import Experiment, parameters
from gradekit.check.failure import AuthoringError, CheckFailed
from gradekit.check.guard import guarded
from gradekit.check.meter import MeteredSubject, as_metered
from gradekit.check.operations import UNINITIALISED, flops
from gradekit.check.run import refuse_blank
from gradekit.check.subject import quiet

_COLLECTIVES = ("c10d::*", "_c10d_functional::*", "_c10d_functional_autograd::*")
_NO_COLLECTIVES = ("*::wait_tensor", "c10d::barrier", "c10d::monitored_barrier_")


def counts(
    experiment: Experiment,
    env: Any,
    inputs: cases.Inputs,
    *,
    at_most: Mapping[str, float] | None = None,
    at_least: Mapping[str, float] | None = None,
    times: Any = None,
) -> None:
    """Raise CheckFailed if in any case the student's code does more, or less, of something than it may.

    at_most, at_least: a number for each thing that is counted (see above). times: a reference; the numbers are then
    multiples of what the reference does in the same case (of one where it does none). Outputs are not compared with
    anything: that is `check.accuracy`'s part, and an answer of nothing counts little.
    """
    with evidence.recording("counts", experiment) as draft:
        bounds = [("at most", dict(at_most or {})), ("at least", dict(at_least or {}))]
        what = list(dict.fromkeys(name for _, bound in bounds for name in bound))
        if not what or any(not value >= 0 for _, bound in bounds for value in bound.values()):
            raise AuthoringError("check.counts takes numbers of at least 0, for one thing or more")
        student, kind = as_metered(env), device.current().kind
        draft.data = {"at_most": bounds[0][1], "at_least": bounds[1][1], "cases": []}
        for case in cases.cases(inputs, experiment.__name__, kind):
            name = cases.describe(case, parameters(experiment, case).inputs)
            with guarded(student, experiment, counted=True):
                ours = count(experiment, student, case)
            theirs = None if times is None else count(experiment, as_metered(times), case)
            found = {item: ours[item] for item in what}
            unit = {item: 1 if theirs is None else max(theirs[item], 1) for item in what}
            draft.data["cases"].append({"case": name, "counts": found, "unit": unit})
            for word, bound in bounds:
                for item, number in bound.items():
                    limit = number * unit[item]
                    if found[item] > limit if word == "at most" else found[item] < limit:
                        raise CheckFailed(_said(item, found[item], word, limit, unit[item], theirs is not None, name))
        draft.message = "; ".join(f"{item}: {_figure(found[item])}" for item in what)


class Tally(contextlib.AbstractContextManager["Tally"]):
    """A meter: how often operators and the student's functions ran, and the floating-point operations.

    It does not see the operators of other threads, so `threads` says whether there were any.
    """

    def __init__(self) -> None:
        self.threads = False
        self._namespace: dict[str, Any] = {}
        self._calls: Counter[str] = Counter()
        self._flops = self._launches = 0
        self._modes = contextlib.ExitStack()
        self._profile_before: Any = None
        self._thread = 0

    def __getitem__(self, what: str) -> int:
        """How much of it there was."""
        if what == "flops":
            return self._flops
        if what == "launches":
            return self._launches
        patterns = _COLLECTIVES if what == "collectives" else (what,)
        return sum(
            number
            for name, number in self._calls.items()
            if any(fnmatchcase(name, pattern) for pattern in patterns)
            and not (what == "collectives" and any(fnmatchcase(name, pattern) for pattern in _NO_COLLECTIVES))
        )

    def start(self, namespace: dict[str, Any], experiment: Callable[..., Any]) -> None:
        """Called before the call with the student's namespace."""
        self._namespace = namespace

    def __enter__(self) -> "Tally":
        self._thread = threading.get_ident()
        self._modes.enter_context(_Dispatched(self))
        self._profile_before = sys.getprofile()
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._profile_before)
        threading.setprofile(None)
        self._modes.close()

    def finish(self, value: Any) -> None:
        """Called after the call with what it returned."""

    def options(self) -> dict[str, Any]:
        """See `Meter.options`."""
        return {}

    def report(self) -> dict[str, Any]:
        """See `Meter.report`."""
        return {
            "calls": dict(self._calls),
            "flops": self._flops,
            "launches": self._launches,
            "threads": self.threads,
        }

    def adopt(self, report: dict[str, Any]) -> None:
        """See `Meter.adopt`."""
        numbers = [report["flops"], report["launches"], *report["calls"].values()]
        if any(type(number) is not int for number in numbers):
            raise TypeError("expected whole numbers")
        self._calls = Counter({str(name): number for name, number in report["calls"].items()})
        self._flops, self._launches, self.threads = report["flops"], report["launches"], report["threads"] is not False

    def operator(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Called by the dispatch mode."""
        name = func._schema.name
        self._calls[name] += 1
        self._launches += not func.is_view and name not in UNINITIALISED
        self._flops += flops(func, args, kwargs, result) or 0

    def _profile(self, frame: types.FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_globals is self._namespace:
            self._calls[frame.f_code.co_qualname] += 1
            self.threads |= threading.get_ident() != self._thread


class _Dispatched(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, tally: Tally) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._tally = tally

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Otherwise the first operator imports torch's compiler, which takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self._tally.operator(func, args, kwargs or {}, result)
        return result


def count(experiment: Experiment, subject: MeteredSubject, case: dict[str, Any]) -> Tally:
    """What one call does. Raises CheckFailed if it is blank, or works in a thread, where it cannot be counted."""
    tally = Tally()
    with quiet():
        outputs = subject.metered(experiment, case, tally).outputs
    refuse_blank(outputs, experiment, case)
    if tally.threads:
        raise CheckFailed("it runs in a thread that it starts, where its operations cannot be counted: do without one")
    return tally


def _said(item: str, found: int, word: str, limit: float, unit: int, relative: bool, case: str) -> str:
    names = {"flops": "floating-point operations", "launches": "operators (kernel launches)"}
    does = (
        f"{_figure(found)} {names[item]}" if item in names else f"{found} {item if item == 'collectives' else 'calls'}"
    )
    of = "" if item in names or item == "collectives" else f" of {item}"
    than = f", {limit / unit:g} times the reference's {_figure(unit)}," if relative else ""
    where = f" (for {case})" if case else ""
    return f"it takes {does}{of}: {word} {_figure(limit)}{than} are asked for{where}"


def _figure(number: float) -> str:
    """`1,234`, or `1.2e+09` from a billion on."""
    return f"{number:.3g}" if number >= 1e9 or not math.isclose(number, round(number)) else f"{round(number):,}"
