"""What weights that were trained at home reach in the student's own network, on data that the judge draws."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from gradekit import device
from gradekit.check import cases, evidence
from gradekit.check.experiment import Experiment, parameters
from gradekit.check.failure import AuthoringError, CheckFailed
from gradekit.check.holding import as_holding
from gradekit.check.outcome import score_of, target_for, time_taken
from gradekit.check.run import refuse_blank
from gradekit.check.speed import limit_for
from gradekit.check.weights import read_weights
from gradekit.hand_in import MOST_BYTES, SUFFIX, is_weights

WEIGHTS = "weights"
"""The input that the judge adds to those of the inputs function."""


def checkpoint(
    experiment: Experiment,
    env: Any,
    file: str,
    inputs: cases.Inputs,
    *,
    score: Callable[[Any, dict[str, Any]], float],
    at_least: float | Mapping[str, float],
    seconds: float | Mapping[str, float],
    most_bytes: int,
) -> None:
    """Raise CheckFailed unless the weights in `file` score at least `at_least`, in time.

    For networks whose training takes too long to be done again while grading. Students hand in the weights beside the
    notebook, as a safetensors file; the assignment's config names it under `hand_in`. The experiment takes an input
    `weights` (names -> tensors, on the CPU) besides its names under test and its other inputs, puts them into the
    student's network itself, and gives plain data:

        def labels_of(Network, weights, images):
            model = Network()
            model.load_state_dict(weights)
            return model.to(images.device).eval()(images).argmax(1)

    `score(outputs, inputs)` runs with the judge and sees all inputs (hidden labels). There is one run, on draw 0. The
    whole file is taken or none of it: it is refused, and nothing of the student's runs, beyond `most_bytes` (at most
    48 MiB), where it is no regular file or no whole safetensors file, and for NaN, infinity, an empty tensor or a dtype
    beyond `weights.DTYPES`.

    seconds: what the run may take, as in `outcome`: processor time on a CPU, wall time elsewhere, not interrupted.
    at_least, seconds: a number, or one for each device class; where a class has none, that part is "not assessed", and
    the run must still give a score.
    """
    with evidence.recording("checkpoint", experiment) as draft:
        _refuse_author(file, most_bytes)
        student, kind = as_holding(env), device.current().kind
        target, limit = target_for(at_least, kind), limit_for(seconds, kind)
        case = cases.only(inputs, experiment.__name__, kind, draw=0, check="checkpoint")
        if WEIGHTS in case:
            raise AuthoringError(f"the inputs have {WEIGHTS!r}, which is the name of what was handed in")
        draft.data = {"file": file, "at_least": target, "seconds": limit, "most_bytes": most_bytes}
        try:
            data = student.handed_in(file, most_bytes)
            weights = read_weights(data, file)
        except CheckFailed as failure:
            draft.data["refused"] = str(failure)
            raise
        case = {WEIGHTS: weights, **case}
        if WEIGHTS not in parameters(experiment, case).inputs:
            raise AuthoringError(f"{experiment.__name__} takes no {WEIGHTS}: what was handed in would not matter")
        draft.data |= {
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "numbers": sum(tensor.numel() for tensor in weights.values()),
        }
        result = student.call(experiment, case, seed=cases.run_seed(0))
        refuse_blank(result.outputs, experiment, case)
        value = score_of(score, result.outputs, case)
        taken = time_taken(result, kind)
        draft.data |= {"scores": [value], "times_s": [taken], "mean": value, "std": 0.0}
        if limit is not None and taken > limit:
            raise CheckFailed(f"the run took {taken:.3g} s: {limit:.3g} s are allowed on a {kind}")
        if target is None:
            draft.verdict = "not assessed"
            draft.message = f"not assessed on a {kind}: there is no target for it; {file} scored {value:.4g}"
            return
        if value < target:
            raise CheckFailed(f"{file} scores {value:.4g}: {target:.4g} is needed")
        if limit is None:
            draft.verdict = "not assessed"
        draft.message = f"{file} scores {value:.4g}; {target:.4g} is needed. The run took {taken:.3g} s"
        draft.message += "" if limit is not None else f" (time is not assessed on a {kind})"


def _refuse_author(file: str, most_bytes: int) -> None:
    if not is_weights(file):
        raise AuthoringError(f"{file!r} is no name for weights: expected a plain one, as network{SUFFIX}")
    if not 0 < most_bytes <= MOST_BYTES:
        raise AuthoringError(f"most_bytes is {most_bytes:,}: expected 1 to {MOST_BYTES:,}")
