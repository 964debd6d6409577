"""The reference of week 5 against torch's own operators, which it does not use."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradekit import data
from reference import week05_conv as reference

# x, w, stride, padding
SHAPES = [
    ((2, 3, 9, 7), (4, 3, 3, 3), 1, 0),
    ((2, 3, 9, 7), (4, 3, 3, 3), 1, 1),
    ((2, 3, 9, 7), (4, 3, 3, 3), 2, 1),
    ((2, 3, 11, 6), (2, 3, 5, 2), 3, 2),
    ((3, 2, 10, 13), (5, 2, 2, 4), 2, 0),
    ((1, 1, 1, 1), (1, 1, 1, 1), 1, 0),
    ((1, 4, 5, 6), (3, 4, 1, 1), 1, 0),
    ((2, 4, 5, 6), (3, 4, 1, 1), 3, 0),
    ((2, 2, 12, 9), (3, 2, 2, 3), 5, 0),
    ((2, 2, 12, 9), (3, 2, 2, 3), 7, 1),
    ((2, 1, 4, 4), (2, 1, 3, 3), 1, 3),
    ((2, 3, 2, 2), (1, 3, 4, 4), 1, 1),
    ((1, 2, 8, 8), (2, 2, 8, 8), 1, 0),
    ((1, 2, 7, 20), (2, 2, 7, 1), 2, 2),
    ((16, 8, 28, 28), (16, 8, 3, 3), 1, 1),
]
POOLS = [
    ((2, 3, 8, 8), 2, 2),
    ((2, 3, 9, 7), 2, 2),
    ((1, 2, 9, 7), 3, 2),
    ((2, 1, 7, 11), 3, 1),
    ((2, 2, 5, 9), 2, 4),
    ((1, 1, 4, 5), 1, 1),
    ((1, 1, 4, 5), 1, 2),
    ((3, 2, 5, 5), 5, 5),
]
DTYPES = [torch.float64, torch.float32]


def normal(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(math.prod(shape)), dtype=dtype)


def agree(got: Tensor, want: Tensor) -> None:
    """Equal but for the rounding of a sum of a few hundred terms."""
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    assert (got - want).abs().max() <= 50 * torch.finfo(want.dtype).eps * want.abs().max()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("xs", "ws", "stride", "padding"), SHAPES)
def test_convolution_is_torchs(
    xs: tuple[int, ...], ws: tuple[int, ...], stride: int, padding: int, dtype: torch.dtype
) -> None:
    x, w, b = normal(*xs, dtype=dtype), normal(*ws, dtype=dtype), normal(ws[0], dtype=dtype)
    agree(reference.conv2d(x, w, b, stride, padding), F.conv2d(x, w, b, stride, padding))
    agree(reference.conv2d(x, w, None, stride, padding), F.conv2d(x, w, None, stride, padding))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("xs", "ws", "stride", "padding"), SHAPES)
def test_gradients_are_autograds(
    xs: tuple[int, ...], ws: tuple[int, ...], stride: int, padding: int, dtype: torch.dtype
) -> None:
    x, w, b = (normal(*s, dtype=dtype).requires_grad_() for s in (xs, ws, ws[:1]))
    out = F.conv2d(x, w, b, stride, padding)
    dout = normal(*out.shape, dtype=dtype)
    wants = torch.autograd.grad(out, (x, w, b), dout)
    gots = reference.conv2d_backward(dout, x.detach(), w.detach(), stride, padding)
    for got, want in zip(gots, wants, strict=True):
        agree(got, want)


@pytest.mark.parametrize(("xs", "ws", "stride", "padding"), SHAPES)
def test_autograd_passes_through_the_convolution(
    xs: tuple[int, ...], ws: tuple[int, ...], stride: int, padding: int
) -> None:
    x, w, b = (normal(*s).requires_grad_() for s in (xs, ws, ws[:1]))
    out = reference.conv2d(x, w, b, stride, padding)
    dout = normal(*out.shape)
    wants = torch.autograd.grad(F.conv2d(x, w, b, stride, padding), (x, w, b), dout)
    for got, want in zip(torch.autograd.grad(out, (x, w, b), dout), wants, strict=True):
        agree(got, want)


def test_strides_of_the_input_do_not_matter() -> None:
    x = normal(2, 9, 14, 3).permute(0, 3, 1, 2)[:, :, :, ::2]
    w = normal(3, 3, 4, 5).transpose(0, 1).flip(2)
    b = normal(6)[::2]
    for padding in (0, 2):
        agree(reference.conv2d(x, w, b, 2, padding), F.conv2d(x, w, b, 2, padding))
        dout = normal(*F.conv2d(x, w, b, 2, padding).shape[::-1]).permute(3, 2, 1, 0)
        got = reference.conv2d_backward(dout, x, w, 2, padding)
        want = reference.conv2d_backward(dout.contiguous(), x.contiguous(), w.contiguous(), 2, padding)
        for g, h in zip(got, want, strict=True):
            agree(g, h)
    agree(reference.max_pool2d(x, 2, 1), F.max_pool2d(x, 2, 1))
    expanded = normal(1, 1, 6, 5).expand(3, 2, 6, 5)
    agree(reference.conv2d(expanded, normal(4, 2, 3, 3)), F.conv2d(expanded, normal(4, 2, 3, 3)))
    assert reference.max_pool2d_backward(torch.ones(3, 2, 3, 2, dtype=x.dtype), expanded, 2, 2).sum() == 36


def test_half_precision_works() -> None:
    x, w = normal(2, 3, 9, 7, dtype=torch.bfloat16), normal(4, 3, 3, 3, dtype=torch.bfloat16)
    got = reference.conv2d(x, w, None, 2, 1)
    want = F.conv2d(x.double(), w.double(), None, 2, 1)
    assert got.dtype == torch.bfloat16
    assert (got - want).abs().max() <= 0.02 * want.abs().max()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"x": normal(3, 9, 7)}, "single image"),
        ({"w": normal(4, 3, 3)}, "expected w"),
        ({"w": normal(4, 2, 3, 3)}, "3 channels"),
        ({"w": normal(4, 3, 3, 3, dtype=torch.float32)}, "convert"),
        ({"w": normal(4, 3, 12, 3)}, "12 x 3 does not fit into 9 x 7"),
        ({"b": normal(5)}, r"expected b of shape \(4,\)"),
        ({"stride": 0}, "stride=0"),
        ({"padding": -1}, "padding=-1"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(change: dict[str, object], says: str) -> None:
    good = {"x": normal(2, 3, 9, 7), "w": normal(4, 3, 3, 3), "b": normal(4), "stride": 1, "padding": 0}
    with pytest.raises(ValueError, match=says):
        reference.conv2d(**(good | change))  # type: ignore[arg-type]


def test_a_gradient_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected dout of shape \(2, 4, 5, 4\).*rounded down"):
        reference.conv2d_backward(normal(2, 4, 4, 3), normal(2, 3, 9, 7), normal(4, 3, 3, 3), 2, 1)
    with pytest.raises(ValueError, match=r"expected dout of shape \(2, 3, 4, 3\)"):
        reference.max_pool2d_backward(normal(2, 3, 5, 4), normal(2, 3, 9, 7), 2, 2)
    for arguments in ((normal(9, 7), 2, 2), (normal(1, 1, 2, 7), 3, 1), (normal(1, 1, 2, 7), 1, 0)):
        with pytest.raises(ValueError, match=r"expected|does not fit"):
            reference.max_pool2d(*arguments)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "size", "stride"), POOLS)
@pytest.mark.parametrize("ties", [False, True])
def test_pooling_is_torchs_bit_by_bit(
    shape: tuple[int, ...], size: int, stride: int, dtype: torch.dtype, ties: bool
) -> None:
    x = normal(*shape, dtype=dtype)
    x = (x.round() if ties else x).requires_grad_()
    out = F.max_pool2d(x, size, stride)
    # whole numbers: sums of them are exact in any order
    dout = (8 * normal(*out.shape, dtype=dtype)).round()
    (want,) = torch.autograd.grad(out, x, dout)
    assert torch.equal(reference.max_pool2d(x.detach(), size, stride), out.detach())
    assert torch.equal(reference.max_pool2d_backward(dout, x.detach(), size, stride), want)


def test_the_first_of_equal_maxima_in_reading_order_gets_the_gradient() -> None:
    x = torch.tensor([[[[1.0, 5.0], [5.0, 5.0]]]])
    dx = reference.max_pool2d_backward(torch.tensor([[[[3.0]]]]), x, 2, 2)
    assert dx.tolist() == [[[[0.0, 3.0], [0.0, 0.0]]]]


def test_nothing_is_changed_or_shared() -> None:
    x, dout = normal(1, 1, 4, 4), normal(1, 1, 4, 4)
    before = x.clone(), dout.clone()
    pooled = reference.max_pool2d(x, 1, 1)
    dx = reference.max_pool2d_backward(dout, x, 1, 1)
    pooled.zero_()
    dx.zero_()
    reference.conv2d(x, normal(1, 1, 1, 1)).zero_()
    assert torch.equal(x, before[0])
    assert torch.equal(dout, before[1])


def test_the_networks_gradient_is_that_of_the_same_network_in_torch() -> None:
    torch.manual_seed(0)
    ours = reference.SmallCNN().double()
    theirs = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128, 10),
    ).double()  # fmt: skip
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        other.data.copy_(mine.data)
    x, labels = normal(5, 1, 8, 8), torch.arange(5)
    for model in (ours, theirs):
        F.cross_entropy(model(x), labels).backward()
    agree(ours(x).detach(), theirs(x).detach())
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert mine.grad is not None
        assert other.grad is not None
        agree(mine.grad, other.grad)


def test_training_learns_to_read_digits() -> None:
    digits = data.digits(split_seed=1)
    torch.manual_seed(1)
    model = reference.SmallCNN()
    history = reference.train(model, (digits.x_train, digits.y_train), epochs=5)
    assert len(history) == 5
    assert history[-1] < 0.3 * history[0]
    with torch.no_grad():
        right = model(digits.x_test).argmax(1) == digits.y_test
    assert right.float().mean() > 0.9


def inplace_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.Sequential(nn.MaxPool2d(2), nn.Flatten()), nn.Linear(27, 4)
    ).double()


def test_feature_maps_are_what_each_layer_returned() -> None:
    model, x = inplace_model(), normal(2, 1, 8, 8)
    maps = reference.feature_maps(model, x)
    assert list(maps) == ["0", "1", "2.0", "2.1", "3"]
    agree(maps["0"], model[0](x).detach())
    agree(maps["1"], model[0](x).relu().detach())
    agree(maps["3"], model(x).detach())
    assert not any(value.requires_grad for value in maps.values())
    assert not any(module._forward_hooks for module in model.modules())


def test_no_hook_is_left_when_the_model_fails() -> None:
    model = inplace_model()
    with pytest.raises(RuntimeError):
        reference.feature_maps(model, normal(2, 5, 8, 8))
    assert not any(module._forward_hooks for module in model.modules())


def test_the_input_gradient_is_that_of_the_classs_score() -> None:
    model, x = inplace_model(), normal(3, 1, 8, 8)
    leaf = x.clone().requires_grad_()
    (want,) = torch.autograd.grad(model(leaf)[:, 2].sum(), leaf)
    with torch.no_grad():
        agree(reference.input_gradient(model, x, 2), want)
    labels = torch.tensor([2, 0, 3])
    (want,) = torch.autograd.grad(model(leaf)[torch.arange(3), labels].sum(), leaf)
    agree(reference.input_gradient(model, x, labels), want)
    assert x.grad is None
    assert all(parameter.grad is None for parameter in model.parameters())
