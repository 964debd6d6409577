"""Grade a folder of submissions in one of three places, and print the results and what was left behind.

    python grade_all.py PLACE FOLDER

FOLDER holds bundles/WEEK.zip and submissions/WEEK/NUMBER.ipynb. PLACE is root, user (an ordinary one) or container
(root without CAP_SYS_ADMIN, under a filter that refuses namespaces and mounts), as in tests/sandbox/jail_attacks.py.
One fork server grades all of them.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

MEMORY_BYTES = 2**30
QUESTION_S = {"week01_plain": 5.0, "week02_costs": 90.0, "week03_counts": 30.0}
"""Nothing hangs in the weeks whose checks take long on a busy machine."""

LOADED = ("torch._dynamo", "torch.utils.flop_counter", "otter.test_files")
"""What some attacks import, or make torch import: on a busy machine that takes all the time that a question has."""


FORK_SERVER = b"gradekit.sandbox.server"


def traces() -> dict[str, list[str]]:
    """What a submission could leave behind on this machine, without what belongs to a grading beside this one."""
    groups = Path("/sys/fs/cgroup")
    found: dict[str, list[str]] = {
        "files": [p.name for folder in ("/tmp", "/var/tmp", "/dev/shm") for p in Path(folder).glob("atk-*")],
        "scratch": [p.name for p in Path(os.environ.get("TMPDIR", "/tmp")).glob("gradekit-*")],
        "groups": [
            str(path)
            for pattern in ("gradekit-*", "*/gradekit-*")
            for path in groups.glob(pattern)
            if not is_neighbours(int(path.name.split("-")[1]))
        ],
        "mounts": [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()],
        "ipc": [
            line
            for name in ("shm", "sem", "msg")
            for line in Path(f"/proc/sysvipc/{name}").read_text().splitlines()[1:]
        ],
        "processes": [],
    }
    for process in Path("/proc").glob("[0-9]*"):
        try:
            name, owner = (process / "comm").read_text().strip(), process.stat().st_uid
        except OSError:
            continue
        if (name.startswith("atk-") or 200_000 <= owner < 250_000) and not is_neighbours(int(process.name)):
            found["processes"].append(f"{process.name} {name} of {owner}")
    return found


def is_neighbours(pid: int) -> bool:
    """Whether a process lives below the fork server of another grading that still runs, or in a container of Docker.

    What is left over has no such ancestor: its fork server has ended, and so its keeper, or what is left of that, is an
    orphan.
    """
    try:
        if b"docker" in Path(f"/proc/{pid}/cgroup").read_bytes():
            return True
        forked = False
        while FORK_SERVER in Path(f"/proc/{pid}/cmdline").read_bytes():
            forked, pid = True, int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        name = Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return False
    return forked and pid != os.getpid() and name.startswith(("python", "gradekit", "pytest"))


def progress(result: Any) -> None:
    """For a person who looks on."""
    sys.stderr.write(f"{result.submission} {result.status} {result.score:g} in {result.seconds:.1f} s\n")


def descendants(pid: int) -> list[int]:
    found = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    except OSError:
        pass
    return found


def main(place: str, folder: Path) -> dict[str, Any]:
    from gradekit.grade import engine, warm
    from gradekit.grade.batch import grade_batch
    from gradekit.grade.bundle import open_bundle
    from gradekit.grade.submission import Submission

    engine._MEMORY = MEMORY_BYTES
    warm._ALWAYS = (*warm._ALWAYS, *LOADED)
    before, started = traces(), time.monotonic()
    results: dict[str, Any] = {}
    in_bundles: list[str] = []
    for path in sorted((folder / "bundles").glob("*.zip")):
        with open_bundle(path) as bundle:
            paths = sorted((folder / "submissions" / bundle.assignment).glob("*.ipynb"))
            found = [Submission(path.stem, path) for path in paths]
            terms = engine.Terms(seconds=120.0, question_s=QUESTION_S[bundle.assignment])
            for result in grade_batch(bundle, found, jobs=2, terms=terms, on_result=progress):
                results[result.submission] = json.loads(result.to_json())
            in_bundles += [str(found) for found in bundle.folder.rglob("atk-*")]
    servers = [server.process.pid for server in engine._servers.values()]
    left = [read_status(child) for server in servers for child in descendants(server)]
    engine.end_all()
    after = traces()
    gone = {kind: [item for item in after[kind] if item not in before[kind]] for kind in after}
    return {
        "place": place,
        "seconds": time.monotonic() - started,
        "results": results,
        "servers": len(servers),
        "left below the server": left,
        "left": gone | {"in bundles": in_bundles},
    }


def read_status(pid: int) -> str:
    try:
        return f"{pid} " + " ".join(Path(f"/proc/{pid}/status").read_text().split()[:4])
    except OSError:
        return ""


if __name__ == "__main__":
    from tests.sandbox.jail_attacks import prepare

    chosen, where = sys.argv[1], Path(sys.argv[2])
    why_not = None
    if os.environ.get("GRADED_IN") != chosen:
        why_not = prepare(chosen)
        if why_not is None and chosen == "container":  # the bounding set is in force only behind an exec
            os.environ["GRADED_IN"] = chosen
            os.execv(sys.executable, [sys.executable, __file__, chosen, str(where)])
    sys.stdout.write(json.dumps({"cannot": why_not} if why_not else main(chosen, where)))
    sys.stdout.flush()
