"""One timed experiment at a time on a device, whoever grades: correctness runs on all cores, timing runs alone.

A lease is a lock on a file of the device's (flock): one for the CPU, one for each GPU. The kernel gives it back when
its holder ends, however it ends. The files lie in one folder of the user's, so that two commands that grade at once
share them; whoever may not lock them (another user) is no neighbour that this could keep away.

What neighbours that do not time still do on the other cores is left to them: the clock takes off what a thread waited
for a processor, and with two busy processes on every core no verdict was wrong (benchmarks/RESULTS.md).
"""

import fcntl
import os
import tempfile
from pathlib import Path

__all__ = ["folder", "take"]


def folder() -> Path:
    """Where the leases of this user lie. Made where there is none; another's in its place is not used."""
    made = Path(tempfile.gettempdir()) / f".gradekit-leases-{os.geteuid()}"
    made.mkdir(mode=0o700, exist_ok=True)
    if made.is_symlink() or made.stat().st_uid != os.geteuid():
        return Path(tempfile.mkdtemp(prefix=".gradekit-leases-"))
    return made


def take(leases: Path, device: str) -> int:
    """Wait until nobody else times on the device (`cpu`, `cuda`, `mps`), and see to it that nobody does until the
    descriptor that is returned is closed.

    A machine's GPUs are told apart by CUDA_VISIBLE_DEVICES, as a process sees no more than these.
    """
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "") if device == "cuda" else ""
    name = device + "".join(c if c.isalnum() else "-" for c in (f"-{seen}" if seen else ""))
    held = os.open(leases / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    fcntl.flock(held, fcntl.LOCK_EX)
    return held
