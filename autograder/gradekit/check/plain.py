"""Plain data: all that may cross between judge and student.

Exactly torch.Tensor and np.ndarray, numbers, str, bytes, bool, None, and tuple, list and dict of these. Inputs may
also hold torch.dtype and torch.device. Copies keep strides and offset, so that a non-contiguous input stays one.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from gradekit.check.failure import AuthoringError, CheckFailed

MAX_DEPTH = 16


def snapshot(value: Any, where: str = "the output") -> Any:
    """A detached deep copy of an output, of exact types only. Raises CheckFailed naming the part that is not plain."""
    return _snapshot(value, where, 0)


def _snapshot(value: Any, where: str, depth: int) -> Any:
    kind = type(value)  # never isinstance: an object can lie about its class
    if depth > MAX_DEPTH:
        raise CheckFailed(f"{where} is nested more than {MAX_DEPTH} deep")
    if kind is torch.Tensor:
        return _snapshot_tensor(value, where)
    if kind is np.ndarray:
        if value.dtype.hasobject:
            raise CheckFailed(f"{where} is a NumPy array of Python objects (dtype {value.dtype}), not of numbers")
        return np.array(value)
    if value is None or kind in (bool, int, float, complex, str, bytes):
        return value
    if issubclass(kind, torch.Tensor):
        mend = ": return .detach()" if issubclass(kind, torch.nn.Parameter) else ""
        raise CheckFailed(f"{where} is a {_full_name(kind)}, not a plain torch.Tensor{mend}")
    if issubclass(kind, np.generic):
        return np.generic.item(value)
    if issubclass(kind, int):  # an IntEnum, say: its number and nothing else of it
        return int.__int__(value)
    if issubclass(kind, float):
        return float.__float__(value)
    if issubclass(kind, complex):
        return complex.__complex__(value)
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, tuple):
        return tuple(_snapshot(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(tuple.__iter__(value)))
    if issubclass(kind, list):
        return [_snapshot(v, f"{where}[{i}]", depth + 1) for i, v in enumerate(list.__iter__(value))]
    if issubclass(kind, dict):
        return {
            _snapshot(k, f"a key of {where}", depth + 1): _snapshot(v, f"{where}[{k!r:.40}]", depth + 1)
            for k, v in dict.items(value)
            if _hashable_key(k, where)
        }
    raise CheckFailed(
        f"{where} is a {_full_name(kind)}: expected plain data (tensors, arrays, numbers, strings; tuples, lists and "
        "dicts of these)"
    )


def _hashable_key(key: Any, where: str) -> bool:
    if type(key) not in (str, int, float, bool, bytes, tuple):
        raise CheckFailed(f"{where} has a key of type {_full_name(type(key))}: expected a string or a number")
    return True


def _snapshot_tensor(value: torch.Tensor, where: str) -> torch.Tensor:
    if value.layout is not torch.strided:
        raise CheckFailed(f"{where} is a tensor of layout {value.layout}: expected an ordinary dense one")
    if value.device.type == "meta":
        raise CheckFailed(f"{where} is on the meta device: it has a shape but no values")
    with torch.no_grad():
        return value.detach().resolve_conj().resolve_neg().clone(memory_format=torch.contiguous_format)


def duplicate(value: Any, where: str = "input") -> Any:
    """A deep copy of inputs: same strides, offset and requires_grad. Raises AuthoringError if they are not plain."""
    kind = type(value)
    if kind is torch.Tensor:
        copy = _restride(value, value.untyped_storage().clone())
        return copy.requires_grad_(value.requires_grad)
    if kind is np.ndarray:
        return np.array(value, copy=True, order="K")
    if isinstance(value, bool | int | float | complex | str | bytes | np.generic | torch.dtype | torch.device):
        return value
    if value is None:
        return value
    if kind is tuple:
        return tuple(duplicate(v, f"{where}[{i}]") for i, v in enumerate(value))
    if kind is list:
        return [duplicate(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if kind is dict:
        return {k: duplicate(v, f"{where}[{k!r}]") for k, v in value.items()}
    raise AuthoringError(f"{where} is a {_full_name(kind)}: inputs are plain data (tensors, arrays, numbers, strings)")


def refill(held: Any, fresh: Any) -> Any:
    """`fresh` in the memory of `held` where the two are laid out alike, else a new copy.

    Successive calls thus get inputs of the same identity and address with other contents, and a function that
    remembers its answers by either gives itself away.
    """
    if type(held) is not type(fresh):
        return duplicate(fresh)
    if isinstance(fresh, torch.Tensor):
        if _same_layout(held, fresh):
            held.untyped_storage().copy_(fresh.untyped_storage())
            return held
        return duplicate(fresh)
    if isinstance(fresh, np.ndarray):
        same = (held.shape, held.dtype, held.strides) == (fresh.shape, fresh.dtype, fresh.strides)
        if same and held.flags.writeable:
            held[...] = fresh
            return held
        return duplicate(fresh)
    if isinstance(fresh, tuple) and len(held) == len(fresh):
        return tuple(refill(h, f) for h, f in zip(held, fresh, strict=True))
    if isinstance(fresh, list) and len(held) == len(fresh):
        return [refill(h, f) for h, f in zip(held, fresh, strict=True)]
    if isinstance(fresh, dict):
        return {k: refill(held.get(k), f) for k, f in fresh.items()}
    return duplicate(fresh)


def unchanged(held: Any, original: Any) -> bool:
    """Whether inputs that a function was given still hold the bits that they were given with."""
    if type(held) is not type(original):
        return False
    if isinstance(original, torch.Tensor):
        return _layout(held) == _layout(original) and bool(torch.equal(_bytes(held), _bytes(original)))
    if isinstance(original, np.ndarray):
        same = (held.shape, held.dtype) == (original.shape, original.dtype)
        return same and bool(held.tobytes() == original.tobytes())
    if isinstance(original, tuple | list):
        pairs = zip(held, original, strict=False)
        return bool(len(held) == len(original)) and all(unchanged(h, o) for h, o in pairs)
    if isinstance(original, dict):
        return bool(held.keys() == original.keys()) and all(unchanged(held[k], original[k]) for k in original)
    return bool(held is original or held == original)


def spans(value: Any, path: str) -> Iterator[tuple[str, int, int]]:
    """(path, first address, end address) of the memory behind every tensor and array in `value`."""
    for where, leaf in leaves(value, path):
        if isinstance(leaf, torch.Tensor) and leaf.layout is torch.strided:
            storage = leaf.untyped_storage()
            if storage.nbytes() and leaf.numel():
                yield where, storage.data_ptr(), storage.data_ptr() + storage.nbytes()
        elif isinstance(leaf, np.ndarray) and leaf.size:
            low, high = np.lib.array_utils.byte_bounds(leaf)
            yield where, low, high


def nbytes(leaf: Any) -> int:
    """The bytes of a tensor's or an array's elements, repeated ones (stride 0) once; 0 for other leaves."""
    if isinstance(leaf, torch.Tensor) and leaf.layout is torch.strided:
        return min(leaf.numel() * leaf.itemsize, leaf.untyped_storage().nbytes())
    return leaf.nbytes if isinstance(leaf, np.ndarray) else 0


def leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every part of a nested value that is not itself a tuple, list or dict, with its path: `the output[1]`."""
    if isinstance(value, tuple | list):
        for i, item in enumerate(value):
            yield from leaves(item, f"{path}[{i}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}[{key!r}]")
    else:
        yield path, value


def transform(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same structure with `change` applied to every leaf."""
    if isinstance(value, tuple | list):
        return type(value)(transform(item, change) for item in value)
    if isinstance(value, dict):
        return {key: transform(item, change) for key, item in value.items()}
    return change(value)


def cast(value: Any, dtype: torch.dtype) -> Any:
    """Inputs with every floating-point tensor and array in `dtype` (complex ones in its complex partner).

    Tensors on mps, which has no float64, move to the CPU.
    """
    array_types = {torch.float64: (np.float64, np.complex128), torch.float32: (np.float32, np.complex64)}
    real, complex_ = array_types[dtype]

    def change(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            leaf = leaf.detach().cpu() if leaf.device.type == "mps" else leaf.detach()
            wanted = dtype.to_complex() if leaf.is_complex() else dtype if leaf.is_floating_point() else leaf.dtype
            return leaf.to(wanted)
        if isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind in "fc":
            return leaf.astype(real if leaf.dtype.kind == "f" else complex_)
        return leaf

    return transform(value, change)


def _same_layout(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether `a` can take over the contents of `b`, as far as autograd is concerned as well."""
    return _layout(a) == _layout(b) and a.requires_grad == b.requires_grad and a.is_leaf and a.grad is None


def _layout(t: torch.Tensor) -> tuple[object, ...]:
    return (t.dtype, t.device, t.shape, t.stride(), t.storage_offset(), t.untyped_storage().nbytes())


def _restride(like: torch.Tensor, storage: torch.UntypedStorage) -> torch.Tensor:
    empty = torch.empty(0, dtype=like.dtype, device=like.device)
    return empty.set_(storage, like.storage_offset(), like.size(), like.stride())


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    storage = tensor.untyped_storage()
    empty = torch.empty(0, dtype=torch.uint8, device=tensor.device)
    return empty.set_(storage, 0, (storage.nbytes(),), (1,))


def _full_name(kind: type) -> str:
    module = str(kind.__module__)
    return kind.__qualname__ if module in ("builtins", "__main__") else f"{module}.{kind.__qualname__}"
