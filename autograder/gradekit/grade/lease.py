"""One timed experiment at a time on a device, whoever grades: correctness runs on all cores, timing runs alone.

A lease is a lock on a file of the device's (flock): one for the CPU, one for each GPU. The kernel gives it back when
its holder ends, however it ends. The files lie in one folder of the user's, so that two commands that grade at once
share them; whoever may not lock them (another user) is no neighbour that this could keep away.

Neighbours that do not time go on meanwhile, on whichever core they are: to keep them off the core that times was tried
and is not done. Two calls of the same 8 ms, timed in turns beside one and two neighbours that multiply matrices (two
cores, ten seconds each, on a machine with a load of 6 besides): the logarithm of their ratio was 0.053 and 0.072 in the
median with neighbours anywhere, 0.044 and 0.078 with neighbours kept off, and 0.24 and 0.28 against 0.17 and 0.35 in
95 of 100 pairs: within what the same measurement differs by from one time to the next (0.043 to 0.053). What a process
waits for a core is no part of its time (see `check.clock`), and what neighbours do to caches and memory is done from
any core. As many gradings as cores run at once, so that a core that is kept free would be missed by the others.
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
