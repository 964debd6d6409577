"""What the device at hand can do: matrix products, memory, and how fast it starts an operation.

Measured once, in about a second, and kept in a file of the user's cache folder (GRADEKIT_CACHE names another folder).
The file is named after the device, driver, torch's version and number of threads: change one, and it is measured anew.
Every figure is the best of many short runs, since whatever else the machine does can only make it slower.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from gradekit.device.present import Device, current

SHARE_S = 0.15
"""Seconds for each figure."""


@dataclasses.dataclass(frozen=True)
class Rates:
    """matmul: floating-point operations a second of a large matrix product, by dtype ("float32"; "tf32" and "bfloat16"
    where the device has them); bandwidth: bytes a second, read and written, of the device's memory; cache_bandwidth:
    the same of what lies in its caches; launch_s: seconds that an operation takes which has next to nothing to do.
    """

    matmul: dict[str, float]
    bandwidth: float
    cache_bandwidth: float
    launch_s: float


def rates(*, fresh: bool = False) -> Rates:
    """The rates of the current device, from the cache if they are there. fresh: measure again.

    A cache that cannot be read or written costs the second that it would have saved, and nothing else.
    """
    device = current()
    key = _key(device)
    path = cache_folder() / f"rates-{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]}.json"
    if not fresh and (known := _read(path, key)) is not None:
        return known
    measured = _measure(device)
    _write(path, {"key": key, "rates": dataclasses.asdict(measured)})
    return measured


def cache_folder() -> Path:
    """Where the kit keeps what it can find out again: GRADEKIT_CACHE, else the system's place for that."""
    if wanted := os.environ.get("GRADEKIT_CACHE", "").strip():
        return Path(wanted).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "gradekit" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "gradekit"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gradekit"


def _key(device: Device) -> dict[str, Any]:
    """All that the rates depend on."""
    return {
        "device": dataclasses.asdict(device) | {"capability": list(device.capability or ())},
        "driver": torch.version.cuda if device.kind == "cuda" else platform.platform(),
        "driver_build": _driver() if device.kind == "cuda" else "",
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
    }


def _driver() -> str:
    """The version of NVIDIA's driver, where the system says it."""
    with contextlib.suppress(OSError):
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0]
    return ""


def _read(path: Path, key: dict[str, Any]) -> Rates | None:
    """What the file holds, None if it is not there, not readable, or not what this version writes for this key."""
    try:
        found = json.loads(path.read_text())
        if found["key"] != key:
            return None
        matmul = {str(name): float(rate) for name, rate in found["rates"]["matmul"].items()}
        others = (float(found["rates"][name]) for name in ("bandwidth", "cache_bandwidth", "launch_s"))
        known = Rates(matmul, *others)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    values = [*known.matmul.values(), known.bandwidth, known.cache_bandwidth, known.launch_s]
    return known if "float32" in matmul and all(math.isfinite(v) and v > 0 for v in values) else None


def _write(path: Path, content: dict[str, Any]) -> None:
    """All or nothing: readers never see half a file."""
    unfinished = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".new")
        with os.fdopen(handle, "w") as file:
            json.dump(content, file, indent=1)
        os.replace(unfinished, path)
    except OSError:
        if unfinished:
            Path(unfinished).unlink(missing_ok=True)


def _measure(device: Device) -> Rates:
    with torch.inference_mode():
        matmul = {name: _matmul(device, name) for name in _dtypes(device)}
        cuda = device.kind == "cuda"
        beyond, within = (2**30, 2**22) if cuda else (2**26, 2**16)  # beyond all caches but a server's, and within
        return Rates(matmul, _bandwidth(device, beyond), _bandwidth(device, within), _launch(device))


def _dtypes(device: Device) -> list[str]:
    """The kinds of matrix product that the device has circuits for."""
    if device.kind == "cuda":
        return ["float32", "tf32", "bfloat16"] if (device.capability or (0, 0)) >= (8, 0) else ["float32"]
    if device.kind == "mps":
        return ["float32"]
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # private: where they are gone, float32 is enough
    native = any(getattr(torch.cpu, name, bool)() for name in names)
    return ["float32", "bfloat16"] if native else ["float32"]


def _matmul(device: Device, name: str) -> float:
    n = 8192 if device.kind == "cuda" else 1024
    dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
    a, b = (torch.ones(n, n, device=device.kind, dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)
    with _tensor_cores(name == "tf32"):
        return 2 * n**3 / _best(device, lambda: torch.mm(a, b, out=out))


def _bandwidth(device: Device, nbytes: int) -> float:
    source = torch.zeros(nbytes, dtype=torch.uint8, device=device.kind)
    target, times = torch.empty_like(source), max(1, 2**24 // nbytes)

    def copies() -> None:
        for _ in range(times):
            target.copy_(source)

    return 2 * nbytes * times / _best(device, copies)


def _launch(device: Device) -> float:
    x, count = torch.zeros(1, device=device.kind), 200

    def many() -> None:
        for _ in range(count):
            x.add_(1)

    return _best(device, many) / count


def _best(device: Device, run: Callable[[], Any]) -> float:
    """Seconds of the fastest of the runs that fit into the share, three at least."""
    run()
    _finish(device)
    best, start, runs = math.inf, time.perf_counter(), 0
    while runs < 3 or time.perf_counter() - start < SHARE_S:
        before = time.perf_counter()
        run()
        _finish(device)
        best, runs = min(best, time.perf_counter() - before), runs + 1
    return best


def _finish(device: Device) -> None:
    if device.kind == "cuda":
        torch.cuda.synchronize()
    elif device.kind == "mps":
        torch.mps.synchronize()


@contextlib.contextmanager
def _tensor_cores(allowed: bool) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
