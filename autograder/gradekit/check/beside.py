"""A file that lies beside the notebook, read with care, and the words for one that is not taken."""

import errno
import os
import stat
from pathlib import Path

from gradekit.check.failure import CheckFailed

# Without following a link, and without waiting for whoever holds the other end of a pipe, where the system can.
_CAREFULLY = 0
for _flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"):
    _CAREFULLY |= getattr(os, _flag, 0)


def read_beside(folder: Path, name: str, most_bytes: int) -> bytes:
    """The bytes of a regular file. It is asked what it is, and how large, before a byte of it is read.

    Raises CheckFailed for a file that is not there, for a link, a pipe or anything else that is none, and beyond
    `most_bytes`.
    """
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | _CAREFULLY)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise refused(name, "is not a file")
            if found.st_size > most_bytes:
                raise too_large(name, found.st_size, most_bytes)
            with open(descriptor, "rb", closefd=False) as stream:
                data = stream.read(most_bytes + 1)  # it may grow meanwhile
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise missing(name) from None
    except OSError as error:
        link = error.errno in (errno.ELOOP, errno.EMLINK)
        why = "is a link: the file itself is needed" if link else f"cannot be read: {error.strerror}"
        raise refused(name, why) from None
    if len(data) > most_bytes:
        raise too_large(name, len(data), most_bytes)
    return data


def missing(name: str) -> CheckFailed:
    """Nobody handed it in."""
    return CheckFailed(
        f"{name} was not handed in: save it beside the notebook, under this name, and hand in both, as a zip (the "
        "notebook's last cell makes one) or in one folder"
    )


def refused(name: str, why: str) -> CheckFailed:
    """It is there, and is not what may be read."""
    return CheckFailed(f"{name} {why}")


def too_large(name: str, size: int, most_bytes: int) -> CheckFailed:
    """Sizes are in bytes."""
    return refused(name, f"has {size:,} bytes: {most_bytes:,} are allowed")
