"""What does grading cost beyond the student's own work? `gradekit grade` beside `otter run`, nbgrader, `otter grade`.

    .venv/bin/python benchmarks/throughput.py             60 submissions, 6 of them through the others too: 10 minutes
    .venv/bin/python benchmarks/throughput.py --quick     a look: 12 submissions, 2 through the others
    .venv/bin/python benchmarks/throughput.py --docker    with `otter grade`, where there is a Docker engine
    .venv/bin/python benchmarks/throughput.py --many 10000      only this: does a large class leave anything behind?

All grade the same notebooks of the week in `benchmarks/course`, which are honest: right, right in another way, partly
right, wrong or blank, question by question. No test takes time or trains. A run ends with an error where the graders
do not agree about the points of a question.
"""

import argparse
import contextlib
import csv
import dataclasses
import datetime
import functools
import itertools
import json
import math
import os
import platform
import random
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SLUG = "week01_small"
COUNT, SAMPLE = 60, 6
QUICK_COUNT, QUICK_SAMPLE = 12, 2
EVERY = 500  # submissions between two looks at a large class's processes
SEED = 20_260_701
PATIENCE_S = 300.0  # for one submission in another grader
IMAGE = "gradekit-base"

OTTER_RATIO, NBGRADER_RATIO, OVERHEAD_S, PRIVATE_MIB = 50.0, 20.0, 0.1, 40.0  # the targets
MIB_A_THOUSAND = 4.0  # flat: at most so much more memory with every thousand submissions. A result takes 3 KiB.

Scores = dict[str, dict[str, float]]  # submission -> question -> points


# ------------------------------------------------------------------------------------------------ the submissions

ANSWERS: dict[str, dict[str, str]] = {
    "q1": {
        "right": (
            "def softmax(x):\n    shifted = torch.exp(x - x.amax(-1, keepdim=True))\n"
            "    return shifted / shifted.sum(-1, keepdim=True)"
        ),
        "another way": "def softmax(x):\n    return torch.nn.functional.softmax(x, dim=-1)",
        "partly": "def softmax(x):\n    return torch.exp(x) / torch.exp(x).sum(-1, keepdim=True)",
        "wrong": "def softmax(x):\n    return torch.sigmoid(x)",
        "blank": "",
    },
    "q2": {
        "right": "def squared_distances(a, b):\n    return ((a[:, None] - b[None]) ** 2).sum(-1)",
        "another way": "def squared_distances(a, b):\n    return torch.stack([((row - b) ** 2).sum(-1) for row in a])",
        "partly": "def squared_distances(a, b):\n    return ((b[:, None] - a[None]) ** 2).sum(-1)",
        "wrong": "def squared_distances(a, b):\n    return torch.cdist(a, b)",
        "blank": "",
    },
    "q3": {
        "right": (
            "def correlate(x, w):\n    size = x.shape[-1] - len(w) + 1\n"
            "    return torch.stack([(x[..., i : i + len(w)] * w).sum(-1) for i in range(size)], -1)"
        ),
        "another way": "def correlate(x, w):\n    return x.unfold(-1, len(w), 1) @ w",
        "partly": "def correlate(x, w):\n    return x.unfold(-1, len(w), 1) @ w.flip(0)",
        "wrong": "def correlate(x, w):\n    return x * w.sum()",
        "blank": "",
    },
    "q4": {
        "right": (
            "def layer_norm(x, eps):\n    var = x.var(-1, keepdim=True, unbiased=False)\n"
            "    return (x - x.mean(-1, keepdim=True)) / torch.sqrt(var + eps)"
        ),
        "another way": "def layer_norm(x, eps):\n    return torch.nn.functional.layer_norm(x, x.shape[-1:], eps=eps)",
        "partly": (
            "def layer_norm(x, eps):\n    return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + eps)"
        ),
        "wrong": "def layer_norm(x, eps):\n    return x / (x.std() + eps)",
        "blank": "",
    },
}
POINTS = {
    "q1": {"right": 3.0, "another way": 3.0, "partly": 1.0, "wrong": 0.0, "blank": 0.0},
    "q2": {"right": 3.0, "another way": 3.0, "partly": 1.0, "wrong": 0.0, "blank": 0.0},
    "q3": {"right": 4.0, "another way": 4.0, "partly": 2.0, "wrong": 0.0, "blank": 0.0},
    "q4": {"right": 2.0, "another way": 2.0, "partly": 1.0, "wrong": 0.0, "blank": 0.0},
}
"""What each answer is worth: the graders are held against this, and not only against each other."""

Choice = dict[str, str]  # question -> kind of answer


def choices(count: int) -> dict[str, Choice]:
    """Submission -> what it answers: each kind for all questions first, then mixtures, none of them twice."""
    kinds = list(ANSWERS["q1"])
    alike = [tuple(kind for _ in ANSWERS) for kind in kinds]
    mixed = [mixture for mixture in itertools.product(kinds, repeat=len(ANSWERS)) if mixture not in alike]
    random.Random(SEED).shuffle(mixed)
    return {f"s{i:05d}": dict(zip(ANSWERS, c, strict=True)) for i, c in enumerate((alike + mixed)[:count], start=1)}


def worth(chosen: Mapping[str, Choice]) -> Scores:
    return {name: {question: POINTS[question][kind] for question, kind in c.items()} for name, c in chosen.items()}


def answered(release: Any, choice: Choice, name: str) -> Any:
    """The release's notebook with these answers. The name stands in it, so that no two have the same contents."""
    import copy

    notebook = copy.deepcopy(release)
    for cell in notebook.cells:
        question = cell.id.partition("-")[0]
        if cell.id.startswith(f"{question}-code") and (source := ANSWERS[question][choice[question]]):
            cell.source = f"# {name}\n{source}"
    return notebook


@dataclasses.dataclass(frozen=True)
class Material:
    """What is graded, and what is known about it."""

    bundle: Path
    release: Path
    folder: Path  # of submissions
    chosen: dict[str, Choice]

    def sample(self, count: int) -> list[str]:
        return list(self.chosen)[:count]


def prepare(root: Path, count: int) -> Material:
    """Build the course's week below `root`, and write so many submissions."""
    import nbformat

    from gradekit.build.make import build_week
    from gradekit.course import Course

    week = Course(Path(shutil.copytree(HERE / "course", root / "course"))).week(SLUG)
    build_week(week)
    release = nbformat.read(week.release / week.notebook_name, as_version=4)
    chosen, folder = choices(count), root / "submissions"
    folder.mkdir()
    for name, choice in chosen.items():
        nbformat.write(answered(release, choice, name), folder / f"{name}.ipynb")
    return Material(week.bundle, week.release / week.notebook_name, folder, chosen)


# ----------------------------------------------------------------------------------------------------- the lanes


@dataclasses.dataclass(frozen=True)
class Lane:
    """What one grader did. seconds: from its start to its end, with `at_once` submissions at a time; processor: seconds
    of all its processes together; each: seconds by submission, where the grader says so.
    """

    name: str
    scores: Scores
    seconds: float
    at_once: int = 1
    each: tuple[float, ...] = ()
    processor: float = math.nan

    @property
    def per_submission(self) -> float:
        return self.seconds / len(self.scores) if self.scores else math.nan

    @property
    def per_minute(self) -> float:
        return 60 / self.per_submission


def command(name: str) -> str:
    """A program of this Python's environment."""
    return str(Path(sys.executable).parent / name)


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # nbgrader calls alembic
    return {**os.environ, "PATH": path, "GRADEKIT_DEVICE": "cpu", "PYTHONWARNINGS": "ignore"}


def call(*words: str | Path, **options: Any) -> str:
    """What a program printed. RuntimeError, with the end of that, if it failed."""
    done = subprocess.run(
        [str(word) for word in words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(),
        check=False,
        **options,
    )
    if done.returncode:
        raise RuntimeError(f"{Path(str(words[0])).name} {words[1]} failed:\n{done.stdout[-2000:]}")
    return done.stdout


def kit_command(material: Material, output: Path, jobs: int) -> list[str]:
    grade = [command("gradekit"), "grade", material.bundle, material.folder, "--output", output, "--jobs", jobs]
    return [str(word) for word in grade]


def kit(material: Material, root: Path, jobs: int) -> Lane:
    """All submissions through `gradekit grade`."""
    output = Path(tempfile.mkdtemp(dir=root, prefix="kit-"))
    started = time.perf_counter()
    call(*kit_command(material, output, jobs))
    seconds = time.perf_counter() - started
    scores, each = read_kit(output)
    return Lane("gradekit grade", scores, seconds, jobs, each)


def read_kit(output: Path) -> tuple[Scores, tuple[float, ...]]:
    """Scores from grades.csv; seconds of each submission from the JSON files, in the order of their names. Those of the
    first hold the start of the fork server.
    """
    with (output / "grades.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        if row["status"] != "graded":
            raise RuntimeError(f"gradekit grade: {row['submission']} is {row['status']}")
    scores = {row["submission"]: {question: float(row[question]) for question in ANSWERS} for row in rows}
    files = sorted((output / "results").glob("*.json"))
    return scores, tuple(float(json.loads(file.read_text())["execution_time"]) for file in files)


def otter_run(material: Material, root: Path, names: Sequence[str], at_once: int) -> Lane:
    """`otter run` with the kit's own bundle, a process a submission: stock Otter knows no other way."""

    def one(name: str) -> tuple[str, dict[str, float]]:
        output = Path(tempfile.mkdtemp(dir=root, prefix="otter-"))
        notebook = shutil.copy(material.folder / f"{name}.ipynb", output)
        words = (command("otter"), "run", "--no-logo", "-a", material.bundle, "-o", output, notebook)
        call(*words, cwd=output, timeout=PATIENCE_S)
        return name, read_otter(json.loads((output / "results.json").read_text()))

    started = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        scores = dict(pool.map(one, names))
    return Lane("otter run", scores, time.perf_counter() - started, at_once)


def read_otter(results: Mapping[str, Any]) -> dict[str, float]:
    """Question -> points, from Otter's results.json."""
    return {test["name"]: float(test["score"]) for test in results["tests"] if test["name"] in ANSWERS}


def otter_grade(material: Material, root: Path, names: Sequence[str]) -> Lane:
    """Stock `otter grade`: a container a submission, four at a time. The image is built before the clock starts.

    In the container the kit's own run script grades, since that is what the bundle holds: it is Otter's containers that
    are measured here.
    """
    folder = root / "docker"
    folder.mkdir()
    for name in names:
        shutil.copy(material.folder / f"{name}.ipynb", folder)
    grade = (command("otter"), "grade", "-n", SLUG, "-a", material.bundle, "--image", IMAGE, "--ext", "ipynb")
    first = root / "docker-image"
    first.mkdir()
    shutil.copy(material.folder / f"{names[0]}.ipynb", first)
    call(*grade, "-o", first, first / f"{names[0]}.ipynb", cwd=first, timeout=3 * PATIENCE_S)
    started = time.perf_counter()
    call(*grade, "-o", folder, "--containers", "4", folder, cwd=folder, timeout=PATIENCE_S * len(names))
    seconds = time.perf_counter() - started
    with (folder / "final_grades.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    scores = {
        Path(row["file"]).stem: {q: float(row[q]) for q in ANSWERS} for row in rows if Path(row["file"]).stem in names
    }
    return Lane("otter grade (Docker)", scores, seconds, 4)


def nbgrader(material: Material, root: Path, names: Sequence[str]) -> Lane:
    """Stock `nbgrader autograde`, one process for all: the same notebooks, with nbgrader's own grading cells.

    A grading cell a test case, worth the same points; it holds the same test code and runs it on the same namespace.
    """
    import nbformat

    course = root / "nbgrader"
    source = course / "source" / SLUG
    source.mkdir(parents=True)
    (course / "nbgrader_config.py").write_text(
        f"c = get_config()\nc.CourseDirectory.root = {str(course)!r}\nc.ExecutePreprocessor.timeout = 120\n"
    )
    release = nbformat.read(material.release, as_version=4)
    with unpacked(material.bundle, root / "for-nbgrader") as files:
        shutil.copytree(files / "files" / "reference", source / "reference")
        master, tests = graded_by_nbgrader(release, files / "tests")
        nbformat.write(master, source / f"{SLUG}.ipynb")
        call(command("nbgrader"), "generate_assignment", SLUG, "--force", cwd=course)
        for name in names:
            handed_in = course / "submitted" / name / SLUG
            handed_in.mkdir(parents=True)
            notebook, _ = graded_by_nbgrader(answered(release, material.chosen[name], name), files / "tests")
            nbformat.write(notebook, handed_in / f"{SLUG}.ipynb")
    started = time.perf_counter()
    call(command("nbgrader"), "autograde", SLUG, cwd=course, timeout=PATIENCE_S * len(names))
    seconds = time.perf_counter() - started
    return Lane("nbgrader autograde", read_nbgrader(course / "gradebook.db", tests), seconds)


@contextlib.contextmanager
def unpacked(bundle: Path, folder: Path) -> Iterator[Path]:
    """A bundle in `folder`; inside, its test files find its own `reference`, and none that was imported before."""

    def taken() -> dict[str, Any]:
        names = [name for name in sys.modules if name.partition(".")[0] == "reference"]
        return {name: sys.modules.pop(name) for name in names}

    shutil.unpack_archive(bundle, folder)
    before = taken()
    sys.path.insert(0, str(folder / "files"))
    try:
        yield folder
    finally:
        sys.path.remove(str(folder / "files"))
        taken()
        sys.modules.update(before)


def graded_by_nbgrader(notebook: Any, tests: Path) -> tuple[Any, dict[str, str]]:
    """The notebook with nbgrader's cells in the place of Otter's; grading cell -> its question."""
    import copy

    import nbformat

    from gradekit.grade.test_file import read_test_file

    made = nbformat.v4.new_notebook(metadata=copy.deepcopy(notebook.metadata))
    made.metadata.pop("otter", None)
    named: dict[str, str] = {}
    for cell in notebook.cells:
        question, _, kind = cell.id.partition("-")
        if cell.cell_type == "code" and cell.id.startswith("otter-"):
            continue
        if question in ANSWERS and kind.startswith("code"):
            made.cells.append(nbformat.v4.new_code_cell(cell.source, id=cell.id))
            made.cells[-1].metadata["nbgrader"] = _marks(question, solution=True, locked=False)
        elif question in ANSWERS and kind.startswith("check"):
            path = tests / f"{question}.py"
            for number, case in enumerate(read_test_file(path).test_cases, start=1):
                name = f"{question}-test-{number}"
                code = (
                    "import os; os.environ['GRADEKIT_DEVICE'] = 'cpu'\n"
                    f"exec({path.read_text()!r}, tests := {{}})\n"
                    f"[c for c in tests.values() if getattr(c, 'name', '') == {str(case.name)!r}][0]"
                    ".test_func(globals())"
                )
                made.cells.append(nbformat.v4.new_code_cell(code, id=name))
                made.cells[-1].metadata["nbgrader"] = _marks(name, grade=True, locked=True, points=case.points)
                named[name] = question
        else:
            made.cells.append(copy.deepcopy(cell))
    return made, named


def _marks(
    name: str, *, solution: bool = False, grade: bool = False, locked: bool, points: float = 0
) -> dict[str, Any]:
    marks = {"grade_id": name, "grade": grade, "solution": solution, "locked": locked, "task": False}
    return marks | {"schema_version": 3, "cell_type": "code"} | ({"points": points} if grade else {})


def read_nbgrader(path: Path, tests: Mapping[str, str]) -> Scores:
    """Scores from nbgrader's gradebook."""
    from nbgrader.api import Gradebook

    found: Scores = {}
    with Gradebook(f"sqlite:///{path}") as book:
        for submission in book.assignment_submissions(SLUG):
            scores = found.setdefault(submission.student_id, dict.fromkeys(ANSWERS, 0.0))
            for notebook in submission.notebooks:
                for grade in notebook.grades:
                    scores[tests[grade.name]] += float(grade.score or 0)
    return found


def differing(expected: Scores, lane: Lane) -> list[str]:
    """Where a lane's points are not as expected; a submission that it left out is one of that."""
    found = []
    for name, scores in lane.scores.items():
        for question, points in expected[name].items():
            if scores.get(question) != points:
                found.append(f"{lane.name}: {name}, {question}: {scores.get(question)} points, expected {points}")
    return found


# ------------------------------------------------------------------------------------------ the student's own work


class Clocked:
    """A subject that adds up how long the student's code ran. As a notebook has it: in this process."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        from gradekit.check.subject import LocalSubject

        self._subject = LocalSubject(namespace)
        self.seconds = 0.0

    def call(self, *arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return self._subject.call(*arguments, **options)
        finally:
            self.seconds += time.perf_counter() - started

    def identity(self, *arguments: Any) -> tuple[object, ...]:
        return self._subject.identity(*arguments)


@dataclasses.dataclass(frozen=True)
class Work:
    """Mean seconds a submission. student: its cells and what the experiments call; tests: all the rest of the tests
    (drawing inputs, the reference, comparing), which every grader has to do.
    """

    student: float
    tests: float


def own_work(material: Material, root: Path) -> Work:
    """Run the cells and the tests of every submission here, one after the other, with one thread."""
    import nbformat
    import torch

    from gradekit.grade.test_file import read_test_file, run_test_case

    threads = torch.get_num_threads()
    student, tests = [], []
    with unpacked(material.bundle, root / "for-own-work") as files:
        cases = [case for q in ANSWERS for case in read_test_file(files / "tests" / f"{q}.py").test_cases]
        try:
            for name in [material.sample(1)[0], *material.chosen]:  # the first one warms up
                notebook = nbformat.read(material.folder / f"{name}.ipynb", as_version=4)
                cells = [c for c in notebook.cells if c.cell_type == "code" and not re.search("otter|check", c.id)]
                namespace: dict[str, Any] = {}
                started = time.perf_counter()
                for cell in cells:  # one of them lets torch have one thread
                    exec(cell.source, namespace)
                ran = time.perf_counter()
                subject = Clocked(namespace)
                for case in cases:
                    run_test_case(case, subject)
                student.append(ran - started + subject.seconds)
                tests.append(time.perf_counter() - ran - subject.seconds)
        finally:
            torch.set_num_threads(threads)
    return Work(statistics.mean(student[1:]), statistics.mean(tests[1:]))


# ------------------------------------------------------------------------------------------------- the processes


def tree(root: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def rollup(pid: int) -> dict[str, int]:
    """/proc/PID/smaps_rollup, in bytes; {} for a process that has ended."""
    try:
        return rollup_of(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:
        return {}


def rollup_of(text: str) -> dict[str, int]:
    return {name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}


def private(sizes: Mapping[str, int]) -> int:
    return sum(size for name, size in sizes.items() if name.startswith("Private_") and name != "Private_Hugetlb")


def peak_memory(material: Material, root: Path, jobs: int) -> int:
    """Bytes: the largest sum of proportional set sizes (pages that are shared count once) of all processes of a
    `gradekit grade`. A run of its own, because looking costs time.
    """
    output = Path(tempfile.mkdtemp(dir=root, prefix="kit-"))
    peak = 0
    with subprocess.Popen(
        kit_command(material, output, jobs), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
    ) as process:
        while process.poll() is None:
            peak = max(peak, sum(rollup(pid).get("Pss", 0) for pid in tree(process.pid)))
            time.sleep(0.05)
    if process.returncode:
        raise RuntimeError(f"gradekit grade ended with {process.returncode}")
    return peak


@dataclasses.dataclass(frozen=True)
class Fork:
    """The fork server. start_s: from its start to its first worker; counting_s: the same for a week that trains, or
    whose tests count operators, and so loads torch's compiler; worker_s: seconds of one more worker, ready in its jail,
    and of its end; private: bytes that such a worker has to itself before any code of a student runs.
    """

    start_s: float
    counting_s: float
    worker_s: float
    end_s: float
    private: float
    level: str


def fork_server(material: Material, root: Path, workers: int = 9) -> Fork:
    """Start one as grading does, and have it fork."""
    from gradekit.grade import engine, warm
    from gradekit.grade.bundle import open_bundle
    from gradekit.sandbox.client import Server
    from gradekit.sandbox.subject import Worker

    scratch = Path(tempfile.mkdtemp(dir=root, prefix="scratch-"))
    scratch.chmod(0o711)
    ready, ended, sizes = [], [], []
    with open_bundle(material.bundle) as bundle:
        started = time.perf_counter()
        server = Server.start((*warm.modules(bundle), *warm.COMPILER))
        Worker(server.connection, scratch / "counting", bundle.files, memory_bytes=2**33).end()
        counting_s = time.perf_counter() - started
        server.close()
        started = time.perf_counter()
        server = engine._server(bundle)
        try:
            for number in range(workers + 1):
                asked = time.perf_counter() if number else started
                worker = Worker(server.connection, scratch / str(number), bundle.files, memory_bytes=2**33)
                ready.append(time.perf_counter() - asked)
                sizes.append(private(rollup(tree(worker._pid)[-1])))
                asked = time.perf_counter()
                worker.end()
                ended.append(time.perf_counter() - asked)
        finally:
            engine.end_all()
    return Fork(
        ready[0],
        counting_s,
        statistics.median(ready[1:]),
        statistics.median(ended),
        statistics.median(sizes),
        str(worker.level),
    )


# ------------------------------------------------------------------------------------------------- a large class


@dataclasses.dataclass(frozen=True)
class Look:
    """At `graded` submissions: bytes of resident memory and open descriptors of two processes, and how many processes
    and control groups of jails there are.
    """

    graded: int
    seconds: float
    grading_rss: int
    grading_fds: int
    server_rss: int
    server_fds: int
    processes: int


def many(root: Path, count: int, jobs: int, show: Callable[[Look], None] = lambda look: None) -> list[Look]:
    """Grade `count` tiny submissions, and look at the processes every EVERY of them (ten times if there are fewer)."""
    material = prepare(root, 1)
    text = next(material.folder.iterdir()).read_text()
    (name,) = material.chosen
    for number in range(2, count + 1):
        (material.folder / f"s{number:05d}.ipynb").write_text(text.replace(f"# {name}", f"# s{number:05d}"))
    output, looks = root / "output", []
    step = min(EVERY, max(1, count // 10))
    started = time.perf_counter()
    with subprocess.Popen(
        kit_command(material, output, jobs), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
    ) as process:
        while process.poll() is None:
            done = stored(output / "results.sqlite")
            if done >= (looks[-1].graded if looks else 0) + step and (look := _look(process.pid, done, started)):
                looks.append(look)
                show(look)
            time.sleep(0.2)
    if process.returncode or (there := stored(output / "results.sqlite")) != count:
        raise RuntimeError(f"gradekit grade ended with {process.returncode}, {there} of {count} results are there")
    return looks


def stored(path: Path) -> int:
    """Results in a store; 0 while there is none."""
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as store,
    ):
        return int(store.execute("SELECT count(*) FROM results").fetchone()[0])
    return 0


def _look(pid: int, graded: int, started: float) -> Look | None:
    """None if a process ended meanwhile."""
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        processes = tree(pid)
        server = next(p for p in processes if b"gradekit.sandbox.server" in Path(f"/proc/{p}/cmdline").read_bytes())
        figures = [f(p) for p in (pid, server) for f in (_rss, _descriptors)]
        return Look(graded, time.perf_counter() - started, *figures, len(processes))
    return None


def _rss(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def slope(looks: Sequence[Look], figure: Callable[[Look], float]) -> float:
    """How much more with every thousand submissions: least squares, where there are enough without the first look (by
    then not everything has been used once) and the last (by then all results may be read again, for the table). NaN for
    fewer than two.
    """
    used = looks[1:-1] if len(looks) > 4 else looks[1:] if len(looks) > 3 else looks
    if len(used) < 2:
        return math.nan
    return 1000 * statistics.linear_regression([look.graded for look in used], [figure(look) for look in used]).slope


# ---------------------------------------------------------------------------------------------------- the report


def overhead(lane: Lane, work: Work) -> float:
    """Seconds a submission beyond the student's own work, in a lane with one at a time; the first one, which waits for
    the start, is left out where the lane says how long each took.
    """
    each = lane.each[1:] if len(lane.each) > 1 else ()
    return (statistics.mean(each) if each else lane.per_submission) - work.student


def mark(met: bool) -> str:
    return "**met**" if met else "**missed**"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


@dataclasses.dataclass(frozen=True)
class Found:
    """All that a run has measured. `one` and `all_cores` are the kit's lanes; `others` have one at a time, but for
    those with at_once > 1.
    """

    one: Lane
    all_cores: Lane
    others: list[Lane]
    left_out: dict[str, str]  # grader -> why
    work: Work
    fork: Fork
    peak: int
    load: float


def ratio(found: Found, name: str) -> tuple[float, float] | None:
    """How many times as long a submission takes there: (both one at a time, both on all cores; NaN if not measured).

    The kit's start is in its time, spread over its submissions, as it is where nbgrader is one process for all.
    """
    lanes = {lane.at_once > 1: lane for lane in found.others if lane.name == name}
    if False not in lanes:
        return None
    both = lanes[True].per_submission / found.all_cores.per_submission if True in lanes else math.nan
    return lanes[False].per_submission / found.one.per_submission, both


def markdown(found: Found) -> Iterator[str]:
    """All tables, as lines."""
    count = len(found.one.scores)
    yield "## Throughput"
    yield ""
    yield f"{head()}. Load average before the start {found.load:.2f}: figures of a busy machine are too high."
    yield f"{count} submissions; the other graders had the first {len(found.others[0].scores) if found.others else 0} "
    yield "of them (in this order: all right, right in another way, partly right, wrong, blank; then mixed). "
    yield "Points are equal, question by question, to what each answer is worth, in every grader."
    for name, why in found.left_out.items():
        yield f"**Left out: {name}**, {why}."
    yield ""
    yield f"The student's own work is {found.work.student:.3f} s a submission, and the tests' {found.work.tests:.3f} s "
    yield "(drawing inputs, the reference, comparing), both in one process without a jail."
    yield ""
    yield "### Targets"
    yield ""
    yield from table(["target", "", "measured"], list(targets(found)))
    yield ""
    yield "### Graders"
    yield ""
    rows = []
    for lane in [found.one, found.all_cores, *found.others]:
        beyond = f"{overhead(lane, found.work):.3f} s" if lane.at_once == 1 else "–"
        rows.append(
            [
                lane.name,
                str(lane.at_once),
                str(len(lane.scores)),
                f"{lane.per_submission:.3f} s",
                f"{lane.per_minute:.1f}",
                "–" if "Docker" in lane.name else f"{lane.processor / len(lane.scores):.3f} s",
                beyond,
            ]
        )
    columns = ["grader", "at once", "submissions", "a submission", "a minute", "processor", "beyond own work"]
    yield from table(columns, rows)
    yield ""
    yield "A submission: the whole time, start included, by the number of submissions; processor: of all processes, "
    yield "likewise. Beyond own work: without the kit's start (the first submission), which comes once a class."
    yield ""
    yield "### The kit's processes"
    yield ""
    fork = found.fork
    each = found.one.each[1:] or (math.nan,)
    yield from table(
        ["", "measured"],
        [
            ["start of the fork server, to its first worker", f"{fork.start_s:.1f} s"],
            ["the same for a week that trains or counts operators", f"{fork.counting_s:.1f} s"],
            ["one more worker, ready in its jail", f"{1e3 * fork.worker_s:.0f} ms (isolation {fork.level})"],
            ["the end of a worker", f"{1e3 * fork.end_s:.0f} ms"],
            ["private memory of a worker before student code", f"{fork.private / 2**20:.1f} MiB"],
            [
                f"peak memory of all processes, {found.all_cores.at_once} at once",
                f"{found.peak / 2**20:.0f} MiB (sum of PSS)",
            ],
            ["a submission, one at a time, median", f"{statistics.median(each):.3f} s"],
        ],
    )


def targets(found: Found) -> Iterator[list[str]]:
    for name, times in (("otter run", OTTER_RATIO), ("nbgrader autograde", NBGRADER_RATIO)):
        if (ratios := ratio(found, name)) is None:
            yield [f"{times:g} times as fast as {name}", "not shown", found.left_out.get(name, "not measured")]
            continue
        alone, both = ratios
        other = next(lane for lane in found.others if lane.name == name)
        steady = other.per_submission / (overhead(found.one, found.work) + found.work.student)
        default = other.per_submission / found.all_cores.per_submission
        used = other.processor / len(other.scores) / (found.one.processor / len(found.one.scores))
        text = f"{alone:.0f} times, one at a time; {steady:.0f} times without the kit's start"
        text += f"; {default:.0f} times with the kit on all cores, as it is by default"
        text += f"; {used:.0f} times in processor time"
        if not math.isnan(both):
            text += f"; {both:.0f} times with both on all cores"
        yield [f"{times:g} times as fast as {name}", mark(alone >= times), text]
    beyond = overhead(found.one, found.work)
    yield [
        f"at most {OVERHEAD_S:g} s a submission beyond the student's own work",
        mark(beyond <= OVERHEAD_S),
        f"{beyond:.3f} s, of which {found.work.tests:.3f} s are the tests' own work",
    ]
    size = found.fork.private / 2**20
    yield [
        f"at most {PRIVATE_MIB:g} MiB of private memory a worker before student code",
        mark(size <= PRIVATE_MIB),
        f"{size:.1f} MiB",
    ]


def markdown_of_many(looks: Sequence[Look], count: int, seconds: float) -> Iterator[str]:
    yield "## A large class"
    yield ""
    yield f"{head()}. {count} submissions in {seconds / 60:.1f} minutes, {60 * count / seconds:.0f} a minute."
    yield ""
    flat = flatness(looks)
    rows = [[name, f"{each:+.2f} {unit}", mark(each <= most)] for name, each, unit, most in flat]
    yield from table(["more with every thousand submissions", "", f"flat (memory: {MIB_A_THOUSAND:g} MiB)"], rows)
    yield ""
    columns = ["graded", "minutes", "grading: memory", "descriptors", "fork server: memory", "descriptors", "processes"]
    yield from table(
        columns,
        [
            [
                str(look.graded),
                f"{look.seconds / 60:.1f}",
                f"{look.grading_rss / 2**20:.1f} MiB",
                str(look.grading_fds),
                f"{look.server_rss / 2**20:.1f} MiB",
                str(look.server_fds),
                str(look.processes),
            ]
            for look in looks
        ],
    )


def flatness(looks: Sequence[Look]) -> list[tuple[str, float, str, float]]:
    """What, how much more a thousand submissions, unit, and what is allowed."""
    return [
        ("memory of the grading process", slope(looks, lambda look: look.grading_rss) / 2**20, "MiB", MIB_A_THOUSAND),
        ("memory of the fork server", slope(looks, lambda look: look.server_rss) / 2**20, "MiB", MIB_A_THOUSAND),
        ("descriptors of the grading process", slope(looks, lambda look: look.grading_fds), "", 0.5),
        ("descriptors of the fork server", slope(looks, lambda look: look.server_fds), "", 0.5),
        ("processes", slope(looks, lambda look: look.processes), "", 0.5),
    ]


@functools.cache
def head() -> str:
    from importlib.metadata import version

    names = ("torch", "otter-grader", "nbgrader")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    date = datetime.date.today().isoformat()
    return f"{date} · {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()} · {versions}"


def processor_s() -> float:
    """Seconds that processes which were started here, and have ended, have used. Docker's containers are none."""
    times = os.times()
    return times.children_user + times.children_system


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(root: Path, count: int, sample: int, docker: bool) -> Found:
    """Everything, one after the other. RuntimeError where points are not equal."""
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    say(f"building the week, {count} submissions")
    material = prepare(root, count)
    expected, names = worth(material.chosen), material.sample(sample)
    say("the student's own work")
    work = own_work(material, root)
    say("the fork server")
    fork = fork_server(material, root)
    left_out: dict[str, str] = {}
    lanes: list[Callable[[], Lane]] = [
        lambda: kit(material, root, 1),
        lambda: kit(material, root, cores),
        lambda: otter_run(material, root, names, 1),
        lambda: otter_run(material, root, names, cores),
        lambda: nbgrader(material, root, names),
    ]
    if docker:
        lanes.append(lambda: otter_grade(material, root, names))
    else:
        left_out["otter grade (Docker)"] = "which takes --docker and an engine"
    done = []
    for lane in lanes:
        before = processor_s()
        done.append(lane())
        done[-1] = dataclasses.replace(done[-1], processor=processor_s() - before)
        say(f"{done[-1].name}, {done[-1].at_once} at once: {done[-1].per_submission:.3f} s a submission")
        if wrong := differing(expected, done[-1]):
            raise RuntimeError("points are not equal:\n" + "\n".join(wrong))
    for lane in done:
        due = set(expected) if lane.name.startswith("gradekit") else set(names)
        if set(lane.scores) != due:
            raise RuntimeError(f"{lane.name} did not grade {', '.join(sorted(due - set(lane.scores)))}")
    say("memory of all processes")
    peak = peak_memory(material, root, cores)
    return Found(done[0], done[1], done[2:], left_out, work, fork, peak, load)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What does grading cost beyond the student's own work?")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_COUNT} submissions, for a look")
    parser.add_argument("--docker", action="store_true", help=f"otter grade as well; wants the image {IMAGE}")
    parser.add_argument("--many", type=int, metavar="N", help="only: N tiny submissions, and what they leave behind")
    options = parser.parse_args(arguments)
    os.environ["GRADEKIT_DEVICE"] = "cpu"
    root = Path(tempfile.mkdtemp(prefix="gradekit-throughput-"))
    root.chmod(0o711)
    try:
        if options.many:
            cores, started = len(os.sched_getaffinity(0)), time.perf_counter()
            looks = many(root, options.many, cores, lambda look: say(f"{look.graded} after {look.seconds:.0f} s"))
            print("\n".join(markdown_of_many(looks, options.many, time.perf_counter() - started)))
            return 0 if all(each <= most for _, each, _, most in flatness(looks)) else 1
        count, sample = (QUICK_COUNT, QUICK_SAMPLE) if options.quick else (COUNT, SAMPLE)
        print("\n".join(markdown(measure(root, count, sample, options.docker))))
        return 0
    except RuntimeError as error:
        say(f"throughput.py: {error}")
        return 1
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
