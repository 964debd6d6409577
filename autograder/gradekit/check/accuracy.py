"""The student's outputs agree with the reference's, as closely as the working dtype allows."""

from typing import Any

from gradekit import device
from gradekit.check import budget, cases, evidence
from gradekit.check.compare import mismatch
from gradekit.check.experiment import Experiment, parameters
from gradekit.check.failure import AuthoringError, CheckFailed
from gradekit.check.guard import guarded
from gradekit.check.rules import refuse
from gradekit.check.run import refuse_blank
from gradekit.check.subject import as_subject


def accuracy(
    experiment: Experiment,
    env: Any,
    reference: Any,
    inputs: cases.Inputs,
    *,
    factor: float = budget.FACTOR,
    forbid: tuple[str, ...] = (),
) -> None:
    """Raise CheckFailed unless every output is right in every case that `inputs` draws.

    An output may be off by `factor` times the error that the reference itself makes in the working dtype against
    float64, see `budget`. The first case is drawn a second time, with other values in the same memory, so that a
    function that remembers its last answer fails. Inputs must be left as they were, and no output may share memory
    with an input or with the last call's output unless the reference's does.
    """
    student = as_subject(env)
    with evidence.recording("accuracy", experiment) as draft, guarded(student, experiment, forbid):
        expert = as_subject(reference)
        kind = device.current().kind
        drawn = list(cases.cases(inputs, experiment.__name__, kind))
        again = next(iter(cases.cases(inputs, experiment.__name__, kind, draw=1)))
        draft.data = {"factor": factor, "cases": [], "blind": []}
        for case in [drawn[0], again, *drawn[1:]]:
            keys = parameters(experiment, case).inputs
            name = cases.describe(case, keys)
            where = f" (for {name})" if name else ""
            try:
                given = student.call(experiment, case, record=bool(forbid), watch=True)
            except CheckFailed as failure:
                raise CheckFailed(f"{failure}{where}") from None
            refuse(given.recorded, forbid)
            refuse_blank(given.outputs, experiment, case)
            expected = budget.measure(expert, experiment, case, factor=factor)
            found = mismatch(given.outputs, expected.outputs, expected.expect, budget.OUTPUT)
            draft.data["cases"].append({"case": name, "outputs": expected.as_data()})
            draft.data["blind"] += [f"{name}: {text}" for text in expected.blind()]
            if found is not None:
                draft.data["kind"] = found.kind
                draft.data["error"], draft.data["allowed"] = found.error, found.allowed
                hint = ""
                if case is again and found.kind == "logic":
                    first = budget.measure(expert, experiment, drawn[0], factor=factor)
                    if mismatch(given.outputs, first.outputs, first.expect, budget.OUTPUT) is None:
                        hint = "; this is the answer to the call before, with other inputs: is a result remembered?"
                raise CheckFailed(f"{found.text}{hint}{where}")
            for key in given.damaged:
                raise CheckFailed(f"{key} was changed in place: work on a copy, the caller still needs it{where}")
            for output, other in given.aliased:
                if output not in expected.aliased:
                    raise CheckFailed(
                        f"{output} shares its memory with {other}: changing one would change the other; "
                        f"return a new tensor{where}"
                    )
        count = len(drawn)
        draft.message = f"right in {count} case{'s' if count != 1 else ''}"
        if not draft.data["cases"]:
            raise AuthoringError("no case was checked")
