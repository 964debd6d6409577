"""Landlock: a process gives up the right to open files, but for those below named paths (landlock(7), Linux 5.13 and
later).

It needs no privilege, holds for all descendants, and also keeps the process from tracing anything outside. What it does
not guard: looking at the metadata of a file (stat), changing modes and times, and connecting to a Unix socket by its
path.
"""

import ctypes
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gradekit.sandbox.jail import kernel

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM, REFER, TRUNCATE, IOCTL_DEV = (
    1 << bit for bit in range(6, 16)
)

READ = READ_FILE | READ_DIR
WRITE = (
    READ
    | WRITE_FILE
    | REMOVE_DIR
    | REMOVE_FILE
    | MAKE_DIR
    | MAKE_REG
    | MAKE_SOCK
    | MAKE_FIFO
    | MAKE_SYM
    | REFER
    | TRUNCATE
)
DEVICE = READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

TCP = 0b11  # bind, connect
SCOPES = 0b11  # abstract Unix sockets, signals


@dataclass(frozen=True)
class Ruleset:
    """What this kernel can restrict: masks of rights, 0 where it knows none."""

    files: int
    network: int
    scopes: int


def abi() -> int:
    """The version of Landlock that the kernel speaks. Raises OSError where there is none (ENOSYS) or it is switched
    off (EOPNOTSUPP).
    """
    return kernel.call("landlock_create_ruleset", None, 0, 1)


def ruleset(version: int) -> Ruleset:
    """All rights that a version of the ABI handles."""
    rights = 13 + (version >= 2) + (version >= 3) + (version >= 5)
    return Ruleset((1 << rights) - 1, TCP if version >= 4 else 0, SCOPES if version >= 6 else 0)


def enter(rules: Ruleset, allowed: Iterable[tuple[Path, int]]) -> None:
    """Restrict this process to the paths and the rights given with each; a path that does not exist is passed over.
    Needs no_new_privs.
    """
    attributes = struct.pack("<QQQ", rules.files, rules.network, rules.scopes)[
        : 24 if rules.scopes else 16 if rules.network else 8
    ]
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    opened = kernel.call("landlock_create_ruleset", buffer, len(attributes), 0)
    try:
        for path, rights in allowed:
            try:
                target = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                granted = rights & rules.files & (-1 if path.is_dir() else OF_A_FILE)
                rule = ctypes.create_string_buffer(struct.pack("<Qi", granted, target), 12)
                path_beneath = 1
                kernel.call("landlock_add_rule", opened, path_beneath, rule, 0)
            finally:
                os.close(target)
        kernel.call("landlock_restrict_self", opened, 0)
    finally:
        os.close(opened)
