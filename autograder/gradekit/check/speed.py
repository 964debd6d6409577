"""The student's function takes at most so many times as long as the reference.

A ratio, measured side by side on one device, so that the machine's own speed cancels out. Student and reference take
turns, in pairs whose order is drawn by lot and mirrored in the next pair (ABBA), on inputs that are drawn anew for
every pair, and each output that was timed is compared with the reference's. The verdict is `median.decide`'s.
"""

import dataclasses
import math
import statistics
import time
from collections.abc import Mapping
from typing import Any

from gradekit import device
from gradekit.check import budget, cases, evidence, plain
from gradekit.check.budget import Budget
from gradekit.check.compare import mismatch
from gradekit.check.experiment import Experiment, parameters
from gradekit.check.failure import AuthoringError, CheckFailed
from gradekit.check.guard import guarded
from gradekit.check.median import Decision, decide
from gradekit.check.rules import refuse
from gradekit.check.run import refuse_blank
from gradekit.check.subject import Outcome, Subject, as_subject, as_timed, quiet

SECONDS = 20.0
"""After so long (three times as long while all pairs agree) the verdict is taken from the pairs there are."""

TOO_FAST = 50.0
"""Faster than the reference by more than this is flagged in the evidence: nobody does the same work so much faster."""

SUSPICIOUS = 2.0
"""Faster than the reference by more than this, the time is held against what the device's memory can deliver."""

WARM_UP_BELOW = 0.2
"""A first call of fewer seconds is followed by a second one before the clock counts."""

WITHOUT_CALLS, WITHOUT_TIMES, WITHOUT_S = 5, 4.0, 0.02
"""Where what is forbidden is not to be had, the fastest of so many calls takes at most so many times as long, and so
many seconds more: else it is flagged. The first call in a new process is slower by some milliseconds."""

MANY = 2_000
"""Tensor operations, at which the count for a message ends."""


@dataclasses.dataclass
class Measurement:
    """Pairs of timed calls of one experiment on one student's code; several limits (tiers) share it."""

    experiment: Experiment
    student: Subject
    expert: Subject
    inputs: cases.Inputs
    kind: str
    seed: int
    identity: tuple[object, ...]
    expected: Budget
    log_ratios: list[float] = dataclasses.field(default_factory=list)
    student_s: list[float] = dataclasses.field(default_factory=list)
    reference_s: list[float] = dataclasses.field(default_factory=list)
    elapsed_s: float = 0.0
    clock_mhz: float | None = None
    round_trip_s: float = 0.0
    wrong: str = ""
    last: Budget | None = None

    def pair(self) -> None:
        """Time one pair on fresh inputs. Raises CheckFailed if the student's output is wrong, and ever after."""
        if self.wrong:
            raise CheckFailed(self.wrong)
        start, number = time.perf_counter(), len(self.log_ratios)
        case = draw(self.inputs, self.experiment, self.kind, 2 + number)
        lot = cases.rng(f"{self.experiment.__name__}: order", number // 2).random() < 0.5
        sides = [self.student, self.expert] if lot == (number % 2 == 0) else [self.expert, self.student]
        outcomes = {id(side): side.call(self.experiment, case, timed=True) for side in sides}
        student, expert = outcomes[id(self.student)], outcomes[id(self.expert)]
        self.verify(case, student, expert)
        self.student_s.append(student.seconds)
        self.reference_s.append(expert.seconds)
        self.round_trip_s = expert.round_trip_s
        self.log_ratios.append(math.log(max(student.seconds, 1e-9) / max(expert.seconds, 1e-9)))
        self.elapsed_s += time.perf_counter() - start

    def verify(self, case: dict[str, Any], student: Outcome, expert: Outcome) -> None:
        """Raise CheckFailed unless a timed output is that of the reference, within its budget.

        The budget is that of the warm-up, in proportion; only where an output exceeds it, the case's own is worked out.
        """
        expected = budget.around(self.expected, expert.outputs, factor=budget.FACTOR)
        found = mismatch(student.outputs, expected.outputs, expected.expect, budget.OUTPUT)
        if found is not None and found.kind in ("rounding", "logic"):
            expected = budget.measure(self.expert, self.experiment, case, factor=budget.FACTOR)
            found = mismatch(student.outputs, expected.outputs, expected.expect, budget.OUTPUT)
        if found is not None:
            before = self.last
            old = before and mismatch(student.outputs, before.outputs, before.expect, budget.OUTPUT) is None
            hint = "; it is the answer to the call before, with other inputs: is a result remembered?" if old else ""
            self.wrong = f"in a timed call {found.text}{hint}"
            raise CheckFailed(self.wrong)
        self.last = expected


def speed(
    experiment: Experiment,
    env: Any,
    reference: Any,
    inputs: cases.Inputs,
    *,
    at_most: float | Mapping[str, float],
    forbid: tuple[str, ...] = (),
) -> None:
    """Raise CheckFailed if the experiment takes more than `at_most` times as long on the student's code.

    at_most: a ratio of times, or one for each device class: {"cpu": 3.0, "cuda": 1.5}. Where the class at hand has
    none, the output is checked, the time is "not assessed", and the check passes. It passes as well where the limit
    lies within the interval after the last look ("undecided"); both are told apart in the evidence.

    Times are those of single calls, complete on the device; on a CPU with one thread. Checks with several limits on
    the same experiment, inputs and code share one measurement and extend it as they need.
    """
    with evidence.recording("speed", experiment) as draft:
        kind = device.current().kind
        limit = limit_for(at_most, kind)
        with quiet():
            measured = _measurement(experiment, as_subject(env), as_timed(reference), inputs, kind)
            if limit is None:
                _refuse_forbidden(measured, forbid)
                draft.verdict = "not assessed"
                draft.message = f"not assessed on a {kind}: there is a limit for {' and '.join(at_most)} only"  # type: ignore[arg-type]
                return
            decision = decide(measured.log_ratios, limit)
            while decision is None:
                measured.pair()
                decision = decide(measured.log_ratios, limit, final=_out_of_time(measured, limit))
        draft.data = _data(measured, decision, limit)
        draft.verdict = decision.verdict
        if decision.verdict == "fail":
            raise CheckFailed(_too_slow(decision, limit, kind) + _cause(measured))
        if flag := _refuse_forbidden(measured, forbid):
            draft.data.setdefault("flag", flag)
        draft.message = _passed(decision, limit, kind)


def limit_for(limit: float | Mapping[str, float], kind: str) -> float | None:
    """The limit of a device class, None if there is none for it. Raises AuthoringError for one that is not positive."""
    found = limit.get(kind) if isinstance(limit, Mapping) else limit
    if found is not None and not found > 0:
        raise AuthoringError(f"expected a limit above 0, got {found}")
    return found


def draw(inputs: cases.Inputs, experiment: Experiment, kind: str, number: int) -> dict[str, Any]:
    """The inputs of one timed pair."""
    return cases.only(inputs, experiment.__name__, kind, draw=number, check="speed")


def _measurement(
    experiment: Experiment, student: Subject, expert: Subject, inputs: cases.Inputs, kind: str
) -> Measurement:
    """What was measured before on the same experiment, inputs and code, or a new measurement after a checked warm-up.

    It is kept in the experiment's own `__dict__` and goes when the experiment goes.
    """
    case = draw(inputs, experiment, kind, 0)
    identity = (inputs, *student.identity(experiment, case))
    kept: list[Measurement] = vars(experiment).setdefault("_gradekit_speed", [])
    for measured in kept:
        if measured.kind == kind and measured.seed == cases.seed() and same(measured.identity, identity):
            return measured
    outcome = student.call(experiment, case, timed=True)
    refuse_blank(outcome.outputs, experiment, case)
    expected = budget.measure(expert, experiment, case, factor=budget.FACTOR)
    found = mismatch(outcome.outputs, expected.outputs, expected.expect, budget.OUTPUT)
    if found is not None:
        raise CheckFailed(f"before it can be timed it must be right: {found.text}")
    clock = device.clock_mhz(device.current())
    measured = Measurement(
        experiment, student, expert, inputs, kind, cases.seed(), identity, expected, clock_mhz=clock, last=expected
    )
    kept.append(measured)
    if outcome.seconds < WARM_UP_BELOW:  # what is short may still be loading something in its second call
        second = draw(inputs, experiment, kind, 1)
        timed = [side.call(experiment, second, timed=True) for side in (student, expert)]
        measured.verify(second, *timed)
    return measured


def same(a: tuple[object, ...], b: tuple[object, ...]) -> bool:
    """Whether two identities are one: of the same objects."""
    return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))


def _out_of_time(measured: Measurement, limit: float) -> bool:
    """After SECONDS if the pairs lie on both sides of the limit, after three times as long in any case."""
    border = math.log(limit)
    astride = min(measured.log_ratios) <= border < max(measured.log_ratios)
    return measured.elapsed_s > (SECONDS if astride else 3 * SECONDS)


def _refuse_forbidden(measured: Measurement, forbid: tuple[str, ...]) -> str:
    """Raise CheckFailed if the student's code uses what is forbidden. What a person should look at: that it is much
    slower where that is not to be had than it was when it was timed, as if it knew the one from the other.
    """
    if not forbid:
        return ""
    case = draw(measured.inputs, measured.experiment, measured.kind, 0)
    with guarded(measured.student, measured.experiment, forbid):
        refuse(measured.student.call(measured.experiment, case, record=True).recorded, forbid)
        if not measured.student_s:
            return ""
        usual = statistics.median(measured.student_s)
        for _ in range(WITHOUT_CALLS):
            taken = measured.student.call(measured.experiment, case, timed=True).seconds
            if taken <= WITHOUT_TIMES * usual + WITHOUT_S:
                return ""
    return (
        f"where nothing forbidden is to be had it takes {_figure(taken / usual)} times as long as when it was timed: "
        "does it tell the one from the other?"
    )


def _data(measured: Measurement, decision: Decision, limit: float) -> dict[str, Any]:
    n = decision.pairs
    student, expert = measured.student_s[:n], measured.reference_s[:n]
    found: dict[str, Any] = {
        "limit": limit,
        "ratio": decision.ratio,
        "low": decision.low,
        "high": decision.high,
        "pairs": n,
        "early": decision.early,
        "elapsed_s": round(measured.elapsed_s, 3),
        "student_s": [float(f"{s:.4g}") for s in student],
        "reference_s": [float(f"{s:.4g}") for s in expert],
    }
    if measured.round_trip_s and expert:
        found["round_trip_s"] = float(f"{measured.round_trip_s:.3g}")
    if measured.clock_mhz is not None:
        found["clock_mhz"] = [measured.clock_mhz, device.clock_mhz(device.current())]
    if flag := _flag(measured, decision, student, expert):
        found["flag"] = flag
    return found


def _flag(measured: Measurement, decision: Decision, student: list[float], expert: list[float]) -> str:
    """What a person should look at, though it costs no points: "" as a rule."""
    if decision.verdict == "undecided":
        return "undecided"
    if not student or statistics.median(expert) <= SUSPICIOUS * statistics.median(student):
        return ""
    floor = floor_s(measured)
    if statistics.median(student) < floor:
        taken = f"{statistics.median(student) * 1e6:.3g} µs"
        return f"{taken} are less than the {floor * 1e6:.3g} µs that its inputs take to be read: is the work done?"
    if statistics.median(expert) > TOO_FAST * statistics.median(student):
        return f"{_figure(1 / decision.ratio)} times faster than the reference: is the work done?"
    return ""


def floor_s(measured: Measurement) -> float:
    """Seconds below which no function can have read all of its inputs: the memory's roof (Williams et al. 2009,
    doi:10.1145/1498765.1498785). On a GPU they come from its memory, since its cache is flushed before every call; on a
    CPU they may still lie in a cache.
    """
    case = draw(measured.inputs, measured.experiment, measured.kind, 0)
    keys = parameters(measured.experiment, case).inputs
    nbytes = sum(plain.nbytes(leaf) for key in keys for _, leaf in plain.leaves(case[key], key))
    rates = device.rates()
    return nbytes / (rates.bandwidth if measured.kind == "cuda" else rates.cache_bandwidth)


def _too_slow(decision: Decision, limit: float, kind: str) -> str:
    ratio, low, high = (_figure(value) for value in (decision.ratio, decision.low, decision.high))
    if _figure(decision.low) == _figure(limit):
        ratio, low, high = (f"{value:#.4g}" for value in (decision.ratio, decision.low, decision.high))
    return f"{ratio} times the reference ({low} to {high}); full points need {_limit(limit)} on a {kind}."


def _passed(decision: Decision, limit: float, kind: str) -> str:
    low, high = _figure(decision.low), _figure(decision.high)
    if decision.verdict == "undecided":
        return (
            f"{low} to {high} times the reference after {decision.pairs} pairs: too near the limit of "
            f"{_limit(limit)} on a {kind} to tell, so it counts as passed"
        )
    return f"{_figure(decision.ratio)} times the reference ({low} to {high}); the limit is {_limit(limit)} on a {kind}"


def _cause(measured: Measurement) -> str:
    """What makes it slow, if a count of operations shows it."""
    case = draw(measured.inputs, measured.experiment, measured.kind, 0)
    try:
        student, expert = (
            side.call(measured.experiment, case, record=True, stop_after=MANY).operations
            for side in (measured.student, measured.expert)
        )
    except CheckFailed:  # it was right when it was timed: a cause is not worth another message
        return ""
    if student < 10 * max(expert, 5):
        return ""
    return (
        f" It runs {'over ' if student == MANY else ''}{student:,} tensor operations where the reference runs "
        f"{expert:,}: usually a Python loop whose work a few operations on whole tensors can do."
    )


def _figure(value: float) -> str:
    """A ratio in two digits: 0.42, 5.0, 17, 260."""
    return f"{value:#.2g}" if value < 9.95 else f"{float(f'{value:.2g}'):.0f}"


def _limit(value: float) -> str:
    return f"{value:#.2g}" if float(f"{value:.2g}") == value and value < 10 else f"{value:g}"
