"""Attacks on a jail, and work that must go on in it, tried for real in one of three places.

    python jail_attacks.py PLACE SHARED_FOLDER     prints what happened as JSON

PLACE is root, user (an ordinary one), or container (root without CAP_SYS_ADMIN, under a filter that refuses namespaces
and mounts, which is what Docker gives by default; this place is an imitation, no Docker is run). Every attack runs
twice, in a forked child: outside of any jail as the control, and inside. SHARED_FOLDER holds matplotlib's cache of
fonts.
"""

import contextlib
import ctypes
import errno
import json
import mmap
import os
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

REPOSITORY = Path(__file__).parents[2]
NOBODY = 65534
# What `docker run` leaves to root, as of Docker 28.
DOCKER_CAPABILITIES = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}

libc = ctypes.CDLL(None, use_errno=True)


def checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


# ---- the attacks. Each returns what it got, and raises OSError or MemoryError when it is stopped.


def read_file_outside(at):
    return Path(at.secret).read_text()


def read_shadow(at):
    return Path("/etc/shadow").read_text()[:10]


def read_the_tests(at):
    return os.listdir(REPOSITORY / "tests")


def read_the_bundles(at):
    return os.listdir(REPOSITORY / "autograder" / "bundles")


def look_around(at):
    """The scratch folder has a neighbour, and whoever sees it knows its name."""
    if Path(at.outside).name not in os.listdir(Path(at.scratch).parent):
        raise FileNotFoundError(errno.ENOENT, "nothing beside the scratch folder")
    return "seen"


def read_environment_of_parent(at):
    return Path(f"/proc/{at.parent}/environ").read_bytes()[:20].decode()


def list_processes(at):
    """Command lines of processes that are not the jail's: the bystander's, which never was in it."""
    return Path(f"/proc/{at.bystander}/cmdline").read_bytes()[:20].decode()


def read_memory_of_parent(at):
    with open(f"/proc/{at.parent}/mem", "rb") as memory:
        memory.seek(at.address)
        return memory.read(6).decode()


def read_memory_by_call(at):
    buffer = ctypes.create_string_buffer(6)
    here = ctypes.create_string_buffer(struct.pack("QQ", ctypes.addressof(buffer), 6))
    there = ctypes.create_string_buffer(struct.pack("QQ", at.address, 6))
    checked(libc.process_vm_readv(at.parent, here, ctypes.c_ulong(1), there, ctypes.c_ulong(1), ctypes.c_ulong(0)))
    return buffer.value.decode()


def trace_parent(at):
    seize = 0x4206
    return checked(libc.ptrace(ctypes.c_long(seize), at.parent, None, None))


def trace_oneself(at):
    return checked(libc.ptrace(ctypes.c_long(0), 0, None, None))


def signal_parent(at):
    return os.kill(at.parent, signal.SIGURG)


def kill_bystander(at):
    return os.kill(at.bystander, signal.SIGKILL)


def signal_by_descriptor(at):
    return signal.pidfd_send_signal(os.pidfd_open(at.parent), signal.SIGURG)


def limit_parent(at):
    return resource.prlimit(at.parent, resource.RLIMIT_CPU)


def pin_parent(at):
    return os.sched_setaffinity(at.parent, at.affinity)


def renice_parent(at):
    return os.setpriority(os.PRIO_PROCESS, at.parent, at.nice)


def write_outside(at):
    return Path(at.outside, "written").write_text("x")


def write_over_secret(at):
    return Path(at.secret).write_text("secret of the test")


def truncate_secret(at):
    return os.truncate(at.expendable, 0)


def delete_outside(at):
    return os.unlink(Path(at.outside, "deletable-" + at.side))


def follow_link_out(at):
    link = Path(at.scratch, "link-" + at.side)
    link.symlink_to(at.secret)
    return link.read_text()


def hard_link_out(at):
    link = Path(at.scratch, "hard-" + at.side)
    os.link(at.secret, link)
    return link.read_text()


def rename_in(at):
    return os.rename(Path(at.outside, "movable-" + at.side), Path(at.scratch, "moved"))


def rename_out(at):
    Path(at.scratch, "mine").write_text("x")
    return os.rename(Path(at.scratch, "mine"), Path(at.outside, "theirs"))


def climb_out(at):
    return Path(at.scratch, "..", Path(at.outside).name, "secret").read_text()


def change_mode_outside(at):
    return os.chmod(at.secret, 0o644)


def connect_tcp(at):
    with socket.create_connection(("127.0.0.1", at.port), timeout=2) as connection:
        return connection.recv(5).decode()


def send_udp(at):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        return sender.sendto(b"x", ("127.0.0.1", at.port))


def listen_tcp(at):
    with socket.socket() as listener:
        return listener.bind(("127.0.0.1", 0))


def resolve_name(at):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        return sender.fileno()


def open_netlink(at):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as link:
        return link.fileno()


def connect_abstract(at):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("\0" + at.abstract)
        return connection.recv(5).decode()


def connect_path(at):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(at.socket)
        return connection.recv(5).decode()


def turn_a_pair(at):
    """A datagram socket that was made as one of a pair may be sent elsewhere."""
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    return one.sendto(b"x", at.datagram)


def run_shell(at):
    return subprocess.run(["/bin/sh", "-c", "echo ran"], capture_output=True, check=True).stdout.decode()


def run_from_memory(at):
    handle = os.memfd_create("program", 0)
    os.write(handle, b"#!/bin/true\n")
    if os.fork() == 0:
        try:
            os.execve(handle, ["program"], {})
        except PermissionError:
            os._exit(1)
        finally:
            os._exit(2)
    if os.waitstatus_to_exitcode(os.wait()[1]):
        raise PermissionError(errno.EPERM, "no program")
    return "ran"


def unshare_user(at):
    return checked(libc.unshare(0x10000000))


def clone_into_user_namespace(at):
    clone = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
    pid = checked(
        libc.syscall(ctypes.c_long(clone), ctypes.c_long(0x10000000 | signal.SIGCHLD), None, None, None, None)
    )
    if pid == 0:
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def mount_something(at):
    return checked(libc.mount(b"none", os.fsencode(at.mountable), b"tmpfs", ctypes.c_ulong(0), None))


def unmount_something(at):
    """A mount cannot be lifted to see what lies below it. Outside it is the mount of the attack before this one."""
    return checked(libc.umount2(os.fsencode(at.scratch if at.side == "inside" else at.mountable), 2))


def change_root(at):
    return os.chroot(at.scratch)


def become_root(at):
    os.setresuid(0, 0, 0)
    return os.geteuid()


def use_io_uring(at):
    ring = {"x86_64": 425, "aarch64": 425}[os.uname().machine]
    return checked(libc.syscall(ctypes.c_long(ring), ctypes.c_long(1), ctypes.create_string_buffer(120)))


def use_keyring(at):
    call = {"x86_64": 250, "aarch64": 219}[os.uname().machine]
    return checked(libc.syscall(ctypes.c_long(call), ctypes.c_long(0), ctypes.c_long(-3), ctypes.c_long(0)))


def push_into_terminal(at):
    """Without a terminal the kernel says ENOTTY to TIOCSTI: the call has reached it."""
    one, _ = socket.socketpair()
    result = libc.ioctl(one.fileno(), ctypes.c_ulong(0x5412), ctypes.c_char_p(b"x"))
    if result < 0 and ctypes.get_errno() == errno.ENOTTY:
        return "reached the kernel"
    return checked(result)


def read_inherited_descriptor(at):
    return os.pread(at.descriptor, 6, 0).decode()


def outlive_parent(at):
    return checked(libc.prctl(1, 0, 0, 0, 0))


def leave_a_core(at):
    resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
    if not resource.getrlimit(resource.RLIMIT_CORE)[1]:
        raise PermissionError(errno.EPERM, "no core")
    return "core"


def raise_a_limit(at):
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    except ValueError as problem:
        raise PermissionError(errno.EPERM, str(problem)) from None
    return "unlimited"


def open_many_files(at):
    return len([os.open("/dev/null", os.O_RDONLY) for _ in range(300)])


def write_large_file(at):
    try:
        with open(Path(at.scratch, "large"), "wb", buffering=0) as file:
            return sum(file.write(bytes(2**20)) for _ in range(20))
    finally:
        Path(at.scratch, "large").unlink()


def hold_large_memory_file(at):
    handle = os.memfd_create("large")
    return os.truncate(handle, 20 * 2**20)


def write_many_files(at):
    try:
        return sum(Path(at.scratch, f"part{number}").write_bytes(bytes(2**20)) for number in range(40))
    finally:
        for part in Path(at.scratch).glob("part*"):
            part.unlink()


def take_memory(at):
    """Twice what the jail allows, touched page by page."""
    return len(b"x" * (2 * at.memory_bytes))


def take_shared_memory(at):
    """A shared mapping, which RLIMIT_DATA does not count: address space must."""
    mapped = mmap.mmap(-1, 16 * at.memory_bytes)
    return len(mapped)


def fork_many(at):
    children = []
    try:
        for _ in range(100):
            pid = os.fork()
            if pid == 0:
                signal.pause()
            children.append(pid)
        return len(children)
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def start_many_threads(at):
    stop = threading.Event()
    try:
        for _ in range(100):
            threading.Thread(target=stop.wait).start()
    except RuntimeError as problem:  # can't start new thread
        raise OSError(errno.EAGAIN, str(problem)) from None
    finally:
        stop.set()
    return "100 threads"


ATTACKS: dict[str, Callable] = {
    name: value
    for name, value in list(globals().items())
    if callable(value) and getattr(value, "__module__", None) == __name__ and name != "checked"
}


# ---- the work


def tensors_with_two_threads(at):
    import torch

    torch.set_num_threads(2)
    a = torch.rand(512, 512)
    torch.testing.assert_close(a @ a, (a.double() @ a.double()).float(), rtol=1e-3, atol=1e-3)
    return torch.get_num_threads()


def gradients_and_a_step(at):
    import torch

    layer = torch.nn.Linear(8, 1)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    before = layer.weight.detach().clone()
    layer(torch.ones(4, 8)).pow(2).mean().backward()
    optimizer.step()
    assert not torch.equal(before, layer.weight)


def numpy_products(at):
    import numpy as np

    a = np.random.default_rng(0).normal(size=(300, 300))
    np.testing.assert_allclose(np.linalg.solve(a, a), np.eye(300), atol=1e-6)


def a_figure(at):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    axes.plot([1, 2, 3])
    figure.savefig(Path(at.scratch, "figure.png"))
    return Path(at.scratch, "figure.png").stat().st_size > 1000


def threads(at):
    found = []
    workers = [threading.Thread(target=found.append, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sorted(found)


def forks(at):
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def a_queue_between_processes(at):
    import multiprocessing

    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=queue.put, args=("sent",))
    process.start()
    received = queue.get(timeout=10)
    process.join()
    return received


def a_loader_with_two_workers(at):
    import torch

    numbers = torch.utils.data.TensorDataset(torch.arange(16.0))
    loader = torch.utils.data.DataLoader(
        numbers, batch_size=4, num_workers=2, multiprocessing_context="fork", timeout=20
    )
    return sum(float(batch.sum()) for (batch,) in loader)


def temporary_files(at):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "file").write_text("x")
        assert folder.startswith(at.scratch)
        return Path(folder, "file").read_text()


def files_of_the_assignment(at):
    return Path("given.txt").read_text()


def a_readable_folder(at):
    return Path(at.readable, "data.txt").read_text()


def a_late_import(at):
    import importlib

    assert not {"scipy.signal", "sqlite3"} & set(sys.modules)
    return [importlib.import_module(name).__name__ for name in ("scipy.signal", "sqlite3")]


def facts_of_the_machine(at):
    assert "processor" in Path("/proc/cpuinfo").read_text()
    assert Path("/sys/devices/system/cpu/online").read_text()
    return os.cpu_count(), os.sched_getaffinity(0)


def memory_files(at):
    handle = os.memfd_create("wire")
    os.write(handle, b"frame")
    with mmap.mmap(handle, 5) as mapped:
        return mapped[:].decode()


def pairs_of_sockets(at):
    one, other = socket.socketpair()
    one.sendall(b"frame")
    return other.recv(5).decode()


def a_raised_signal(at):
    seen = []
    signal.signal(signal.SIGALRM, lambda number, frame: seen.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGALRM)
    return len(seen)


WORK: dict[str, Callable] = {
    name: value
    for name, value in list(globals().items())
    if callable(value) and getattr(value, "__module__", None) == __name__ and name not in {*ATTACKS, "checked"}
}


# ---- the places


def prepare(place: str) -> str | None:
    """Make this process one that stands in the place, or say why that cannot be."""
    if place in ("root", "container") and os.geteuid() != 0:
        return "only root can stand there"
    if os.geteuid() != 0:
        return None
    # A control that mounts or unmounts does it in a namespace of its own: the machine's mounts stay as they are.
    os.environ["MACHINE_MOUNTS"] = os.readlink("/proc/self/ns/mnt")
    checked(libc.unshare(0x00020000))
    checked(libc.mount(None, b"/", None, ctypes.c_ulong(0x4000 | 1 << 18), None))
    if place == "root":
        return None
    _let_everybody_reach(Path(sys.base_prefix))
    if place == "user":
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        return None
    checked(libc.mount(b"none", b"/sys/fs/cgroup", b"tmpfs", ctypes.c_ulong(1), None))
    for capability in set(range(41)) - DOCKER_CAPABILITIES:
        checked(libc.prctl(24, ctypes.c_ulong(capability), 0, 0, 0))
    from gradekit.sandbox.jail import seccomp

    profile = seccomp.only(
        *map(
            seccomp.deny, ("unshare", "setns", "mount", "umount2", "open_tree", "move_mount", "fsopen", "mount_setattr")
        ),
        *map(seccomp.deny, ("ptrace", "process_vm_readv", "pivot_root", "keyctl", "add_key", "io_uring_setup", "bpf")),
        seccomp.deny_new_namespaces(),
    )
    # exec clears what is above the bounding set, and the filter survives it. CAP_SYS_ADMIN is still there to enter it.
    seccomp.enter(profile)
    return None


def _let_everybody_reach(interpreter: Path) -> None:
    """An interpreter below /root is reached by root alone: in this mount namespace, show nothing else there."""
    closed = [folder for folder in interpreter.parents if not folder.stat().st_mode & 0o001]
    if not closed:
        return
    handle = os.open(interpreter, os.O_PATH)
    checked(libc.mount(b"none", os.fsencode(closed[-1]), b"tmpfs", ctypes.c_ulong(0), b"mode=755"))
    interpreter.mkdir(parents=True)
    checked(
        libc.mount(b"/proc/self/fd/%d" % handle, os.fsencode(interpreter), None, ctypes.c_ulong(4096 | 16384), None)
    )
    os.close(handle)


# ---- the trial


def tried(attack: Callable, at: SimpleNamespace) -> list[str]:
    """Run an attack in a forked child: ["got" | "denied" | "broken" | "died", what]."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            outcome = ["got", str(attack(at))]
        except (OSError, MemoryError) as problem:
            outcome = ["denied", repr(problem)]
        except BaseException as problem:
            outcome = ["broken", repr(problem)]
        with contextlib.suppress(BaseException):
            os.write(writing, json.dumps(outcome).encode()[:4000])
        os._exit(0)
    os.close(writing)
    said = b""
    while chunk := os.read(reading, 4096):
        said += chunk
    os.close(reading)
    status = os.waitpid(pid, 0)[1]
    return json.loads(said) if said else ["died", str(os.waitstatus_to_exitcode(status))]


def main(place: str, shared: Path) -> dict[str, object]:
    if os.geteuid() == 0:
        assert os.readlink("/proc/self/ns/mnt") != os.environ["MACHINE_MOUNTS"], "controls would mount for all"
    from gradekit.sandbox import jail

    folder = Path(tempfile.mkdtemp(prefix="jail-"))
    folder.chmod(0o755)
    scratch, outside, readable = folder / "scratch", folder / "outside", folder / "readable"
    for made in (scratch, outside, readable):
        made.mkdir()
    outside.chmod(0o777)
    (readable / "data.txt").write_text("data")
    (scratch / "given.txt").write_text("given")
    (outside / "secret").write_text("secret of the test")
    for name in ("expendable", "deletable-inside", "deletable-outside", "movable-inside", "movable-outside"):
        (outside / name).write_text("x")
        (outside / name).chmod(0o666)

    listeners = [socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)]
    abstract = f"gradekit-test-{os.getpid()}"
    listeners[1].bind("\0" + abstract)
    listeners[2].bind(str(outside / "socket"))
    datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    datagram.bind(str(outside / "datagram"))
    for path in ("socket", "datagram"):
        (outside / path).chmod(0o777)
    server = os.fork()
    if server == 0:
        for listener in listeners[1:]:
            listener.listen()
        while True:
            for listener in select.select(listeners, [], [])[0]:
                with contextlib.suppress(OSError), listener.accept()[0] as connection:
                    connection.sendall(b"hello")

    secret = ctypes.create_string_buffer(b"secret")
    descriptor = os.memfd_create("inherited")
    os.write(descriptor, b"secret")
    memory_bytes = 512 * 2**20
    at = SimpleNamespace(
        secret=str(outside / "secret"), outside=str(outside), scratch=str(scratch), readable=str(readable),
        expendable=str(outside / "expendable"), parent=os.getpid(), address=ctypes.addressof(secret),
        affinity=os.sched_getaffinity(0), nice=os.getpriority(os.PRIO_PROCESS, 0), port=listeners[0].getsockname()[1],
        abstract=abstract, socket=str(outside / "socket"), datagram=str(outside / "datagram"), descriptor=descriptor,
        memory_bytes=memory_bytes, mountable=str(readable),
    )  # fmt: skip
    results: dict[str, object] = {}
    reading, writing = os.pipe()
    policy = jail.Policy(
        scratch, readable=(readable,), memory_bytes=memory_bytes, file_bytes=16 * 2**20, processes=24, keep=(writing, 2)
    )

    def jailed(body: Callable[[jail.Isolation], None], use: jail.Policy = policy) -> int:
        return jail.spawn(use, body)

    def bystander() -> int:
        pid = os.fork()
        if pid == 0:
            while True:
                signal.pause()
        return pid

    def report(value: object) -> None:
        os.write(writing, json.dumps(value).encode() + b"\n")

    def received(until: float) -> str:
        said = b""
        while not said.endswith(b"\n"):
            if not select.select([reading], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError(said)
            said += os.read(reading, 65536)
        return said.decode()

    # Attacks, first outside and then all in one jail.
    at.side, at.bystander = "outside", bystander()
    os.chdir(scratch)
    outside_results = {name: tried(attack, at) for name, attack in ATTACKS.items()}
    os.kill(at.bystander, signal.SIGKILL)
    os.waitpid(at.bystander, 0)
    shutil.rmtree(scratch)
    scratch.mkdir()
    (scratch / "given.txt").write_text("given")
    os.chdir("/")
    at.side, at.bystander = "inside", bystander()

    def run_in_one_jail(trials: dict[str, Callable]) -> tuple[list[object], dict[str, list[str]]]:
        def run(isolation: jail.Isolation) -> None:
            os.environ.update(HOME=str(scratch), TMPDIR=str(scratch))
            tempfile.tempdir = None
            report([isolation.level, isolation.layers])
            for name, trial in trials.items():
                report([name, tried(trial, at)])
            report(["end", None])

        pid = jailed(run)
        lines: list[list] = []
        while not lines or lines[-1][0] != "end":
            lines += map(json.loads, received(time.monotonic() + 60).splitlines())
        results["status"] = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        jail.kill(pid)
        return lines[0], dict(lines[1:-1])

    (results["level"], results["layers"]), inside = run_in_one_jail(ATTACKS)
    results["attacks"] = {name: {"outside": outside_results[name], "inside": inside[name]} for name in ATTACKS}
    results["bystander"] = os.waitpid(at.bystander, os.WNOHANG)[0] == 0
    os.kill(at.bystander, signal.SIGKILL)

    # How it ends.
    def ended(body: Callable[[jail.Isolation], None]) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(jailed(body), 0)[1])

    def fail(isolation: jail.Isolation) -> None:
        os.close(2)
        raise ValueError("on purpose")

    results["ends"] = {
        "returned": ended(lambda isolation: None),
        "exited": ended(lambda isolation: os._exit(7)),
        "raised": ended(fail),
        "crashed": ended(lambda isolation: ctypes.string_at(0)),  # type: ignore[arg-type]
        "aborted": ended(lambda isolation: os.abort()),
    }

    # What is left. A pipe that everything in the jail holds open ends with the last of it.
    def lives_through_kill(body: Callable[[], None], end: Callable[[int], None]) -> dict[str, bool]:
        ours, theirs = os.pipe()
        ready, set_ready = os.pipe()

        def run(isolation: jail.Isolation) -> None:
            os.write(set_ready, b"x")
            body()

        pid = jail.spawn(jail.Policy(scratch, processes=24, keep=(theirs, set_ready)), run)
        os.close(theirs)
        os.read(ready, 1)
        time.sleep(0.1)
        before = not select.select([ours], [], [], 0)[0]
        end(pid)
        after = not select.select([ours], [], [], 2)[0]
        os.close(ours)
        return {"lived": before, "lives": after}

    results["left"] = {
        "the jailed process": lives_through_kill(lambda: time.sleep(60), jail.kill),
        "a daemon": lives_through_kill(lambda: daemon(lambda: time.sleep(60)), jail.kill),
        "a daemon whose parent has ended": lives_through_kill(
            lambda: daemon(lambda: time.sleep(60), stay=False), jail.kill
        ),
        "a chain of forks": lives_through_kill(lambda: daemon(chain), jail.kill),
        "a process that ignores signals": lives_through_kill(deaf, jail.kill),
    }

    def forsaken() -> dict[str, bool]:
        """The caller of spawn is killed: its jail goes with it."""
        ours, theirs = os.pipe()
        ready, set_ready = os.pipe()
        caller = os.fork()
        if caller == 0:

            def run(isolation: jail.Isolation) -> None:
                os.write(set_ready, b"x")
                daemon(lambda: time.sleep(60))

            jail.spawn(jail.Policy(scratch, keep=(theirs, set_ready)), run)
            signal.pause()
        os.close(theirs)
        os.read(ready, 1)
        time.sleep(0.1)
        before = not select.select([ours], [], [], 0)[0]
        os.kill(caller, signal.SIGKILL)
        os.waitpid(caller, 0)
        return {"lived": before, "lives": not select.select([ours], [], [], 2)[0]}

    results["left"]["a jail whose caller was killed"] = forsaken()

    def crowded() -> int:
        """How many processes a jail can fork beside one of the same caller that has forked all it can."""
        full, set_full = os.pipe()

        def fill(isolation: jail.Isolation) -> None:
            with contextlib.suppress(OSError):
                while True:
                    tree(signal.pause)
            os.write(set_full, b"x")
            signal.pause()

        first = jail.spawn(jail.Policy(scratch, processes=24, keep=(set_full,)), fill)
        os.read(full, 1)

        def count(isolation: jail.Isolation) -> None:
            made = 0
            with contextlib.suppress(OSError):
                while made < 100:
                    tree(signal.pause)
                    made += 1
            os._exit(made)

        made = os.waitstatus_to_exitcode(os.waitpid(jail.spawn(jail.Policy(scratch, processes=24), count), 0)[1])
        jail.kill(first)
        return made

    results["forked beside a full jail"] = crowded()

    # System V memory, and files in /dev/shm and /tmp.
    key = 0x6A61696C + os.getpid()
    traces = [Path(folder, f"gradekit-left-{os.getpid()}") for folder in ("/dev/shm", "/tmp", "/var/tmp")]

    def leave(isolation: jail.Isolation) -> None:
        libc.shmget(key, ctypes.c_size_t(4096), 0o1666)
        for trace in traces:
            with contextlib.suppress(OSError):
                trace.write_text("x")

    leave(jail.Isolation("none", {}))
    results["traces outside"] = [libc.shmget(key, ctypes.c_size_t(0), 0) >= 0, *(trace.exists() for trace in traces)]
    libc.shmctl(libc.shmget(key, ctypes.c_size_t(0), 0), 0, None)
    for trace in traces:
        trace.unlink()
    ended(leave)
    results["traces of a jail"] = [libc.shmget(key, ctypes.c_size_t(0), 0) >= 0, *(trace.exists() for trace in traces)]
    results["control groups left"] = [
        str(found) for found in Path("/sys/fs/cgroup").glob(f"*/**/gradekit-{os.getpid()}-*")
    ]

    # Work, forked from a process that has torch loaded, as the fork server has. The attacks fork faster without.
    import matplotlib.pyplot
    import torch

    torch.set_num_threads(1)
    matplotlib.pyplot.switch_backend("Agg")
    matplotlib.pyplot.close(matplotlib.pyplot.figure())
    results["work"] = run_in_one_jail(WORK)[1]

    # What it costs, as the median of seven.
    times, kills = [], []
    for _ in range(7):
        started = time.perf_counter()
        pid = jailed(lambda isolation: report(time.perf_counter()))
        times.append(float(received(time.monotonic() + 10)) - started)
        started = time.perf_counter()
        jail.kill(pid)
        kills.append(time.perf_counter() - started)
    forks = []
    for _ in range(7):
        started = time.perf_counter()
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        forks.append(time.perf_counter() - started)
        os.waitpid(pid, 0)
    results["milliseconds"] = {
        "spawn": 1e3 * sorted(times)[3], "kill": 1e3 * sorted(kills)[3], "fork": 1e3 * sorted(forks)[3]
    }  # fmt: skip
    os.kill(server, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)
    return results


def tree(leaf: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        leaf()
        os._exit(0)
    return pid


def daemon(work: Callable[[], object], stay: bool = True) -> None:
    """The classic one: fork, setsid, fork."""

    def middle() -> None:
        os.setsid()
        tree(work)

    os.waitpid(tree(middle), 0)
    if stay:
        time.sleep(60)


def chain() -> None:
    """Fork and end, for ever: whoever walks the tree finds a dead process."""
    while True:
        with contextlib.suppress(OSError):
            if os.fork():
                os._exit(0)


def deaf() -> None:
    for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError):
            signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(60)


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        print(json.dumps(main(sys.argv[2], Path(sys.argv[3]))))
    else:
        cannot = prepare(sys.argv[1])
        if cannot:
            print(json.dumps({"cannot": cannot}))
        else:
            os.environ["MPLCONFIGDIR"] = sys.argv[2]
            os.execv(sys.executable, [sys.executable, __file__, "--inside", *sys.argv[1:]])
