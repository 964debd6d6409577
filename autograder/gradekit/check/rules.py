"""What a from-scratch question forbids or requires."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from gradekit import device
from gradekit.check import cases, evidence
from gradekit.check.experiment import Experiment, parameters
from gradekit.check.failure import CheckFailed
from gradekit.check.guard import guarded
from gradekit.check.recorder import How, Recorded
from gradekit.check.run import refuse_blank
from gradekit.check.subject import as_subject

# Written out rather than "*conv*", which also hits aten::_convert_indices_from_coo_to_csr.
CONVOLUTION = (
    "aten::*conv[123]d*",
    "aten::*convolution*",
    "aten::*conv_transpose*",
    "aten::*conv_depthwise*",
    "aten::conv_tbc*",
    "aten::*slow_conv*",
    "quantized::conv*",
    "mkldnn::_convolution*",
    "torch.conv[123]d",
    "torch.conv_tbc",
    "torch.conv_transpose[123]d",
    "torch.convolution",
    "torch.nn.functional.conv[123]d",
    "torch.nn.functional.conv_tbc",
    "torch.nn.functional.conv_transpose[123]d",
    "torch.nn*.*Conv[123]d*",
    "torch.nn*.*ConvTranspose[123]d*",
    "torch.nn.grad.conv*",
    "torch.ops.aten.*conv[123]d*",
    "torch.ops.aten.*convolution*",
    "torch._ops.aten.*conv[123]d*",
    "torch._ops.aten.*convolution*",
    "torchvision.ops.*deform_conv*",
    "numpy*.convolve",
    "numpy*.correlate",
    "scipy.signal.*conv*",
    "scipy.signal.*correlate*",
    "scipy.ndimage.*conv*",
    "scipy.ndimage.*correlate*",
)
"""Convolutions and correlations of torch, NumPy and SciPy, forward and backward, functions and modules."""

UNFOLD = (
    "aten::im2col*",
    "aten::col2im*",
    "aten::unfold*",
    "torch.nn.functional.unfold",
    "torch.nn.functional.fold",
    "torch.nn*.Unfold*",
    "torch.nn*.Fold*",
    "torch.Tensor.unfold*",
    "torch.unfold_copy",
    "torch._C._nn.im2col",
    "torch._C._nn.col2im",
)
"""F.unfold, F.fold, Tensor.unfold and their modules; not as_strided."""

POOLING = (
    "aten::*pool[123]d*",
    "aten::max_unpool*",
    "torch.*max_pool[123]d*",
    "torch.*avg_pool[123]d*",
    "torch.nn*.*Pool[123]d*",
    "torch.nn.functional.*unpool*",
    "scipy.ndimage.*maximum_filter*",
)
"""Maximum and average pooling of torch, and what undoes it."""

AUTOGRAD = (
    "torch.autograd.grad",
    "torch.autograd.backward",
    "torch.autograd.functional.*",
    "torch.Tensor.backward",
    "torch._tensor.Tensor.backward",
    "torch.func.grad*",
    "torch.func.vjp",
    "torch.func.jvp",
    "torch.func.jac*",
    "torch.func.hessian",
    "torch.func.linearize",
    "torch._functorch.*.grad_impl",
    "torch._functorch.*.grad_and_value_impl",
    "torch._functorch.*._vjp_with_argnums",
    "torch._functorch.*._jvp_with_argnums",
    "torch._functorch.*.vjp",
    "torch._functorch.*.jvp",
    "torch._functorch.*.jacrev*",
    "torch._functorch.*.jacfwd*",
    "torch._functorch.*.hessian*",
    "torch._functorch.*.linearize*",
    "torch.autograd.forward_ad.*",
)
"""Whatever makes autograd compute a gradient; a custom torch.autograd.Function and no_grad stay allowed."""

_CLEAREST: dict[How, int] = {"function": 0, "call": 1, "source": 2, "operator": 3, "own call": 4}


def rules(
    experiment: Experiment,
    env: Any,
    inputs: cases.Inputs,
    *,
    forbid: tuple[str, ...] = (),
    require: tuple[str, ...] = (),
) -> None:
    """Raise CheckFailed if the student's code uses what `forbid` matches, or does not use what `require` matches.

    Patterns are those of fnmatch, with case, over names recorded in every case that `inputs` draws: dispatcher
    operators (`aten::convolution`), torch's functions (`torch.nn.functional.conv2d`), functions of other modules
    (`scipy.signal.*`), and the student's own functions by their bare name (`conv2d`). What is forbidden may not even
    stand in the code of the names under test or of what they name; what is required must have run in each case.
    """
    student = as_subject(env)
    with evidence.recording("rules", experiment) as draft, guarded(student, experiment, forbid, counted=bool(require)):
        draft.data = {"forbid": list(forbid), "require": list(require)}
        for case in cases.cases(inputs, experiment.__name__, device.current().kind):
            outcome = student.call(experiment, case, record=True)
            refuse(outcome.recorded, forbid)
            refuse_blank(outcome.outputs, experiment, case)
            draft.data["operations"] = outcome.operations
            ran = [r for r in outcome.recorded if r.how != "source"]
            for pattern in require:
                if not any(fnmatchcase(r.name, pattern) for r in ran):
                    name = cases.describe(case, parameters(experiment, case).inputs)
                    raise CheckFailed(
                        f"{pattern} was not used{f' (for {name})' if name else ''}: this question asks for it"
                    )
        draft.message = "only what is allowed is used" if forbid else "what is asked for is used"


def refuse(recorded: Iterable[Recorded], forbid: tuple[str, ...]) -> None:
    """Raise CheckFailed, naming function and line, if a recorded name matches a forbidden pattern."""
    hits = [r for r in recorded if r.how != "own call" and any(fnmatchcase(r.name, p) for p in forbid)]
    if hits:
        first = min(hits, key=lambda r: _CLEAREST[r.how])
        verb = "names" if first.how == "source" else "uses"
        raise CheckFailed(f"{first.where} {verb} {first.name}, which this question forbids: write it yourself")
