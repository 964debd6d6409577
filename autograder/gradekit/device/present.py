"""Which accelerator this machine grades on."""

import contextlib
import dataclasses
import functools
import os
import platform
from pathlib import Path
from typing import Literal, get_args

import torch

Kind = Literal["cuda", "mps", "cpu"]


@dataclasses.dataclass(frozen=True)
class Device:
    """A device class and the device behind it.

    kind: the device class, which is also the string that torch takes; name: as the driver or the system gives it;
    memory_bytes: the device's memory (None where it is not its own); capability: CUDA compute capability, or None.
    """

    kind: Kind
    name: str
    memory_bytes: int | None = None
    capability: tuple[int, int] | None = None


def current() -> Device:
    """The device that checks run on: cuda if there is one, else mps, else cpu.

    Raises ValueError if GRADEKIT_DEVICE names no device class, or one that this machine lacks.
    """
    wanted = os.environ.get("GRADEKIT_DEVICE", "").strip().lower()
    available: list[Kind] = ["cpu"]
    if wanted != "cpu":  # asking for the others may start their drivers
        if torch.backends.mps.is_available():
            available.insert(0, "mps")
        if torch.cuda.is_available():
            available.insert(0, "cuda")
    if wanted and wanted not in get_args(Kind):
        raise ValueError(f"GRADEKIT_DEVICE={wanted!r}: expected one of {', '.join(get_args(Kind))}")
    kind = next((kind for kind in available if wanted in ("", kind)), None)
    if kind is None:
        raise ValueError(f"GRADEKIT_DEVICE={wanted!r}: this machine has only {', '.join(available)}")
    if kind == "cuda":
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        capability = (properties.major, properties.minor)
        return Device("cuda", properties.name, properties.total_memory, capability)
    return Device(kind, _processor())


@functools.cache
def _processor() -> str:
    """The processor's name: the system's where it has one to say, else that of the architecture."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
