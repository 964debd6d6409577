"""Tests of q5. Built from source/week18_quantization/: edit there."""

import numpy as np
import torch
from gradekit import check
from otter.test_files import test_case

OK_FORMAT = False

name = "q5"
points = 3


def rounded(FakeQuantize, x, scale, zero_point, bits, dout):
    x = x.detach().clone().requires_grad_()
    y = FakeQuantize.apply(x, scale, zero_point, bits)
    y.backward(dout)
    return y.detach(), x.grad


@test_case(name='what a ruler of 3 bits makes of nine values, by hand', points=1, hidden=False)
def test_forward_by_hand(env):
    """what a ruler of 3 bits makes of nine values, by hand"""
    x = torch.tensor([-9.0, -2.5, -1.0, -0.3, 0.0, 0.25, 0.75, 1.4, 50.0])
    y, _ = check.run(rounded, env, x=x, scale=torch.tensor(0.5), zero_point=1, bits=3, dout=torch.ones(9))
    # marks -4 to 3, zero on 1
    check.close(y, torch.tensor([-2.5, -2.5, -1.0, -0.5, 0.0, 0.0, 1.0, 1.0, 1.0]), what="the values")


@test_case(name='the gradient goes straight through, but for what was cut off', points=1, hidden=False)
def test_backward_by_hand(env):
    """the gradient goes straight through, but for what was cut off"""
    x = torch.tensor([-9.0, -2.8, -2.7, -2.5, 0.3, 1.0, 1.2, 1.3, 50.0])
    dout = torch.arange(1.0, 10.0)
    _, dx = check.run(rounded, env, x=x, scale=torch.tensor(0.5), zero_point=1, bits=3, dout=dout)
    check.close(dx, torch.tensor([0.0, 0.0, 3.0, 4.0, 5.0, 6.0, 7.0, 0.0, 0.0]), what="the gradient")


def tuned(fine_tune, tokens):
    from transformers.models.llama.modeling_llama import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, use_cache=False,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=None,
    ))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fine_tune(model, tokens, 3, steps=2)
    after = model.state_dict()
    same = [name for name in before if name in after and torch.equal(before[name], after[name])]
    distinct = [len(row.unique()) for name in after if name.endswith("proj.weight") for row in after[name]]
    return list(before), list(after), [name for name in same if "proj" in name], max(distinct, default=0)


@test_case(name='fine_tune leaves the same names behind, with other weights, which are not rounded', points=1, hidden=False)
def test_tuned(env):
    """fine_tune leaves the same names behind, with other weights, which are not rounded"""
    tokens = torch.randint(20, (16, 8), generator=torch.Generator().manual_seed(0))
    before, after, same, distinct = check.run(tuned, env, tokens=tokens)
    check.close(after, before, what="the names of the state_dict")
    check.close(same, [], what="the weights that have not changed")
    if distinct < 10:
        raise check.CheckFailed(f"no row of weights has more than {distinct} different values: leave the floats, not what they round to")
