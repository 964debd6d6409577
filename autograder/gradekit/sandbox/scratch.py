"""Removing a folder that a stranger has filled."""

import contextlib
import os
import stat
from pathlib import Path

_ROUNDS = 100_000


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
