"""The jail, in the three places where it has to hold. What is tried there, and how, stands in jail_attacks.py."""

import fcntl
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gradekit.sandbox.jail import LEVELS, Policy, spawn
from gradekit.sandbox.jail.policy import isolation
from tests.sandbox import jail_attacks

PLACES = ("root", "user", "container")
SCRIPT = Path(jail_attacks.__file__)

# What the place itself refuses, outside of any jail: there the control shows nothing, and another place's has to do.
NO_CONTROL = {
    "root": set(),
    "user": {"read_shadow", "mount_something", "unmount_something", "change_root", "become_root"},
    "container": {
        *("read_memory_by_call", "trace_parent", "trace_oneself", "unshare_user", "clone_into_user_namespace"),
        *("mount_something", "unmount_something", "use_io_uring", "use_keyring"),
    },
}
# What a jail without a mount namespace does not bound: the total of many files. Each of them is bounded.
NOT_DENIED = {"root": set(), "user": set(), "container": {"write_many_files"}}
# Semaphores between processes need /dev/shm, which is shared with other jails unless there is a mount namespace.
NOT_WORKING = {"root": set(), "user": set(), "container": {"a_queue_between_processes", "a_loader_with_two_workers"}}


@pytest.fixture(scope="session")
def outcome(tmp_path_factory):
    """What happened in a place. Each place is entered once, by whichever of pytest's processes comes first."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    fonts = Path("/tmp", f"gradekit-fonts-{os.getuid()}-{os.stat(shared).st_ino}")  # an ordinary user must reach it

    def of(place):
        stored = shared / f"jail-{place}.json"
        with open(shared / f"jail-{place}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not stored.exists():
                (jail_attacks.REPOSITORY / "autograder" / "bundles").mkdir(exist_ok=True)  # as `gradekit build` does
                fonts.mkdir(exist_ok=True)
                fonts.chmod(0o777)
                ran = subprocess.run(
                    [sys.executable, SCRIPT, place, fonts], capture_output=True, text=True, timeout=200
                )
                assert ran.returncode == 0, ran.stderr
                stored.write_text(ran.stdout)
        found = json.loads(stored.read_text())
        if "cannot" in found:
            assert os.geteuid() != 0, found["cannot"]
        return found

    yield of
    shutil.rmtree(fonts, ignore_errors=True)  # another of pytest's processes that still wants it makes it anew


def reached(found) -> bool:
    """Whether this user can stand in the place; where not, the script says so, and `outcome` checks that it is true."""
    return "cannot" not in found


@pytest.mark.parametrize("place", PLACES)
def test_the_jail_reaches_its_highest_level(outcome, place):
    found = outcome(place)
    if reached(found):
        assert found["level"] == "jail", found["layers"]


@pytest.mark.parametrize("place", PLACES)
def test_every_layer_is_on_or_says_why_not(outcome, place):
    found = outcome(place)
    if reached(found):
        assert all(found["layers"].values())
        on = {name for name, text in found["layers"].items() if text == "on"}
        always = {
            "session",
            "seccomp",
            "no_new_privileges",
            "capabilities",
            "bounding_set",
            "not_dumpable",
            "descriptors",
        }
        limits = {"memory_limit", "process_limit", "landlock"}
        namespaces = {f"{kind}_namespace" for kind in ("mount", "pid", "network", "ipc", "uts")} | {
            "view",
            "disk_limit",
        }
        assert always | limits <= on
        assert namespaces <= on if place != "container" else not namespaces & on
        assert ("own_user" in on) == (place != "user")


@pytest.mark.parametrize("attack", jail_attacks.ATTACKS)
@pytest.mark.parametrize("place", PLACES)
def test_an_attack_is_denied_that_succeeds_outside(outcome, place, attack):
    found = outcome(place)
    if reached(found):
        tried = found["attacks"][attack]
        assert tried["outside"][0] == ("denied" if attack in NO_CONTROL[place] else "got"), tried
        assert tried["inside"][0] == ("got" if attack in NOT_DENIED[place] else "denied"), tried


def test_every_attack_has_a_control_in_some_place():
    assert not set.intersection(*NO_CONTROL.values())


@pytest.mark.parametrize("work", jail_attacks.WORK)
@pytest.mark.parametrize("place", PLACES)
def test_work_goes_on_in_the_jail(outcome, place, work):
    found = outcome(place)
    if reached(found):
        assert found["work"][work][0] == ("denied" if work in NOT_WORKING[place] else "got"), found["work"][work]


@pytest.mark.parametrize("place", PLACES)
def test_other_processes_are_alive_after_the_attacks(outcome, place):
    found = outcome(place)
    if reached(found):
        assert found["bystander"] is True
        assert found["status"] == 0


@pytest.mark.parametrize("place", PLACES)
def test_the_keeper_ends_as_the_jailed_process_ends(outcome, place):
    found = outcome(place)
    if reached(found):
        ends = found["ends"]
        assert (ends["returned"], ends["exited"], ends["raised"], ends["crashed"]) == (0, 7, 125, -11)
        # The first process of a pid namespace is deaf to its own SIGABRT: libc then crashes it.
        assert ends["aborted"] == (-6 if place == "container" else -11)


@pytest.mark.parametrize("place", PLACES)
def test_nothing_lives_longer_than_its_jail(outcome, place):
    found = outcome(place)
    if reached(found):
        assert not [what for what, seen in found["left"].items() if seen["lives"]]
        until_killed = {what for what, seen in found["left"].items() if seen["lived"]}
        assert until_killed | {"a daemon whose parent has ended"} == set(found["left"])


@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_left_in_shared_memory_or_temporary_folders(outcome, place):
    found = outcome(place)
    if reached(found):
        assert found["traces outside"] == [True] * 4
        assert found["traces of a jail"] == [False] * 4
        assert found["control groups left"] == []


@pytest.mark.parametrize("place", PLACES)
def test_a_jail_costs_no_more_than_some_forks(outcome, place):
    """A loose bound, for a loaded machine: two forks, and the kernel's waits for namespaces and control groups."""
    found = outcome(place)
    if reached(found):
        cost = found["milliseconds"]
        assert cost["spawn"] < 10 * cost["fork"] + 100, cost


@pytest.mark.parametrize("place", PLACES)
def test_a_full_jail_does_not_starve_another(outcome, place):
    found = outcome(place)
    if reached(found):
        assert found["forked beside a full jail"] in (22, 23)  # of 24, the jail's first process is one


ALL_ON = ("seccomp", "no_new_privileges", "landlock", "pid_namespace", "memory_limit", "process_limit", "session")


@pytest.mark.parametrize(
    ("missing", "level"),
    [
        ((), "jail"),
        (("landlock",), "restricted"),
        (("pid_namespace",), "restricted"),
        (("memory_limit",), "restricted"),
        (("landlock", "pid_namespace"), "process"),
        (("seccomp",), "process"),
        (("no_new_privileges",), "process"),
        (ALL_ON, "none"),
    ],
)
def test_the_level_is_what_the_layers_come_to(missing, level):
    layers = {name: "Function not implemented" if name in missing else "on" for name in ALL_ON}
    assert isolation(layers).level == level
    assert isolation(layers).layers == layers


def test_levels_are_ordered():
    assert LEVELS == ("none", "process", "restricted", "jail")


def test_a_scratch_folder_must_exist(tmp_path):
    with pytest.raises(ValueError, match="create it first"):
        spawn(Policy(tmp_path / "missing"), lambda isolation: None)


def test_every_attack_says_what_it_gets():
    """An attack that returns without having tried would pass as a control: none has an empty body."""
    assert all(len(inspect.getsource(attack).splitlines()) > 1 for attack in jail_attacks.ATTACKS.values())
