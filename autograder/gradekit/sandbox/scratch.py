"""Folders for a while: making them, removing what a stranger has filled, and sweeping up after whoever was killed."""

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from pathlib import Path

_ROUNDS = 100_000
_HELD = "gradekit-held-"  # no folder of another name is ever swept up
_UNBORN = ".gradekit-new-"
_UNBORN_S = 60.0
"""Seconds after which a folder that has not got its name was left so by a process that was killed."""


def hold(what: str) -> tuple[Path, int]:
    """A new temporary folder, and a descriptor that holds it: as long as that is open, no `sweep` takes it."""
    made = Path(tempfile.mkdtemp(prefix=_UNBORN))
    held = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(held, fcntl.LOCK_SH)
    return made.rename(made.with_name(_HELD + what + "-" + made.name.removeprefix(_UNBORN))), held


def sweep() -> None:
    """Remove this user's folders that nobody holds: their owners were killed."""
    here = Path(tempfile.gettempdir())
    for folder in (*here.glob(f"{_HELD}*"), *here.glob(f"{_UNBORN}*")):
        with contextlib.suppress(OSError):
            facts = folder.lstat()
            young = folder.name.startswith(_UNBORN) and time.time() - facts.st_mtime < _UNBORN_S
            if stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.geteuid() and not young:
                _sweep(folder)


def _sweep(folder: Path) -> None:
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(folder)
    finally:
        os.close(held)


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it, following no link. What cannot be removed stays; never raises OSError.

    Neither its depth nor the length of its paths matters: whatever lies two levels down is moved up to the first before
    its folder goes.
    """
    top, moved = os.fspath(folder), 0
    if not os.path.islink(top):
        with contextlib.suppress(OSError):
            os.chmod(top, stat.S_IRWXU)
    for _ in range(_ROUNDS):
        if os.path.islink(top):
            break
        try:
            entries = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in os.scandir(top)]
        except OSError:
            break
        gone = 0
        for path, is_folder in entries:
            with contextlib.suppress(OSError):
                if is_folder:
                    os.chmod(path, stat.S_IRWXU)
                    for inner in list(os.scandir(path)):
                        if inner.is_dir(follow_symlinks=False):
                            moved += 1
                            os.chmod(inner.path, stat.S_IRWXU)  # a folder is moved by who may write it
                            os.rename(inner.path, os.path.join(top, f".moved-{moved}-{os.getpid()}"))
                            gone += 1
                        else:
                            os.unlink(inner.path)
                    os.rmdir(path)
                else:
                    os.unlink(path)
                gone += 1
        if not entries or not gone:
            break
    with contextlib.suppress(OSError):
        if os.path.islink(top):
            os.unlink(top)
        else:
            os.rmdir(top)
