"""What a trained or acting program reaches: a score over several seeds, within a time budget."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from gradekit import device
from gradekit.check import cases, evidence
from gradekit.check.experiment import Experiment
from gradekit.check.failure import AuthoringError, CheckFailed
from gradekit.check.run import refuse_blank
from gradekit.check.speed import limit_for, same
from gradekit.check.subject import Outcome, as_subject


@dataclasses.dataclass
class Runs:
    """The runs of one experiment on one student's code; several targets share them."""

    identity: tuple[object, ...]
    kind: str
    seed: int
    values: list[float] = dataclasses.field(default_factory=list)
    times_s: list[float] = dataclasses.field(default_factory=list)


def outcome(
    experiment: Experiment,
    env: Any,
    inputs: cases.Inputs,
    *,
    score: Callable[[Any, dict[str, Any]], float],
    at_least: float | Mapping[str, float],
    seconds: float | Mapping[str, float],
    seeds: int = 3,
) -> None:
    """Raise CheckFailed unless mean - std of the score over `seeds` runs is at least `at_least`, each run in time.

    Run i gets the inputs of draw i and starts torch's, NumPy's and Python's global generators from a seed of its own,
    `cases.run_seed`. `score(outputs, inputs)` runs with the judge and sees all inputs, also those that the experiment
    does not take (hidden labels). std is the sample standard deviation (ddof=1), 0 for a single seed.

    `seconds` is what one run may take, see `time_taken`. The first run that takes longer ends the check (it is not
    interrupted).

    Checks with several targets for the same experiment, inputs, score and code share their runs: a second target costs
    no second training.

    at_least, seconds: a number, or one for each device class; where a class has none, that part is "not assessed", and
    one run must still give a score.
    """
    with evidence.recording("outcome", experiment) as draft:
        if seeds < 1:
            raise AuthoringError(f"expected at least one seed, got {seeds}")
        student, kind = as_subject(env), device.current().kind
        target, limit = target_for(at_least, kind), limit_for(seconds, kind)
        count = seeds if target is not None else 1
        first = cases.only(inputs, experiment.__name__, kind, draw=0, check="outcome")
        runs = _runs(experiment, (inputs, score, *student.identity(experiment, first)), kind)
        values, times = runs.values[:count], runs.times_s[:count]
        draft.data = {"at_least": target, "seconds": limit, "scores": values, "times_s": times}
        for run in range(count):
            if run == len(values):
                case = first if run == 0 else cases.only(inputs, experiment.__name__, kind, draw=run, check="outcome")
                result = student.call(experiment, case, seed=cases.run_seed(run))
                refuse_blank(result.outputs, experiment, case)
                value = score_of(score, result.outputs, case)
                taken = time_taken(result, kind)
                for kept, new in ((values, value), (times, taken), (runs.values, value), (runs.times_s, taken)):
                    kept.append(new)
            if limit is not None and times[run] > limit:
                taken = times[run]
                raise CheckFailed(f"run {run + 1} of {seeds} took {taken:.3g} s: {limit:.3g} s are allowed on a {kind}")
        mean = statistics.fmean(values)
        std = statistics.stdev(values) if len(values) > 1 else 0.0
        reached = f"{mean:.4g} - {std:.2g} = {mean - std:.4g} (mean - std of {len(values)} runs)"
        draft.data |= {"mean": mean, "std": std}
        if target is None:
            draft.verdict = "not assessed"
            draft.message = f"not assessed on a {kind}: there is no target for it; one run scored {mean:.4g}"
            return
        if mean - std < target:
            shown = ", ".join(f"{value:.4g}" for value in values)
            raise CheckFailed(f"the score is {reached}: {target:.4g} is needed. The runs scored {shown}")
        if limit is None:
            draft.verdict = "not assessed"
        draft.message = f"the score is {reached}; {target:.4g} is needed. The longest run took {max(times):.3g} s"
        draft.message += "" if limit is not None else f" (time is not assessed on a {kind})"


def _runs(experiment: Experiment, identity: tuple[object, ...], kind: str) -> Runs:
    """What ran before on the same code, or nothing yet. Kept in the experiment's own `__dict__`, and goes with it."""
    kept: list[Runs] = vars(experiment).setdefault("_gradekit_outcome", [])
    for runs in kept:
        if (runs.kind, runs.seed) == (kind, cases.seed()) and same(runs.identity, identity):
            return runs
    kept.append(Runs(identity, kind, cases.seed()))
    return kept[-1]


def time_taken(result: Outcome, kind: str) -> float:
    """Seconds of one run, in which neither a busy neighbour nor the number of cores should decide.

    On a CPU processor time, with one thread, where that is less than wall time; elsewhere wall time.
    """
    return min(result.seconds, result.processor_s) if kind == "cpu" else result.seconds


def target_for(target: float | Mapping[str, float], kind: str) -> float | None:
    """The target of a device class, None where it has none."""
    return target.get(kind) if isinstance(target, Mapping) else target


def score_of(score: Callable[[Any, dict[str, Any]], float], outputs: Any, case: dict[str, Any]) -> float:
    """What the judge's score says of the outputs. Raises CheckFailed where it says nothing, or no finite number."""
    try:
        value = float(score(outputs, case))
    except AssertionError:
        raise
    except Exception as error:
        raise CheckFailed(f"the outputs cannot be scored: {type(error).__name__}: {error}") from None
    if not math.isfinite(value):
        raise CheckFailed(f"the score is {value}: did the training diverge?")
    return value
