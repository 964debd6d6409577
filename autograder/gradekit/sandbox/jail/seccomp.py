"""The filter of system calls: a program in classic BPF that the kernel runs at each call (seccomp(2),
kernel/Documentation/userspace-api).

Everything is allowed but what is named here: torch, numpy and libc use some two hundred calls, and which ones changes
with their versions. A number that this file's table does not reach is answered like an old kernel does (ENOSYS), so
that a new kernel opens nothing.
"""

import ctypes
import errno
import os
import socket
import struct
from dataclasses import dataclass

from gradekit.sandbox.jail import kernel

# struct seccomp_data: int nr; u32 arch; u64 instruction_pointer; u64 args[6]. Little-endian: the low half of an
# argument comes first.
NUMBER, ARCHITECTURE = 0, 4
AUDIT_ARCH = {kernel.X86_64: 0xC000003E, kernel.AARCH64: 0xC00000B7}

LOAD, AND, EQUAL, AT_LEAST, SHARES_BITS, RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
ALLOW, ERRNO, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
DENY = ERRNO | errno.EPERM
ABSENT = ERRNO | errno.ENOSYS

# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET (sched.h)
NEW_NAMESPACE = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
PR_SET_PDEATHSIG, PR_SET_SECCOMP = 1, 22
TIOCSTI, TIOCLINUX = 0x5412, 0x541C

NEVER = (
    # looking into or steering another process
    *(
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "process_madvise",
        "process_mrelease",
        "kcmp",
        "pidfd_getfd",
        "pidfd_open",
    ),
    *(
        "pidfd_send_signal",
        "rt_sigqueueinfo",
        "rt_tgsigqueueinfo",
        "get_robust_list",
        "migrate_pages",
        "move_pages",
        "ioprio_set",
    ),
    # another program, another namespace, another root
    *(
        "execve",
        "execveat",
        "unshare",
        "setns",
        "chroot",
        "pivot_root",
        "mount",
        "umount2",
        "move_mount",
        "open_tree",
        "open_tree_attr",
    ),
    *(
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "mount_setattr",
        "statmount",
        "listmount",
        "open_by_handle_at",
        "name_to_handle_at",
    ),
    # large parts of the kernel that a computation needs nothing of
    *(
        "bpf",
        "perf_event_open",
        "userfaultfd",
        "io_uring_setup",
        "io_uring_enter",
        "io_uring_register",
        "add_key",
        "request_key",
        "keyctl",
    ),
    *(
        "fanotify_init",
        "fanotify_mark",
        "memfd_secret",
        "vmsplice",
        "modify_ldt",
        "personality",
        "seccomp",
        "lsm_set_self_attr",
    ),
    # the machine
    *(
        "acct",
        "quotactl",
        "quotactl_fd",
        "settimeofday",
        "clock_settime",
        "clock_adjtime",
        "adjtimex",
        "sethostname",
        "setdomainname",
    ),
    *(
        "iopl",
        "ioperm",
        "syslog",
        "reboot",
        "swapon",
        "swapoff",
        "kexec_load",
        "kexec_file_load",
        "init_module",
        "finit_module",
    ),
    *(
        "delete_module",
        "create_module",
        "query_module",
        "get_kernel_syms",
        "nfsservctl",
        "lookup_dcookie",
        "_sysctl",
        "sysfs",
        "uselib",
    ),
    *("ustat", "vhangup"),
)
SYSTEM_V = (
    "shmget",
    "shmat",
    "shmctl",
    "semget",
    "semop",
    "semtimedop",
    "semctl",
    "msgget",
    "msgsnd",
    "msgrcv",
    "msgctl",
    "mq_open",
)
METADATA = (
    *("chmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchownat", "utime", "utimes", "futimesat", "utimensat"),
    *("setxattr", "lsetxattr", "setxattrat", "removexattr", "lremovexattr", "removexattrat"),
)


@dataclass(frozen=True)
class Gaps:
    """What other layers leave open, and the filter must close more strictly.

    unix_sockets: sockets of other processes can be found, by path or by abstract name. system_v: there is no ipc
    namespace. metadata: files of the same user lie outside, and Landlock does not guard modes and times. signals: other
    processes can be signalled. schedules: their scheduling can be changed.
    """

    unix_sockets: bool
    system_v: bool
    metadata: bool
    signals: bool
    schedules: bool


def _instruction(code: int, constant: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, constant)


def _argument(index: int) -> bytes:
    """Load the low half of an argument: all that the kernel looks at where the parameter is an int."""
    return _instruction(LOAD, 16 + 8 * index)


LOAD_NUMBER = _instruction(LOAD, NUMBER)


def _head() -> bytes:
    """Refuse the calls of another architecture (int 0x80, x32), whose numbers mean other things."""
    architecture = AUDIT_ARCH[kernel.MACHINE if kernel.MACHINE is not None else kernel.X86_64]
    return (
        _instruction(LOAD, ARCHITECTURE)
        + _instruction(EQUAL, architecture, 1, 0)
        + _instruction(RETURN, KILL_PROCESS)
        + LOAD_NUMBER
        + _instruction(AT_LEAST, kernel.NEWEST_KNOWN + 1, 0, 1)
        + _instruction(RETURN, ABSENT)
    )


def _on(name: str, body: bytes) -> bytes:
    """body when the call is this one: it ends in RETURN on every path. Nothing where the machine lacks the call."""
    number = kernel.number(name)
    return b"" if number is None else _instruction(EQUAL, number, 0, len(body) // 8) + body


def deny(name: str, answer: int = DENY) -> bytes:
    return _on(name, _instruction(RETURN, answer))


def _allow_only(name: str, index: int, *values: int, mask: int = 0xFFFFFFFF) -> bytes:
    """Deny the call unless an argument is one of the values."""
    tests = b"".join(_instruction(EQUAL, value, 0, 1) + _instruction(RETURN, ALLOW) for value in values)
    return _on(name, _argument(index) + _instruction(AND, mask) + tests + _instruction(RETURN, DENY))


def _deny_if(name: str, index: int, *values: int) -> bytes:
    """Deny the call if an argument is one of the values."""
    tests = b"".join(_instruction(EQUAL, value, 0, 1) + _instruction(RETURN, DENY) for value in values)
    return _on(name, _argument(index) + tests + _instruction(RETURN, ALLOW))


def deny_new_namespaces() -> bytes:
    """clone without the flags that make namespaces. clone3 passes its flags in memory, where no filter can look: libc
    falls back to clone.
    """
    flags = (
        _argument(0)
        + _instruction(SHARES_BITS, NEW_NAMESPACE, 0, 1)
        + _instruction(RETURN, DENY)
        + _instruction(RETURN, ALLOW)
    )
    return _on("clone", flags) + deny("clone3", ABSENT)


def _unix_only(name: str, *kinds: int) -> bytes:
    """Unix sockets of some types; the flags of a type lie above its low four bits."""
    family = _argument(0) + _instruction(EQUAL, socket.AF_UNIX, 1, 0) + _instruction(RETURN, DENY)
    tests = b"".join(_instruction(EQUAL, kind, 0, 1) + _instruction(RETURN, ALLOW) for kind in kinds)
    return _on(name, family + _argument(1) + _instruction(AND, 0xF) + tests + _instruction(RETURN, DENY))


def _own_priority() -> bytes:
    """setpriority of the calling thread, and of no other process, group or user."""
    which = _argument(0) + _instruction(EQUAL, os.PRIO_PROCESS, 1, 0) + _instruction(RETURN, DENY)
    who = _argument(1) + _instruction(EQUAL, 0, 0, 1) + _instruction(RETURN, ALLOW) + _instruction(RETURN, DENY)
    return _on("setpriority", which + who)


def program(gaps: Gaps) -> bytes:
    """The jail's filter, to be entered by the process whose pid os.getpid() gives now."""
    parts = [_head(), *map(deny, NEVER), deny_new_namespaces()]
    stream, datagram, packets = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET
    if gaps.unix_sockets:
        # A datagram socket of a pair can be turned to any other address; the connected kinds cannot.
        parts += [deny("socket"), _unix_only("socketpair", stream, packets)]
    else:
        parts += [_unix_only(name, stream, datagram, packets) for name in ("socket", "socketpair")]
    parts.append(_deny_if("ioctl", 1, TIOCSTI, TIOCLINUX))
    # Without its signal at the parent's death a jail would outlive its keeper.
    parts.append(_deny_if("prctl", 0, PR_SET_PDEATHSIG, PR_SET_SECCOMP))
    parts.append(_allow_only("prlimit64", 0, 0))
    parts.append(_own_priority())
    if gaps.system_v:
        parts.extend(map(deny, SYSTEM_V))
    if gaps.metadata:
        parts.extend(map(deny, METADATA))
    if gaps.signals:
        parts.append(_allow_only("kill", 0, os.getpid()))
        parts.append(_allow_only("tgkill", 0, os.getpid()))
        parts.append(deny("tkill"))
    if gaps.schedules:
        parts.extend(
            _allow_only(name, 0, 0)
            for name in ("sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr")
        )
    parts.append(_instruction(RETURN, ALLOW))
    return b"".join(parts)


def enter(instructions: bytes) -> None:
    """Put the filter on this process, all its threads and all that it forks, for good. Needs no_new_privs or
    CAP_SYS_ADMIN.
    """
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    header = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(instructions) // 8, ctypes.addressof(buffer)))
    set_mode_filter, all_threads = 1, 1
    kernel.call("seccomp", set_mode_filter, all_threads, header)


def only(*denials: bytes) -> bytes:
    """A filter that allows everything but what is given: what a container's own profile looks like to a jail within
    it.
    """
    return b"".join((_head(), *denials, _instruction(RETURN, ALLOW)))
