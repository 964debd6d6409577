"""Does `kill -9` of whatever grades, at random moments, change a grade?

    python benchmarks/killed.py

A class of the small week is graded once undisturbed, and then again and again with `gradekit grade --resume`, while a
process of it picked by lot gets SIGKILL: the command itself, the fork server, a judge, a keeper (what waits for a jail)
or a worker. Then grades.csv and the store must be those of the undisturbed run, no result that was complete may have
been made anew, and no process, control group or folder may be left. It ends with an error if anything is not so.

See README.md for how to read the figures.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import throughput

COUNT = 24
"""Submissions of a class: about three seconds' work for two cores."""
KILLS = {"command": 6, "fork server": 6, "judge": 12, "keeper": 12, "worker": 14}
QUICK = {"command": 1, "fork server": 1, "judge": 1, "keeper": 1, "worker": 1}
JOBS = 2
SEED = 20
UNTIL_S = 120.0
"""Seconds to wait for a process of a kind, and for a run to end."""
LINGERS_S = 5.0
"""Seconds that what is left of a killed run has to be gone."""


@dataclasses.dataclass
class Found:
    """kills: by kind; moments: by how far the class was, in submissions; runs: of the command; wrong: what is not as it
    should be, a line each.
    """

    kills: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    moments: list[int] = dataclasses.field(default_factory=list)
    classes: int = 0
    runs: int = 0
    compared: int = 0
    disturbed: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0


# -------------------------------------------------------------------------------------------------- who is who


def members(command: int) -> dict[str, list[int]]:
    """The processes of a run, by kind."""
    found: dict[str, list[int]] = {"command": [command], "fork server": [], "judge": [], "keeper": [], "worker": []}
    family = parents()
    for pid, parent in family.items():
        if parent == command and "gradekit.sandbox.server" in words(pid):
            found["fork server"].append(pid)
    for pid, parent in family.items():
        if parent in found["fork server"]:
            with contextlib.suppress(ProcessLookupError):
                found["keeper" if os.getsid(pid) == pid else "judge"].append(pid)
    found["worker"] = [pid for pid, parent in family.items() if parent in found["keeper"]]
    return found


def parents() -> dict[int, int]:
    """pid -> its parent's, of all processes."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def words(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return (Path("/proc") / str(pid) / "cmdline").read_text().split("\0")
    return []


def traces(folder: Path, servers: set[int]) -> set[str]:
    """What runs could leave behind: processes that run from `folder`, control groups of these fork servers, folders.

    The folder of the leases is for all runs, and torch makes one of its own when it is imported.
    """
    groups = [p for pattern in ("gradekit-*", "*/gradekit-*") for p in Path("/sys/fs/cgroup").glob(pattern)]
    found = {f"group {path}" for path in groups if int(path.name.split("-")[1]) in servers}
    found |= {f"folder {path}" for path in folder.iterdir() if not path.name.startswith((".gradekit-leases", "torch"))}
    for pid in parents():
        with contextlib.suppress(OSError):
            if f"TMPDIR={folder}".encode() in (Path("/proc") / str(pid) / "environ").read_bytes().split(b"\0"):
                found.add(f"process {pid} {' '.join(words(pid))[:80]}")
    return found


# ------------------------------------------------------------------------------------------------- what came of it


def stored(output: Path) -> dict[str, tuple[str, str]]:
    """Submission -> (checksum, text) of its latest result, where that is complete."""
    found = {}
    path = output / "results.sqlite"
    if not path.exists():
        return {}
    with (
        contextlib.closing(sqlite3.connect(path, timeout=60)) as connection,
        contextlib.suppress(sqlite3.DatabaseError),
    ):
        rows = connection.execute(
            "SELECT name, checksum, result FROM results WHERE number IN (SELECT max(number) FROM results GROUP BY name)"
        )
        for name, checksum, text in rows:
            if json.loads(text)["machine"].get("complete", True):
                found[str(name)] = (str(checksum), str(text))
    return found


def verdicts(output: Path) -> dict[str, Any]:
    """What a result says, without how long it took."""
    found = {}
    for name, (_, text) in stored(output).items():
        result = json.loads(text)
        cases = {
            question["name"]: [
                (case["name"], case["passed"], case["points"], case["message"]) for case in question["cases"]
            ]
            for question in result["questions"]
        }
        found[name] = (result["status"], result["note"], cases)
    return found


def differences(undisturbed: Path, output: Path) -> Iterator[str]:
    """Where a class that was disturbed came out otherwise."""
    expected, found = verdicts(undisturbed), verdicts(output)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            yield f"{name}: {found.get(name)}, undisturbed {expected.get(name)}"[:500]
    if (output / "grades.csv").read_text() != (undisturbed / "grades.csv").read_text():
        yield "grades.csv is another"


def made_anew(before: Mapping[str, tuple[str, str]], after: Mapping[str, tuple[str, str]]) -> list[str]:
    """Submissions whose complete result was replaced: they were graded in vain."""
    return [name for name, (checksum, _) in before.items() if name not in after or after[name][0] != checksum]


# --------------------------------------------------------------------------------------------------------- killing


class Class:
    """One class on its way to being graded, however often that is interrupted."""

    def __init__(self, material: throughput.Material, output: Path, scratch: Path) -> None:
        self.output = output
        self._command = [*throughput.kit_command(material, output, JOBS), "--resume"]
        self._environment = throughput.environment() | {"TMPDIR": str(scratch)}
        self._run: subprocess.Popen[bytes] | None = None
        self.complete: dict[str, tuple[str, str]] = {}
        self.servers: set[int] = set()

    def start(self) -> int:
        nothing = subprocess.DEVNULL
        self._run = subprocess.Popen(self._command, stdout=nothing, stderr=nothing, env=self._environment)
        return self._run.pid

    def running(self) -> bool:
        return self._run is not None and self._run.poll() is None

    def ended(self) -> int:
        assert self._run is not None
        return self._run.wait(UNTIL_S)

    def victims(self, kind: str) -> list[int]:
        if self._run is None or not self.running():
            return []
        found = members(self._run.pid)
        self.servers.update(found["fork server"])
        return found[kind]


def disturb(found: Found, course: Class, plan: list[str], lots: random.Random) -> None:
    """Grade a class to its end, and kill what the plan says on the way."""
    found.classes += 1
    course.start()
    found.runs += 1
    while True:
        if not course.running():
            status = course.ended()
            after = stored(course.output)
            found.wrong += [f"graded in vain: {name}" for name in made_anew(course.complete, after)]
            course.complete = after
            if status == 0:
                break
            if status != -signal.SIGKILL:
                found.wrong.append(f"the command ended with {status}")
                break
            course.start()
            found.runs += 1
        if not plan:
            course.ended()
            continue
        if victims := wait_for(course, plan[0]):
            time.sleep(lots.uniform(0, 0.4) if plan[0] in ("judge", "keeper", "worker") else lots.uniform(0, 3))
            victims = course.victims(plan[0]) or victims
            with contextlib.suppress(ProcessLookupError):
                os.kill(lots.choice(victims), signal.SIGKILL)
                found.kills[plan[0]] += 1
                found.moments.append(len(stored(course.output)))
                if plan.pop(0) == "command":
                    course.ended()


def wait_for(course: Class, kind: str) -> list[int]:
    """Processes of a kind, when there are some; none if the class is graded before."""
    until = time.monotonic() + UNTIL_S
    while course.running() and time.monotonic() < until:
        if victims := course.victims(kind):
            return victims
        time.sleep(0.01)
    return []


def measure(root: Path, count: int, kills: Mapping[str, int]) -> Found:
    """Everything, one after the other."""
    started = time.perf_counter()
    throughput.say(f"building the week, {count} submissions")
    material = throughput.prepare(root, count)
    scratch = root / "scratch"
    scratch.mkdir(mode=0o711)
    undisturbed = Class(material, root / "undisturbed", scratch)
    throughput.say("undisturbed")
    undisturbed.start()
    if undisturbed.ended():
        raise RuntimeError("the class could not be graded undisturbed")
    found, lots = Found(), random.Random(SEED)
    plan = [kind for kind, number in kills.items() for _ in range(number)]
    lots.shuffle(plan)
    servers: set[int] = set()
    while plan:
        course = Class(material, root / f"killed-{found.classes}", scratch)
        disturb(found, course, plan, lots)
        found.wrong += list(differences(undisturbed.output, course.output))
        found.compared += len(course.complete)
        servers |= course.servers
        throughput.say(f"{found.kills.total()} kills, {found.runs} runs, {found.classes} classes")
    until = time.monotonic() + LINGERS_S
    while (left := traces(scratch, servers)) and time.monotonic() < until:
        time.sleep(0.1)
    found.wrong += [f"left behind: {what}" for what in sorted(left)]
    found.seconds = time.perf_counter() - started
    return found


def markdown(found: Found, count: int) -> Iterator[str]:
    yield "## Killed"
    yield ""
    yield (
        f"{throughput.head()}. {found.kills.total()} kills in {found.runs} runs, {found.classes} classes "
        f"of {count} submissions, {found.seconds / 60:.1f} minutes."
    )
    yield ""
    yield from throughput.table(["killed", "times"], [[kind, str(number)] for kind, number in found.kills.items()])
    yield ""
    yield (
        f"{found.compared} results compared with those of an undisturbed run: {len(found.wrong)} differences"
        + (":" if found.wrong else ". Nothing was graded in vain, and nothing was left behind.")
    )
    yield from (f"- {line}" for line in found.wrong)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Does kill -9 of whatever grades change a grade?")
    parser.add_argument("--quick", action="store_true", help=f"{sum(QUICK.values())} kills, for a look")
    options = parser.parse_args(arguments)
    os.environ["GRADEKIT_DEVICE"] = "cpu"
    root = Path(tempfile.mkdtemp(prefix="gradekit-killed-"))
    root.chmod(0o711)
    try:
        found = measure(root, COUNT, QUICK if options.quick else KILLS)
    except RuntimeError as error:
        throughput.say(f"killed.py: {error}")
        return 1
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print("\n".join(markdown(found, COUNT)))
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
