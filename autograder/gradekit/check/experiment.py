"""An experiment: the one small function that crosses to the student's side.

Its parameters are inputs (keys of the dict that the inputs function gives) or names under test (all others). It may
use builtins, `torch`, `np` and `math`; whatever else it needs it imports inside its own body. It carries no expected
value, and nothing else of the test reaches the student's code.
"""

import builtins
import dataclasses
import dis
import functools
import inspect
import math
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import torch

from gradekit.check.failure import AuthoringError

Experiment: TypeAlias = Callable[..., Any]

GIVEN = {"torch": torch, "np": np, "math": math}
"""What an experiment may use without an import, besides builtins."""


@dataclasses.dataclass(frozen=True)
class Parameters:
    """An experiment's parameters, each in the order of the signature."""

    order: tuple[str, ...]
    names: tuple[str, ...]
    inputs: tuple[str, ...]


def parameters(experiment: Experiment, inputs: Iterable[str]) -> Parameters:
    """Split the parameters into names under test and inputs.

    Raises AuthoringError for anything but a plain function with plain parameters, and if the guard refuses it.
    """
    guard(experiment)
    known = set(inputs)
    signature = inspect.signature(experiment).parameters
    for parameter in signature.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise AuthoringError(f"experiment {experiment.__name__}: write each parameter out, not {parameter}")
        if parameter.default is not parameter.empty:
            raise AuthoringError(
                f"experiment {experiment.__name__}: {parameter.name} has a default, so it could be an input or a name "
                "under test; give the value in the inputs instead"
            )
    order = tuple(signature)
    names = tuple(name for name in order if name not in known)
    return Parameters(order, names, tuple(name for name in order if name in known))


def guard(experiment: Experiment) -> None:
    """Raise AuthoringError, naming them, if the experiment uses globals or closures that would not cross over."""
    if not isinstance(experiment, types.FunctionType):
        raise AuthoringError(f"an experiment is a plain function, not {type(experiment).__name__}")
    code = experiment.__code__
    if code.co_flags & (inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
        raise AuthoringError(f"experiment {experiment.__name__} must return its outputs, not yield them")
    foreign = _foreign(code)
    if foreign:
        listed = ", ".join(dict.fromkeys(foreign))
        raise AuthoringError(
            f"experiment {experiment.__name__} uses {listed} from outside: only its parameters, builtins, torch, np "
            "and math cross over to the student's side. Make it an input, a name under test, or import it in the body"
        )


def transplant(experiment: Experiment) -> types.FunctionType:
    """The same function with nothing of the test file in reach: its globals are builtins, torch, np and math."""
    assert isinstance(experiment, types.FunctionType)
    scope = {"__builtins__": builtins, "__name__": "experiment", **GIVEN}
    function = types.FunctionType(experiment.__code__, scope, experiment.__name__)
    return function


@functools.lru_cache(maxsize=256)
def _foreign(code: types.CodeType) -> tuple[str, ...]:
    """What the code takes from outside and would not find."""
    foreign = list(code.co_freevars)
    for inner in _codes(code):
        local = {i.argval for i in dis.get_instructions(inner) if i.opname == "STORE_NAME"}
        for instruction in dis.get_instructions(inner):
            name = instruction.argval
            if instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                foreign.append(name)
            elif instruction.opname.startswith(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")):
                known = name in local or name in GIVEN or hasattr(builtins, name) or name == "__name__"
                if not known:
                    foreign.append(name)
    return tuple(foreign)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)
