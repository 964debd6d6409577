"""Giving up what a process could do beyond its own user's rights, and making sure that it never comes back
(capabilities(7)).
"""

import ctypes
import os
import signal
import struct

from gradekit.sandbox.jail import kernel

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 28, 38
# NOROOT, NO_SETUID_FIXUP stays off (it clears capabilities at setuid), NO_CAP_AMBIENT_RAISE; each with its lock.
SECUREBITS = 0b11 | 0b11 << 6


def drop_bounding() -> None:
    """No program started later can have a capability, set-user-id or not. Needs CAP_SETPCAP."""
    for capability in range(64):
        try:
            kernel.call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
        except OSError:
            if capability == 0:
                raise
            break  # the kernel knows no more of them
    kernel.call("prctl", PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0)


def become(user: int) -> None:
    """Be another user and group, and no longer in any other group. Needs root."""
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def drop_all() -> None:
    """No capability, effective, permitted or inheritable."""
    version_3 = 0x20080522
    header = ctypes.create_string_buffer(struct.pack("<Ii", version_3, 0), 8)
    nothing = ctypes.create_string_buffer(24)
    kernel.call("capset", header, nothing)


def no_new_privileges() -> None:
    kernel.call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def not_dumpable() -> None:
    """Nobody may trace this process or read its memory, and it leaves no core."""
    kernel.call("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Get a signal when the parent ends. Forgotten by the kernel when the process changes its user: call this after."""
    kernel.call("prctl", PR_SET_PDEATHSIG, number, 0, 0, 0)
