"""Two values agree up to rounding: for public tests that state their own expected value."""

from typing import Any

import torch

from gradekit.check import evidence
from gradekit.check.compare import CEILING, Expected, as_tensor, epsilon, mismatch, scale_of, widen
from gradekit.check.failure import CheckFailed


def close(got: Any, want: Any, *, what: str = "the output", ulps: float = 64) -> None:
    """Raise CheckFailed unless `got` has the structure, type, shape, dtype and values of `want`.

    Floating-point values may differ by ulps * eps(dtype of want) * max|want|, but never by more than 2.5 % of
    max|want|, so that zeros, a flipped sign or a 5 % scale are refused in every dtype. All else must be equal.
    `what` names the value in messages.
    """

    def expect(path: str, leaf: Any) -> Expected:
        truth = widen(as_tensor(leaf))
        scale = scale_of(truth)
        return Expected(leaf, truth, min(ulps * epsilon(leaf), CEILING) * scale, scale)

    with evidence.recording("close", what) as draft, torch.no_grad():
        found = mismatch(got, want, expect, what)
        draft.message = f"{what}: as expected"
        if found is not None:
            draft.data = {"kind": found.kind, "error": found.error, "allowed": found.allowed}
            raise CheckFailed(found.text)
