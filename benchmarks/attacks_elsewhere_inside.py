"""What runs inside the throw-away container of `attacks_elsewhere.py`: one submission through one grader, watched.

    python attacks_elsewhere_inside.py make WEEK...                 stock nbgrader assignments, into /made
    python attacks_elsewhere_inside.py grade GRADER WEEK NAME SECONDS

It runs as root and sees what happens; the grader runs as the user `instructor`, as it does on an instructor's machine.
A record, as JSON, is all that is printed. Standard library only.
"""

import glob
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

USER = "instructor"
HOME = Path("/home") / USER
COURSE = HOME / "course"  # mounted, read-only
WORK = HOME / "work"
OWN = Path("/run/observer")  # nobody else's
STUDENT = "somebody"
WRITABLE = ("/tmp", "/var/tmp", "/dev/shm", str(HOME))
OPEN_DOORS = (
    (socket.AF_INET, ("127.0.0.1", 80)),
    (socket.AF_INET, ("127.0.0.1", 22)),
    (socket.AF_UNIX, "\0atk-neighbour"),
)
GRACE_S = 3.0  # for what ends by itself when the grader has ended
SAID = 40_000  # characters of what a grader says

Points = dict[str, float]


def environment() -> dict[str, str]:
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(HOME),
        "LANG": "C.UTF-8",
        "GRADEKIT_DEVICE": "cpu",
        "PYTHONWARNINGS": "ignore",
        "INSTRUCTORS_TOKEN": os.environ["INSTRUCTORS_TOKEN"],
    }


# --------------------------------------------------------------------------------------------- stock nbgrader's course


def config(root: Path) -> str:
    return f"c = get_config()\nc.CourseDirectory.root = {str(root)!r}\n"


def make(weeks: list[str]) -> None:
    """`nbgrader generate_assignment`, a course a week: /made/nbgrader/WEEK/source is what is there already."""
    for week in weeks:
        course = Path("/made/nbgrader") / week
        (course / "nbgrader_config.py").write_text(config(course))
        subprocess.run(
            [str(Path(sys.executable).parent / "nbgrader"), "generate_assignment", week, "--force"],
            cwd=course,
            env=environment(),
            check=True,
            stdout=sys.stderr,
        )


# ------------------------------------------------------------------------------------------------------- the graders


def otter(week: str, name: str) -> list[str]:
    (WORK / "output").mkdir(parents=True)
    shutil.copy(COURSE / "otter" / "submissions" / f"{name}.ipynb", WORK)
    words = ["otter", "run", "--no-logo", "-a", str(COURSE / "otter" / f"{week}.zip"), "-o", str(WORK / "output")]
    return [*words, str(WORK / f"{name}.ipynb")]


def read_otter(week: str, name: str) -> tuple[Points | None, str, int]:
    path = WORK / "output" / "results.json"
    if not path.is_file() or path.is_symlink():
        return None, "", 0
    size = path.stat().st_size
    tests = json.loads(path.read_text(encoding="utf-8"))["tests"]
    points = {test["name"]: float(test["score"]) for test in tests if re.fullmatch(r"q\d+", test["name"])}
    return points or None, "\n".join(str(test.get("output", "")) for test in tests), size


def nbgrader(week: str, name: str) -> list[str]:
    shutil.copytree(COURSE / "nbgrader" / week, WORK, dirs_exist_ok=True)
    (WORK / "nbgrader_config.py").write_text(config(WORK))
    handed_in = WORK / "submitted" / STUDENT / week
    handed_in.mkdir(parents=True)
    shutil.copy(COURSE / "nbgrader" / "submissions" / f"{name}.ipynb", handed_in / f"{week}.ipynb")
    return ["nbgrader", "autograde", week]


def read_nbgrader(week: str, name: str) -> tuple[Points | None, str, int]:
    """The gradebook's points, and what stands below the grading cells."""
    path = WORK / "autograded" / STUDENT / week / f"{week}.ipynb"
    if not path.is_file() or path.is_symlink():
        return None, "", 0
    size = path.stat().st_size
    said = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade"):
            for output in cell.get("outputs", []):
                said.append("".join(output.get("evalue", "")) + "".join(output.get("text", "")))
    points: Points = {}
    graded = False
    with sqlite3.connect(WORK / "gradebook.db") as book:
        rows = book.execute(
            "SELECT base_cell.name, grade.auto_score, grade.manual_score, grade.extra_credit FROM grade"
            " JOIN base_cell ON grade.cell_id = base_cell.id"
        )
        for cell_name, auto, manual, extra in rows:
            question = cell_name.partition("-")[0]
            graded = graded or auto is not None  # the notebook is there before it is graded
            score = (auto if manual is None else manual) or 0.0
            points[question] = points.get(question, 0.0) + float(score) + float(extra or 0.0)
    return points if graded else None, "\n".join(said), size


GRADERS = {"otter run": (otter, read_otter), "nbgrader autograde": (nbgrader, read_nbgrader)}


# ------------------------------------------------------------------------------------------------- what is looked at


def open_doors() -> None:
    """A neighbour on this machine, whom a submission should not reach."""
    for family, address in OPEN_DOORS:
        door = socket.socket(family, socket.SOCK_STREAM)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(address)
        door.listen(16)
        threading.Thread(target=answer, args=(door,), daemon=True).start()


def answer(door: socket.socket) -> None:
    while True:
        door.accept()[0].close()


def processes(user: int) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == user and " Z " not in (process / "stat").read_text():
                found.append((process / "comm").read_text().strip())
        except OSError:
            continue
    return found


def end_all(user: int) -> None:
    """Kill what the user runs, as often as somebody is born meanwhile."""
    for _ in range(50):
        if not processes(user):
            return
        # a process of that user signals all that it may: no list that is old when it is used
        subprocess.run(["/bin/sh", "-c", "kill -9 -1"], user=user, check=False, stderr=subprocess.DEVNULL)
        time.sleep(0.05)


def left_files() -> list[str]:
    found = [path for folder in ("/tmp", "/var/tmp", "/dev/shm") for path in glob.glob(f"{folder}/atk-*")]
    return sorted(found + glob.glob("/tmp/tmp*/autograder"))  # Otter's own folder: it deletes it, if it can


def left_ipc() -> list[str]:
    lines: list[str] = []
    for name in ("shm", "sem", "msg"):
        lines += [f"{name} {line.split()[0]}" for line in Path(f"/proc/sysvipc/{name}").read_text().splitlines()[1:]]
    return lines


def used() -> tuple[int, int]:
    """Bytes and files, together, of all that a submission can write."""
    figures = [os.statvfs(folder) for folder in WRITABLE]
    return sum((f.f_blocks - f.f_bfree) * f.f_frsize for f in figures), sum(f.f_files - f.f_ffree for f in figures)


def met(*paths: str) -> int:
    """How often a limit of the container was met, from the first of these files that there is."""
    for path in paths:
        if os.path.exists(path):
            text = Path(path).read_text()
            if found := re.search(r"^(?:oom_kill|max) (\d+)$", text, re.MULTILINE):
                return int(found[1])
    return 0


def peak_memory() -> int:
    for path in ("/sys/fs/cgroup/memory/memory.max_usage_in_bytes", "/sys/fs/cgroup/memory.peak"):
        if os.path.exists(path):
            return int(Path(path).read_text())
    return 0


def grade(grader: str, week: str, name: str, seconds: float) -> dict[str, Any]:
    """One submission; what came of it, and what it has done."""
    import pwd

    start, read = GRADERS[grader]
    user = pwd.getpwnam(USER)
    WORK.mkdir()
    kept = {path: os.urandom(8).hex() for path in ("/tmp/instructors-notes.txt", str(HOME / "notes.txt"))}
    for path, text in kept.items():
        Path(path).write_text(text)
    words = start(week, name)
    for path in [WORK, *WORK.rglob("*"), *map(Path, kept)]:
        os.chown(path, user.pw_uid, user.pw_gid)
    open_doors()
    (before_bytes, before_files), began = used(), time.monotonic()
    most_bytes = most_files = 0
    hung = False
    printed = OWN / "printed"
    with printed.open("wb") as stream:
        process = subprocess.Popen(
            words, cwd=WORK, env=environment(), stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
            user=user.pw_uid, group=user.pw_gid, extra_groups=[], start_new_session=True,
        )  # fmt: skip
        while process.poll() is None and not hung:
            now_bytes, now_files = used()
            most_bytes, most_files = max(most_bytes, now_bytes), max(most_files, now_files)
            hung = time.monotonic() - began > seconds
            time.sleep(0.1)
        took = time.monotonic() - began
        left: list[str] = []
        if not hung:
            deadline = time.monotonic() + GRACE_S
            while (left := processes(user.pw_uid)) and time.monotonic() < deadline:
                time.sleep(0.1)
        end_all(user.pw_uid)
        process.wait()
    problem, points, said, size = "", None, "", 0
    if not hung:
        try:
            points, said, size = read(week, name)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, sqlite3.Error) as error:
            problem = f"{type(error).__name__}: {error}"
    text = printed.read_bytes()[: 2**22].decode("utf-8", "replace")
    return {
        "hung": hung,
        "exit": None if hung else process.returncode,
        "seconds": round(took, 1),
        "points": points,
        "said": said[:SAID],
        "printed": text[-SAID // 8 :],
        "controls": bool(re.search(r"\x1b\[2J|\x1b\]0;|\x9b", text)),
        "result bytes": size,
        "printed bytes": printed.stat().st_size,
        "unreadable": problem,
        "left": {"files": left_files(), "processes": left, "ipc": left_ipc()},
        "touched": [path for path, text in kept.items() if not os.path.isfile(path) or Path(path).read_text() != text],
        "disk": [most_bytes - before_bytes, most_files - before_files],
        "memory": peak_memory(),
        "out of memory": met("/sys/fs/cgroup/memory/memory.oom_control", "/sys/fs/cgroup/memory.events"),
        "out of processes": met("/sys/fs/cgroup/pids/pids.events", "/sys/fs/cgroup/pids.events"),
    }


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.argv[1] == "make":
        make(sys.argv[2:])
        from importlib.metadata import version

        names = ("otter-grader", "nbgrader", "torch", "ipykernel", "gradekit")
        record: Any = {"python": sys.version.split()[0]} | {name: version(name) for name in names}
    else:
        os.nice(5)
        record = grade(sys.argv[2], sys.argv[3], sys.argv[4], float(sys.argv[5]))
    print(json.dumps(record))
