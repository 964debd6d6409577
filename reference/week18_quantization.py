"""Week 18 from scratch: integers in place of floats, in a small language model.

A quantiser is two numbers, scale and zero point: q = round(x / scale) + zero_point, cut to what `bits` bits can hold.
From there on, in the order of a lesson: which range to give it (calibration), a linear layer that multiplies integers,
a language model with such layers, training that knows of the rounding (a straight-through gradient), and the loss by
which a small model learns from a large one.

The layer is nearly as fast as torch's own, because whatever does not depend on x is worked out beforehand. With
x = s (q - z) and row o of the weights = t_o v_o,

    y_o = b_o + s t_o sum_i (q_i - z) v_oi = offset_o + multiplier_o * sum_i q_i v_oi
          with multiplier_o = s t_o and offset_o = b_o - multiplier_o z sum_i v_oi

so that a call is one pass to quantise, one product of integers, and one pass to scale (Jacob et al. 2018,
arXiv:1712.05877, section 2.3).
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

# -- quantisers --------------------------------------------------------------------------------------------------------


def find_range(x: Tensor, axis: int | None = None) -> tuple[Tensor, Tensor]:
    """The smallest and the largest value: of all of x, or of every slice along `axis`."""
    if axis is None:
        return x.min(), x.max()
    rows = x.movedim(axis, 0).flatten(1)
    return rows.amin(1), rows.amax(1)


def qparams(lo: Tensor, hi: Tensor, bits: int = 8, symmetric: bool = False) -> tuple[Tensor, Tensor]:
    """Scale (the dtype of lo) and zero point (int32) of a quantiser for values from lo to hi, element by element.

    Zero is always within the range, and has an integer of its own. Where the range is empty the scale is 1.
    """
    qmin, qmax = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    lo, hi = lo.clamp(max=0), hi.clamp(min=0)
    scale = torch.maximum(-lo, hi) / qmax if symmetric else (hi - lo) / (qmax - qmin)
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero_point = torch.zeros_like(scale) if symmetric else qmin - torch.round(lo / scale)
    return scale, zero_point.clamp(qmin, qmax).to(torch.int32)


def quantize(x: Tensor, scale: Tensor, zero_point: Tensor, bits: int = 8, axis: int | None = None) -> Tensor:
    """x as integers (int8): rounded half to even, and cut to what `bits` bits can hold."""
    scale, zero_point = _along(scale, x, axis), _along(zero_point, x, axis)
    q = torch.round(x / scale) + zero_point
    return q.clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).to(torch.int8)


def dequantize(q: Tensor, scale: Tensor, zero_point: Tensor, axis: int | None = None) -> Tensor:
    """The numbers that the integers stand for, in the dtype of scale."""
    scale, zero_point = _along(scale, q, axis), _along(zero_point, q, axis)
    return (q.to(torch.int32) - zero_point) * scale  # the difference may not fit into an int8


def _along(values: Tensor, x: Tensor, axis: int | None) -> Tensor:
    """One value for each slice of x along axis, in a shape that broadcasts."""
    if axis is None:
        return values
    if values.shape != (x.shape[axis],):
        raise ValueError(f"expected one value for each of the {x.shape[axis]} slices, got {tuple(values.shape)}")
    shape = [1] * x.ndim
    shape[axis] = -1
    return values.view(shape)


# -- calibration -------------------------------------------------------------------------------------------------------

RoundTrip = Callable[[Tensor, Tensor, Tensor], Tensor]  # x, lo, hi -> x quantised for this range, and back


def percentile_range(x: Tensor, percent: float) -> tuple[Tensor, Tensor]:
    """The range of the middle `percent` of all values: as many are cut off below as above (linear interpolation)."""
    tail = (1 - percent / 100) / 2
    ordered = x.flatten().sort().values
    return _quantile(ordered, tail), _quantile(ordered, 1 - tail)


def _quantile(ordered: Tensor, share: float) -> Tensor:
    place = share * (len(ordered) - 1)
    below = min(int(place), len(ordered) - 1)
    above = min(below + 1, len(ordered) - 1)
    return torch.lerp(ordered[below], ordered[above], place - below)


def mse_range(x: Tensor, round_trip: RoundTrip) -> tuple[Tensor, Tensor]:
    """Of (f lo, f hi), f = 1.00, 0.99, ..., 0.20, the range of least mean squared error; of equals the widest."""
    lo, hi = find_range(x)
    factors = [percent / 100 for percent in range(100, 19, -1)]
    errors = torch.stack([(round_trip(x, f * lo, f * hi) - x).square().mean() for f in factors])
    best = factors[int(errors.argmin())]
    return best * lo, best * hi


# -- a linear layer of integers ----------------------------------------------------------------------------------------


def prepare(
    weight: Tensor,  # out in
    bias: Tensor | None,  # out
    scale: float,
    zero_point: int,
) -> tuple[Tensor, Tensor, Tensor]:  # int8 out in, out, out
    """The weights as integers (symmetric, a scale for each row), multiplier and offset: see the top of this file.

    scale and zero_point are those of the input. The sum over integers is exact; the rest is in weight's dtype.
    """
    largest = weight.abs().amax(1)
    row_scale = torch.where(largest == 0, torch.ones_like(largest), largest / 127)
    q_weight = torch.round(weight / row_scale[:, None]).to(torch.int8)
    multiplier = scale * row_scale
    offset = -multiplier * (zero_point * q_weight.sum(1, dtype=torch.int32)).to(weight.dtype)
    return q_weight, multiplier, offset if bias is None else offset + bias


def int8_linear(
    x: Tensor,  # ... in
    q_weight: Tensor,  # int8 out in
    multiplier: Tensor,  # out
    offset: Tensor,  # out
    scale: float,
    zero_point: int,
) -> Tensor:  # ... out
    """x @ weight.T + bias by integers: x is rounded to int8, all products and sums are exact, the result is scaled."""
    rows = x.reshape(-1, x.shape[-1])
    q = (rows * (1 / scale)).round_().add_(zero_point).clamp_(-128, 127).to(torch.int8)
    total = _int_product(q, q_weight).to(x.dtype)
    torch.addcmul(offset, total, multiplier, out=total)  # one pass, and no second block of memory
    return total.view(*x.shape[:-1], len(q_weight))


def _int_product(q: Tensor, q_weight: Tensor) -> Tensor:
    """q @ q_weight.T in int32. On a GPU the kernel wants more than 16 rows, and multiples of 8."""
    if not q.is_cuda:
        return torch._int_mm(q, q_weight.T)
    (m, k), n = q.shape, len(q_weight)
    more = max(17 - m, 0), -k % 8, -n % 8
    q = nn.functional.pad(q, (0, more[1], 0, more[0]))
    return torch._int_mm(q, nn.functional.pad(q_weight, (0, more[1], 0, more[2])).T)[:m, :n]


class Int8Linear(nn.Module):
    """What takes the place of an nn.Linear."""

    def __init__(self, linear: nn.Linear, scale: float, zero_point: int) -> None:
        super().__init__()
        bias = None if linear.bias is None else linear.bias.detach()
        q_weight, multiplier, offset = prepare(linear.weight.detach(), bias, scale, zero_point)
        self.register_buffer("q_weight", q_weight)
        self.register_buffer("multiplier", multiplier)
        self.register_buffer("offset", offset)
        self.scale, self.zero_point = scale, zero_point

    def forward(self, x: Tensor) -> Tensor:
        return int8_linear(x, self.q_weight, self.multiplier, self.offset, self.scale, self.zero_point)


# -- a model of such layers --------------------------------------------------------------------------------------------

LEFT_ALONE = ("lm_head",)
"""It shares its weights with the embedding, which are looked up and not multiplied."""


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """The layers that are to be quantised, by name."""
    return {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear) and n not in LEFT_ALONE}


def calibrate(
    model: nn.Module,
    batches: Iterable[Tensor],
    choose: Callable[[Tensor], tuple[Tensor, Tensor]] = find_range,
) -> dict[str, tuple[float, float]]:
    """For each linear layer the range that `choose` finds in all that goes into it, over all batches at once."""
    seen: dict[str, list[Tensor]] = {name: [] for name in linear_layers(model)}

    def keep(name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[name].append(inputs[0].detach().flatten().clone())

    layers = linear_layers(model).items()
    handles = [layer.register_forward_pre_hook(functools.partial(keep, name)) for name, layer in layers]
    training = model.training
    try:
        model.eval()
        with torch.no_grad():
            for batch in batches:
                model(batch)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    ranges = {name: choose(torch.cat(parts)) for name, parts in seen.items()}
    return {name: (float(lo), float(hi)) for name, (lo, hi) in ranges.items()}


def quantize_model(model: nn.Module, ranges: dict[str, tuple[float, float]]) -> nn.Module:
    """A copy of the model, in eval mode, in which each layer that `ranges` names is an Int8Linear for that range."""
    quantized = copy.deepcopy(model).eval()
    for name, (lo, hi) in ranges.items():
        scale, zero_point = qparams(torch.tensor(lo), torch.tensor(hi))
        parent, _, child = name.rpartition(".")
        layer = quantized.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        setattr(quantized.get_submodule(parent), child, Int8Linear(layer, float(scale), int(zero_point)))
    return quantized


# -- training that knows of the rounding -------------------------------------------------------------------------------


class FakeQuantize(torch.autograd.Function):
    """Rounds in the forward pass; in the backward pass it is the identity, and flat where the value was cut off.

    The straight-through estimator (Bengio et al. 2013, arXiv:1308.3432).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, zero_point: int, bits: int) -> Tensor:
        qmin, qmax = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        q = torch.round(x / scale) + zero_point
        ctx.save_for_backward((q >= qmin) & (q <= qmax))
        return (q.clamp_(qmin, qmax) - zero_point) * scale

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        (inside,) = ctx.saved_tensors
        return dout * inside, None, None, None


class RoundedWeight(nn.Module):
    """Makes a layer see its weights rounded to `bits` bits, symmetric, with a scale for each row."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits

    def forward(self, weight: Tensor) -> Tensor:
        largest = weight.detach().abs().amax(1, keepdim=True).clamp(min=1e-12)
        return FakeQuantize.apply(weight, largest / (2 ** (self.bits - 1) - 1), 0, self.bits)


def fine_tune(model: nn.Module, tokens: Tensor, bits: int, steps: int = 80, batch: int = 8, lr: float = 5e-4) -> None:
    """Train the model, in place, so that it is good once its linear weights are rounded. tokens: n length."""
    layers = linear_layers(model).values()
    for layer in layers:
        nn.utils.parametrize.register_parametrization(layer, "weight", RoundedWeight(bits))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * (1 - step / steps)
        chosen = tokens[torch.randint(len(tokens), (batch,), device=tokens.device)]
        loss = model(chosen, labels=chosen).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for layer in layers:
        nn.utils.parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)


# -- distillation ------------------------------------------------------------------------------------------------------


def distillation_loss(
    logits: Tensor,  # n classes
    teacher_logits: Tensor,  # n classes
    labels: Tensor,  # n
    temperature: float,
    alpha: float,
) -> Tensor:
    """alpha T^2 KL(teacher at T || student at T) + (1 - alpha) cross-entropy (Hinton et al. 2015, arXiv:1503.02531).

    T^2 keeps the size of the first term's gradient when T changes. Nothing flows back to the teacher.
    """
    student = nn.functional.log_softmax(logits / temperature, -1)
    teacher = nn.functional.log_softmax(teacher_logits.detach() / temperature, -1)
    divergence = (teacher.exp() * (teacher - student)).sum(-1).mean()
    return alpha * temperature**2 * divergence + (1 - alpha) * nn.functional.cross_entropy(logits, labels)


# -- the model of the week ---------------------------------------------------------------------------------------------


def checkpoint() -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and weights (float32) of the model that lies in the week's folder."""
    import json

    from safetensors.torch import load_file

    here = Path(__file__).parents[1]
    places = [here / "checkpoint", here / "source" / "week18_quantization" / "checkpoint"]  # in a bundle, in the course
    folder = next(place for place in places if place.exists())
    state = {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
    return json.loads((folder / "config.json").read_text()), state


def bits_per_byte(model: nn.Module, tokens: Tensor) -> float:  # n length
    """What the model needs to tell each byte but the first of every row, on average."""
    with torch.no_grad():
        return float(model(tokens, labels=tokens).loss) / math.log(2)
