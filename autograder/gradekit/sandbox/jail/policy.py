"""What a jail allows, and what was reached."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Level = Literal["none", "process", "restricted", "jail"]
LEVELS: tuple[Level, ...] = ("none", "process", "restricted", "jail")
ON = "on"


@dataclass(frozen=True)
class Policy:
    """What the jailed process may use. Sizes are in bytes.

    scratch is the one folder that it may write. Where the jail has a view of its own (the layer "view"), the process
    gets a copy of the folder in memory, and what it writes there never reaches the disk; elsewhere it writes the folder
    itself. memory_bytes is what each process may allocate beyond what it has when it enters, and, with a control group,
    all of them together. uid counts only as root. It must be no other living jail's and nobody else's: it keeps jails
    apart, and where there is no pid namespace all that runs as this user is killed with the jail. None takes one that
    is made from a pid. accelerator leaves the device nodes of NVIDIA GPUs usable and sets no limit of address space,
    because CUDA reserves terabytes of it. keep names the descriptors that stay open; 0, 1 and 2 become /dev/null unless
    they are among them. A kept descriptor of a folder would lead out of the jail.
    """

    scratch: Path
    readable: tuple[Path, ...] = ()
    memory_bytes: int = 8 * 2**30
    file_bytes: int = 256 * 2**20
    processes: int = 64
    descriptors: int = 256
    accelerator: bool = False
    uid: int | None = None
    keep: tuple[int, ...] = ()


@dataclass(frozen=True)
class Isolation:
    """The level that was reached, and every layer: "on", or why it is not."""

    level: Level
    layers: dict[str, str]


def isolation(layers: Mapping[str, str]) -> Isolation:
    """What layers come to.

    jail: a filter of system calls that cannot be shaken off, and each of: no file outside, no network, no other process
    in reach, memory limited, number of processes limited. restricted: the filter, and exactly one of the others
    missing. process: a session of its own, with or without limits. none: not even that.
    """

    def held(*names: str) -> bool:
        return any(layers.get(name) == ON for name in names)

    filtered = held("seccomp") and held("no_new_privileges")
    missing = [
        held("view", "landlock"),
        held("seccomp", "network_namespace"),
        held("pid_namespace", "landlock_scope", "own_user", "own_signals"),
        held("memory_limit", "cgroup_memory"),
        held("process_limit", "cgroup_pids"),
    ].count(False)
    level: Level
    if filtered and missing == 0:
        level = "jail"
    elif filtered and missing == 1:
        level = "restricted"
    elif held("session"):
        level = "process"
    else:
        level = "none"
    return Isolation(level, dict(layers))
