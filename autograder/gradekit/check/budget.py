"""How wrong an answer may be: a multiple of the error that the reference itself makes.

The reference runs in the working dtype and in float64 on the same inputs; their largest difference is what rounding
costs here, in these sizes and on this device. (Where the inputs are float64 already, the float32 run is compared with
the float64 run and the difference scaled by the ratio of the two epsilons.) An output may be off by

    allowed = max(factor * that error, FLOOR_ULPS * eps * scale), at most CEILING * scale,

with `scale` the largest magnitude in the output. Every output has its own budget.

Why 16 and 16: five right convolutions (im2col, as_strided with einsum, shifted sums, one product after the other, FFT)
against torch's own, forward and both gradients, ten sizes from 3 x 3 to 128 x 128 pixels and 1 to 64 channels, strides
1 and 2, 3,840 outputs a dtype. Their error over the reference's, float32: median 1.0 (FFT 1.25), 99 % under 5.4, the
worst 29, where the reference happens to be nearly exact (0.04 ulps of the scale) and the floor takes over. The largest
share of the allowed error that any of them used was 0.37 in float32 (0.19 by FFT), 0.53 in float64, 0.50 in float16,
0.65 in bfloat16. So a factor of 16 with a floor of 16 leaves a right answer at least a third of its budget in reserve,
while an answer that is wrong by 5 % is 400 times over it in float32.

The ceiling binds in bfloat16 only (one ulp is 0.8 % of the scale): there an answer that adds up product by product in
bfloat16 is refused, since its error of up to 8 % cannot be told from a wrong factor. Accumulate in float32 instead.
"""

import dataclasses
from typing import Any

import numpy as np
import torch

from gradekit.check import plain
from gradekit.check.compare import CEILING, Expected, as_tensor, epsilon, is_inexact, scale_of, widen
from gradekit.check.experiment import Experiment
from gradekit.check.failure import AuthoringError
from gradekit.check.subject import Subject

FACTOR = 16.0
FLOOR_ULPS = 16.0
OUTPUT = "the output"
_COARSER = float(np.finfo(np.float64).eps / np.finfo(np.float32).eps)


@dataclasses.dataclass(frozen=True)
class Budget:
    """What the reference says of one case: its outputs in the working dtype, and what each may be off by."""

    outputs: Any
    leaves: dict[str, Expected]
    aliased: frozenset[str] = frozenset()

    def expect(self, path: str, leaf: Any) -> Expected:
        """The truth and the allowed error at a path."""
        return self.leaves[path]

    def as_data(self) -> list[dict[str, Any]]:
        """For evidence: allowed error and scale of each output, absolute."""
        return [{"output": path, "allowed": e.allowed, "scale": e.scale} for path, e in self.leaves.items()]

    def blind(self) -> list[str]:
        """Wrong answers that these inputs would let pass: for `verify`, which refuses such inputs."""
        found = []
        for path, expected in self.leaves.items():
            truth = torch.nan_to_num(expected.truth, 0.0, 0.0, 0.0)
            wrong = {"zeros": 0 * truth, "a flipped sign": -truth, "a 5 % scale": 1.05 * truth}
            if truth.dim() and truth.shape[-1] > 1:
                wrong["a shift by one"] = truth.roll(1, -1)
            for kind, values in wrong.items():
                if not values.numel() or float((values - truth).abs().max()) <= expected.allowed:
                    found.append(f"{path} would pass as {kind}")
        return found


def measure(expert: Subject, experiment: Experiment, case: dict[str, Any], *, factor: float) -> Budget:
    """Run the reference, in the working dtype and wider, and derive what is allowed for every output."""
    working = expert.call(experiment, case, watch=True)
    truth = expert.call(experiment, plain.cast(case, torch.float64)).outputs
    coarse = expert.call(experiment, plain.cast(case, torch.float32)).outputs if is_double(case) else working.outputs
    aliased = frozenset(output for output, _ in working.aliased)
    return dataclasses.replace(derive(case, working.outputs, truth, coarse, factor=factor), aliased=aliased)


def derive(case: dict[str, Any], outputs: Any, truth: Any, coarse: Any, *, factor: float) -> Budget:
    """The budget from three runs of the reference: working dtype, float64, and float32 if the working dtype is float64.

    Raises AuthoringError if the reference's own error is so large a part of an output that the ceiling cuts into it,
    that is, if the output is mostly rounding noise: no answer could be told right from wrong.
    """
    truths, coarses = dict(plain.leaves(truth, OUTPUT)), dict(plain.leaves(coarse, OUTPUT))
    ratio = _COARSER if is_double(case) else 1.0
    found = {}
    for path, leaf in plain.leaves(outputs, OUTPUT):
        if not is_inexact(leaf):
            continue
        if not is_inexact(truths.get(path)) or not is_inexact(coarses.get(path)):
            raise AuthoringError(f"the reference gives {path} in one dtype and not in another")
        exact, rough = widen(as_tensor(truths[path])), widen(as_tensor(coarses[path]))
        if exact.shape != rough.shape:
            raise AuthoringError(f"the reference gives {path} in another shape in float64")
        scale, eps = scale_of(exact), _working_epsilon(case, leaf)
        own = scale_of(torch.where(torch.isfinite(exact), rough.to(exact.device) - exact, 0.0)) * ratio
        if scale == 0:  # zero exactly: all that there is to compare with is the size of what went in
            sizes = (scale_of(widen(as_tensor(v))) for _, v in plain.leaves(case, "") if is_inexact(v))
            found[path] = Expected(leaf, exact, max(factor * own, FLOOR_ULPS * eps * max(sizes, default=0.0)), scale)
            continue
        if own > CEILING / 2 * scale:
            raise AuthoringError(
                f"{path}: the reference's own rounding error is {own / scale:.1%} of the largest value. Choose inputs "
                "(or a dtype) for which this output is more than rounding noise"
            )
        found[path] = Expected(leaf, exact, min(max(factor * own, FLOOR_ULPS * eps * scale), CEILING * scale), scale)
    return Budget(outputs, found)


def around(budget: Budget, outputs: Any, *, factor: float) -> Budget:
    """The same relative budget around other outputs of the reference, in the working dtype (which err as well)."""
    found = {}
    for path, leaf in plain.leaves(outputs, OUTPUT):
        if is_inexact(leaf):
            values = widen(as_tensor(leaf))
            scale, before = scale_of(values), budget.leaves[path]
            share = min(before.allowed / before.scale * (1 + 1 / factor), CEILING) if before.scale else 0.0
            found[path] = Expected(leaf, values, max(share * scale, before.allowed if not share else 0.0), scale)
    return Budget(outputs, found)


def is_double(case: dict[str, Any]) -> bool:
    """Whether every floating-point tensor and array of a case is float64, or there is none."""
    return all(epsilon(leaf) < 1e-12 for leaf in _arrays(case))


def _arrays(case: dict[str, Any]) -> list[Any]:
    leaves = (leaf for _, leaf in plain.leaves(case, ""))
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor | np.ndarray) and is_inexact(leaf)]


def _working_epsilon(case: dict[str, Any], leaf: Any) -> float:
    """A tensor's own epsilon; a Python number was computed in the coarsest dtype that went in."""
    if isinstance(leaf, torch.Tensor | np.ndarray):
        return epsilon(leaf)
    return max((epsilon(array) for array in _arrays(case)), default=epsilon(leaf))
