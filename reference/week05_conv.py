"""Week 5 from scratch: 2-D convolution, max pooling, their gradients, and a small CNN that is built of them.

The textbook turns a convolution into one matrix product by copying every window of the image into a column (im2col).
That is fast, and most of its time is the copying: kh * kw copies of the image. Here only the *columns* of the kernel
are unrolled. In a "strip" matrix made that way, one kernel row further down is w_out elements further on in memory,
which is a view and costs nothing; so a convolution is kw copies and kh matrix products. Each gradient is the
transpose of one line of the forward pass, read in reverse order.

Pooling takes the largest of each row of a window, then the largest of those: 2 * size comparisons instead of size**2.

Measured against torch's own kernels (time here / time there, median of 81 interleaved pairs, one thread; torch 2.15,
float32, a 2-core x86-64 CPU with AVX-512, 2026-11-26, `benchmarks/reference_speed.py`). No GPU was at hand.

    convolution of x with w                                   forward  backward
    (16, 8, 28, 28) with (16, 8, 3, 3), padding 1                2.3       2.1
    (32, 16, 14, 14) with (32, 16, 3, 3), padding 1              2.6       3.0
    (8, 3, 32, 32) with (16, 3, 5, 5), padding 2                 1.9       1.3
    (16, 16, 28, 28) with (32, 16, 3, 3), stride 2, padding 1    2.6       2.1
    (4, 16, 48, 48) with (32, 16, 3, 3), padding 1               2.1       3.7

    max pooling, forward and backward together (2026-11-22, busy): (16, 16, 28, 28) in windows of 2: 0.58;
    (4, 16, 47, 49) in overlapping windows of 3 at stride 2: 0.77 (forward 0.13, backward 10: torch remembers the
    winners, this finds them again)
"""

from __future__ import annotations

from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor, nn

# -- convolution -------------------------------------------------------------------------------------------------------


def conv2d(
    x: Tensor,  # n c h w
    w: Tensor,  # o c kh kw
    b: Tensor | None = None,  # o
    stride: int = 1,
    padding: int = 0,
) -> Tensor:  # n o h_out w_out
    """2-D cross-correlation with zero padding on all four sides: what deep learning calls a convolution.

    h_out = (h + 2 * padding - kh) // stride + 1, and likewise for the width (Dumoulin & Visin 2016, arXiv:1603.07285).
    Raises ValueError if the shapes do not fit.
    """
    h_out, w_out = _output_shape(x, w, stride, padding)
    n, (o, c, kh, kw) = len(x), w.shape
    strips = _unroll(x, kw, stride, padding)
    rows = w.permute(2, 0, 1, 3).reshape(kh, 1, o, c * kw).expand(kh, n, o, c * kw)
    out = x.new_zeros(n, o, h_out * w_out)
    if b is not None:
        if b.shape != (o,):
            raise ValueError(f"expected b of shape ({o},), one number per filter, got {tuple(b.shape)}")
        out += b[:, None]
    for i in range(kh):
        out.baddbmm_(rows[i], _windows(strips, i, stride, h_out, w_out))  # out += rows[i] @ windows, image by image
    return out.view(n, o, h_out, w_out)


def conv2d_backward(
    dout: Tensor,  # n o h_out w_out
    x: Tensor,  # n c h w
    w: Tensor,  # o c kh kw
    stride: int = 1,
    padding: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:  # n c h w, o c kh kw, o
    """Gradients (dx, dw, db) of a loss whose gradient with respect to conv2d's output is dout.

    out = rows[i] @ windows[i], summed over i, gives dw from dout @ windows[i].T, and rows[i].T @ dout for the strips,
    which are then folded back into an image. Raises ValueError if dout is not of the shape that conv2d returns.
    """
    h_out, w_out = _output_shape(x, w, stride, padding)
    n, (o, c, kh, kw) = len(x), w.shape
    if dout.shape != (n, o, h_out, w_out):
        raise ValueError(
            f"expected dout of shape {(n, o, h_out, w_out)} for {stride=}, {padding=}, got {tuple(dout.shape)}: "
            "is the output size rounded down?"
        )
    flat = dout.reshape(n, o, h_out * w_out)
    strips = _unroll(x, kw, stride, padding)
    dstrips = torch.zeros_like(strips)
    columns = w.permute(2, 1, 3, 0).reshape(kh, 1, c * kw, o).expand(kh, n, c * kw, o)
    drows = []
    for i in range(kh):
        drows.append((_windows(strips, i, stride, h_out, w_out) @ flat.mT).sum(0))  # c*kw o
        _windows(dstrips, i, stride, h_out, w_out).add_(columns[i] @ flat)
    dw = torch.stack(drows).view(kh, c, kw, o).permute(3, 1, 0, 2).contiguous()
    return _fold(dstrips, x, kw, stride, padding), dw, dout.sum((0, 2, 3))


def _output_shape(x: Tensor, w: Tensor, stride: int, padding: int) -> tuple[int, int]:
    """(h_out, w_out), once everything has been found to fit together."""
    if x.ndim != 4:
        raise ValueError(f"expected x of shape (n, c, h, w), got {tuple(x.shape)}: a single image is x[None]")
    if w.ndim != 4:
        raise ValueError(f"expected w of shape (o, c, kh, kw), got {tuple(w.shape)}")
    if x.shape[1] != w.shape[1]:
        raise ValueError(f"x has {x.shape[1]} channels, w of shape {tuple(w.shape)} expects {w.shape[1]}")
    if x.dtype != w.dtype:
        raise ValueError(f"x is {x.dtype} and w is {w.dtype}: convert one of them")
    if stride < 1 or padding < 0:
        raise ValueError(f"expected stride >= 1 and padding >= 0, got {stride=}, {padding=}")
    (h, width), (kh, kw) = x.shape[2:], w.shape[2:]
    if h + 2 * padding < kh or width + 2 * padding < kw:
        raise ValueError(f"a kernel of {kh} x {kw} does not fit into {h} x {width} with {padding=}")
    return (h + 2 * padding - kh) // stride + 1, (width + 2 * padding - kw) // stride + 1


def _unroll(x: Tensor, kw: int, stride: int, padding: int) -> Tensor:
    """Strips (n, c*kw, stride, rows*w_out): [n, (c, j), p, (r, v)] is padded [n, c, r*stride + p, v*stride + j].

    Rows of the image that are `stride` apart stand side by side, because that is how one row of the kernel meets them.
    """
    n, c, h, width = x.shape
    rows, w_out = -(-(h + 2 * padding) // stride), (width + 2 * padding - kw) // stride + 1
    padded = x.new_zeros(n, c, rows * stride, width + 2 * padding)
    padded[:, :, padding : padding + h, padding : padding + width] = x
    of_n, of_c, of_h, of_w = padded.stride()
    view = padded.as_strided((n, c, kw, stride, rows, w_out), (of_n, of_c, of_w, of_h, of_h * stride, of_w * stride))
    return view.reshape(n, c * kw, stride, rows * w_out)


def _windows(strips: Tensor, i: int, stride: int, h_out: int, w_out: int) -> Tensor:
    """What row i of the kernel meets, window by window: (n, c*kw, h_out*w_out), a view."""
    start = i // stride * w_out
    return strips[:, :, i % stride, start : start + h_out * w_out]


def _fold(dstrips: Tensor, x: Tensor, kw: int, stride: int, padding: int) -> Tensor:
    """The transpose of _unroll: what was copied from one pixel of x is added up there."""
    n, c, h, width = x.shape
    rows, w_out = -(-(h + 2 * padding) // stride), (width + 2 * padding - kw) // stride + 1
    image = dstrips.new_zeros(n, c, rows, stride, width + 2 * padding)
    for j, dstrip in enumerate(dstrips.view(n, c, kw, stride, rows, w_out).unbind(2)):
        image[..., _every(stride, j, w_out)] += dstrip.transpose(2, 3)
    return image.flatten(2, 3)[:, :, padding : padding + h, padding : padding + width]


def _every(step: int, start: int, count: int) -> slice:
    """`count` indices from `start` on, `step` apart."""
    return slice(start, start + (count - 1) * step + 1, step)


# -- pooling -----------------------------------------------------------------------------------------------------------


def max_pool2d(x: Tensor, size: int, stride: int) -> Tensor:
    """The largest value of each size x size window: (n, c, h, w) -> (n, c, h_out, w_out), without padding."""
    h_out, w_out = _pooled_shape(x, size, stride)
    x = reduce(torch.maximum, [x[:, :, _every(stride, i, h_out)] for i in range(size)])  # over whole rows, fast
    x = reduce(torch.maximum, [x[..., _every(stride, j, w_out)] for j in range(size)])
    return x if size > 1 else x.clone()  # not a view of the caller's tensor


def max_pool2d_backward(dout: Tensor, x: Tensor, size: int, stride: int) -> Tensor:
    """Gradient with respect to x: each window hands its dout to its largest value.

    Where several are largest, the first in reading order (row by row) receives it all, as in torch. dout is finite.
    """
    h_out, w_out = _pooled_shape(x, size, stride)
    if dout.shape != (*x.shape[:2], h_out, w_out):
        raise ValueError(f"expected dout of shape {(*x.shape[:2], h_out, w_out)}, got {tuple(dout.shape)}")
    places = [(_every(stride, i, h_out), _every(stride, j, w_out)) for i in range(size) for j in range(size)]
    windows = torch.stack([x[:, :, rows, columns] for rows, columns in places])
    shares = windows.eq_(windows.amax(0))  # 1 where the maximum is; in x's dtype, since making a bool tensor is slow
    dx, left = x.new_zeros(x.shape), dout.clone()
    for (rows, columns), share in zip(places, shares, strict=True):
        share *= left
        left -= share  # exact: what is given away is all of it, or nothing
        dx[:, :, rows, columns] += share
    return dx


def _pooled_shape(x: Tensor, size: int, stride: int) -> tuple[int, int]:
    if x.ndim != 4:
        raise ValueError(f"expected x of shape (n, c, h, w), got {tuple(x.shape)}: a single image is x[None]")
    if size < 1 or stride < 1:
        raise ValueError(f"expected size >= 1 and stride >= 1, got {size=}, {stride=}")
    h, width = x.shape[2:]
    if h < size or width < size:
        raise ValueError(f"a window of {size} x {size} does not fit into {h} x {width}")
    return (h - size) // stride + 1, (width - size) // stride + 1


# -- a network built of them -------------------------------------------------------------------------------------------


class ConvFunction(torch.autograd.Function):
    """Tells autograd that conv2d_backward belongs to conv2d."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.settings = stride, padding
        return conv2d(x, w, b, stride, padding)

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        return *conv2d_backward(dout, *ctx.saved_tensors, *ctx.settings), None, None


class PoolFunction(torch.autograd.Function):
    """Tells autograd that max_pool2d_backward belongs to max_pool2d."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: int, stride: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.settings = size, stride
        return max_pool2d(x, size, stride)

    @staticmethod
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        return max_pool2d_backward(dout, *ctx.saved_tensors, *ctx.settings), None, None


class Conv2d(nn.Module):
    """A 3 x 3 convolution that keeps the size of the image, with parameters drawn as torch draws them."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        bound = (channels_in * 9) ** -0.5
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in, 3, 3).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels_out).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return ConvFunction.apply(x, self.weight, self.bias, 1, 1)


class MaxPool2d(nn.Module):
    """Halves height and width."""

    def forward(self, x: Tensor) -> Tensor:
        return PoolFunction.apply(x, 2, 2)


class SmallCNN(nn.Module):
    """Images (n, 1, 8, 8) -> ten scores each (n, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.pool1 = Conv2d(1, 16), MaxPool2d()
        self.conv2, self.pool2 = Conv2d(16, 32), MaxPool2d()
        self.linear = nn.Linear(32 * 2 * 2, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(self.conv1(x).relu())  # n 16 4 4
        x = self.pool2(self.conv2(x).relu())  # n 32 2 2
        return self.linear(x.flatten(1))


def train(
    model: nn.Module,
    data: tuple[Tensor, Tensor],  # images n 1 8 8, labels n
    epochs: int = 10,
    batch_size: int = 32,
    lr: float = 0.01,
) -> list[float]:
    """Minimise the cross-entropy with Adam, at a rate that falls to zero; returns the mean loss of each epoch."""
    images, labels = data
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=epochs)
    history = []
    for _ in range(epochs):
        total = torch.zeros((), device=images.device)
        for batch in torch.randperm(len(images), device=images.device).split(batch_size):
            loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(batch)
        schedule.step()
        history.append(total.item() / len(images))
    return history


# -- looking inside ----------------------------------------------------------------------------------------------------


def feature_maps(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What each layer of `model` returns for x, by the layer's name, in the order in which they run.

    A layer is a submodule without submodules. The tensors are copies, cut off from the graph; no hook is left behind.
    """
    maps: dict[str, Tensor] = {}

    def keep(name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
        maps[name] = output.detach().clone()  # a layer after this one may work in place

    layers = [(name, layer) for name, layer in model.named_modules() if name and not any(layer.children())]
    handles = [layer.register_forward_hook(partial(keep, name)) for name, layer in layers]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return maps


def input_gradient(model: nn.Module, x: Tensor, label: Tensor | int) -> Tensor:
    """How the score of class `label` (one for all images, or one each) changes with every pixel of x (Simonyan 2013).

    Neither x nor the model keeps a gradient of it.
    """
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        scores = model(leaf)
        labels = torch.as_tensor(label, device=x.device).expand(len(x))
        chosen = scores.gather(1, labels[:, None]).sum()  # images do not meet, so one sum serves them all
        (gradient,) = torch.autograd.grad(chosen, leaf)
    return gradient
