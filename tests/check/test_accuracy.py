from __future__ import annotations

import textwrap
import threading
import types

import numpy as np
import pytest
import torch

from gradekit import check
from gradekit.check import AuthoringError, CheckFailed, budget


def output(conv2d, x, w, b, stride, padding):
    return conv2d(x, w, b, stride, padding)


def doubled(double, x):
    return double(x)


def vectors(rng, device):
    yield {"x": check.normal(rng, 6, device=device)}
    yield {"x": check.normal(rng, 4, 5, device=device)}


def wide_vectors(rng, device):
    yield {"x": check.normal(rng, 6, device=device, dtype=torch.float64)}


def transposed(rng, device):
    yield {"x": check.normal(rng, 3, 5, device=device).t()}


RIGHT = {
    "torch's own": """
        def conv2d(x, w, b, stride, padding):
            return F.conv2d(x, w, b, stride, padding)
    """,
    "im2col": """
        def conv2d(x, w, b, stride, padding):
            n, _, h, width = x.shape
            o, _, kh, kw = w.shape
            columns = F.unfold(x, (kh, kw), padding=padding, stride=stride)
            size = (h + 2 * padding - kh) // stride + 1, (width + 2 * padding - kw) // stride + 1
            return (w.reshape(o, -1) @ columns).reshape(n, o, *size) + b[:, None, None]
    """,
    "as_strided and einsum": """
        def conv2d(x, w, b, stride, padding):
            x = F.pad(x, (padding,) * 4).contiguous()
            n, c, h, width = x.shape
            kh, kw = w.shape[2:]
            sn, sc, sh, sw = x.stride()
            size = (n, c, (h - kh) // stride + 1, (width - kw) // stride + 1, kh, kw)
            windows = x.as_strided(size, (sn, sc, sh * stride, sw * stride, sh, sw))
            return torch.einsum("nchwij,ocij->nohw", windows, w) + b[:, None, None]
    """,
    "shifted sums": """
        def conv2d(x, w, b, stride, padding):
            x = F.pad(x, (padding,) * 4)
            kh, kw = w.shape[2:]
            h, width = (x.shape[2] - kh) // stride + 1, (x.shape[3] - kw) // stride + 1
            out = b[None, :, None, None]
            for i in range(kh):
                for j in range(kw):
                    rows = slice(i, i + stride * (h - 1) + 1, stride)
                    columns = slice(j, j + stride * (width - 1) + 1, stride)
                    part = x[:, :, rows, columns]
                    out = out + torch.einsum("nchw,oc->nohw", part, w[:, :, i, j])
            return out
    """,
    "product by product, backwards": """
        def conv2d(x, w, b, stride, padding):
            x = F.pad(x, (padding,) * 4)
            _, c, kh, kw = w.shape
            h, width = (x.shape[2] - kh) // stride + 1, (x.shape[3] - kw) // stride + 1
            out = torch.zeros(x.shape[0], w.shape[0], h, width, dtype=x.dtype)
            for k in reversed(range(c)):
                for i in reversed(range(kh)):
                    for j in reversed(range(kw)):
                        rows = slice(i, i + stride * (h - 1) + 1, stride)
                        columns = slice(j, j + stride * (width - 1) + 1, stride)
                        out += x[:, None, k, rows, columns] * w[None, :, k, i, j, None, None]
            return out + b[:, None, None]
    """,
    "FFT": """
        def conv2d(x, w, b, stride, padding):
            x = F.pad(x, (padding,) * 4)
            size, (kh, kw) = x.shape[2:], w.shape[2:]
            product = torch.einsum("nchw,ochw->nohw", torch.fft.rfft2(x), torch.fft.rfft2(w, s=size).conj())
            full = torch.fft.irfft2(product, s=size)
            return full[:, :, : size[0] - kh + 1 : stride, : size[1] - kw + 1 : stride] + b[:, None, None]
    """,
}

WRONG = {
    "zeros": "0 * y",
    "sign": "-y",
    "5 % too large": "1.05 * y",
    "5 % too small": "0.95 * y",
    "shifted": "y.roll(1, -1)",
    "NaN": "y.index_fill(3, torch.tensor(0), float('nan'))",
    "infinite": "y / 0",
    "float64 for float32, and the other way round": "y.float() if y.dtype == torch.float64 else y.double()",
    "a half inside": "y.half().to(y.dtype)",
    "float32 inside": "F.conv2d(x.float(), w.float(), b.float(), stride, padding).to(x.dtype)",
    "a subclass": "torch.nn.Parameter(y)",
    "a list": "y.tolist()",
    "NumPy": "y.numpy()",
    "a pair": "(y, y)",
    "None": "None",
    "too small": "y[..., :-1]",
    "padding ignored": "F.conv2d(x, w, b, stride)",
    "bias forgotten": "F.conv2d(x, w, None, stride, padding)",
    "kernel flipped": "F.conv2d(x, w.flip(2, 3), b, stride, padding)",
}


@pytest.mark.parametrize("source", RIGHT.values(), ids=RIGHT)
def test_right_answers_pass_in_whatever_order_they_add(answer, reference, conv_inputs, source):
    check.accuracy(output, answer(source), reference, conv_inputs)


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_answers_fail(answer, reference, conv_inputs, wrong):
    env = answer(f"""
        def conv2d(x, w, b, stride, padding):
            y = F.conv2d(x, w, b, stride, padding)
            return {wrong}
    """)
    with pytest.raises(CheckFailed):
        check.accuracy(output, env, reference, conv_inputs)


def test_the_message_names_the_case_by_the_shapes_of_its_inputs(answer, reference, conv_inputs):
    env = answer("def conv2d(x, w, b, stride, padding): return F.conv2d(x, w, b, stride)")
    with pytest.raises(CheckFailed, match=r"\(for x \(1, 1, 5, 8\), w \(2, 1, 3, 2\), b \(2,\), stride=2, padding=1\)"):
        check.accuracy(output, env, reference, conv_inputs)
    env = answer("def conv2d(x, w, b, stride, padding): return 1 / 0")
    with pytest.raises(CheckFailed, match=r"ZeroDivisionError(?s:.)*\(for x \(2, 3, 9, 7\)"):
        check.accuracy(output, env, reference, conv_inputs)


def test_float32_inside_float64_is_named(answer, reference):
    env = answer("def double(x): return (2 * x.float()).double()")
    with pytest.raises(CheckFailed, match="a part that is computed in float32"):
        check.accuracy(doubled, env, reference, wide_vectors)


def test_a_function_for_contiguous_inputs_only_fails(answer, reference):
    env = answer("def double(x): return 2 * x.as_strided(x.shape, (x.shape[1], 1))")
    with pytest.raises(CheckFailed, match=r"for x \(5, 3\) non-contiguous"):
        check.accuracy(doubled, env, reference, transposed)
    check.accuracy(doubled, answer("def double(x): return x + x"), reference, transposed)


def test_damaged_inputs_fail(answer, reference):
    env = answer("def double(x): return (x.mul_(2)).clone()")
    with pytest.raises(CheckFailed, match=r"^x was changed in place: .* \(for x \(6,\)\)"):
        check.accuracy(doubled, env, reference, vectors)


def test_an_output_in_an_inputs_memory_fails_unless_the_reference_does_the_same(answer, reference):
    env = answer("def double(x): return x[None]")
    reference.double = lambda x: x[None].clone()
    with pytest.raises(CheckFailed, match="the output shares its memory with x"):
        check.accuracy(doubled, env, reference, vectors)
    reference.double = lambda x: x[None]
    check.accuracy(doubled, env, reference, vectors)


def test_an_output_that_is_overwritten_by_the_next_call_fails(answer, reference):
    env = answer("""
        buffer = torch.empty(100)
        def double(x):
            return torch.mul(x, 2, out=buffer[: x.numel()].view(x.shape))
    """)
    with pytest.raises(CheckFailed, match="shares its memory with the previous call's output"):
        check.accuracy(doubled, env, reference, vectors)


@pytest.mark.parametrize("key", ["id(x)", "x.data_ptr()", "x.shape", "'last'"])
def test_a_remembered_output_fails_and_is_recognised(answer, reference, key):
    env = answer(f"""
        seen = {{}}
        def double(x):
            if {key} not in seen:
                seen[{key}] = 2 * x
            return seen[{key}].clone()
    """)
    with pytest.raises(CheckFailed, match="is a result remembered"):
        check.accuracy(doubled, env, reference, vectors)


def test_remembering_by_content_is_right(answer, reference):
    env = answer("""
        seen = {}
        def double(x):
            return seen.setdefault(x.numpy().tobytes(), 2 * x).clone()
    """)
    check.accuracy(doubled, env, reference, vectors)


def test_an_output_that_a_thread_fills_in_later_fails(answer, reference):
    late = threading.Event()
    env = answer("""
        import threading
        def double(x):
            out, source = torch.zeros_like(x), x.clone()
            threading.Thread(target=lambda: (late.wait(5), torch.mul(source, 2, out=out)), daemon=True).start()
            return out
    """)
    env["late"] = late
    with pytest.raises(CheckFailed, match="every value is zero"):
        check.accuracy(doubled, env, reference, vectors)
    late.set()


def test_integers_strings_and_structure_are_compared_exactly(answer):
    def summary(describe, x):
        return describe(x)

    source = """
        def describe(x):
            return {"top": x.argmax(), "shape": tuple(x.shape), "mean": x.mean().item(), "kind": "row"}
    """
    reference = types.ModuleType("r")
    exec(textwrap.dedent(source), vars(reference))
    check.accuracy(summary, answer(source), reference, vectors)
    for old, new in (("argmax", "argmin"), ('"row"', '"line"'), ("x.mean()", "1.05 * x.mean()"), ("tuple", "len")):
        with pytest.raises(CheckFailed):
            check.accuracy(summary, answer(source.replace(old, new)), reference, vectors)


def test_numpy_outputs_are_compared_alike(answer):
    reference = types.ModuleType("r")
    reference.double = lambda x: np.cumsum(x)  # type: ignore[attr-defined]

    def inputs(rng, device):
        return {"x": rng.standard_normal(100)}

    check.accuracy(doubled, answer("def double(x): return np.tril(np.ones((100, 100))) @ x"), reference, inputs)
    with pytest.raises(CheckFailed, match="dtype float32"):
        check.accuracy(doubled, answer("def double(x): return np.cumsum(x).astype('f4')"), reference, inputs)
    with pytest.raises(CheckFailed, match="computed in float32"):
        check.accuracy(doubled, answer("def double(x): return np.cumsum(x.astype('f4')) + 0 * x"), reference, inputs)


def test_an_output_of_zeros_is_compared_within_the_rounding_of_the_inputs(answer, reference):
    reference.double = lambda x: x * 0
    check.accuracy(doubled, answer("def double(x): return (x + 1) - 1 - x"), reference, vectors)
    with pytest.raises(CheckFailed):
        check.accuracy(doubled, answer("def double(x): return x * 1e-4"), reference, vectors)


def test_inputs_for_which_a_wrong_answer_would_pass_are_told_in_the_evidence(answer, reference):
    def constant(rng, device):
        return {"x": torch.ones(6, device=device)}

    with check.evidence.collect() as found:
        check.accuracy(doubled, answer("def double(x): return x + x"), reference, constant)
        check.accuracy(doubled, answer("def double(x): return x + x"), reference, vectors)
    assert found[0].data["blind"] == ["x (6,): the output would pass as a shift by one"] * 2
    assert found[1].data["blind"] == []


def test_inputs_that_give_only_rounding_noise_are_refused(answer, reference):
    reference.double = lambda x: 0.1 * x + 0.2 * x - 0.3 * x
    with pytest.raises(AuthoringError, match="the reference's own rounding error is"):
        check.accuracy(doubled, answer("def double(x): return 0 * x"), reference, vectors)


def test_a_forbidden_function_costs_these_points_too(answer, reference, conv_inputs):
    with pytest.raises(CheckFailed, match=r"conv2d, line 3 uses torch\.nn\.functional\.conv2d, which"):
        check.accuracy(output, answer(RIGHT["torch's own"]), reference, conv_inputs, forbid=check.CONVOLUTION)
    check.accuracy(output, answer(RIGHT["FFT"]), reference, conv_inputs, forbid=check.CONVOLUTION + check.UNFOLD)


def test_the_budget_never_admits_five_percent():
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        x = check.normal(np.random.default_rng(0), 20, dtype=dtype)
        rough = x.double() * (1 + torch.finfo(dtype).eps)
        found = budget.derive({"x": x}, x, x.double(), rough, factor=1e6).leaves["the output"]
        assert found.allowed <= 0.025 * found.scale


def test_evidence_says_what_was_allowed(answer, reference):
    with check.evidence.collect() as found:
        check.accuracy(doubled, answer("def double(x): return x + x"), reference, vectors)
        with pytest.raises(CheckFailed):
            check.accuracy(doubled, answer("def double(x): return -x"), reference, vectors)
    assert [e.verdict for e in found] == ["pass", "fail"]
    assert found[0].message == "right in 2 cases"
    assert [case["case"] for case in found[0].data["cases"]] == ["x (6,)", "x (6,)", "x (4, 5)"]
    assert found[1].data["kind"] == "logic"
    assert found[1].data["error"] > found[1].data["allowed"] > 0


def test_one_seed_draws_the_same_inputs_and_another_seed_others(answer, reference, monkeypatch):
    def drawn():
        env = answer("seen = []\ndef double(x): return seen.append(x.clone()) or 2 * x")
        check.accuracy(doubled, env, reference, vectors)
        return env["seen"]

    first, second = drawn(), drawn()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0], first[1])
    monkeypatch.setenv("GRADEKIT_SEED", "1")
    assert not torch.equal(drawn()[0], first[0])
