"""How fast are the references of weeks 5 and 18 beside torch's own kernels? Prints Markdown.

.venv/bin/python benchmarks/reference_kernels.py
"""

from __future__ import annotations

import platform
import random
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).parents[1]))  # `reference`
from reference import week05_conv, week18_quantization

PAIRS = 81

Call = Callable[[], object]
Row = tuple[str, Call, Call]  # what, ours, torch's


def ratio(ours: Call, theirs: Call) -> tuple[float, float, float]:
    """Median and quartiles of ours / theirs in processor time, over interleaved pairs whose order is drawn by lot."""
    rng = random.Random(0)
    for call in (ours, theirs) * 3:
        call()
    found = []
    for _ in range(PAIRS):
        seconds = {}
        for call in rng.sample([ours, theirs], 2):
            begin = time.thread_time()
            call()
            seconds[call] = time.thread_time() - begin
        found.append(seconds[ours] / seconds[theirs])
    low, median, high = statistics.quantiles(found, n=4)
    return median, low, high


def convolutions() -> Iterator[Row]:
    """Week 5: forward, and both gradients with that of the bias. Target: at most 2.0 on a CPU."""
    for x_shape, w_shape, stride, padding in (
        ((16, 8, 28, 28), (16, 8, 3, 3), 1, 1),
        ((32, 16, 14, 14), (32, 16, 3, 3), 1, 1),
        ((8, 3, 32, 32), (16, 3, 5, 5), 1, 2),
        ((16, 16, 28, 28), (32, 16, 3, 3), 2, 1),
        ((4, 16, 48, 48), (32, 16, 3, 3), 1, 1),
        ((16, 16, 48, 48), (32, 16, 3, 3), 1, 1),
    ):
        x, w, b = torch.randn(x_shape), torch.randn(w_shape), torch.randn(w_shape[0])
        dout = torch.randn_like(F.conv2d(x, w, b, stride, padding))

        def ours(x=x, w=w, b=b, stride=stride, padding=padding) -> object:
            return week05_conv.conv2d(x, w, b, stride, padding)

        def theirs(x=x, w=w, b=b, stride=stride, padding=padding) -> object:
            return F.conv2d(x, w, b, stride, padding)

        def ours_back(x=x, w=w, dout=dout, stride=stride, padding=padding) -> object:
            return week05_conv.conv2d_backward(dout, x, w, stride, padding)

        def theirs_back(x=x, w=w, dout=dout, stride=stride, padding=padding) -> object:
            return torch.ops.aten.convolution_backward(
                dout, x, w, [len(w)], [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, [True] * 3
            )

        what = f"{x_shape} with {w_shape}, stride {stride}, padding {padding}"
        yield f"convolution of {what}", ours, theirs
        yield f"its gradients, {what}", ours_back, theirs_back


def integer_layers() -> Iterator[Row]:
    """Week 18: the int8 layer beside torch's dynamic one, which finds the range as well. Target: at most 1.1."""
    sizes = ((1024, 96, 256), (1024, 256, 96), (512, 512, 512), (512, 1024, 1024), (64, 2048, 2048))
    for rows, inputs, outputs in sizes:
        x, linear = torch.randn(rows, inputs), torch.nn.Linear(inputs, outputs)
        layer = week18_quantization.Int8Linear(linear, 0.03, 5)
        packed = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(linear), {torch.nn.Linear})

        def ours(x=x, layer=layer) -> object:
            return layer(x)

        def theirs(x=x, packed=packed) -> object:
            return packed(x)

        def floats(x=x, linear=linear) -> object:
            return linear(x)

        what = f"{rows} rows, {inputs} -> {outputs}"
        yield f"int8 layer, {what}, beside torch's dynamic one", ours, theirs
        yield f"int8 layer, {what}, beside float32", ours, floats


def main() -> None:
    warnings.filterwarnings("ignore", category=UserWarning)  # torch announces the end of its quantised dtypes
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=FutureWarning)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, Python {platform.python_version()}\n")
    print("| what | ours / torch's | middle half |\n| --- | --- | --- |")
    with torch.no_grad():
        for what, ours, theirs in (*integer_layers(), *convolutions()):
            median, low, high = ratio(ours, theirs)
            print(f"| {what} | {median:.2f} | {low:.2f} to {high:.2f} |", flush=True)


if __name__ == "__main__":
    main()
