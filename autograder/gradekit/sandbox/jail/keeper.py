"""Forking into a jail, and ending it.

Two processes are forked. The *keeper* stays outside, does nothing but wait, and ends as the jailed process ends; its
death takes the jail down, and the caller's death takes the keeper down. The *inmate* enters the layers one after the
other and runs the body. Two, because the first process of a pid namespace has to be forked after the namespace is made,
and because without one somebody must find what the inmate leaves behind.
"""

import contextlib
import json
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from gradekit.sandbox.jail import cgroup, kernel, landlock, limits, privilege, readable, seccomp, view
from gradekit.sandbox.jail.kernel import reason
from gradekit.sandbox.jail.policy import ON, Isolation, Policy, isolation

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
NAMESPACES = {"mount_namespace": NEWNS, "network_namespace": NEWNET, "ipc_namespace": NEWIPC, "uts_namespace": NEWUTS}
PR_SET_CHILD_SUBREAPER = 36
BROKEN = 125  # exit status when the jail could not be built, or body raised

Body = Callable[[Isolation], None]

_groups: dict[int, cgroup.Groups] = {}


def spawn(policy: Policy, body: Body) -> int:
    """Fork a jailed process that runs body(isolation) and ends with status 0, or 125 (and a traceback on its stderr) if
    body raises.

    Returns the pid of the jail's keeper: it lives as long as the jail, ends with the inmate's exit status or by the
    same signal, and takes the jail with it when it is ended (use kill: where there is no pid namespace, SIGKILL sent to
    the keeper by anybody else spares what the inmate has forked). The caller must have one thread, because only that
    one is there after a fork. Raises ValueError if the scratch folder is none, OSError if the process cannot be forked.
    """
    if not policy.scratch.is_dir():
        raise ValueError(f"expected a folder to be the jail's scratch, got {policy.scratch}: create it first")
    policy = replace(policy, scratch=policy.scratch.resolve())
    for path in readable.folders(policy.accelerator):
        view.walk(path)  # once: it is the same for every jail
    groups = cgroup.create(policy.memory_bytes + policy.file_bytes, policy.processes)
    caller, mask = os.getpid(), signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})
    try:
        pid = os.fork()
        if pid == 0:
            _in_child(lambda: _keep(policy, body, groups, caller, mask))
    except OSError:
        cgroup.remove(groups)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    _groups[pid] = groups
    return pid


def kill(pid: int) -> None:
    """End a jail and everything in it, and reap its keeper. Does nothing for a jail that is reaped already.

    For who has nothing else to do meanwhile. Else: SIGTERM to the keeper, which ends the jail and itself, and `clear`.
    """
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        if not _reaped(pid, 0):
            os.kill(pid, signal.SIGTERM)
            if not _reaped(pid, 10.0):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
    until = time.monotonic() + 10.0
    while not clear(pid) and time.monotonic() < until:
        time.sleep(0.002)


def clear(pid: int) -> bool:
    """Remove the control groups of a jail whose keeper is reaped; whether they are gone. Does not wait for it."""
    groups = _groups.get(pid)
    if groups is not None and not cgroup.removed(groups):
        return False
    _groups.pop(pid, None)
    return True


def _reaped(pid: int, patience_s: float) -> bool:
    """Whether a child has ended within some seconds. Raises ChildProcessError if it is no child, or reaped before."""
    until, pause = time.monotonic() + patience_s, 0.0005
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        if time.monotonic() >= until:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.01)
    return True


def _in_child(run: Callable[[], int]) -> NoReturn:
    """End the forked process with what run returns: it must never go on in the caller's code."""
    status = BROKEN
    try:
        status = run()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
        with contextlib.suppress(Exception):
            sys.stderr.flush()
        os._exit(status)


# ---- the keeper


def _keep(
    policy: Policy,
    body: Body,
    groups: cgroup.Groups,
    caller: int,
    mask: set[int | signal.Signals],
) -> int:
    layers = {"session": ON}
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where a caller ignores it, the inmate's end could not be seen
    root = os.geteuid() == 0
    user = _user(policy.uid) if root else None
    if user is not None:
        layers["user_namespace"] = "not needed as root"
    else:
        layers["user_namespace"] = _user_namespace()
    layers["pid_namespace"] = _attempt(lambda: kernel.call("unshare", NEWPID))
    with contextlib.suppress(OSError):
        privilege.die_with_parent(signal.SIGTERM)
        kernel.call("prctl", PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if os.getppid() != caller:
        return BROKEN
    alive, held = os.pipe()  # its other end closes when the keeper ends
    inmate = os.fork()
    if inmate == 0:
        os.close(held)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _in_child(lambda: _enter(policy, body, layers, user, alive))
    cgroup.join(groups, inmate)
    os.write(held, json.dumps(groups.layers).encode())
    limits.close_all_but([held])
    status = None
    while status is None:
        if signal.sigwait({signal.SIGTERM, signal.SIGCHLD}) == signal.SIGTERM:
            break
        status = _reap(inmate)
    _end(inmate, user if layers["pid_namespace"] != ON else None)
    cgroup.remove(groups)
    if status is None or not os.WIFSIGNALED(status):
        return BROKEN if status is None else os.waitstatus_to_exitcode(status)
    ended_by = os.WTERMSIG(status)
    with contextlib.suppress(OSError):
        privilege.not_dumpable()
    if ended_by != signal.SIGKILL:
        signal.signal(ended_by, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {ended_by})
    os.kill(os.getpid(), ended_by)
    return 128 + ended_by


def _user(wished: int | None) -> int:
    """The user that is wished, where this user namespace knows it; else one made from the keeper's pid.

    A container's namespace may know no more than 65536 users.
    """
    ranges = [tuple(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    if wished is not None and any(first <= wished < first + count for first, _, count in ranges):
        return wished
    first, _, count = max(ranges, key=lambda known: known[2])
    base = min(1_000_000_000, count // 2)
    return first + base + os.getpid() % (count - base)


def _user_namespace() -> str:
    user, group = os.geteuid(), os.getegid()

    def enter() -> None:
        kernel.call("unshare", NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")

    return _attempt(enter)


def _attempt(step: Callable[[], object]) -> str:
    """ "on", or why the step failed."""
    try:
        step()
    except OSError as problem:
        return reason(problem)
    return ON


def _reap(inmate: int) -> int | None:
    """Reap whatever has ended; the wait status of the inmate once it is among it."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0] != 0:
            if ended[0] == inmate:
                found = ended[1]
    return found


def _end(inmate: int, user: int | None) -> None:
    """Kill until nothing is left. Of a pid namespace the kernel kills the rest with the first; elsewhere orphans come
    to the keeper.

    A process that forks faster than its line can be walked escapes the walk, but not kill(-1) by a user who has nothing
    else.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(inmate, signal.SIGKILL)
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        except ChildProcessError:
            return
        if user is not None:
            _kill_all_of(user)
        with contextlib.suppress(OSError, ValueError):
            for child in Path("/proc/thread-self/children").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(child), signal.SIGKILL)
        time.sleep(0.0005)


def _kill_all_of(user: int) -> None:
    killer = os.fork()
    if killer == 0:
        with contextlib.suppress(BaseException):
            privilege.become(user)
            os.kill(-1, signal.SIGKILL)
        os._exit(0)
    os.waitpid(killer, 0)


# ---- the inmate


def _enter(
    policy: Policy,
    body: Body,
    layers: dict[str, str],
    user: int | None,
    alive: int,
) -> int:
    for name, flag in NAMESPACES.items():
        layers[name] = _attempt(lambda flag=flag: kernel.call("unshare", flag))  # type: ignore[misc]
    paths = [*readable.folders(policy.accelerator), *map(Path.absolute, policy.readable)]
    owner = (user, user) if user is not None else (os.getuid(), os.getgid())
    own_pids = layers["pid_namespace"] == ON
    own_count = user is not None or (layers["user_namespace"] == ON and _counts_by_namespace())
    layers |= _view(policy, paths, owner, own_pids, layers["mount_namespace"])
    viewed = layers["view"] == ON
    limits.close_all_but([*policy.keep, alive])
    layers["descriptors"] = ON
    layers |= limits.enter(policy, own_count)

    layers["bounding_set"] = _attempt(privilege.drop_bounding)
    if user is not None:
        layers["own_user"] = _attempt(lambda: privilege.become(user))
        if not viewed and (blocked := readable.unreachable([*paths, policy.scratch], user)):
            layers["interpreter"] = f"user {user} may not pass {blocked}: what lies below it cannot be read"
    else:
        layers["own_user"] = "not root"
    layers["capabilities"] = _attempt(privilege.drop_all)
    layers["no_new_privileges"] = _attempt(privilege.no_new_privileges)
    layers["not_dumpable"] = _attempt(privilege.not_dumpable)
    with contextlib.suppress(OSError):
        privilege.die_with_parent()
    _end_if_alone(alive)

    layers |= _landlock(policy, paths, viewed)
    layers |= _seccomp(layers)
    layers |= json.loads(os.read(alive, 4096) or "{}")
    os.close(alive)
    with contextlib.suppress(OSError):
        os.chdir(policy.scratch)
    body(isolation(layers))
    return 0


def _end_if_alone(alive: int) -> None:
    """The keeper may have ended before its death meant anything."""
    watch = select.poll()
    watch.register(alive, 0)
    if watch.poll(0):
        os._exit(BROKEN)


def _counts_by_namespace() -> bool:
    """Since Linux 5.14 processes are counted by user and user namespace."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int(minor)) >= (5, 14)


def _view(policy: Policy, paths: list[Path], owner: tuple[int, int], own_pids: bool, mounts: str) -> dict[str, str]:
    if mounts == ON:
        try:
            layers = view.enter(
                paths, policy.scratch, policy.file_bytes, owner, own_pids=own_pids, accelerator=policy.accelerator
            )
            return {"view": ON, **layers}
        except OSError as problem:
            mounts = reason(problem)
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):
            view.own(policy.scratch, owner)
    none = f"no view of its own: {mounts}"
    return {"view": none, "proc": none, "disk_limit": f"each file, but not all of them together: {mounts}"}


def _landlock(policy: Policy, paths: list[Path], viewed: bool) -> dict[str, str]:
    names = ("landlock", "landlock_network", "landlock_scope")
    try:
        version = landlock.abi()
        rules = landlock.ruleset(version)
        allowed = [(path, landlock.READ) for path in paths]
        allowed.append((policy.scratch, landlock.WRITE))
        allowed += [(path, landlock.DEVICE) for path in view.devices(policy.accelerator)]
        if viewed:
            allowed.append((Path("/proc"), landlock.READ))
            allowed += [(path, landlock.WRITE) for path in view.SHARED]
        else:
            allowed += [(Path("/proc", name), landlock.READ) for name in readable.FACTS]
        landlock.enter(rules, allowed)
    except OSError as problem:
        return dict.fromkeys(names, reason(problem))
    older = f"Landlock speaks version {version} only"
    return {
        "landlock": ON,
        "landlock_network": ON if rules.network else older,
        "landlock_scope": ON if rules.scopes else older,
    }


def _seccomp(layers: dict[str, str]) -> dict[str, str]:
    def held(*names: str) -> bool:
        return any(layers.get(name) == ON for name in names)

    gaps = seccomp.Gaps(
        unix_sockets=not (held("view") and held("network_namespace", "landlock_scope")),
        system_v=not held("ipc_namespace"),
        metadata=not held("view", "own_user"),
        signals=not held("pid_namespace", "landlock_scope", "own_user"),
        schedules=not held("pid_namespace"),
    )
    entered = _attempt(lambda: seccomp.enter(seccomp.program(gaps)))
    return {"seccomp": entered, "own_signals": entered if gaps.signals else "not needed"}
