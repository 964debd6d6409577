"""The one comparator: is this output what was expected, and if not, in what way not?

`accuracy`, `gradient`, `speed` and `close` all end here. The kinds of difference, in the order in which they are
looked for: structure, type, shape, dtype, device, nan, then rounding or logic (numbers) or value (all else).
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch

from gradekit.check import diagnose

Kind = Literal["structure", "type", "shape", "dtype", "device", "nan", "rounding", "logic", "value"]

CEILING = 0.025
"""No tolerance exceeds this share of an output's scale: an answer that is 5 % off has an error of 0.05 of the scale,
which leaves half of it to the rounding error of the answer."""

LOST_DIGITS = 2.0**12
"""An error up to this many times the allowed one, and under 1 % of the scale, is called rounding and not logic."""


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a numeric leaf should be. `shaped` gives type, shape, dtype and device, `truth` the values (float64)."""

    shaped: Any
    truth: torch.Tensor
    allowed: float
    scale: float


@dataclasses.dataclass(frozen=True)
class Mismatch:
    """The first difference found. error and allowed are absolute (numbers only)."""

    kind: Kind
    text: str
    error: float = math.nan
    allowed: float = math.nan


def mismatch(
    got: Any, want: Any, expect: Callable[[str, Any], Expected], path: str, labels: Mapping[str, str] | None = None
) -> Mismatch | None:
    """The first difference between `got` and `want`, or None.

    `expect(path, leaf)` is asked for every floating-point or complex leaf of `want`; all else must be equal.
    `labels` gives paths better names in messages.
    """
    name = (labels or {}).get(path, path)
    if isinstance(want, tuple | list):
        if not isinstance(got, tuple | list):
            return Mismatch("structure", f"{name} is {_a(got)}: expected a {type(want).__name__} of {len(want)}")
        if len(got) != len(want):
            return Mismatch("structure", f"{name} has {len(got)} parts: expected {len(want)}")
        pairs = ((f"{path}[{i}]", g, w) for i, (g, w) in enumerate(zip(got, want, strict=True)))
        return next((m for p, g, w in pairs if (m := mismatch(g, w, expect, p, labels))), None)
    if isinstance(want, dict):
        if not isinstance(got, dict):
            return Mismatch("structure", f"{name} is {_a(got)}: expected a dict with keys {_keys(want)}")
        if got.keys() != want.keys():
            return Mismatch("structure", f"{name} has the keys {_keys(got)}: expected {_keys(want)}")
        items = ((f"{path}[{key!r}]", got[key], want[key]) for key in want)
        return next((m for p, g, w in items if (m := mismatch(g, w, expect, p, labels))), None)
    return _leaf(got, want, expect, path, name)


def _leaf(got: Any, want: Any, expect: Callable[[str, Any], Expected], path: str, name: str) -> Mismatch | None:
    if got is None and want is not None:
        return Mismatch("type", f"{name} is None: expected {_a(want)}. Is something still the placeholder?")
    if isinstance(want, torch.Tensor | np.ndarray):
        if type(got) is not type(want):
            return Mismatch("type", f"{name} is {_a(got)}: expected {_a(want)}")
        if tuple(got.shape) != tuple(want.shape):
            hint = _hint_shape(tuple(got.shape), tuple(want.shape))
            return Mismatch("shape", f"{name} has shape {tuple(got.shape)}: expected {tuple(want.shape)}{hint}")
        if got.dtype != want.dtype:
            return Mismatch("dtype", f"{name} has dtype {got.dtype}: expected {want.dtype}")
        if _device(got) != _device(want):
            return Mismatch("device", f"{name} is on {_device(got)}: expected it on {_device(want)}")
        if not isinstance(want, torch.Tensor) and np.asarray(want).dtype.kind not in "biufc":
            same = bool(np.array_equal(got, want))
            return None if same else Mismatch("value", f"{name} differs from what was expected")
        g, w = as_tensor(got), as_tensor(want)
        return numbers(g, expect(path, want), name) if is_inexact(want) else _exact(g, w, name)
    if isinstance(want, float | complex) and not isinstance(want, bool):
        fits = isinstance(got, int | float) or (isinstance(want, complex) and isinstance(got, complex))
        if not fits or isinstance(got, bool):
            return Mismatch("type", f"{name} is {_a(got)}: expected a number")
        dtype = torch.complex128 if isinstance(want, complex) else torch.float64
        return numbers(torch.tensor(got, dtype=dtype), expect(path, want), name)
    if type(got) is not type(want):
        return Mismatch("type", f"{name} is {_a(got)}: expected {_a(want)}")
    if got != want:
        return Mismatch("value", f"{name} is {_short(got)}: expected {_short(want)}")
    return None


def numbers(got: torch.Tensor, expected: Expected, name: str) -> Mismatch | None:
    """Compare floating-point values of equal shape within the allowed absolute error, NaN and infinities included."""
    truth = expected.truth
    wide = widen(got)
    if wide.device != truth.device:
        wide = wide.to(truth.device)
    if wide.numel() == 0:
        return None
    error = (wide - truth).abs()
    worst = float(error.max())
    if worst <= expected.allowed:  # false for NaN: the long way follows
        return None
    for wrong, label in (
        (torch.isnan(wide) & ~torch.isnan(truth), "NaN"),
        (torch.isinf(wide) & ~torch.isinf(truth), "infinite"),
        (~torch.isfinite(truth) & ~_same_special(wide, truth), "finite"),
    ):
        if wrong.any():
            at, g, w = _first(wrong, got, truth)
            count = _count(wrong)
            return Mismatch("nan", f"{name} is {label} at {at}: got {g}, expected {w}{count}", math.inf)
    error = torch.where(torch.isfinite(truth), error, torch.zeros_like(error))
    wrong = error > expected.allowed
    if not wrong.any():
        return None
    worst = float(error.max())
    at, g, w = _first(wrong, got, truth)
    share = _share(worst, expected)
    rounding = worst <= LOST_DIGITS * expected.allowed and worst <= 0.01 * expected.scale
    start = f"{name} is wrong at {at}: got {g}, expected {w}{_count(wrong)}"
    if rounding or _single_in_double(got, worst, expected):
        cause = (
            "; errors of this size come from a part that is computed in float32"
            if _single_in_double(got, worst, expected)
            else "; the values are nearly right: look for a lower precision or a subtraction of nearly equal numbers"
        )
        text = f"{start}. Rounding: {share}{cause}"
        return Mismatch("rounding", text, worst, expected.allowed)
    cause = diagnose.cause(wide, truth, wrong, max(expected.allowed, 1e-6 * expected.scale))
    text = f"{start}. Logic, not rounding: {share}{cause}"
    return Mismatch("logic", text, worst, expected.allowed)


def widen(value: torch.Tensor) -> torch.Tensor:
    """The same values in float64 (complex128), on the same device if that device knows float64."""
    if value.device.type == "mps":
        value = value.cpu()
    return value.to(torch.complex128 if value.is_complex() else torch.float64)


def as_tensor(leaf: Any) -> torch.Tensor:
    """A numeric leaf as a tensor that may share its memory."""
    if isinstance(leaf, torch.Tensor):
        return leaf
    if isinstance(leaf, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(leaf).reshape(leaf.shape))
    return torch.tensor(leaf, dtype=torch.complex128 if isinstance(leaf, complex) else torch.float64)


def is_inexact(leaf: Any) -> bool:
    """Whether a leaf holds floating-point or complex numbers, which are compared within a tolerance."""
    if isinstance(leaf, torch.Tensor):
        return leaf.is_floating_point() or leaf.is_complex()
    if isinstance(leaf, np.ndarray):
        return leaf.dtype.kind in "fc"
    return isinstance(leaf, float | complex)


def scale_of(truth: torch.Tensor) -> float:
    """The largest finite magnitude, 0.0 for none."""
    size = truth.abs()
    size = size[torch.isfinite(size)]
    return float(size.max()) if size.numel() else 0.0


def epsilon(leaf: Any) -> float:
    """The spacing of numbers at 1 in a leaf's dtype."""
    return torch.finfo(as_tensor(leaf).dtype).eps


def _exact(got: torch.Tensor, want: torch.Tensor, name: str) -> Mismatch | None:
    wrong = got != want.to(got.device)
    if not wrong.any():
        return None
    at, g, w = _first(wrong, got, want)
    return Mismatch("value", f"{name} is wrong at {at}: got {g}, expected {w}{_count(wrong)}")


def _same_special(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a == b) | (torch.isnan(a) & torch.isnan(b))


def _single_in_double(got: torch.Tensor, worst: float, expected: Expected) -> bool:
    double = got.dtype in (torch.float64, torch.complex128)
    return double and 1e-10 * expected.scale < worst < 1e-4 * expected.scale


def _first(wrong: torch.Tensor, got: torch.Tensor, want: torch.Tensor) -> tuple[str, str, str]:
    index = tuple(int(i) for i in wrong.nonzero()[0])
    at = f"index {index}" if len(index) != 1 else f"index {index[0]}"
    digits = 17 if got.dtype in (torch.float64, torch.complex128) else 9
    return (at if index else "its only value", _number(got[index], digits), _number(want[index], digits))


def _number(value: torch.Tensor, digits: int) -> str:
    item = value.item()
    return f"{item:.{min(digits, 9)}g}" if isinstance(item, float | complex) else str(item)


def _count(wrong: torch.Tensor) -> str:
    total = wrong.numel()
    return "" if total == 1 else f" ({int(wrong.sum())} of {total} values are wrong)"


def _share(error: float, expected: Expected) -> str:
    """An error and the allowed one, both as shares of the output's scale."""
    if expected.scale > 0:
        share, allowed = error / expected.scale, expected.allowed / expected.scale
        return f"the largest error is {share:.2g} of the output's largest value, {allowed:.2g} of it is allowed"
    return f"the largest error is {error:.2g}, {expected.allowed:.2g} is allowed"


def _device(value: Any) -> str:
    return str(torch.device(value.device).type) if isinstance(value, torch.Tensor) else "cpu"


def _hint_shape(g: tuple[int, ...], w: tuple[int, ...]) -> str:
    if len(g) == len(w):
        off = [i for i in range(len(g)) if g[i] != w[i]]
        if sorted(g) == sorted(w):
            return ": are two dimensions swapped?"
        if all(g[i] == w[i] - 1 for i in off):
            return ": one short; is a size rounded down where it should not be, or an end left out?"
        if all(g[i] == w[i] + 1 for i in off):
            return ": one too many; is a size rounded up where it should be rounded down?"
    elif tuple(n for n in g if n != 1) == tuple(n for n in w if n != 1):
        return ": a dimension of size 1 too many or too few"
    return ""


def _keys(value: dict[Any, Any]) -> str:
    return ", ".join(_short(key) for key in value) or "none"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _a(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of shape {value.shape}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if value is None:
        return "None"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
