"""How fast are the reference implementations, beside a plain version of the same and beside a library?

    .venv/bin/python benchmarks/reference_speed.py              all weeks, a few minutes on an idle machine
    .venv/bin/python benchmarks/reference_speed.py week14       one of them
    .venv/bin/python benchmarks/reference_speed.py --quick      does it run here?

Prints Markdown. A week is a function that yields its comparisons: add yours to WEEKS. The sides of a comparison take
turns, in an order drawn anew each time, and the figures are medians of ratios within a turn, so that a machine whose
speed drifts does not favour one of them.

Where a reference calls torch's matrix product, that product alone, on matrices that are ready and into one that is
there, is timed as well: no way of preparing and adding up can be faster.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import random
import statistics
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch

os.environ |= {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"}  # before the library is loaded
sys.path.insert(0, str(Path(__file__).parents[1]))

TURNS, SECONDS = 21, 60.0  # of a comparison; of its turns together, after which it ends early
SHORT = 81  # turns of what takes milliseconds


class Comparison(NamedTuple):
    """The reference, a plain version and a library's at the same work; at most `target` times the library's time.

    `products` is what of the reference's work are matrix products.
    """

    what: str
    reference: Callable[[], Any]
    library: Callable[[], Any]
    target: float
    plain: Callable[[], Any] | None = None
    turns: int = TURNS
    products: Callable[[], Any] | None = None


class Figure(NamedTuple):
    """Medians: seconds of the reference; the plain version over it; it, and its products, over the library."""

    seconds: float
    plain: float | None
    library: float
    products: float | None


def week05(quick: bool) -> Iterator[Comparison]:
    """The convolution beside torch's, forward and back (both gradients, and that of the bias)."""
    from torch.nn.functional import conv2d

    from reference import week05_conv as week

    sizes = (
        ((16, 8, 28, 28), (16, 8, 3, 3), 1, 1),
        ((32, 16, 14, 14), (32, 16, 3, 3), 1, 1),
        ((8, 3, 32, 32), (16, 3, 5, 5), 1, 2),
        ((16, 16, 28, 28), (32, 16, 3, 3), 2, 1),
        ((4, 16, 48, 48), (32, 16, 3, 3), 1, 1),
        ((16, 16, 48, 48), (32, 16, 3, 3), 1, 1),
    )
    for of_x, of_w, stride, padding in sizes[:1] if quick else sizes:
        x, w, b = torch.randn(of_x), torch.randn(of_w), torch.randn(of_w[0])
        dout = torch.randn_like(conv2d(x, w, b, stride, padding))
        forward = (x, w, b, stride, padding)
        back = ([len(w)], [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, [True] * 3)
        what = f"{of_x} with {of_w}, stride {stride}, padding {padding}"
        yield Comparison(
            f"week 5: convolution of {what}",
            lambda its=forward: week.conv2d(*its),
            lambda its=forward: conv2d(*its),
            2.0,
            turns=SHORT,
            products=_products(x, w, dout),
        )
        yield Comparison(
            f"week 5: its gradients, {what}",
            lambda its=(dout, x, w, stride, padding): week.conv2d_backward(*its),
            lambda its=(dout, x, w, *back): torch.ops.aten.convolution_backward(*its),
            2.0,
            turns=SHORT,
            products=_products(x, w, dout, back=True),
        )


def _products(x: torch.Tensor, w: torch.Tensor, dout: torch.Tensor, back: bool = False) -> Callable[[], Any]:
    """The matrix products of a convolution, or of its gradients, as the reference has them: one for each kernel row."""
    (o, c, kh, kw), n, places = w.shape, len(x), dout[0, 0].numel()
    strips, rows, flat = torch.randn(n, c * kw, places), torch.randn(n, o, c * kw), torch.randn(n, o, places)
    drows = torch.empty(n, c * kw, o)

    def forward() -> None:
        for _ in range(kh):
            torch.bmm(rows, strips, out=flat)

    def backward() -> None:
        for _ in range(kh):
            torch.bmm(strips, flat.mT, out=drows)
            torch.bmm(rows.mT, flat, out=strips)

    return backward if back else forward


def week18(quick: bool) -> Iterator[Comparison]:
    """The int8 layer beside torch's dynamic one, which finds the range as well; the plain version is float32."""
    from reference import week18_quantization as week

    sizes = ((1024, 96, 256), (1024, 256, 96), (512, 512, 512), (512, 1024, 1024), (64, 2048, 2048))
    for rows, inputs, outputs in sizes[:1] if quick else sizes:
        x, linear = torch.randn(rows, inputs), torch.nn.Linear(inputs, outputs)
        layer = week.Int8Linear(linear, 0.03, 5)
        packed = torch.ao.quantization.quantize_dynamic(torch.nn.Sequential(linear), {torch.nn.Linear})
        q, total = x.to(torch.int8), torch.empty(rows, outputs, dtype=torch.int32)
        yield Comparison(
            f"week 18: int8 layer, {rows} rows, {inputs} -> {outputs}",
            lambda layer=layer, x=x: layer(x),
            lambda packed=packed, x=x: packed(x),
            1.1,
            lambda linear=linear, x=x: linear(x),
            turns=SHORT,
            products=lambda its=(q, layer.q_weight.T), out=total: torch._int_mm(*its, out=out),
        )


def week14(quick: bool) -> Iterator[Comparison]:
    """Byte-level BPE beside Hugging Face's tokenizers (Rust, one thread) with the same pattern and merges."""
    from gradekit import data
    from reference import week14_tokenizers as week

    text = data.prose(full=False).text()[: 20_000 if quick else None]
    for size in (500,) if quick else (1000, 4000, 8000):
        merges = week.train_bpe(text, size)
        yield Comparison(
            f"week 14: train BPE, {len(text):,} characters, {len(merges):,} merges",
            lambda size=size: week.train_bpe(text, size),
            lambda size=size: _train_library(text, size),
            6.0,
            (lambda size=size: counted_anew(text, size)) if size <= 1000 else None,
        )
    for size in (500,) if quick else (1000, 4000):
        merges = week.train_bpe(text, size)
        library = _library(merges)
        if week.Tokenizer(merges).encode(text) != library.encode(text).ids:
            raise SystemExit("the library's ids are others: what is compared is not the same work")
        yield Comparison(
            f"week 14: encode {len(text):,} characters, {len(merges):,} merges, nothing remembered before",
            lambda merges=merges: week.Tokenizer(merges).encode(text),
            lambda library=library: library.encode(text),
            8.0,
            lambda merges=merges: piece_by_piece(merges, text),
        )


def counted_anew(text: str, size: int) -> list[tuple[int, int]]:
    """BPE as the paper prints it: all different pieces are counted anew for every merge."""
    from reference import week14_tokenizers as week

    words = {tuple(piece.encode()): n for piece, n in Counter(week.PIECE.findall(text)).items()}
    merges: list[tuple[int, int]] = []
    while len(merges) < size - 256:
        count: Counter[tuple[int, int]] = Counter()
        for word, n in words.items():
            for pair in pairwise(word):
                count[pair] += n
        pair = min(count, key=lambda pair: (-count[pair], pair))
        if count[pair] < 2:
            break
        merges.append(pair)
        words = {_merged(word, pair, 255 + len(merges)): n for word, n in words.items()}
    return merges


def piece_by_piece(merges: list[tuple[int, int]], text: str) -> list[int]:
    """Every piece merged anew, whether it was met before or not."""
    from reference import week14_tokenizers as week

    numbers = {pair: 256 + i for i, pair in enumerate(merges)}
    found: list[int] = []
    for piece in week.PIECE.findall(text):
        ids: tuple[int, ...] = tuple(piece.encode())
        while pairs := [pair for pair in pairwise(ids) if pair in numbers]:
            pair = min(pairs, key=numbers.__getitem__)
            ids = _merged(ids, pair, numbers[pair])
        found += ids
    return found


def _merged(ids: tuple[int, ...], pair: tuple[int, int], new: int) -> tuple[int, ...]:
    out: list[int] = []
    for i in ids:
        if out and (out[-1], i) == pair:
            out[-1] = new
        else:
            out.append(i)
    return tuple(out)


def _library(merges: list[tuple[int, int]] | None = None) -> Any:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    from reference import week14_tokenizers as week

    if merges is None:
        found = Tokenizer(models.BPE())
    else:
        printed = [*range(33, 127), *range(161, 173), *range(174, 256)]  # GPT-2's letters for bytes
        others = iter(range(256, 512))
        tokens = [chr(byte) if byte in printed else chr(next(others)) for byte in range(256)]
        for a, b in merges:
            tokens.append(tokens[a] + tokens[b])
        vocab = {token: i for i, token in enumerate(tokens)}
        found = Tokenizer(models.BPE(vocab, [(tokens[a], tokens[b]) for a, b in merges]))
    pieces = pre_tokenizers.Split(Regex(week.PIECE.pattern), "isolated")
    found.pre_tokenizer = pre_tokenizers.Sequence(
        [pieces, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    return found


def _train_library(text: str, size: int) -> Any:
    from tokenizers import pre_tokenizers, trainers

    found = _library()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=2, show_progress=False, initial_alphabet=alphabet)
    found.train_from_iterator([text], trainer)
    return found


WEEKS: dict[str, Callable[[bool], Iterator[Comparison]]] = {"week05": week05, "week14": week14, "week18": week18}


def measure(comparison: Comparison, turns: int) -> Figure:
    """Processor time of this process: other programs on the machine do not count, threads of a library do."""
    sides = {"reference": comparison.reference, "library": comparison.library}
    for name, side in (("plain", comparison.plain), ("products", comparison.products)):
        if side is not None:
            sides[name] = side
    for run in (comparison.reference, comparison.library):
        run()  # what is loaded in a first call
    times: dict[str, list[float]] = {name: [] for name in sides}
    lots, start = random.Random(0), time.perf_counter()
    while len(times["library"]) < turns and (not times["library"] or time.perf_counter() - start < SECONDS):
        for name in lots.sample(sorted(sides), len(sides)):
            before = time.process_time()
            sides[name]()
            times[name].append(time.process_time() - before)
    return Figure(
        statistics.median(times["reference"]),
        plain=_ratio(times["plain"], times["reference"]) if "plain" in times else None,
        library=_ratio(times["reference"], times["library"]),
        products=_ratio(times["products"], times["library"]) if "products" in times else None,
    )


def _ratio(these: list[float], those: list[float]) -> float:
    """The median over the turns."""
    return statistics.median(a / b for a, b in zip(these, those, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("weeks", nargs="*", metavar="WEEK", help=f"of {', '.join(WEEKS)}; all of them by default")
    parser.add_argument("--quick", action="store_true", help="small sizes, three turns: too few to conclude from")
    arguments = parser.parse_args()
    if unknown := set(arguments.weeks) - set(WEEKS):
        parser.error(f"no such week: {', '.join(sorted(unknown))}")
    libraries = ", ".join(f"{name} {version(name)}" for name in ("tokenizers", "torch"))
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.system()}"
    python = f"Python {platform.python_version()}"
    print(f"{datetime.date.today()} · {machine}, {python} · {libraries} · load {os.getloadavg()[0]:.1f}\n")
    warnings.filterwarnings("ignore")  # torch announces the end of its quantised dtypes
    torch.set_num_threads(1)
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    print("| what | reference | plain version | beside the library | target | its products alone |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in arguments.weeks or WEEKS:
        for comparison in WEEKS[name](arguments.quick):
            figure = measure(comparison, 3 if arguments.quick else comparison.turns)
            plain = f"{figure.plain:.1f} times as long" if figure.plain is not None else ""
            beside = f"{figure.library:.2f} times as long"
            met = f"at most {comparison.target:g}: **{'met' if figure.library <= comparison.target else 'missed'}**"
            products = f"{figure.products:.2f} times as long" if figure.products is not None else ""
            seconds = f"{1000 * figure.seconds:.3g} ms"
            print(f"| {comparison.what} | {seconds} | {plain} | {beside} | {met} | {products} |", flush=True)


if __name__ == "__main__":
    main()
