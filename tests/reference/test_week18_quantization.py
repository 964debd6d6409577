"""The reference of week 18 against torch's own quantisers, quantised layers and losses, which it does not use."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaConfig, LlamaForCausalLM

from gradekit.data import prose
from reference import week18_quantization as reference


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for one another on busy cores take many times as long as one alone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def small_llama(seed: int = 0, **changes: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    sizes = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2} | changes
    return LlamaForCausalLM(
        LlamaConfig(num_attention_heads=4, tie_word_embeddings=True, use_cache=False, **sizes)
    ).eval()


@pytest.fixture(scope="module")
def checkpoint() -> LlamaForCausalLM:
    config, state = reference.checkpoint()
    model = LlamaForCausalLM(LlamaConfig(**config)).eval()
    model.load_state_dict(state, strict=False)
    return model


def windows(part: str, length: int = 128) -> Tensor:
    corpus = prose(full=False)
    data = torch.tensor(list(corpus.text(getattr(corpus, part)).encode()))
    return data[: len(data) // length * length].view(-1, length)


# -- quantisers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("shift", [-4.0, -0.5, 0.0, 0.7, 5.0])
def test_round_trips_are_those_of_torchs_fake_quantisation(bits: int, shift: float) -> None:
    x = normal(40, 50) + shift
    scale, zero_point = reference.qparams(*reference.find_range(x), bits)
    got = reference.dequantize(reference.quantize(x, scale, zero_point, bits), scale, zero_point)
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    want = torch.fake_quantize_per_tensor_affine(x, float(scale), int(zero_point), lowest, highest)
    assert (got - want).abs().max() <= float(
        scale
    ) * 1.001  # torch multiplies by 1 / scale: a value on an edge may differ
    assert ((got - want).abs() > float(scale) / 2).float().mean() < 1e-3


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_integers_are_torchs_along_any_axis(axis: int) -> None:
    x = normal(4, 6, 5) * 10
    scale, zero_point = reference.qparams(*reference.find_range(x, axis))
    got = reference.quantize(x, scale, zero_point, axis=axis)
    want = torch.fake_quantize_per_channel_affine(x, scale, zero_point, axis % 3, -128, 127)
    assert got.dtype == torch.int8
    shape = [1] * x.ndim
    shape[axis] = -1
    steps = (reference.dequantize(got, scale, zero_point, axis) - want) / scale.view(shape)
    assert steps.abs().max() < 1.001  # torch multiplies by 1 / scale: a value on an edge may differ
    assert (steps.abs() > 0.5).float().mean() < 0.02


def test_halves_go_to_the_even_neighbour_before_the_zero_point_is_added() -> None:
    x = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5])
    for zero_point in (0, 1, 2):
        got = reference.quantize(x, torch.tensor(1.0), torch.tensor(zero_point))
        assert (got - zero_point).tolist() == [0, 2, 2, 0, -2]


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(("lo", "hi"), [(0.0, 0.0), (1.0, 1.0), (-3.0, -3.0), (0.1, 9.0), (-7.0, 1e-6), (-1.0, 1.0)])
def test_zero_is_exact(lo: float, hi: float, symmetric: bool) -> None:
    scale, zero_point = reference.qparams(torch.tensor(lo), torch.tensor(hi), 8, symmetric)
    assert scale > 0
    assert -128 <= int(zero_point) <= 127
    assert int(reference.quantize(torch.tensor(0.0), scale, zero_point)) == int(zero_point)


def test_one_scale_for_a_tensor_that_has_three_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"3 slices, got \(2,\)"):
        reference.quantize(normal(3, 4), torch.ones(2), torch.zeros(2), axis=0)


# -- calibration -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("percent", [100.0, 99.9, 90.0, 50.0, 1.0])
@pytest.mark.parametrize("count", [1, 2, 3, 1000])
def test_percentiles_are_numpys(percent: float, count: int) -> None:
    x = normal(count, dtype=torch.float64)
    found = reference.percentile_range(x, percent)
    want = np.percentile(x.numpy(), [50 - percent / 2, 50 + percent / 2])
    np.testing.assert_allclose([float(value) for value in found], want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_the_range_of_least_error_is_the_best_of_the_grid(bits: int) -> None:
    x = torch.from_numpy(np.random.default_rng(0).standard_t(3, 2000)).float()

    def round_trip(x: Tensor, lo: Tensor, hi: Tensor) -> Tensor:
        scale, zero_point = reference.qparams(lo, hi, bits)
        return reference.dequantize(reference.quantize(x, scale, zero_point, bits), scale, zero_point)

    def error(lo: Tensor, hi: Tensor) -> float:
        return float((round_trip(x, lo, hi) - x).square().mean())

    found = error(*reference.mse_range(x, round_trip))
    assert found == min(error(f / 100 * x.min(), f / 100 * x.max()) for f in range(20, 101))


# -- the layer ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(3, 8, 5), (17, 40, 33), (64, 300, 128), (1, 7, 1)])
@pytest.mark.parametrize("zero_point", [-128, -3, 0, 100])
def test_the_layer_is_the_float_layer_on_what_the_integers_stand_for(
    rows: int, inputs: int, outputs: int, zero_point: int
) -> None:
    x, weight, bias = normal(rows, inputs), normal(outputs, inputs, seed=1), normal(outputs, seed=2)
    scale = 0.03
    q_weight, multiplier, offset = reference.prepare(weight, bias, scale, zero_point)
    got = reference.int8_linear(x, q_weight, multiplier, offset, scale, zero_point)
    on_marks = reference.quantize(x * (1 / scale), torch.tensor(1.0), torch.tensor(zero_point)).double()
    rounded = (on_marks - zero_point) * scale
    row_scale = weight.abs().amax(1, keepdim=True).double() / 127
    want = F.linear(rounded, q_weight.double() * row_scale, bias.double())
    torch.testing.assert_close(got.double(), want, rtol=1e-5, atol=1e-4 * float(want.abs().max()))
    assert (q_weight.double() * row_scale - weight).abs().max() <= 0.51 * row_scale.max()


def test_eight_bits_lose_little() -> None:
    x, linear = normal(64, 256), nn.Linear(256, 96)
    scale, zero_point = reference.qparams(*reference.find_range(x))
    layer = reference.Int8Linear(linear, float(scale), int(zero_point))
    want = linear(x).detach()
    # steps of s and t give errors of s^2 / 12 and t^2 / 12 in every factor, which add up independently
    row_scale = linear.weight.detach().abs().amax(1) / 127
    expected = (scale**2 * linear.weight.detach().square().sum(1) + row_scale**2 * x.square().sum(1, True)) / 12
    assert 0.8 < (layer(x) - want).square().mean() / expected.mean() < 1.25


def test_rows_of_zeros_and_no_bias() -> None:
    weight = normal(6, 10)
    weight[2] = 0
    q_weight, multiplier, offset = reference.prepare(weight, None, 0.1, 7)
    assert not q_weight[2].any()
    assert multiplier[2] == pytest.approx(0.1)
    assert offset[2] == 0
    got = reference.int8_linear(normal(2, 3, 10), q_weight, multiplier, offset, 0.1, 7)
    assert got.shape == (2, 3, 6)


# -- the model ---------------------------------------------------------------------------------------------------------


def test_calibration_sees_what_flows_into_every_layer() -> None:
    model, batches = (
        small_llama().requires_grad_(False),
        [torch.arange(12).view(2, 6), torch.arange(20, 30).view(1, 10)],
    )
    ranges = reference.calibrate(model, batches)
    assert len(ranges) == 14
    assert not any("lm_head" in name for name in ranges)
    states = [model.model(batch, output_hidden_states=True).hidden_states[0] for batch in batches]
    normed = torch.cat([model.model.layers[0].input_layernorm(s).flatten() for s in states])
    lo, hi = ranges["model.layers.0.self_attn.q_proj"]
    assert lo == pytest.approx(float(normed.min()))
    assert hi == pytest.approx(float(normed.max()))
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_quantised_model_is_a_copy_that_says_nearly_the_same() -> None:
    model = small_llama()
    batch = torch.randint(40, (4, 16), generator=torch.Generator().manual_seed(1))
    quantized = reference.quantize_model(model.train(), reference.calibrate(model, [batch]))
    kinds = [type(module).__name__ for module in quantized.modules()]
    assert kinds.count("Int8Linear") == 14
    assert kinds.count("Linear") == 1
    assert model.training
    assert not quantized.training
    assert not any(isinstance(module, reference.Int8Linear) for module in model.modules())
    with torch.no_grad():
        got, want = quantized(batch).logits, model.eval()(batch).logits
    assert (got - want).square().mean() < 1e-3 * want.square().mean()


def test_the_checkpoint_reads_prose_and_hardly_notices_eight_bits(checkpoint: LlamaForCausalLM) -> None:
    unseen = windows("test")[:64]
    before = reference.bits_per_byte(checkpoint, unseen)
    assert before < 2.5
    quantized = reference.quantize_model(checkpoint, reference.calibrate(checkpoint, [windows("train")[:16]]))
    assert abs(reference.bits_per_byte(quantized, unseen) - before) < 0.02


def test_the_checkpoint_is_small_and_not_pickled() -> None:
    config, state = reference.checkpoint()
    assert config["model_type"] == "llama"
    assert sum(value.numel() for value in state.values()) == 246_240
    assert all(value.dtype == torch.float32 for value in state.values())


# -- training ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("zero_point", [-2, 0, 1])
def test_values_and_gradients_are_those_of_torchs_fake_quantisation(bits: int, zero_point: int) -> None:
    lowest, highest = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    scale = 0.125  # 1 / scale is exact
    x = (normal(30, 20) * scale * 2**bits).requires_grad_()
    dout = normal(30, 20, seed=1)
    got = reference.FakeQuantize.apply(x, torch.tensor(scale), zero_point, bits)
    want = torch.fake_quantize_per_tensor_affine(x, scale, zero_point, lowest, highest)
    torch.testing.assert_close(got, want)
    gradients = [torch.autograd.grad((y * dout).sum(), x)[0] for y in (got, want)]
    assert torch.equal(*gradients)
    assert bool((gradients[0] == 0).any())


def test_fine_tuning_wins_back_what_rounding_lost(checkpoint: LlamaForCausalLM) -> None:
    config, state = reference.checkpoint()
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**config))
    model.load_state_dict(state, strict=False)
    reference.fine_tune(model, windows("train", 64)[::9], bits=3)  # from all documents
    assert list(model.state_dict()) == list(checkpoint.state_dict())

    def rounded(model: nn.Module) -> float:
        copied = LlamaForCausalLM(LlamaConfig(**config)).eval()
        copied.load_state_dict(model.state_dict())
        for layer in reference.linear_layers(copied).values():
            layer.weight.data = reference.RoundedWeight(3)(layer.weight.data)
        return reference.bits_per_byte(copied, windows("test")[:64])

    assert rounded(model) < rounded(checkpoint) - 0.05


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_distillation_loss_is_torchs_divergence_and_cross_entropy(temperature: float, alpha: float) -> None:
    logits, teacher, labels = normal(9, 7) * 5, normal(9, 7, seed=1) * 5, torch.arange(9) % 7
    divergence = F.kl_div(
        F.log_softmax(logits / temperature, 1),
        F.log_softmax(teacher / temperature, 1),
        log_target=True,
        reduction="batchmean",
    )
    want = alpha * temperature**2 * divergence + (1 - alpha) * F.cross_entropy(logits, labels)
    got = reference.distillation_loss(logits, teacher.requires_grad_(), labels, temperature, alpha)
    torch.testing.assert_close(got, want)
    assert not got.requires_grad
    assert math.isfinite(float(reference.distillation_loss(100 * logits, 100 * teacher, labels, 1.0, 1.0)))
