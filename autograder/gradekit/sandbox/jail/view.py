"""A root folder of the jail's own, in which nothing else exists.

The new root is a tmpfs; what may be read is bound into it read-only, the scratch folder is a copy in memory, and the
old root is let go of. Needs a mount namespace and Linux 5.12 (open_tree, mount_setattr).
"""

import ctypes
import functools
import os
import shutil
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gradekit.sandbox.jail import kernel
from gradekit.sandbox.jail.policy import ON

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 0x4000, 1 << 18
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV = 1, 2, 4
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH, MNT_DETACH = 1, 4, 2

DEVICES = ("null", "zero", "full", "random", "urandom")
# Writable as well, in the same tmpfs as the scratch folder: one limit for all of them.
SHARED = {Path("/tmp"): "tmp", Path("/var/tmp"): "var-tmp", Path("/dev/shm"): "shm"}
DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
MOST_FILES = 65536  # an empty file costs about a kilobyte of memory, which the size of a tmpfs does not count


@dataclass
class _Tree:
    """A mount that hangs nowhere yet."""

    handle: int
    is_folder: bool


@dataclass
class _Root:
    """A root being built below base."""

    base: Path
    mounted: list[Path] = field(default_factory=list)

    def at(self, path: Path) -> Path:
        return self.base / path.relative_to("/")

    def covers(self, path: Path) -> bool:
        return any(path.is_relative_to(other) for other in self.mounted)

    def attach(self, tree: _Tree, path: Path) -> None:
        target = self.at(path)
        if tree.is_folder:
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                target.touch()
        kernel.call("move_mount", tree.handle, b"", AT_FDCWD, os.fsencode(target), MOVE_MOUNT_F_EMPTY_PATH)
        os.close(tree.handle)
        self.mounted.append(path)

    def link(self, path: Path, target: str) -> None:
        if not self.covers(path) and not os.path.lexists(self.at(path)):
            self.at(path).parent.mkdir(parents=True, exist_ok=True)
            self.at(path).symlink_to(target)


def _tree(path: str | Path, attributes: int | None) -> _Tree:
    """A copy of the mount at a path and of those below it."""
    handle = kernel.call("open_tree", AT_FDCWD, os.fsencode(path), OPEN_TREE_CLONE | AT_RECURSIVE | os.O_CLOEXEC)
    if attributes is not None:
        change = ctypes.create_string_buffer(struct.pack("<QQQQ", attributes, 0, 0, 0), 32)
        kernel.call("mount_setattr", handle, b"", AT_EMPTY_PATH | AT_RECURSIVE, change, 32)
    return _Tree(handle, os.path.isdir(path))


@functools.lru_cache(maxsize=1024)
def walk(path: Path) -> tuple[Path | None, tuple[tuple[Path, str], ...]]:
    """Where a path really lies, None if nothing is there, and the symbolic links on the way, first to last.

    It is remembered, so whoever forks asks before that: a fifth of the time of a jail's start is spent on it.
    """
    found: list[tuple[Path, str]] = []
    pending, walked = list(path.parts[1:]), Path("/")
    while pending and len(found) < 40:
        step = walked / pending.pop(0)
        if step.is_symlink():
            target = os.readlink(step)
            found.append((step, target))
            joined = Path(os.path.normpath(walked / target))
            pending, walked = [*joined.parts[1:], *pending], Path("/")
        else:
            walked = step
    real = Path(os.path.realpath(path))
    return real if real.exists() else None, tuple(found)


def enter(
    readable: Sequence[Path], scratch: Path, size: int, owner: tuple[int, int], *, own_pids: bool, accelerator: bool
) -> dict[str, str]:
    """Make and enter the new root; the scratch folder keeps its path. Returns the layers "proc" and "disk_limit".

    Must run in a mount namespace of its own, in the process that will live there. owner is the user and group who may
    write. Raises OSError if a part of it is refused, and then nothing has changed.
    """
    mask = os.umask(0o022)
    original = os.open(scratch, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    covered = False
    try:
        kernel.call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)
        held = Path(f"/proc/self/fd/{original}")
        held_bytes = sum(file.lstat().st_size for file in held.rglob("*"))
        links = [link for path in readable for link in walk(path)[1]]
        trees = _readable_trees(readable, {scratch, *SHARED}) | _device_trees(accelerator)

        kernel.call(
            "mount", b"jail", os.fsencode(scratch), b"tmpfs", MS_NOSUID | MS_NODEV, b"mode=755,size=1m,nr_inodes=8192"
        )
        covered = True
        store = scratch / ".store"  # stays: the same folders once more, and lifting a mount costs milliseconds
        store.mkdir()
        options = f"mode=755,size={size + held_bytes},nr_inodes={MOST_FILES}".encode()
        kernel.call("mount", b"scratch", os.fsencode(store), b"tmpfs", MS_NOSUID | MS_NODEV, options)
        inner = store / "scratch"
        shutil.copytree(held, inner, symlinks=True)
        inner.chmod(0o700)
        own(inner, owner)
        trees[scratch] = _tree(inner, None)
        for path, name in SHARED.items():
            (store / name).mkdir()
            (store / name).chmod(0o1777)
            trees[path] = _tree(store / name, None)

        root = _Root(scratch)
        for path in sorted(trees):
            root.attach(trees[path], path)
        for path, target in [*links, *((Path("/dev", name), target) for name, target in DEVICE_LINKS.items())]:
            root.link(path, target)
        layers = {"proc": _proc(root, own_pids), "disk_limit": ON}

        os.chdir(scratch)
        kernel.call("pivot_root", b".", b".")
        covered = False
        kernel.call("umount2", b".", MNT_DETACH)
        os.chdir("/")
        change = ctypes.create_string_buffer(struct.pack("<QQQQ", MOUNT_ATTR_RDONLY, 0, 0, 0), 32)
        kernel.call("mount_setattr", AT_FDCWD, b"/", 0, change, 32)
        return layers
    finally:
        if covered:
            os.chdir("/")
            kernel.call("umount2", os.fsencode(scratch), MNT_DETACH)
        os.close(original)
        os.umask(mask)


def own(folder: Path, owner: tuple[int, int]) -> None:
    """Give a folder and all in it to a user and group, links themselves and not what they point to."""
    os.chown(folder, *owner)
    for at, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(os.path.join(at, name), *owner, follow_symlinks=False)


def _readable_trees(paths: Sequence[Path], writable: set[Path]) -> dict[Path, _Tree]:
    """What may be read, by its real path; without what lies in another one already, unless a writable folder hides it
    there.
    """
    real = sorted({found for path in paths if (found := walk(path)[0]) is not None and found != Path("/")})
    trees: dict[Path, _Tree] = {}
    for path in real:
        around = next((other for other in path.parents if other in trees), None)
        hidden = around and any(path.is_relative_to(other) and other.is_relative_to(around) for other in writable)
        if around is None or hidden:
            trees[path] = _tree(path, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
    return trees


def _device_trees(accelerator: bool) -> dict[Path, _Tree]:
    return {path: _tree(path, MOUNT_ATTR_NOSUID) for path in devices(accelerator)}


def devices(accelerator: bool) -> list[Path]:
    """The device nodes that a jail keeps."""
    wanted = [Path("/dev", name) for name in DEVICES]
    if accelerator:
        wanted += [path for path in Path("/dev").iterdir() if path.name.startswith("nvidia")]
    return [path for path in wanted if path.exists()]


def _proc(root: _Root, own_pids: bool) -> str:
    """A proc that shows the jail's own processes only; where that is refused, the few files that say what the machine
    is.
    """
    target = root.at(Path("/proc"))
    target.mkdir(exist_ok=True)
    refused = "there is no pid namespace"
    if own_pids:
        try:
            kernel.call(
                "mount", b"proc", os.fsencode(target), b"proc", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, None
            )
            return ON
        except OSError as problem:
            refused = kernel.reason(problem)
    for name in ("cpuinfo", "meminfo", "stat", "loadavg", "uptime", "version", "self"):
        root.attach(_tree(f"/proc/{name}", None), Path("/proc", name))
    return f"only a few files of the machine's proc: {refused}"
