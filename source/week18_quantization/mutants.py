"""Wrong and right answers to week 18, and what must happen to each."""

from gradekit.verify import Alternate, Equivalent, Mutant

# Test cases by what a kind of mistake reaches.
Q3_OUTPUT = ("two rows*", "an input may*", "what lies out*", "the layer agrees*", "speed*")
Q4_ALL = ("on unseen text*", "speed*")
Q6_VALUES = ("two classes*", "the value agrees*", "the gradient by*")

MUTANTS = [
    # -- q1 --------------------------------------------------------------------------------------------------------
    Mutant(
        "zero left out of the range",
        question="q1",
        why="smallest and largest value, as they come: right whenever zero lies between them",
        fails={"q1": "scale and zero point*", "q4": "every layer that is named*"},
        replace={"    lo, hi = lo.clamp(max=0), hi.clamp(min=0)\n": ""},
    ),
    Mutant(
        "as many steps as marks",
        question="q1",
        why="256 marks, but the distances between them are 255",
        fails={
            "q1": ("the ruler*", "no value within*", "scale and zero point*"),
            "q4": "every layer that is named*",
        },
        replace={"scale = (hi - lo) / (qmax - qmin)": "scale = (hi - lo) / 2**bits"},
    ),
    Mutant(
        "symmetric scale of 128",
        question="q1",
        why="2 ** (bits - 1) for both ends, though the upper one is one less",
        fails={"q1": ("a symmetric ruler*", "no value within*", "scale and zero point*")},
        replace={"torch.maximum(-lo, hi) / qmax": "torch.maximum(-lo, hi) / -qmin"},
    ),
    Mutant(
        "only the upper end counts",
        question="q1",
        why="hi is taken for the largest magnitude",
        fails={"q1": ("a symmetric ruler*", "scale and zero point*")},
        replace={"torch.maximum(-lo, hi) / qmax": "hi / qmax"},
    ),
    Mutant(
        "the zero point is not rounded",
        question="q1",
        why="the conversion to an integer is taken for rounding, but it cuts off",
        fails={"q1": ("no value within*", "scale and zero point*")},
        replace={"torch.round(lo / scale)": "lo / scale"},
    ),
    Mutant(
        "an empty range divides by zero",
        question="q1",
        why="a tensor of zeros is not what one tries",
        fails={"q1": ("a tensor of zeros*", "scale and zero point*")},
        replace={
            "        scale = torch.where(scale == 0, 1, scale)\n        return": "        return",
            "    scale = torch.where(scale == 0, 1, scale)\n    zero_point = (": "    zero_point = (",
        },
    ),
    Mutant(
        "halves go up",
        question="q1",
        why="floor(x + 0.5) is the rounding of school",
        fails={"q1": ("the ruler*", "exactly the reference's*")},
        replace={"torch.round(x / scale) + zero_point": "torch.floor(x / scale + 0.5) + zero_point"},
    ),
    Mutant(
        "rounded after the zero point",
        question="q1",
        why="one bracket further: the same but for halves, when the zero point is odd",
        fails={"q1": "exactly the reference's*"},
        replace={"torch.round(x / scale) + zero_point": "torch.round(x / scale + zero_point)"},
    ),
    Mutant(
        "wraps around",
        question="q1",
        why="the conversion to int8 is trusted to cut off",
        fails={"q1": ("the ruler*", "exactly the reference's*")},
        replace={"q.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).to(torch.int8)": "q.to(torch.int32).to(torch.int8)"},
    ),
    Mutant(
        "always eight bits",
        question="q1",
        why="-128 and 127 written as numbers",
        fails={"q1": ("the ruler*", "exactly the reference's*")},
        replace={"q.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)": "q.clamp(-128, 127)"},
    ),
    Mutant(
        "a difference of int8",
        question="q1",
        why="q and zero point are small integers, so their difference is thought to be one",
        fails={"q1": ("no value within*", "what every integer*")},
        replace={"(q.to(torch.int32) - zero_point) * scale": "(q - zero_point.to(torch.int8)) * scale"},
    ),
    Mutant(
        "zero point not taken off",
        question="q1",
        why="symmetric quantisers have none",
        fails={"q1": ("the ruler*", "zero is*", "no value*", "a tensor of zeros*", "what every integer*")},
        replace={"(q.to(torch.int32) - zero_point) * scale": "q * scale"},
    ),
    Mutant(
        "channels lined up with the last dimension",
        question="q1",
        why="broadcasting does it by itself, for the last dimension",
        fails={"q1": ("a symmetric ruler*", "a tensor of zeros*", "exactly the reference's*")},
        replace={"shape = [1] * x.ndim\n        shape[axis]": "shape = [1] * x.ndim\n        shape[-1]"},
    ),
    Mutant(
        "the same when they come back",
        question="q1",
        why="the mistake in one function is copied to the other",
        fails={"q1": ("a symmetric ruler*", "a tensor of zeros*", "what every integer*")},
        replace={"shape = [1] * q.ndim\n        shape[axis]": "shape = [1] * q.ndim\n        shape[-1]"},
    ),
    Mutant(
        "range along the axis, not across it",
        question="q1",
        why="amin(dim=axis) reads like it, and is right for a square matrix that is symmetric",
        fails={"q1": ("a symmetric ruler*", "a tensor of zeros*", "the smallest*")},
        replace={
            "    rows = x.movedim(axis, 0).flatten(1)\n    return rows.amin(dim=1), rows.amax(dim=1)": (
                "    return x.amin(dim=axis), x.amax(dim=axis)"
            )
        },
    ),
    Mutant(
        "the caller's tensor is scaled",
        question="q1",
        why="div_ saves memory, which belongs to somebody else",
        fails={"q1": "exactly the reference's*"},
        replace={"torch.round(x / scale)": "torch.round(x.div_(scale))"},
    ),
    Mutant(
        "torch's own rounding",
        question="q1",
        why="fake_quantize does all of it in one call",
        fails={"q1": "exactly the reference's*"},
        define="""
_written = quantize


def quantize(x, scale, zero_point, bits=8, axis=None):
    if axis is None:
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        y = torch.fake_quantize_per_tensor_affine(x, float(scale), int(zero_point), low, high)
        return (torch.round(y / scale) + zero_point).to(torch.int8)
    return _written(x, scale, zero_point, bits, axis)
""",
    ),
    Mutant(
        "scales 5 % too large",
        question="q1",
        why="a margin for what is still to come",
        fails={
            "q1": (
                "the ruler*",
                "a symmetric ruler*",
                "no value within*",
                "a tensor of zeros*",
                "scale and zero point*",
            ),
            "q4": "every layer that is named*",
        },
        replace={
            "        return scale, torch.zeros_like": "        return 1.05 * scale, torch.zeros_like",
            "    return scale, zero_point.to(torch.int32)": "    return 1.05 * scale, zero_point.to(torch.int32)",
        },
    ),
    Mutant(
        "returns zeros",
        question="q1",
        why="the right shape and dtype, to be filled in later",
        fails={
            "q1": ("the ruler*", "a symmetric ruler*", "no value within*", "a tensor of zeros*", "exactly*", "zero is*")
        },
        replace={"2 ** (bits - 1) - 1).to(torch.int8)": "2 ** (bits - 1) - 1).to(torch.int8) * 0"},
    ),
    # -- q2 --------------------------------------------------------------------------------------------------------
    Mutant(
        "all of it cut off at either end",
        question="q2",
        why="99 % is read as the 1 % and the 99 % quantile",
        fails={"q2": ("of 0, 1*", "percentiles agree*", "outliers of both*")},
        replace={"((1 - percent / 100) / 2, (1 + percent / 100) / 2)": "(1 - percent / 100, percent / 100)"},
    ),
    Mutant(
        "no interpolation",
        question="q2",
        why="with thousands of values it makes no difference",
        fails={"q2": ("of 0, 1*", "percentiles agree*", "outliers of both*")},
        replace={"ordered[below] + (place - below) * (ordered[above] - ordered[below])": "ordered[below]"},
    ),
    Mutant(
        "places counted from one",
        question="q2",
        why="n where n - 1 belongs",
        fails={"q2": ("of 0, 1*", "percentiles agree*", "outliers of both*")},
        replace={
            "share * (len(ordered) - 1)": "share * len(ordered)",
            "below = int(place)": "below = min(int(place), len(ordered) - 1)",
        },
    ),
    Mutant(
        "one place too far",
        question="q2",
        why="between two places lies a straight line, and behind the last one nothing",
        fails={"q2": "100 %*"},
        replace={"above = min(below + 1, len(ordered) - 1)": "above = below + 1"},
    ),
    Mutant(
        "the whole range",
        question="q2",
        why="the search runs, and its result is not returned",
        fails={
            "q2": (
                "with outliers*",
                "no range is worse*",
                "the error is as small*",
                "all candidates*",
                "outliers of both*",
            )
        },
        replace={"    return best\n": "    return lo, hi\n"},
    ),
    Mutant(
        "error of what is kept alone",
        question="q2",
        why="what was cut off is thought of as gone: the narrowest range always wins",
        fails={
            "q2": (
                "no range is worse*",
                "the error is as small*",
                "all candidates*",
                "outliers of both*",
            )
        },
        replace={
            "(round_trip(x, low, high) - x).square().mean()": (
                "((round_trip(x, low, high) - x).square() * ((x >= low) & (x <= high))).mean()"
            )
        },
    ),
    Mutant(
        "mean absolute error",
        question="q2",
        why="an error is an error",
        fails={"q2": ("no range is worse*", "the error is as small*", "outliers of both*")},
        replace={"(round_trip(x, low, high) - x).square().mean()": "(round_trip(x, low, high) - x).abs().mean()"},
    ),
    Mutant(
        "largest error",
        question="q2",
        why="the worst case is minimised, which is what the whole range does",
        fails={"q2": ("with outliers*", "the error is as small*", "outliers of both*")},
        replace={"(round_trip(x, low, high) - x).square().mean()": "(round_trip(x, low, high) - x).abs().max()"},
    ),
    Mutant(
        "only the upper end is moved",
        question="q2",
        why="right for what comes out of a ReLU",
        fails={
            "q2": (
                "*outliers, cutting*",
                "no range is worse*",
                "the error is as small*",
                "all candidates*",
                "outliers of both*",
            )
        },
        replace={"percent / 100 * lo, percent / 100 * hi": "lo, percent / 100 * hi"},
    ),
    Mutant(
        "stops half-way",
        question="q2",
        why="less than half of the range seems too little to try",
        fails={"q2": ("all candidates*", "the error is*")},
        replace={"range(100, 19, -1)": "range(100, 49, -1)"},
    ),
    Mutant(
        "the narrowest of equals",
        question="q2",
        why="<= for <",
        fails={"q2": "all candidates*"},
        replace={"if error < least:": "if error <= least:"},
    ),
    Mutant(
        "steps of five",
        question="q2",
        why="faster, and nearly as good",
        fails={"q2": ("all candidates*", "the error is*", "outliers of both*")},
        replace={"range(100, 19, -1)": "range(100, 19, -5)"},
    ),
    # -- q3 --------------------------------------------------------------------------------------------------------
    Mutant(
        "one scale for all rows",
        question="q3",
        why="per tensor is what q1 begins with",
        fails={"q3": ("integer weights*", "exactly the reference's*")},
        replace={"weight.abs().amax(dim=1) / 127": "weight.abs().amax().repeat(len(weight)) / 127"},
    ),
    Mutant(
        "the zero point forgotten in the offset",
        question="q3",
        why="right for symmetric inputs",
        fails={"q3": ("integer weights*", "exactly the reference's*"), "q4": "on unseen text*"},
        replace={"offset = -multiplier * zero_point * q_weight.sum(dim=1)": "offset = torch.zeros_like(multiplier)"},
    ),
    Mutant(
        "the offset added instead of taken off",
        question="q3",
        why="a sign that is lost when the bracket is opened",
        fails={"q3": ("integer weights*", "exactly the reference's*"), "q4": "on unseen text*"},
        replace={"offset = -multiplier": "offset = multiplier"},
    ),
    Mutant(
        "a sum that overflows",
        question="q3",
        why="the sum of int8 numbers is kept in int8, to save memory",
        fails={"q3": "exactly the reference's*", "q4": "on unseen text*"},
        replace={"q_weight.sum(dim=1)": "q_weight.sum(dim=1, dtype=torch.int8)"},
    ),
    Mutant(
        "the bias forgotten",
        question="q3",
        why="the layers of a Llama have none",
        fails={"q3": ("integer weights*", "exactly the reference's*")},
        replace={"offset = offset + bias": "pass"},
    ),
    Mutant(
        "a row of zeros",
        question="q3",
        why="0 / 0 is nobody's first thought",
        fails={"q3": "exactly the reference's*"},
        replace={"    row_scale[row_scale == 0] = 1\n": ""},
    ),
    Mutant(
        "weights cut off, not rounded",
        question="q3",
        why="the conversion to an integer is taken for rounding",
        fails={"q3": "exactly the reference's*"},
        replace={"torch.round(weight / row_scale[:, None])": "(weight / row_scale[:, None])"},
    ),
    Mutant(
        "inputs cut off, not rounded",
        question="q3",
        why="the same in the layer",
        fails={"q3": Q3_OUTPUT[:2] + Q3_OUTPUT[3:]},
        replace={".round_().add_(zero_point)": ".add_(zero_point)"},
    ),
    Mutant(
        "inputs wrap around",
        question="q3",
        why="calibration is trusted: no value is out of range, until one is",
        fails={"q3": ("what lies out*", "the layer agrees*", "speed*")},
        replace={".clamp_(-128, 127).to(torch.int8)": ".to(torch.int32).to(torch.int8)"},
    ),
    Mutant(
        "zero point not added",
        question="q3",
        why="it is in the offset already, is it not?",
        fails={"q3": Q3_OUTPUT, "q4": "on unseen text*"},
        replace={".add_(zero_point)": ""},
    ),
    Mutant(
        "matrices only",
        question="q3",
        why="two dimensions are what one tries",
        fails={"q3": ("an input may*", "the layer agrees*"), "q4": Q4_ALL},
        replace={"x.reshape(-1, x.shape[-1])": "x", "y.view(*x.shape[:-1], -1)": "y"},
    ),
    Mutant(
        "a product of floats",
        question="q3",
        why="the integers are kept in floats, so the product is right, and as slow as before",
        fails={"q3": ("the product is*", "speed*"), "q4": "speed*"},
        replace={
            "total = torch._int_mm(q, q_weight.T)": "total = q.to(x.dtype) @ q_weight.to(x.dtype).T",
        },
    ),
    Mutant(
        "a product of int32",
        question="q3",
        why="@ takes integers, and nobody says that it has no fast way to multiply them",
        fails={"q3": ("the product is*", "speed*"), "q4": "speed*"},
        replace={"total = torch._int_mm(q, q_weight.T)": "total = q.to(torch.int32) @ q_weight.T.to(torch.int32)"},
    ),
    Mutant(
        "row by row",
        question="q3",
        why="one input after the other, as the formula has it",
        fails={"q3": "speed*", "q4": "speed*"},
        replace={"torch._int_mm(q, q_weight.T)": "torch.cat([torch._int_mm(row[None], q_weight.T) for row in q])"},
    ),
    Mutant(
        "in half precision",
        question="q3",
        why="the sums are scaled in float16, which knows nothing above 65,504",
        fails={"q3": ("the layer agrees*", "what lies out*", "speed*")},
        replace={
            "total.to(x.dtype).mul_(multiplier).add_(offset)": "total.half().mul_(multiplier).add_(offset).to(x.dtype)"
        },
    ),
    Mutant(
        "a layer of zeros",
        question="q3",
        why="the right shape, to be filled in later",
        fails={"q3": Q3_OUTPUT, "q4": "on unseen text*"},
        replace={"return y.view(*x.shape[:-1], -1)": "return 0 * y.view(*x.shape[:-1], -1)"},
    ),
    # -- q4 --------------------------------------------------------------------------------------------------------
    Mutant(
        "only the last batch",
        question="q4",
        why="what was seen is overwritten: right as long as there is one batch",
        fails={"q4": ("the ranges of two*", "the ranges of every*")},
        replace={".append(inputs[0].detach().flatten().clone())": " = [inputs[0].detach().flatten().clone()]"},
    ),
    Mutant(
        "what comes out",
        question="q4",
        why="a forward hook is better known than a pre-hook",
        fails={"q4": ("the ranges of two*", "the ranges of every*", "no hook and no other*", "on unseen text*")},
        replace={
            "def keep(layer, inputs, name=name):": "def keep(layer, inputs, output, name=name):",
            "inputs[0].detach()": "output.detach()",
            "register_forward_pre_hook": "register_forward_hook",
        },
    ),
    Mutant(
        "the loop variable looked up late",
        question="q4",
        why="all hooks share one name, the last",
        fails={"q4": ("the ranges of two*", "the ranges of every*", "no hook*", *Q4_ALL)},
        replace={"def keep(layer, inputs, name=name):": "def keep(layer, inputs):"},
    ),
    Mutant(
        "lm_head among the layers",
        question="q4",
        why="it is an nn.Linear like the others",
        fails={"q4": "the ranges of every*"},
        replace={'isinstance(layer, nn.Linear) and name != "lm_head"': "isinstance(layer, nn.Linear)"},
    ),
    Mutant(
        "calibrated in training mode",
        question="q4",
        why="the model is in eval mode anyway, when one tries it",
        fails={"q4": ("the ranges of every*",)},
        replace={"        model.eval()\n        with torch.no_grad():": "        with torch.no_grad():"},
    ),
    Mutant(
        "what was seen is not copied",
        question="q4",
        why="detach() is taken for a copy: a model that works in place writes over it",
        fails={"q4": "no hook*"},
        replace={".flatten().clone()": ".flatten()"},
    ),
    Mutant(
        "the mode is not put back",
        question="q4",
        why="nobody looks at it until training goes on without dropout",
        fails={"q4": "no hook*"},
        replace={"        model.train(training)\n": ""},
    ),
    Mutant(
        "hooks stay",
        question="q4",
        why="nothing goes wrong until memory runs out",
        fails={"q4": "no hook*"},
        replace={"handle.remove()": "pass"},
    ),
    Mutant(
        "hooks stay after an error",
        question="q4",
        why="the cleaning up stands after the call and not in a finally",
        fails={"q4": "no hook*"},
        replace={"    try:\n": "    if True:\n", "    finally:\n": "    if True:\n"},
    ),
    Mutant(
        "the model itself is changed",
        question="q4",
        why="no copy: it is smaller that way",
        fails={"q4": ("the model that was given*",)},
        replace={"copy.deepcopy(model).eval()": "model.eval()"},
    ),
    Mutant(
        "layers at the top only",
        question="q4",
        why="right for a flat Sequential",
        fails={"q4": ("every layer that is named*", "the quantised checkpoint takes*", "on unseen text*")},
        may_fail="speed*",  # it runs in floats: 1.0 to 1.4 times the reference, as the neighbours have it
        replace={"setattr(quantized.get_submodule(parent), child, layer)": "setattr(quantized, child, layer)"},
    ),
    Mutant(
        "a name with dots",
        question="q4",
        why="setattr takes any name, and the model runs: with the layers that it had",
        fails={"q4": ("every layer that is named*", "the quantised checkpoint takes*", "on unseen text*")},
        may_fail="speed*",  # it runs in floats: 1.0 to 1.4 times the reference, as the neighbours have it
        replace={"setattr(quantized.get_submodule(parent), child, layer)": "setattr(quantized, name, layer)"},
    ),
    Mutant(
        "symmetric inputs",
        question="q4",
        why="the other kind of quantiser",
        fails={"q4": "every layer that is named*"},
        replace={
            "qparams(torch.tensor(lo), torch.tensor(hi))": "qparams(torch.tensor(lo), torch.tensor(hi), symmetric=True)"
        },
    ),
    Mutant(
        "inputs of four bits",
        question="q4",
        why="the default is overruled: as small as before, and much worse",
        fails={"q4": ("every layer that is named*", *Q4_ALL)},
        replace={"qparams(torch.tensor(lo), torch.tensor(hi))": "qparams(torch.tensor(lo), torch.tensor(hi), 4)"},
    ),
    Mutant(
        "the floats are kept as well",
        question="q4",
        why="to be able to go back",
        fails={"q4": "the quantised checkpoint takes at most 1.05*"},
        replace={
            "        parent, _, child": (
                '        layer.register_buffer("floats", quantized.get_submodule(name).weight.detach())\n'
                "        parent, _, child"
            )
        },
    ),
    # -- q5 --------------------------------------------------------------------------------------------------------
    Mutant(
        "straight through everywhere",
        question="q5",
        why="the identity is what everybody remembers of the straight-through estimator",
        fails={"q5": ("the gradient goes*", "the gradient agrees*")},
        replace={"return dout * inside, None, None, None": "return dout.clone(), None, None, None"},
    ),
    Mutant(
        "the true gradient",
        question="q5",
        why="a staircase is flat: right, and nothing learns",
        fails={"q5": ("the gradient goes*", "fine_tune leaves*", "the gradient agrees*")},
        may_fail="the fine-tuned*",  # embedding and norms do learn: 0.169 to 0.206 bits (14 runs), the limit is 0.20
        replace={"return dout * inside, None, None, None": "return 0 * dout, None, None, None"},
    ),
    Mutant(
        "the border before rounding",
        question="q5",
        why="x / scale is compared with the ends, not what it is rounded to",
        fails={"q5": ("the gradient goes*", "the gradient agrees*")},
        replace={
            "ctx.save_for_backward((q >= qmin) & (q <= qmax))": (
                "ctx.save_for_backward((x / scale + zero_point >= qmin) & (x / scale + zero_point <= qmax))"
            )
        },
    ),
    Mutant(
        "the border after cutting off",
        question="q5",
        why="what is cut off is within the range: nothing is ever masked",
        fails={"q5": ("the gradient goes*", "the gradient agrees*")},
        replace={
            "ctx.save_for_backward((q >= qmin)": "q = q.clamp(qmin, qmax)\n        ctx.save_for_backward((q >= qmin)"
        },
    ),
    Mutant(
        "the ends are cut off too",
        question="q5",
        why="< for <=",
        fails={"q5": ("the gradient goes*", "the gradient agrees*")},
        replace={"(q >= qmin) & (q <= qmax)": "(q > qmin) & (q < qmax)"},
    ),
    Mutant(
        "the gradient is scaled",
        question="q5",
        why="the chain rule through x / scale, but not through the product that follows",
        fails={"q5": ("the gradient goes*", "the gradient agrees*")},
        replace={"((q >= qmin) & (q <= qmax))": "(((q >= qmin) & (q <= qmax)) / scale)"},
    ),
    Mutant(
        "integers come out",
        question="q5",
        why="the way back is forgotten",
        fails={"q5": ("what a ruler*", "the values agree*", "the fine-tuned*")},
        replace={"(q.clamp(qmin, qmax) - zero_point) * scale": "q.clamp(qmin, qmax) * 1.0"},
    ),
    Mutant(
        "a ruler without ends",
        question="q5",
        why="symmetric weights are never out of range",
        fails={"q5": ("what a ruler*", "the values agree*")},
        replace={"(q.clamp(qmin, qmax) - zero_point) * scale": "(q - zero_point) * scale"},
    ),
    Mutant(
        "the scale gets a gradient",
        question="q5",
        why="a learned step size is a good idea, and not asked for",
        fails={"q5": "the gradient agrees*"},
        replace={
            "return dout * inside, None,": "return dout * inside, dout.sum() * torch.ones(ctx.shape),",
            "q = torch.round(x / scale) + zero_point\n        ctx.save": (
                "q = torch.round(x / scale) + zero_point\n        ctx.shape = scale.shape\n        ctx.save"
            ),
        },
    ),
    Mutant(
        "torch's own staircase",
        question="q5",
        why="fake_quantize again",
        fails={"q5": ("the values agree*", "the gradient agrees*")},
        define="""
_Written = FakeQuantize


class FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale, zero_point, bits):
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        if scale.numel() > 1:
            return _Written.forward(ctx, x, scale, zero_point, bits)
        q = torch.round(x / scale) + zero_point
        ctx.save_for_backward((q >= low) & (q <= high))
        return torch.fake_quantize_per_tensor_affine(x, float(scale), zero_point, low, high)

    @staticmethod
    def backward(ctx, dout):
        return _Written.backward(ctx, dout)
""",
    ),
    Mutant(
        "trained without the rounding",
        question="q5",
        why="a better model is hoped to be better rounded as well",
        fails={"q5": "the fine-tuned*"},
        replace={
            '        parametrize.register_parametrization(layer, "weight", RoundedWeight(bits))\n': "        pass\n",
            '    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)\n': "    pass\n",
        },
    ),
    Mutant(
        "trained for eight bits",
        question="q5",
        why="the number of bits is not passed on",
        fails={"q5": "the fine-tuned*"},
        replace={"RoundedWeight(bits)": "RoundedWeight(8)"},
    ),
    Mutant(
        "never takes a step",
        question="q5",
        why="optimizer.step() is forgotten, and the program runs without a complaint",
        fails={"q5": ("fine_tune leaves*", "the fine-tuned*")},
        replace={"        optimizer.step()\n": ""},
    ),
    Mutant(
        "far too large steps",
        question="q5",
        why="the rate that one trains from scratch with undoes what the checkpoint knows",
        fails={"q5": "the fine-tuned*"},
        replace={"steps=80, batch=8, lr=5e-4": "steps=80, batch=8, lr=2e-2"},
    ),
    Mutant(
        "the parametrisation stays",
        question="q5",
        why="the model works, so nothing seems to be missing",
        fails={"q5": ("fine_tune leaves*", "the fine-tuned*")},
        replace={
            '        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)\n': "        pass\n"
        },
    ),
    Mutant(
        "rounded weights are left",
        question="q5",
        why="leave_parametrized=True is the default: what comes out can no longer be trained",
        fails={"q5": "fine_tune leaves*"},
        replace={", leave_parametrized=False": ""},
    ),
    # -- q6 --------------------------------------------------------------------------------------------------------
    Mutant(
        "T squared forgotten",
        question="q6",
        why="it changes nothing at T = 1",
        fails={"q6": Q6_VALUES},
        replace={"alpha * temperature**2 * divergence": "alpha * divergence"},
    ),
    Mutant(
        "the divergence the other way round",
        question="q6",
        why="KL is not symmetric, and its two arguments look alike",
        fails={"q6": Q6_VALUES},
        replace={"(teacher.exp() * (teacher - student))": "(student.exp() * (student - teacher))"},
    ),
    Mutant(
        "the mean over classes as well",
        question="q6",
        why="kl_div's default reduction",
        fails={"q6": Q6_VALUES},
        replace={".sum(dim=-1).mean()": ".mean()"},
    ),
    Mutant(
        "the sum over the batch",
        question="q6",
        why="kl_div's reduction='sum'",
        fails={"q6": Q6_VALUES},
        replace={".sum(dim=-1).mean()": ".sum()"},
    ),
    Mutant(
        "the entropy of the teacher forgotten",
        question="q6",
        why="soft cross-entropy has the same gradient, and another value",
        fails={"q6": ("two classes*", "without a teacher*", "the value agrees*")},
        replace={"(teacher.exp() * (teacher - student))": "(teacher.exp() * -student)"},
    ),
    Mutant(
        "labels at the temperature",
        question="q6",
        why="the student's logits are divided once, for everything",
        fails={"q6": (*Q6_VALUES, "without a teacher*")},
        replace={"cross_entropy(logits, labels)": "cross_entropy(logits / temperature, labels)"},
    ),
    Mutant(
        "the teacher is not softened",
        question="q6",
        why="the temperature is the student's, it is thought",
        fails={"q6": (*Q6_VALUES, "without a teacher*")},
        replace={"teacher_logits.detach() / temperature": "teacher_logits.detach()"},
    ),
    Mutant(
        "the teacher learns too",
        question="q6",
        why="no_grad around the teacher is usual, so it is not missed here",
        fails={"q6": "the gradient by*"},
        replace={"teacher_logits.detach()": "teacher_logits"},
    ),
    Mutant(
        "alpha the other way round",
        question="q6",
        why="papers differ in what alpha weighs",
        fails={"q6": ("*",)},
        replace={"alpha * temperature**2": "(1 - alpha) * temperature**2", "+ (1 - alpha) * nn": "+ alpha * nn"},
    ),
    Mutant(
        "the logarithm of a softmax",
        question="q6",
        why="the formula, as it stands: not a number for large logits",
        fails={"q6": ("the value agrees*", "the gradient by*")},
        replace={"nn.functional.log_softmax(logits / temperature, dim=-1)": "(logits / temperature).softmax(-1).log()"},
    ),
]

ALTERNATES = [
    Alternate(
        "flattened and added up",
        question="q1",
        why="reductions over a tuple of dimensions, unsqueezed scales, minimum and maximum for clamp",
        define="""
def find_range(x, axis=None):
    others = tuple(i for i in range(x.ndim) if axis is None or i != axis % x.ndim)
    return torch.amin(x, others), torch.amax(x, others)


def qparams(lo, hi, bits=8, symmetric=False):
    half = 2 ** (bits - 1)
    lo, hi = torch.minimum(lo, torch.zeros_like(lo)), torch.maximum(hi, torch.zeros_like(hi))
    if symmetric:
        scale = torch.maximum(lo.abs(), hi.abs()) / (half - 1)
    else:
        scale = (hi - lo) / (2 * half - 1)
    scale = scale + (scale == 0)
    zero = torch.zeros_like(lo) if symmetric else torch.round(-lo / scale) - half
    return scale, torch.minimum(zero, torch.full_like(zero, half - 1)).int()


def quantize(x, scale, zero_point, bits=8, axis=None):
    half = 2 ** (bits - 1)
    moved = x if axis is None else x.movedim(axis, -1)
    q = torch.clip((moved * (1 / scale)).round() + zero_point, -half, half - 1).to(torch.int8)
    return q if axis is None else q.movedim(-1, axis)


def dequantize(q, scale, zero_point, axis=None):
    moved = q if axis is None else q.movedim(axis, -1)
    x = scale * (moved.to(scale.dtype) - zero_point)
    return x if axis is None else x.movedim(-1, axis)
""",
    ),
    Alternate(
        "torch's quantile, and a list of errors",
        question="q2",
        why="what the library offers, and the search as one expression",
        define="""
def percentile_range(x, percent):
    p = percent / 100
    return tuple(torch.quantile(x.flatten(), torch.tensor([(1 - p) / 2, (1 + p) / 2], dtype=x.dtype)).unbind())


def mse_range(x, round_trip):
    lo, hi = x.min(), x.max()
    ranges = [(lo * f / 100, hi * f / 100) for f in range(100, 19, -1)]
    return min(ranges, key=lambda ends: float(nn.functional.mse_loss(round_trip(x, *ends), x)))
""",
    ),
    Alternate(
        "step by step, with new tensors",
        question="q3",
        why="no step in place, and the offset's sum as a product with ones",
        define="""
def prepare(weight, bias, scale, zero_point):
    largest = weight.abs().max(dim=1).values
    t = torch.where(largest > 0, largest / 127, torch.ones_like(largest))
    v = (weight / t.unsqueeze(1)).round()
    multiplier = t * scale
    offset = (0 if bias is None else bias) - multiplier * zero_point * v.sum(1)
    return v.to(torch.int8), multiplier, offset


def int8_linear(x, q_weight, multiplier, offset, scale, zero_point):
    q = torch.clamp(torch.round(x.flatten(0, -2) / scale if x.ndim > 1 else x[None] / scale) + zero_point, -128, 127)
    y = torch._int_mm(q.to(torch.int8), q_weight.t()) * multiplier + offset
    return y.reshape(*x.shape[:-1], len(q_weight))
""",
    ),
    Alternate(
        "a hook class, and a walk over the children",
        question="q4",
        why="inputs are collected by objects; layers are exchanged on the way down",
        define="""
class _Seen:
    def __init__(self, layer):
        self.parts = []
        self.handle = layer.register_forward_pre_hook(self)

    def __call__(self, layer, inputs):
        self.parts.append(inputs[0].detach().clone().reshape(-1))


def calibrate(model, batches, choose):
    modes = {module: module.training for module in model.modules()}
    layers = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear) and n != "lm_head"}
    seen = {name: _Seen(layer) for name, layer in layers.items()}
    try:
        with torch.inference_mode():
            model.eval()
            for batch in batches:
                model(batch)
            return {name: tuple(float(end) for end in choose(torch.cat(s.parts))) for name, s in seen.items()}
    finally:
        for s in seen.values():
            s.handle.remove()
        for module, training in modes.items():
            module.training = training


def quantize_model(model, ranges):
    def walk(module, prefix):
        for child, inner in list(module.named_children()):
            name = f"{prefix}{child}"
            if name in ranges:
                lo, hi = ranges[name]
                scale, zero_point = qparams(torch.tensor([lo]), torch.tensor([hi]))
                module.add_module(child, Int8Linear(inner, float(scale), int(zero_point)))
            else:
                walk(inner, f"{name}.")

    quantized = copy.deepcopy(model)
    walk(quantized, "")
    return quantized.eval()
""",
    ),
    Alternate(
        "where in place of a mask, and SGD",
        question="q5",
        why="another optimizer, epochs over a shuffled order, weights exchanged for each step",
        define="""
class FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale, zero_point, bits):
        half = 2 ** (bits - 1)
        ctx.save_for_backward(x, scale)
        ctx.ends = -half - zero_point, half - 1 - zero_point
        return torch.clamp(torch.round(x / scale), *ctx.ends) * scale

    @staticmethod
    def backward(ctx, dout):
        x, scale = ctx.saved_tensors
        q = torch.round(x / scale)
        return torch.where((q < ctx.ends[0]) | (q > ctx.ends[1]), 0.0, dout), None, None, None


def fine_tune(model, tokens, bits, steps=90, batch=8, lr=6e-4):
    layers = [m for n, m in model.named_modules() if isinstance(m, nn.Linear) and n != "lm_head"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=steps)
    rounded = RoundedWeight(bits)
    done = 0
    while done < steps:
        for chosen in tokens[torch.randperm(len(tokens)).to(tokens.device)].split(batch):
            floats = [layer.weight.data for layer in layers]
            for layer in layers:
                layer.weight.data = rounded(layer.weight.data)
            loss = model(chosen, labels=chosen).loss
            optimizer.zero_grad()
            loss.backward()
            for layer, weight in zip(layers, floats, strict=True):
                layer.weight.data = weight
            optimizer.step()
            schedule.step()
            done += 1
            if done == steps:
                break
""",
    ),
    Alternate(
        "torch's kl_div",
        question="q6",
        why="the library's divergence, with logarithms on both sides",
        define="""
def distillation_loss(logits, teacher_logits, labels, temperature, alpha):
    with torch.no_grad():
        target = (teacher_logits / temperature).log_softmax(1)
    soft = nn.functional.kl_div((logits / temperature).log_softmax(1), target, reduction="batchmean", log_target=True)
    hard = nn.functional.nll_loss(logits.log_softmax(1), labels)
    return alpha * temperature * temperature * soft + (1 - alpha) * hard
""",
    ),
]

# Of what `gradekit verify` makes of the solution by itself.
EQUIVALENT = [
    Equivalent(
        "q1",
        why="zero lies within the range, so the zero point is never out of its own",
        replace={"(qmin - torch.round(lo / scale)).clamp(qmin, qmax)": "qmin - torch.round(lo / scale)"},
    ),
    Equivalent("q1", why="the larger of the two", replace={"(-lo, hi)": "(hi, -lo)"}),
    Equivalent(
        "q2", why="the smaller of the two", replace={"(below + 1, len(ordered) - 1)": "(len(ordered) - 1, below + 1)"}
    ),
    Equivalent("q2", why="a square", replace={"(round_trip(x, low, high) - x)": "(x - round_trip(x, low, high))"}),
    Equivalent("q4", why="a tensor of one number is as good as the number", replace={"scale.item(), ": "scale, "}),
    Equivalent("q4", why="under no_grad there is no graph", replace={".detach().flatten()": ".flatten()"}),
    Equivalent("q4", why="a linear layer has one input", replace={"inputs[0]": "inputs[-1]"}),
    Equivalent(
        "q5",
        why="how it is trained is free, as long as the model survives: all of these do",
        replace={
            " and name != 'lm_head'": "",
            "model.train()": "pass",
            "range(steps)": "range(steps - 1)",
            "(1 - step / steps)": ("(step / steps)", "1"),
            "lr * (1 - step / steps)": "lr",
            "(1": "(2",
            "group['lr'] = lr * (1 - step / steps)": "pass",
        },
    ),
    Equivalent("q5", why="each step sets the learning rate itself", replace={"parameters(), lr=lr": "parameters()"}),
    Equivalent("q5", why="on a CPU everything is there already", replace={".to(tokens.device)": ""}),
    Equivalent(
        "q6",
        why="the last of two dimensions, which log_softmax takes by itself",
        replace={", dim=-1": ("", ", dim=1"), "(dim=-1)": "(dim=1)"},
    ),
]
