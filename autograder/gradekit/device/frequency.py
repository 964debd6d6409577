"""The device's clock at this moment, where it can be read: a device that slowed down explains a strange ratio."""

import contextlib
from pathlib import Path

import torch

from gradekit.device.present import Device

_CORES = Path("/sys/devices/system/cpu")


def clock_mhz(device: Device) -> float | None:
    """Of a GPU by NVIDIA's library (package `nvidia-ml-py`), of a CPU by Linux's cpufreq, the fastest core's; or None.

    A virtual machine, as a rule, does not tell.
    """
    if device.kind == "cuda":
        with contextlib.suppress(Exception):  # no library, no driver, no permission: torch raises what it likes
            return float(torch.cuda.clock_rate())
        return None
    if device.kind != "cpu":
        return None
    found = []
    for path in _CORES.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"):
        with contextlib.suppress(OSError, ValueError):
            found.append(float(path.read_text()) / 1e3)
    return max(found, default=None)
