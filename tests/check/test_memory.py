"""Attention with and without the N x N matrix, in torch and in NumPy, forward and kept for the backward pass."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
import types

import numpy as np
import pytest
import torch

from gradekit import check
from gradekit.check import AuthoringError, CheckFailed
from gradekit.check.memory import FLOOR, memory, use
from gradekit.check.meter import as_metered

HEADS, TOKENS, FEATURES, BLOCK = 2, 256, 16, 32
MATRIX = HEADS * TOKENS * TOKENS * 4
OUTPUT = HEADS * TOKENS * FEATURES * 4

WHOLE = """
def attention(q, k, v):
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    return scores.softmax(-1) @ v
"""

ONLINE = """
def attention(q, k, v, block=32):
    top = q.new_full((*q.shape[:-1], 1), float("-inf"))
    total, out = torch.zeros_like(top), torch.zeros_like(q)
    for i in range(0, k.shape[-2], block):
        scores = q @ k[..., i : i + block, :].transpose(-1, -2) / q.shape[-1] ** 0.5
        higher = torch.maximum(top, scores.amax(-1, keepdim=True))
        weights, shrink = (scores - higher).exp(), (top - higher).exp()
        total = total * shrink + weights.sum(-1, keepdim=True)
        out = out * shrink + weights @ v[..., i : i + block, :]
        top = higher
    return out / total
"""

CHECKPOINT = """
from torch.utils.checkpoint import checkpoint

def whole(q, k, v):
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v

def attention(q, k, v):
    return checkpoint(whole, q, k, v, use_reentrant=False)
"""

FUNCTION = """
class Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):
        p = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        KEEP
        return p @ v

    @staticmethod
    def backward(ctx, dout):
        raise NotImplementedError

def attention(q, k, v):
    return Attention.apply(q, k, v)
"""

RECOMPUTING = FUNCTION.replace("KEEP", "ctx.save_for_backward(q, k, v)")


def forward(attention, q, k, v):
    return attention(q, k, v)


def inputs(rng, device):
    return {name: check.normal(rng, HEADS, TOKENS, FEATURES, device=device) for name in "qkv"}


def trained(rng, device):
    return {name: value.requires_grad_() for name, value in inputs(rng, device).items()}


def module(source: str) -> types.ModuleType:
    made = types.ModuleType("reference_of_the_tests")
    vars(made)["torch"] = torch
    exec(source, vars(made))
    return made


@pytest.fixture
def online() -> types.ModuleType:
    return module(ONLINE)


def evidence_of(env, reference, drawn=inputs, experiment=forward, **options):
    with check.evidence.collect() as found, contextlib.suppress(CheckFailed):
        memory(experiment, env, reference, drawn, **options)
    return found[0]


def test_the_reference_against_itself_is_exactly_one(online, answer):
    found = [evidence_of(answer(ONLINE), online, at_most=1.0) for _ in range(2)]
    assert [e.verdict for e in found] == ["pass", "pass"]
    assert found[0].data == found[1].data
    assert found[0].data["ratio"] == 1.0
    json.dumps(found[0].as_dict())


def test_attention_that_makes_the_whole_matrix_fails_with_its_line(online, answer):
    with pytest.raises(CheckFailed) as failure:
        memory(forward, answer(WHOLE), online, inputs, at_most=2.0)
    said = str(failure.value)
    assert said.startswith("forward needs ")
    assert f"({2 * MATRIX / 1e6:.1f} MB beyond inputs and outputs, limit 2)" in said
    assert said.endswith("the largest live tensor was (2, 256, 256) float32, made in line 3 of attention")


def test_the_peak_is_counted_to_the_byte(answer):
    source = """
    def attention(q, k, v):
        a = q + 1              # 1 live
        b = a + 1              # 2
        del a                  # 1
        c = b + 1              # 2
        d = c + 1              # 3: the peak
        del b, c
        return d - 3           # d and the output: the output does not count
    """
    found = use(as_metered(answer(source)), forward, inputs(np.random.default_rng(0), "cpu"), "cpu")
    assert (found.peak, found.kept, found.outputs) == (3 * OUTPUT, 0, OUTPUT)
    assert found.largest.what == "(2, 256, 16) float32"


@pytest.mark.parametrize(
    ("body", "peak"),
    [
        ("return q.transpose(0, 1)", 0),  # a view of an input
        ("q.add_(1); return q", 0),  # in place
        ("return torch.stack([k, v])[0]", OUTPUT),  # half of the storage is no output
        ("big = torch.zeros(2, 256, 256); return big[..., :16]", MATRIX - OUTPUT),  # nor is what a view leaves out
        ("return torch.zeros(1).expand(2, 256, 16)", 0),
        ("out = torch.empty(0); out.resize_(2, 256, 16); out.resize_(0); return q * 2", OUTPUT),
        ("out = torch.empty_like(q); torch.add(q, k, out=out); return out", 0),
        ("return tuple(t * 2 for t in (q, k, v))", 0),
        ("return {'a': q * 2, 'b': [k * 2]}", 0),
        ("class Box: pass\n        a = Box(); a.self = a; a.t = q * 2; del a; return k * 2", OUTPUT),  # a cycle
    ],
)
def test_what_counts_is_what_is_neither_input_nor_output(answer, body, peak):
    env = answer(f"""
    def attention(q, k, v):
        {body}
    """)
    assert use(as_metered(env), forward, inputs(np.random.default_rng(0), "cpu"), "cpu").peak == peak


def test_a_reference_that_needs_nothing_counts_as_needing_its_outputs():
    def doubled(double, x):
        return double(x)

    def large(rng, device):
        return {"x": check.normal(rng, 100_000)}

    def small(rng, device):
        return {"x": check.normal(rng, 10)}

    nothing = module("def double(x): return x + x")
    scratch = {"torch": torch}
    exec("def double(x):\n    y = x.clone()\n    z = y.clone()\n    return y + z", scratch)
    found = evidence_of(scratch, nothing, large, doubled, at_most=1.9)
    assert (found.verdict, found.data["ratio"]) == ("fail", 2.0)
    assert "the reference needs 0 kB and counts as 400 kB" in found.message
    found = evidence_of(scratch, nothing, small, doubled, at_most=1.0)
    assert (found.verdict, found.data["floor_bytes"]) == ("pass", FLOOR)


def test_what_autograd_keeps_of_the_whole_matrix_is_caught(answer):
    recomputing = module(RECOMPUTING)
    found = evidence_of(answer(WHOLE), recomputing, trained, at_most=2.0, saved=True)
    assert found.verdict == "fail"
    assert found.data["student_bytes"] == MATRIX  # softmax keeps its result and the quotient needs nothing
    assert found.data["reference_bytes"] == 0
    assert "forward keeps for the backward pass" in found.message
    assert found.message.endswith("kept was (2, 256, 256) float32, made in line 4 of attention")
    assert evidence_of(answer(ONLINE), recomputing, trained, at_most=2.0, saved=True).verdict == "fail"


def test_recomputing_is_seen_as_keeping_less(answer):
    recomputing = module(RECOMPUTING)
    assert evidence_of(answer(RECOMPUTING), recomputing, trained, at_most=1, saved=True).data["student_bytes"] == 0
    assert evidence_of(answer(CHECKPOINT), recomputing, trained, at_most=1, saved=True).data["student_bytes"] == 0
    # which helps the peak of the forward pass nothing
    assert evidence_of(answer(RECOMPUTING), module(ONLINE), at_most=2.0).verdict == "fail"


@pytest.mark.parametrize("keep", ["ctx.save_for_backward(q, k, v, p)", "ctx.p = p", "hidden.append(p)"])
def test_however_it_is_kept_it_counts(answer, keep):
    env = answer("hidden = []\n" + FUNCTION.replace("KEEP", keep))
    found = evidence_of(env, module(RECOMPUTING), trained, at_most=2.0, saved=True)
    assert (found.verdict, found.data["student_bytes"]) == ("fail", MATRIX)
    assert "made in line 6 of forward" in found.message


def test_parameters_and_saved_outputs_do_not_count(answer):
    def layer(forward_layer, x):
        return forward_layer(x)

    def drawn(rng, device):
        return {"x": check.normal(rng, 64, 256).requires_grad_()}

    source = "import torch\nw = torch.full((256, 256), 0.01, requires_grad=True)\n"
    source += "def forward_layer(x): return (x @ w.to(x.dtype)).exp()"  # exp keeps its output, the product w and x
    found = evidence_of(answer(source), module(source), drawn, layer, at_most=1, saved=True)
    assert (found.verdict, found.data["student_bytes"]) == ("pass", 0)


def test_saved_needs_a_graph_on_both_sides(answer):
    with pytest.raises(AuthoringError, match="no output of forward hangs on autograd's graph"):
        memory(forward, answer(WHOLE), module(WHOLE), inputs, at_most=2.0, saved=True)
    cut = answer(WHOLE.replace("@ v", "@ v.detach()").replace("q @", "q.detach() @").replace("k.t", "k.detach().t"))
    with pytest.raises(CheckFailed, match="the output is cut off from autograd's graph"):
        memory(forward, cut, module(WHOLE), trained, at_most=2.0, saved=True)


NUMPY_WHOLE = """
def attention(q, k, v):
    scores = q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ v
"""

NUMPY_BLOCKS = """
def attention(q, k, v, block=16):
    out = np.empty_like(q)
    for i in range(0, q.shape[-2], block):
        scores = q[:, i : i + block] @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        out[:, i : i + block] = weights / weights.sum(-1, keepdims=True) @ v
    return out
"""


def test_numpy_arrays_count_as_well(answer):
    def arrays(rng, device):
        return {name: value.numpy() for name, value in inputs(rng, device).items()}

    blocks = module("import numpy as np\n" + NUMPY_BLOCKS)
    tracing = tracemalloc.is_tracing()
    assert evidence_of(answer(NUMPY_BLOCKS), blocks, arrays, at_most=1.1).verdict == "pass"
    found = evidence_of(answer(NUMPY_WHOLE), blocks, arrays, at_most=2.0)
    assert found.verdict == "fail"
    assert found.data["student_bytes"] == pytest.approx(3 * MATRIX, rel=0.1)
    assert "at their peak in line 5 of attention" in found.message
    assert tracemalloc.is_tracing() == tracing


def test_a_way_through_numpy_or_lists_hides_nothing(online, answer):
    way = "own = attention\ndef attention(*t): return torch.from_numpy(own(*map(np.asarray, t)))"
    assert evidence_of(answer(NUMPY_WHOLE + way), online, at_most=2.0).verdict == "fail"
    scores = "s = (q @ k.transpose(-1, -2) / 4).softmax(-1).tolist()"
    lists = answer(f"def attention(q, k, v):\n    {scores}\n    return torch.tensor(s) @ v")
    assert evidence_of(lists, online, at_most=2.0).data["student_bytes"] > 4 * MATRIX


def test_it_must_be_right_first(online, answer):
    with pytest.raises(CheckFailed, match=r"before its memory counts it must be right: .*every value is zero"):
        memory(forward, answer("def attention(q, k, v): return 0 * q"), online, inputs, at_most=2.0)
    with pytest.raises(CheckFailed, match="returned None"):
        memory(forward, answer("def attention(q, k, v): ..."), online, inputs, at_most=2.0)
    with pytest.raises(CheckFailed, match="softmax, which this question forbids"):
        memory(forward, answer(WHOLE), online, inputs, at_most=99.0, forbid=("torch.Tensor.softmax",))


def test_a_limit_for_another_device_class_is_not_assessed(online, answer):
    found = evidence_of(answer(WHOLE), online, at_most={"cuda": 1.5})
    assert (found.verdict, found.message) == ("not assessed", "not assessed on a cpu: there is a limit for cuda only")
    with pytest.raises(CheckFailed, match="must be right"):
        memory(forward, answer("def attention(q, k, v): return 0 * q"), online, inputs, at_most={"cuda": 1.5})


def test_a_subject_that_cannot_count_is_an_authors_mistake(online):
    class Remote:
        def call(self, experiment, inputs, *, timed=False, record=False, watch=False, seed=0): ...
        def identity(self, experiment, inputs): ...

    with pytest.raises(AuthoringError, match="Remote cannot count"):
        memory(forward, Remote(), online, inputs, at_most=2.0)


def test_on_a_gpu_the_allocator_has_a_say(monkeypatch, answer):
    """Faked: torch's CUDA statistics, which here tell of a workspace that no operator shows."""
    for name, value in {
        "synchronize": None,
        "reset_peak_memory_stats": None,
        "memory_allocated": 1000,
        "max_memory_allocated": 1000 + OUTPUT + 10**9,
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    case = inputs(np.random.default_rng(0), "cpu")
    assert use(as_metered(answer(WHOLE)), forward, case, "cuda").peak == 10**9
