"""How the cost grows with the size: the exponent p of cost ~ size^p, against a limit.

The logarithm of the cost is fitted with a line over the logarithm of the size; p is its slope.

Operations are counted (see `operations`), so a count at each size gives p without any uncertainty. The line is fitted
over the larger half of the sizes (three at least), where terms of lower order weigh least: 1000 n + n^2 shall not pass
as linear because it is so at first. Time is measured in rounds that visit all sizes in an order drawn by lot, each on
fresh inputs; every round gives one p, fitted over all sizes (over a few, the step from one level of cache to the next
looks like another power), and `median.decide` gives the verdict on their median: exact, at most three looks, and
undecided where the interval still holds the limit at the end.

What it can tell, over sizes from n to 16 n: O(n) from O(n^2) surely. A Python loop over a list counts as 1.00, over all
pairs as 1.99; in 25 measurements of time each (a busy 2-core machine, limit 1.5) the loop came out between 0.89 and
1.05, the pairs between 1.85 and 2.16, and all 50 verdicts were right. O(n) from O(n log n) it tells poorly: p is then
about 1 + 1 / ln(size), 1.13 at a size of 2,000 and 1.09 at 65,000. A merge sort counts as 1.11, so for counts of plain
Python a limit of 1.05 tells the two apart, as long as nothing else bends the line; its time came out between 1.08 and
1.33, and `sorted` as 1.18, `torch.sort` as 1.06, `cumsum` (which is linear) as 0.76 with its overhead. No limit on time
tells these apart. Set limits halfway between powers: 1.5 between n (or n log n) and n^2.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias

import numpy as np

from gradekit import device
from gradekit.check import cases, evidence, plain
from gradekit.check.experiment import Experiment
from gradekit.check.failure import AuthoringError, CheckFailed
from gradekit.check.guard import guarded
from gradekit.check.median import decide
from gradekit.check.meter import MeteredSubject, as_metered
from gradekit.check.operations import Operations
from gradekit.check.recorder import Recorded
from gradekit.check.rules import refuse
from gradekit.check.run import refuse_blank
from gradekit.check.subject import Subject, as_subject, quiet

Sized: TypeAlias = Callable[[np.random.Generator, str, int], dict[str, Any]]

SECONDS = 20.0
"""After so long the verdict on time is taken from the rounds there are."""

_INTO_NUMPY = ("numpy.*", "torch.Tensor.numpy", "torch.Tensor.__array__", "torch._tensor.Tensor.__array__")


def scaling(
    experiment: Experiment,
    env: Any,
    inputs: Sized,
    *,
    sizes: Sequence[int],
    at_most_exponent: float,
    of: Literal["operations", "time"] = "operations",
    forbid: tuple[str, ...] = (),
) -> None:
    """Raise CheckFailed if the cost grows faster than size ** at_most_exponent.

    `inputs(rng, device, size)` gives the inputs of one size; `sizes` are at least four, and the largest is at least
    eight times the smallest. of: count tensor operations and lines of Python, or measure time (needed for work inside
    NumPy or Python's built-ins, which no count sees; choose sizes of which the smallest takes a millisecond or so).

    Outputs are not compared with anything: that is `check.accuracy`'s part.
    """
    with evidence.recording("scaling", experiment) as draft:
        if not at_most_exponent > 0:
            raise AuthoringError(f"expected a limit above 0, got {at_most_exponent}")
        if of not in ("operations", "time"):
            raise AuthoringError(f"expected of='operations' or of='time', got {of!r}")
        sizes = _checked(sizes)
        kind = device.current().kind
        draft.data = {"limit": at_most_exponent, "of": of, "sizes": list(sizes)}
        student = as_subject(env)
        smallest = _draw(inputs, experiment, kind, sizes[0], 0)
        with guarded(student, experiment, forbid):
            recorded = student.call(experiment, smallest, record=True)
            refuse(recorded.recorded, forbid)
        refuse_blank(recorded.outputs, experiment, smallest)
        if of == "operations":
            _refuse_numpy(smallest, recorded.outputs, recorded.recorded)
            with guarded(student, experiment, forbid, counted=True):
                found = _count(experiment, as_metered(student), inputs, sizes, kind)
            draft.data |= found
            draft.verdict = "pass" if found["exponent"] <= at_most_exponent + 1e-9 else "fail"
            cause = found["most"]
            said = f"the number of operations grows as size^{found['exponent']:.2f}"
        else:
            draft.data |= (found := _time(experiment, student, inputs, sizes, kind, at_most_exponent))
            draft.verdict, cause = found["verdict"], ""
            said = f"the time grows as size^{found['exponent']:.2f} ({found['low']:.2f} to {found['high']:.2f})"
        growth = f"{sizes[-1] / sizes[0]:g} times the size costs {_figure(found['cost'][-1] / found['cost'][0])} times"
        if draft.verdict == "fail":
            blame = f". Most of it is {cause}" if cause else ""
            raise CheckFailed(f"{said}; at most size^{at_most_exponent:g} is asked for: {growth} as much{blame}")
        draft.message = f"{said}; the limit is size^{at_most_exponent:g}"
        if draft.verdict == "undecided":
            draft.data["flag"] = "undecided"
            draft.message += ": too near it to tell, so it counts as passed"


def slope(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """The exponent: the slope of log cost over log size, by least squares."""
    fit = statistics.linear_regression([math.log(n) for n in sizes], [math.log(max(c, 1e-12)) for c in costs])
    return fit.slope


def _count(
    experiment: Experiment, student: MeteredSubject, inputs: Sized, sizes: Sequence[int], kind: str
) -> dict[str, Any]:
    costs, most = [], ""
    for size in sizes:
        meter = Operations()
        with quiet():
            student.metered(experiment, _draw(inputs, experiment, kind, size, 0), meter)
        costs.append(meter.total)
        most = meter.most
    larger = max(3, (len(sizes) + 1) // 2)
    exponent = slope(sizes[-larger:], costs[-larger:])
    return {"exponent": exponent, "low": exponent, "high": exponent, "cost": costs, "most": most}


def _time(
    experiment: Experiment, student: Subject, inputs: Sized, sizes: Sequence[int], kind: str, limit: float
) -> dict[str, Any]:
    """Rounds of timed calls until the interval of the exponent lies on one side of the limit."""
    times: dict[int, list[float]] = {size: [] for size in sizes}
    slopes: list[float] = []
    start, decision = time.perf_counter(), None
    with quiet():
        for size in sizes[:-1]:  # what is loaded in a first call; the largest need not be run for that
            student.call(experiment, _draw(inputs, experiment, kind, size, 0), timed=True)
        while decision is None:
            order = cases.rng(f"{experiment.__name__}: order", len(slopes)).permutation(len(sizes))
            for index in order:
                case = _draw(inputs, experiment, kind, sizes[index], 1 + len(slopes))
                times[sizes[index]].append(student.call(experiment, case, timed=True).seconds)
            slopes.append(slope(sizes, [times[size][-1] for size in sizes]))
            # decide() compares exp(median) with a limit: here both are growths for e times the size
            decision = decide(slopes, math.exp(limit), final=time.perf_counter() - start > SECONDS)
    return {
        "verdict": decision.verdict,
        "exponent": math.log(decision.ratio),
        "low": math.log(decision.low) if decision.low > 0 else -math.inf,
        "high": math.log(decision.high),
        "rounds": decision.pairs,
        "cost": [statistics.median(times[size]) for size in sizes],
        "exponents": [float(f"{p:.4g}") for p in slopes],
    }


def _checked(sizes: Sequence[int]) -> list[int]:
    """The sizes in order. Raises AuthoringError if they cannot show how a cost grows."""
    found = sorted(set(sizes))
    if len(found) < 4 or found[0] < 1 or found[-1] < 8 * found[0]:
        raise AuthoringError(
            f"expected at least four different sizes, the largest at least eight times the smallest, got {list(sizes)}"
        )
    return found


def _draw(inputs: Sized, experiment: Experiment, kind: str, size: int, draw: int) -> dict[str, Any]:
    def of_this_size(rng: np.random.Generator, where: str) -> Any:
        return inputs(rng, where, size)

    return cases.only(of_this_size, experiment.__name__, kind, draw=draw, check="scaling")


def _refuse_numpy(case: dict[str, Any], outputs: Any, recorded: Sequence[Recorded]) -> None:
    leaves = [*plain.leaves(case, ""), *plain.leaves(outputs, "")]
    if any(isinstance(leaf, np.ndarray) for _, leaf in leaves):
        raise AuthoringError("operations inside NumPy are not counted: use of='time', or tensors")
    for found in recorded:
        if found.how != "source" and found.how != "own call":
            name = found.name
            if any(fnmatchcase(name, pattern) for pattern in _INTO_NUMPY):
                raise CheckFailed(
                    f"{found.where} uses {name}, and what NumPy does is not counted here: use torch or plain Python"
                )


def _figure(value: float) -> str:
    return f"{value:#.2g}" if value < 9.95 else f"{value:,.0f}"
