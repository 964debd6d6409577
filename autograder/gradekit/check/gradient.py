"""A backward pass that the student wrote agrees with automatic differentiation."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from gradekit import device
from gradekit.check import budget, cases, evidence, plain
from gradekit.check.compare import mismatch
from gradekit.check.experiment import Experiment, parameters
from gradekit.check.failure import AuthoringError, CheckFailed
from gradekit.check.guard import guarded
from gradekit.check.normal import normal
from gradekit.check.rules import refuse
from gradekit.check.run import refuse_blank
from gradekit.check.subject import LocalSubject, Subject, as_subject

STEP = 1e-6
"""Of the finite differences, in units of an input's largest value. In float64 a central difference is then wrong by
about eps / STEP = 2e-10 from rounding and STEP**2 = 1e-12 from curvature, relative to the derivative."""

OWN_TOLERANCE = 1e-5
"""Of the derivative's size: far above both of these errors, far below a 5 % scale."""


def gradient(
    backward: Experiment,
    env: Any,
    reference: Any,
    inputs: cases.Inputs,
    *,
    forward: Experiment,
    wrt: Sequence[str] = ("x", "w", "b"),
    upstream: str = "dout",
    own_forward: bool = False,
    factor: float = budget.FACTOR,
    forbid: tuple[str, ...] = (),
) -> None:
    """Raise CheckFailed unless `backward` gives the gradients of `forward` with respect to `wrt`, in that order.

    backward: the experiment that runs the student's code; it returns a tuple of gradients (a single one may stand
        alone). forward: the experiment that gives one output tensor; it runs on the reference in float64, and autograd
        differentiates sum(output * inputs[upstream]), which is the truth. Each gradient may be off by `factor` times
        the error of the same in the working dtype, see `budget`.
    own_forward: the student's gradients must also be those of the student's own forward, by central differences along
        random directions in float64, so that a pair that is wrong alike is told so.

    As in `accuracy`, inputs must stay as they were and gradients have memory of their own.
    """
    student = as_subject(env)
    with evidence.recording("gradient", backward) as draft, guarded(student, backward, forbid):
        expert = as_subject(reference)
        if not isinstance(expert, LocalSubject):
            raise AuthoringError("the reference of check.gradient must be a module")
        kind, wrt = device.current().kind, tuple(wrt)
        draft.data = {"factor": factor, "wrt": list(wrt), "cases": [], "blind": []}
        for number, case in enumerate(cases.cases(inputs, backward.__name__, kind)):
            name = cases.describe(case, parameters(backward, case).inputs)
            where = f" (for {name})" if name else ""
            try:
                given = student.call(backward, case, record=bool(forbid), watch=True)
            except CheckFailed as failure:
                raise CheckFailed(f"{failure}{where}") from None
            refuse(given.recorded, forbid)
            refuse_blank(given.outputs, backward, case)
            expected = _truth(expert, forward, case, wrt, upstream, factor)
            got = (given.outputs,) if isinstance(given.outputs, torch.Tensor) and len(wrt) == 1 else given.outputs
            labels = {f"{budget.OUTPUT}[{i}]": f"the gradient with respect to {name}" for i, name in enumerate(wrt)}
            labels[budget.OUTPUT] = "the tuple of gradients"
            found = mismatch(got, expected.outputs, expected.expect, budget.OUTPUT, labels)
            draft.data["cases"].append({"case": name, "outputs": expected.as_data()})
            draft.data["blind"] += [f"{name}: {text}" for text in expected.blind()]
            if found is not None:
                draft.data |= {"kind": found.kind, "error": found.error, "allowed": found.allowed}
                raise CheckFailed(f"{found.text}{where}")
            for key in given.damaged:
                raise CheckFailed(f"{key} was changed in place: work on a copy, the caller still needs it{where}")
            for output, other in given.aliased:
                label = labels.get(output, output)
                raise CheckFailed(f"{label} shares its memory with {other}: return a new tensor{where}")
            if own_forward:
                _check_own(student, forward, backward, case, wrt, upstream, number, where)
        count = len(draft.data["cases"])
        draft.message = f"the gradients are right in {count} case{'s' if count != 1 else ''}"


def _truth(
    expert: LocalSubject, forward: Experiment, case: dict[str, Any], wrt: tuple[str, ...], upstream: str, factor: float
) -> budget.Budget:
    def run(given: dict[str, Any]) -> tuple[torch.Tensor, ...]:
        return expert.differentiate(forward, given, wrt=wrt, upstream=upstream)

    working, truth = run(case), run(plain.cast(case, torch.float64))
    coarse = run(plain.cast(case, torch.float32)) if budget.is_double(case) else working
    return budget.derive(case, working, truth, coarse, factor=factor)


def _check_own(
    student: Subject,
    forward: Experiment,
    backward: Experiment,
    case: dict[str, Any],
    wrt: tuple[str, ...],
    upstream: str,
    number: int,
    where: str,
) -> None:
    wide = plain.cast(case, torch.float64)
    dout = wide[upstream]
    found = student.call(backward, wide).outputs
    gradients = (found,) if isinstance(found, torch.Tensor) else found
    rng = cases.rng(f"{backward.__name__}: own forward", number)

    def loss(name: str, value: torch.Tensor) -> float:
        output = student.call(forward, {**wide, name: value}).outputs
        if not isinstance(output, torch.Tensor) or output.shape != dout.shape:
            raise CheckFailed(f"your own forward pass gives no tensor of shape {tuple(dout.shape)}{where}")
        return float((output.to(torch.float64) * dout).sum())

    for name, gradient_ in zip(wrt, gradients, strict=True):
        x = wide[name]
        direction = normal(rng, *x.shape, dtype=torch.float64).to(x.device)
        step = STEP * max(float(x.abs().max()), 1e-3) if x.numel() else STEP
        slope = (loss(name, x + step * direction) - loss(name, x - step * direction)) / (2 * step)
        claimed = float((gradient_ * direction).sum())
        size = max(float(gradient_.norm()), abs(slope), 1e-12)
        if not math.isfinite(claimed) or abs(claimed - slope) > OWN_TOLERANCE * size:
            raise CheckFailed(
                f"the gradient with respect to {name} is not that of your own forward pass: along a random direction "
                f"it gives a slope of {claimed:.6g}, the forward pass itself has {slope:.6g}{where}"
            )
