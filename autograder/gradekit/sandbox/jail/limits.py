"""Limits that the kernel keeps for each process or user (setrlimit), and closing what the process was forked with."""

import os
import resource
from collections.abc import Sequence
from pathlib import Path

from gradekit.sandbox.jail import kernel
from gradekit.sandbox.jail.kernel import reason
from gradekit.sandbox.jail.policy import ON, Policy


def _lower(which: int, value: int) -> None:
    """Set both limits, or the hard one in force where that is lower already."""
    hard = resource.getrlimit(which)[1]
    lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (lowest, lowest))


def _size_now() -> tuple[int, int]:
    """Bytes of address space, and of private writable memory, that this process has. Raises OSError where there is no
    Linux /proc.
    """
    facts = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(facts["VmSize"].split()[0]) * 1024, int(facts["VmData"].split()[0]) * 1024


def _tasks_of_user() -> int:
    """Threads of this user on the machine, as far as can be seen."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == os.getuid():
                total += len(os.listdir(process / "task"))
        except OSError:
            continue  # it has ended
    return total


def enter(policy: Policy, own_count: bool) -> dict[str, str]:
    """Set the limits. Returns the layers "memory_limit" and "process_limit". Must run while /proc is there.

    own_count says that the kernel counts this jail's processes apart from all others of the user: it has a uid or (from
    Linux 5.14) a user namespace of its own. Elsewhere the user's present count is added, and jails of one user share
    what is left.
    """
    layers = {}
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, policy.file_bytes)
    _lower(resource.RLIMIT_NOFILE, policy.descriptors)
    if hasattr(resource, "RLIMIT_MSGQUEUE"):
        _lower(resource.RLIMIT_MSGQUEUE, 0)
    if policy.accelerator:
        layers["memory_limit"] = "no limit of address space with an accelerator: CUDA reserves terabytes of it"
    else:
        try:
            space, data = _size_now()
            # Address space counts what is shared as well (memfd, shared mappings). A thread reserves up to 72 MiB of it
            # that it does not use: 8 for its stack, 64 for its part of the heap.
            _lower(resource.RLIMIT_AS, space + policy.memory_bytes + policy.processes * 72 * 2**20)
            _lower(resource.RLIMIT_DATA, data + policy.memory_bytes)
            layers["memory_limit"] = ON
        except (OSError, ValueError, KeyError) as problem:
            layers["memory_limit"] = reason(problem)
    try:
        _lower(resource.RLIMIT_NPROC, policy.processes if own_count else policy.processes + _tasks_of_user())
        layers["process_limit"] = ON
    except (OSError, ValueError) as problem:
        layers["process_limit"] = reason(problem)
    return layers


def close_all_but(keep: Sequence[int]) -> None:
    """Close every descriptor that is not named; of 0, 1 and 2 those that are not named become /dev/null."""
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for standard in range(3):
        if standard not in keep:
            os.dup2(nothing, standard)
    first = 3
    for kept in sorted({*keep, 1 << 31}):
        if kept >= first:
            _close_range(first, kept - 1)
            first = kept + 1


def _close_range(first: int, last: int) -> None:
    if last < first:
        return
    try:
        kernel.call("close_range", first, last, 0)
    except OSError:
        os.closerange(first, min(last, os.sysconf("SC_OPEN_MAX")) + 1)
