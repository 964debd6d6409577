"""Drawing inputs: deterministic for one seed, different for every experiment and every draw.

The seed is the environment's GRADEKIT_SEED (0 without it). An inputs function is `inputs(rng, device) -> dict`, or a
generator function that yields several dicts, one a case.
"""

import hashlib
import inspect
import os
import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import torch

from gradekit.check.failure import AuthoringError

Inputs: TypeAlias = Callable[[np.random.Generator, str], Any]
Case: TypeAlias = dict[str, Any]


def seed() -> int:
    """The seed of this grading: GRADEKIT_SEED, else 0. Raises ValueError if it is not a whole number >= 0."""
    text = os.environ.get("GRADEKIT_SEED", "0") or "0"
    if not text.isdecimal():
        raise ValueError(f"GRADEKIT_SEED={text!r}: expected a whole number >= 0")
    return int(text)


def run_seed(run: int) -> int:
    """What torch's generator starts from in one run of a training (below 2**63, which is what torch takes).

    The student's code can read it back, so nothing of the seed that inputs are drawn from can be worked out from it.
    """
    return int.from_bytes(hashlib.sha256(f"run {run} of {seed()}".encode()).digest()[:8], "big") >> 1


def rng(name: str, draw: int) -> np.random.Generator:
    """The generator of one draw of one experiment."""
    return np.random.default_rng([seed(), zlib.crc32(name.encode()), draw])


def cases(inputs: Inputs, name: str, device: str, *, draw: int = 0) -> Iterator[Case]:
    """All cases of one draw: one from a plain inputs function, as many as a generator function yields."""
    drawn = inputs(rng(name, draw), device)
    none = True
    for case in drawn if inspect.isgenerator(drawn) else [drawn]:
        if not isinstance(case, dict) or not all(isinstance(key, str) for key in case):
            raise AuthoringError(f"{_name(inputs)} gave {type(case).__name__}: expected a dict from names to inputs")
        none = False
        yield case
    if none:
        raise AuthoringError(f"{_name(inputs)} yields no case")


def only(inputs: Inputs, name: str, device: str, *, draw: int, check: str) -> Case:
    """The single case of a draw. Raises AuthoringError if the inputs function gives several."""
    found = list(cases(inputs, name, device, draw=draw))
    if len(found) > 1:
        raise AuthoringError(
            f"check.{check} takes one case; {_name(inputs)} yields {len(found)}: write it one of its own"
        )
    return found[0]


def describe(case: Case, keys: tuple[str, ...]) -> str:
    """A case by the shapes of its inputs: `x (2, 3, 9, 7), w (4, 3, 3, 3), stride=2, padding=1`."""
    return ", ".join(_describe(key, case[key]) for key in keys if key in case)


def _describe(key: str, value: Any) -> str:
    if isinstance(value, torch.Tensor):
        notes = "" if value.dtype in (torch.float32, torch.int64) else f" {str(value.dtype).removeprefix('torch.')}"
        notes += "" if value.is_contiguous() else " non-contiguous"
        return f"{key} {tuple(value.shape)}{notes}"
    if isinstance(value, np.ndarray):
        return f"{key} {value.shape} {value.dtype} array"
    if isinstance(value, list | tuple | dict) and len(repr(value)) > 40:
        return f"{key} ({type(value).__name__} of {len(value)})"
    text = repr(value)
    return f"{key}={text if len(text) <= 40 else text[:37] + '...'}"


def _name(inputs: Inputs) -> str:
    return getattr(inputs, "__name__", "the inputs function")
