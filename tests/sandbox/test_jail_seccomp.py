"""The filter as a program, run by an interpreter of its few instructions: also for the machine that this is not."""

import errno
import re
import struct
from pathlib import Path

import pytest

from gradekit.sandbox.jail import kernel, seccomp

ALLOW, DENY, ABSENT, KILL = seccomp.ALLOW, seccomp.DENY, seccomp.ABSENT, seccomp.KILL_PROCESS
OPEN = seccomp.Gaps(unix_sockets=False, system_v=False, metadata=False, signals=False, schedules=False)
TIGHT = seccomp.Gaps(unix_sockets=True, system_v=True, metadata=True, signals=True, schedules=True)
MACHINES = {"x86_64": kernel.X86_64, "aarch64": kernel.AARCH64}


@pytest.fixture(params=MACHINES)
def machine(request, monkeypatch):
    monkeypatch.setattr(kernel, "MACHINE", MACHINES[request.param])
    return MACHINES[request.param]


def answer(program, number, *arguments, architecture=None):
    """What the kernel would say: kernel/seccomp.c, reduced to the instructions that the filter uses."""
    data = struct.pack("<iIQ", number, seccomp.AUDIT_ARCH[kernel.MACHINE] if architecture is None else architecture, 0)
    data += struct.pack("<6Q", *(value & (1 << 64) - 1 for value in (*arguments, 0, 0, 0, 0, 0, 0)[:6]))
    accumulator, at = 0, 0
    while True:
        code, if_true, if_false, constant = struct.unpack_from("<HBBI", program, 8 * at)
        at += 1
        if code == seccomp.LOAD:
            accumulator = struct.unpack_from("<I", data, constant)[0]
        elif code == seccomp.AND:
            accumulator &= constant
        elif code == seccomp.RETURN:
            return constant
        else:
            holds = {
                seccomp.EQUAL: accumulator == constant,
                seccomp.AT_LEAST: accumulator >= constant,
                seccomp.SHARES_BITS: bool(accumulator & constant),
            }[code]
            at += if_true if holds else if_false


def said(gaps, name, *arguments):
    return answer(seccomp.program(gaps), kernel.number(name), *arguments)


def test_the_program_is_short_enough_for_the_kernel(machine):
    assert len(seccomp.program(TIGHT)) // 8 < 4096


@pytest.mark.parametrize("name", seccomp.NEVER)
def test_a_call_on_the_list_is_denied_on_every_machine_that_has_it(machine, name):
    if kernel.number(name) is None:
        assert machine == kernel.AARCH64  # the older machine has them all
    else:
        assert said(OPEN, name) == DENY


def test_another_architecture_is_not_answered(machine):
    i386 = 0x40000003
    assert answer(seccomp.program(OPEN), 20, architecture=i386) == KILL


@pytest.mark.parametrize("number", [kernel.NEWEST_KNOWN + 1, 1000, 0x40000000 + 39, -1])
def test_a_number_beyond_the_table_is_absent(machine, number):
    """x32 has its calls from 0x40000000 on."""
    assert answer(seccomp.program(OPEN), number) == ABSENT


def test_processes_are_forked_without_new_namespaces(machine):
    sigchld = 17
    assert said(OPEN, "clone", sigchld) == ALLOW
    assert said(OPEN, "clone3") == ABSENT
    for flag in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert said(OPEN, "clone", flag | sigchld) == DENY


def test_sockets_are_unix_sockets(machine):
    unix, inet, netlink, vsock = 1, 2, 16, 40
    nonblocking_cloexec = 0o2004000
    for kind in (1, 2, 5):
        assert said(OPEN, "socket", unix, kind | nonblocking_cloexec) == ALLOW
    assert said(OPEN, "socket", unix, 3) == DENY
    for family in (inet, 10, netlink, 17, vsock):
        assert said(OPEN, "socket", family, 1) == DENY
    # The kernel looks at the low half only: a family with something above it is still that family.
    assert said(OPEN, "socket", inet | 1 << 32, 1) == DENY


def test_where_sockets_of_others_can_be_found_only_connected_pairs_are_made(machine):
    assert said(TIGHT, "socket", 1, 1) == DENY
    assert [said(TIGHT, "socketpair", 1, kind) for kind in (1, 2, 5)] == [ALLOW, DENY, ALLOW]


def test_limits_and_priorities_are_ones_own(machine):
    assert said(OPEN, "prlimit64", 0) == ALLOW
    assert said(OPEN, "prlimit64", 7) == DENY
    assert said(OPEN, "setpriority", 0, 0) == ALLOW
    assert [said(OPEN, "setpriority", which, who) for which, who in ((0, 7), (1, 0), (2, 0))] == [DENY] * 3


def test_the_signal_at_the_parents_death_stays(machine):
    pr_set_name = 15
    assert said(OPEN, "prctl", 1) == DENY
    assert said(OPEN, "prctl", pr_set_name) == ALLOW


def test_keys_are_not_pushed_into_a_terminal(machine):
    tcgets, tiocsti = 0x5401, 0x5412
    assert said(OPEN, "ioctl", 0, tcgets) == ALLOW
    assert said(OPEN, "ioctl", 0, tiocsti) == said(OPEN, "ioctl", 0, tiocsti | 1 << 32) == DENY


def test_what_other_layers_leave_open_is_closed_here(machine, monkeypatch):
    monkeypatch.setattr("os.getpid", lambda: 77)
    for name in ("shmget", "msgget", "fchmodat", "utimensat", "tkill"):
        assert (said(OPEN, name), said(TIGHT, name)) == (ALLOW, DENY)
    assert [said(TIGHT, "kill", pid) for pid in (77, 78, -1, 0, 1)] == [ALLOW, DENY, DENY, DENY, DENY]
    assert [said(TIGHT, "tgkill", pid, pid) for pid in (77, 78)] == [ALLOW, DENY]
    assert [said(TIGHT, "sched_setaffinity", pid) for pid in (0, 78)] == [ALLOW, DENY]


def test_a_container_without_the_deny_answers_otherwise(machine):
    """The control of this file: a filter that names one call denies that one alone."""
    profile = seccomp.only(seccomp.deny("mount"))
    assert answer(profile, kernel.number("mount")) == DENY == seccomp.ERRNO | errno.EPERM
    assert answer(profile, kernel.number("ptrace")) == ALLOW


def test_the_table_agrees_with_the_headers_of_this_machine():
    """Where the kernel's headers are installed they are the truth; the asm-generic ones are aarch64's."""
    headers = {
        kernel.X86_64: Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        kernel.AARCH64: Path("/usr/include/asm-generic/unistd.h"),
    }
    for machine, path in headers.items():
        if path.exists():
            known = {
                name: int(number)
                for name, number in re.findall(
                    r"#define __NR(?:3264)?_(\w+)\s+(\d+)\s*$", path.read_text(), re.MULTILINE
                )
            }
            ours = {name: numbers[machine] for name, numbers in kernel.NUMBERS.items() if numbers[machine] is not None}
            assert {name: number for name, number in ours.items() if known.get(name, number) != number} == {}
            assert len(ours.keys() & known.keys()) > 80
