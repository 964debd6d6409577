"""A control group for each jail: memory and number of processes of all its processes together.

Version 1 (a hierarchy for memory, one for pids) and version 2 (one for all). It takes write permission, which root has
on a machine of its own and not inside a container.
"""

import contextlib
import itertools
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from gradekit.sandbox.jail.kernel import reason
from gradekit.sandbox.jail.policy import ON

MOUNT = Path("/sys/fs/cgroup")
_serial = itertools.count()


@dataclass
class Groups:
    """The groups of one jail, and the layers "cgroup_memory" and "cgroup_pids"."""

    layers: dict[str, str] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)


def create(memory_bytes: int, processes: int) -> Groups:
    """Make what can be made. Never raises: a refusal becomes the text of its layer."""
    groups = Groups()
    name = f"gradekit-{os.getpid()}-{next(_serial)}"
    paths = _own_paths()
    if (MOUNT / "cgroup.controllers").exists():
        wanted = {"memory": {"memory.max": memory_bytes, "memory.swap.max": 0}, "pids": {"pids.max": processes}}
    else:
        wanted = {
            "memory": {"memory.limit_in_bytes": memory_bytes, "memory.memsw.limit_in_bytes": memory_bytes},
            "pids": {"pids.max": processes},
        }
    for controller, settings in wanted.items():
        layer = f"cgroup_{controller}"
        try:
            groups.folders[controller] = _make(controller, paths, name, settings)
            groups.layers[layer] = ON
        except OSError as problem:
            groups.layers[layer] = reason(problem)
    return groups


def _own_paths() -> dict[str, str]:
    """controller: the group of this process. Version 2 is the controller with the empty name."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return {}
    return {name: path for line in lines for _, names, path in [line.split(":", 2)] for name in names.split(",")}


def _make(controller: str, paths: dict[str, str], name: str, settings: dict[str, int]) -> Path:
    unified = (MOUNT / "cgroup.controllers").exists()
    root = MOUNT if unified else MOUNT / controller
    own = root / paths.get("" if unified else controller, "/").lstrip("/")
    if not own.exists():  # a container may see its own group as the root
        own = root
    # In version 2 a group with processes in it may not hand its controllers on: then a neighbour is made.
    problem: OSError = FileNotFoundError(2, f"no control group {controller} at {root}")
    for parent in (own, own.parent) if unified and own != root else (own,):
        folder = parent / name
        try:
            with contextlib.suppress(FileExistsError):  # made for the other controller already
                folder.mkdir()
        except OSError as refused:
            problem = refused
            continue
        try:
            for setting, value in settings.items():
                if setting in ("memory.memsw.limit_in_bytes", "memory.swap.max") and not (folder / setting).exists():
                    continue  # a kernel without swap accounting
                (folder / setting).write_text(str(value))
            return folder
        except OSError as refused:
            problem = refused
            with contextlib.suppress(OSError):
                folder.rmdir()
    raise problem


def join(groups: Groups, pid: int) -> None:
    """Move a process in; all that it forks follows. A refusal becomes the text of the layer.

    The kernel waits for a grace period of RCU, 5 to 15 ms, before it moves a process: let the process do something
    meanwhile.
    """
    for controller, folder in groups.folders.items():
        try:
            (folder / "cgroup.procs").write_text(str(pid))
        except OSError as problem:
            groups.layers[f"cgroup_{controller}"] = reason(problem)


def remove(groups: Groups, patience_s: float = 0.5) -> None:
    """Remove the groups of a jail that is dead. The kernel takes a moment to see that they are empty."""
    until = time.monotonic() + patience_s
    while not removed(groups) and time.monotonic() < until:
        time.sleep(0.002)


def removed(groups: Groups) -> bool:
    """Remove the groups of a jail that is dead, those that can be; whether none is left."""
    for folder in set(groups.folders.values()):
        with contextlib.suppress(OSError):
            folder.rmdir()
    return not any(folder.exists() for folder in groups.folders.values())
