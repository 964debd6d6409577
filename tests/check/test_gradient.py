from __future__ import annotations

import types

import pytest
import torch
import torch.nn.functional as F

from gradekit import check
from gradekit.check import AuthoringError, CheckFailed


def forward(conv2d, x, w, b, stride, padding):
    return conv2d(x, w, b, stride, padding)


def backward(conv2d_backward, dout, x, w, stride, padding):
    return conv2d_backward(dout, x, w, stride, padding)


def inputs(rng, device):
    for x, w, stride, padding, dtype in (
        ((2, 3, 7, 6), (4, 3, 3, 3), 1, 1, torch.float32),
        ((1, 2, 9, 8), (3, 2, 2, 3), 2, 0, torch.float64),
    ):
        x = check.normal(rng, *x, device=device, dtype=dtype)
        w = check.normal(rng, *w, device=device, dtype=dtype)
        b = check.normal(rng, w.shape[0], device=device, dtype=dtype)
        dout = check.normal(rng, *F.conv2d(x, w, b, stride, padding).shape, device=device, dtype=dtype)
        yield {"x": x, "w": w, "b": b, "dout": dout, "stride": stride, "padding": padding}


RIGHT = """
def conv2d(x, w, b, stride, padding):
    return F.conv2d(x, w, b, stride, padding)

def conv2d_backward(dout, x, w, stride, padding):
    x = F.pad(x, (padding,) * 4)
    (n, c, h, width), (kh, kw), (oh, ow) = x.shape, w.shape[2:], dout.shape[2:]
    dx, dw = torch.zeros_like(x), torch.zeros_like(w)
    for i in range(kh):
        for j in range(kw):
            rows, columns = slice(i, i + stride * (oh - 1) + 1, stride), slice(j, j + stride * (ow - 1) + 1, stride)
            dx[:, :, rows, columns] += torch.einsum("nohw,oc->nchw", dout, w[:, :, i, j])
            dw[:, :, i, j] = torch.einsum("nohw,nchw->oc", dout, x[:, :, rows, columns])
    end_h, end_w = h - padding, width - padding
    return dx[:, :, padding:end_h, padding:end_w].contiguous(), dw, dout.sum((0, 2, 3))
"""


def test_a_right_backward_passes(answer, reference):
    check.gradient(backward, answer(RIGHT), reference, inputs, forward=forward, own_forward=True)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("dout.sum((0, 2, 3))", "dout.sum((0, 2, 3)) * 1.05", "respect to b is wrong at .* 1.05 times"),
        ("dout.sum((0, 2, 3))", "dout.sum((0, 2, 3)) / dout.shape[0]", "respect to b is wrong.* 0.5 times"),
        ("dout.sum((0, 2, 3))", "dout.sum(0)", "respect to b has shape"),
        (", dw, ", ", -dw, ", "respect to w is wrong .*the sign is flipped"),
        (", dw, ", ", 0 * dw, ", "respect to w is wrong .*every value is zero"),
        ("return dx[", "return 0.95 * dx[", "respect to x is wrong .* 0.95 times"),
        (":, :, padding:end_h, padding:end_w].", ":, :, :end_h, :end_w].", "respect to x has shape"),
        ("dx = F.pad", "x = F.pad", ""),
        ("return dx", "return dw, dx", "the tuple of gradients has 4 parts: expected 3"),
        ("contiguous()", "float()", "respect to x has dtype|respect to x is wrong"),
    ],
)
def test_wrong_gradients_fail_by_name(answer, reference, old, new, said):
    if not said:
        return
    assert old in RIGHT
    with pytest.raises(CheckFailed, match=said):
        check.gradient(backward, answer(RIGHT.replace(old, new)), reference, inputs, forward=forward)


def test_float32_inside_float64_fails(answer, reference):
    env = answer(
        RIGHT + "\nright = conv2d_backward\ndef conv2d_backward(dout, x, w, stride, padding):\n"
        "    return tuple(g.to(x.dtype) for g in right(dout.float(), x.float(), w.float(), stride, padding))"
    )
    with pytest.raises(CheckFailed, match="computed in float32"):
        check.gradient(backward, env, reference, inputs, forward=forward)


def test_a_blank_and_damaged_inputs_and_an_alias_fail(answer, reference):
    with pytest.raises(CheckFailed, match="conv2d_backward returned None"):
        check.gradient(backward, answer("def conv2d_backward(*a): ..."), reference, inputs, forward=forward)
    damaging = RIGHT.replace("    x = F.pad(", "    dout *= 1\n    x.zero_()\n    x = F.pad(")
    with pytest.raises(CheckFailed):
        check.gradient(backward, answer(damaging), reference, inputs, forward=forward)
    late = RIGHT.replace("    return dx", "    w.neg_()\n    return dx")
    with pytest.raises(CheckFailed, match="w was changed in place"):
        check.gradient(backward, answer(late), reference, inputs, forward=forward)


def test_a_pair_that_is_wrong_alike_is_told_so_by_its_own_forward(answer):
    module = types.ModuleType("r")
    exec("def scale(x): return 3 * x", vars(module))

    def run(scale, x):
        return scale(x)

    def back(scale_backward, dout, x):
        return scale_backward(dout, x)

    def draws(rng, device):
        return {"x": check.normal(rng, 5), "dout": check.normal(rng, 5)}

    env = answer("def scale(x): return 2 * x\ndef scale_backward(dout, x): return 3 * dout")
    check.gradient(back, env, module, draws, forward=run, wrt=("x",))
    with pytest.raises(CheckFailed, match="not that of your own forward pass"):
        check.gradient(back, env, module, draws, forward=run, wrt=("x",), own_forward=True)


def test_autograd_can_be_forbidden(answer, reference):
    env = answer("""
        def conv2d_backward(dout, x, w, stride, padding):
            x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
            b = torch.zeros(w.shape[0], dtype=x.dtype, requires_grad=True)
            return torch.autograd.grad(F.conv2d(x, w, b, stride, padding), (x, w, b), dout)
    """)
    check.gradient(backward, env, reference, inputs, forward=forward)
    with pytest.raises(CheckFailed, match=r"line 5 uses torch\.autograd\.grad, which this question forbids"):
        check.gradient(backward, env, reference, inputs, forward=forward, forbid=check.AUTOGRAD)


def test_what_only_the_author_can_mend_is_said_to_the_author(answer, reference):
    def two(conv2d, x, w, b, stride, padding):
        return conv2d(x, w, b, stride, padding), 1

    def constant(conv2d, x, w, b, stride, padding):
        return conv2d(x, w, None, stride, padding)

    env = answer(RIGHT)
    with pytest.raises(AuthoringError, match="must give one tensor"):
        check.gradient(backward, env, reference, inputs, forward=two)
    with pytest.raises(AuthoringError, match="takes no tensor stride"):
        check.gradient(backward, env, reference, inputs, forward=forward, wrt=("stride",))
    with pytest.raises(AuthoringError, match="constant does not depend on b"):
        check.gradient(backward, env, reference, inputs, forward=constant)
    with pytest.raises(AuthoringError, match="must be a module"):
        check.gradient(backward, env, Remote(), inputs, forward=forward)


class Remote:
    """Stands for a subject in another process."""

    def call(self, *args, **kwargs):
        raise NotImplementedError

    def identity(self, *args):
        return ()
