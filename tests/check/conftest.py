"""Students and a reference for the checks to judge: real code, run in namespaces of its own."""

from __future__ import annotations

import itertools
import linecache
import textwrap
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gradekit import check

Answer = Callable[[str], dict[str, Any]]
_numbers = itertools.count()


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADEKIT_DEVICE", "cpu")
    monkeypatch.delenv("GRADEKIT_SEED", raising=False)


@pytest.fixture
def answer() -> Answer:
    """Run a student's cell and hand over its namespace, as Otter does (linecache knows the source, as in IPython)."""

    def run(source: str) -> dict[str, Any]:
        source = textwrap.dedent(source)
        name = f"<cell {next(_numbers)}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        namespace: dict[str, Any] = {"__name__": "__main__", "torch": torch, "F": F, "np": np}
        exec(compile(source, name, "exec"), namespace)
        return namespace

    return run


@pytest.fixture
def reference() -> types.ModuleType:
    module = types.ModuleType("reference_of_the_tests")

    def conv2d(x: Any, w: Any, b: Any, stride: int, padding: int) -> Any:
        return F.conv2d(x, w, b, stride, padding)

    module.conv2d = conv2d  # type: ignore[attr-defined]
    module.double = lambda x: 2 * x  # type: ignore[attr-defined]
    return module


@pytest.fixture
def conv_inputs() -> Callable[..., Any]:
    """Odd sizes, one channel and several, stride and padding, in float32 and float64, and a transposed image."""

    def inputs(rng: np.random.Generator, device: str) -> Any:
        for x, w, stride, padding, dtype in (
            ((2, 3, 9, 7), (4, 3, 3, 3), 1, 0, torch.float32),
            ((1, 1, 5, 8), (2, 1, 3, 2), 2, 1, torch.float32),
            ((2, 2, 8, 8), (3, 2, 1, 1), 1, 0, torch.float64),
            ((2, 3, 11, 6), (2, 3, 5, 3), 3, 2, torch.float64),
        ):
            yield {
                "x": check.normal(rng, *x, device=device, dtype=dtype),
                "w": check.normal(rng, *w, device=device, dtype=dtype),
                "b": check.normal(rng, w[0], device=device, dtype=dtype),
                "stride": stride,
                "padding": padding,
            }

    return inputs
