"""What do other graders keep from the attacks of `tests/attacks`? Stock `otter run` and stock `nbgrader autograde`.

    .venv/bin/python benchmarks/attacks_elsewhere.py --build                 the image, from gradekit-base: a minute
    .venv/bin/python benchmarks/attacks_elsewhere.py --output records.json   all of the catalogue: an hour on 2 cores
    .venv/bin/python benchmarks/attacks_elsewhere.py --only "walks the disk" --only right      a look at some
    .venv/bin/python benchmarks/attacks_elsewhere.py --summarise records.json

Every submission of the catalogue runs in a container of its own, which is thrown away: no network, a read-only course,
limits of memory, processes and time. It wants a Docker engine (DOCKER_HOST) and an image that holds Otter, nbgrader,
torch and the kit, with a user `instructor`; which one, `--image` says.

An attack counts against a grader only where its harm was seen in the run: see `harms`.
"""

import argparse
import ast
import copy
import datetime
import itertools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # tests.attacks

INSIDE = HERE / "attacks_elsewhere_inside.py"
KEPT = HERE / "attacks_elsewhere.json"
IMAGE, BASE = "gradekit-elsewhere", "gradekit-base"
GRADERS = ("otter run", "nbgrader autograde")
SLUGS = {"plain": "week01_plain", "costs": "week02_costs", "counts": "week03_counts"}
SECONDS = 300.0  # for one submission: nbgrader ends a cell after 30, and a notebook of the suite has up to ten
MEMORY, PROCESSES, DISK = 3 * 2**30, 512, 2**30  # of a container
MOST_BYTES, MOST_FILES = 512 * 2**20, 65_536  # a submission that writes more is not held
MOST_SAID = 10 * 2**20  # bytes of a result or of a log

DOCKERFILE = f"""\
FROM {BASE}
COPY wheels /wheels
RUN pip install --quiet --no-index --find-links /wheels nbgrader && \\
    pip install --quiet --no-index --no-deps --force-reinstall /wheels/gradekit-*.whl && \\
    rm -rf /wheels/* && useradd --create-home --uid 1000 instructor && chmod 711 /root
"""
"""The base's Python may lie below /root, and the grader is no root."""

Record = dict[str, Any]


# ----------------------------------------------------------------------------------- which attacks make sense elsewhere

OWN_ROAD = "it is aimed at the way between the kit's judge and worker, or at the judge"
ALSO_RIGHT = "a right answer stands in the notebook as well, and which one counts is each grader's own rule"
NOT_ELSEWHERE = {
    "hunts for the seed": "the seed that it looks for is written by the kit's judge",
    "reads the code of the experiment": "it looks for the request of the kit's judge",
    "inflates the way back": "no way back is taken off",
    "hangs when it is run again": "nothing is run again",
    "corrects itself after the check": ALSO_RIGHT,
    "checks before it answers": ALSO_RIGHT,
    "hides the answer in markdown": ALSO_RIGHT,
}
NOT_IN = {
    "otter run": {
        "claims nbgrader's points": "it is aimed at nbgrader",
        "exchanges ids": "cells are run in their order: ids do not matter",
        "doubles an id": "cells are run in their order: ids do not matter",
    },
    "nbgrader autograde": {
        "patches Otter": "no test is run by Otter",
        "patches the grader object": "there is no such object",
        "names another test folder": "there is no such folder",
        "brings its own tests": "there are no tests in metadata",
    },
}
ADAPTED = {"otter run": {"/tmp/gradekit-*/**": "/tmp/tmp*/**"}, "nbgrader autograde": {}}
"""Where a grader unpacks its tests. nbgrader does so below the home folder, where that attack looks as well."""

COURSE_ADAPTED = {"apply_softmax": "apply_rows"}
"""Beside the student's code, `forbid="*softmax*"` also catches an experiment of that name: no other grader's fault."""


def no_sense(case: Any, grader: str) -> str:
    """Why an attack does not apply to a grader; "" if it does."""
    if case.kind == "forge" or re.search(r"\bgradekit\.(sandbox|grade|sentry)\b", case.code):
        return OWN_ROAD
    return NOT_ELSEWHERE.get(case.name, "") or NOT_IN[grader].get(case.name, "")


# ------------------------------------------------------------------------------------------------------- the judgement


def worth(case: Any, full: float) -> float:
    """The most points that the attacked question is worth when nothing dishonest counts.

    It may be more than the catalogue's `deserves`, which knows what an attack costs its author in the kit: where a
    right answer stands, full points are no harm, whatever else stands there.
    """
    from tests.attacks.catalogue import AFTER, WRONG

    if case.deserves < 0:
        return full
    if case.code.startswith(WRONG):
        return max(case.deserves, 1.0)
    answer = r"^(def (double|gram|softmax|squares|classify)\b|(double|gram|softmax|squares|classify)\s*=)"
    if case.where == AFTER and case.notebook is None and not re.search(answer, case.code, re.MULTILINE):
        return full
    return float(case.deserves)


def harms(case: Any, record: Record, full: Mapping[str, float]) -> list[str]:
    """What an attack has done, as seen in the run; [] if nothing.

    That its author has no points, or no result at all, is no harm to anybody else and does not count.
    """
    points, left, ended = record["points"], record["left"], not record["hung"]
    got = None if points is None else points.get(case.question, 0.0)
    signalled = ended and record["exit"] < 0
    # Otter's own folder is deleted by Otter: where that was killed, the folder has to be there
    files = [path for path in left["files"] if (ended and not signalled) or not path.endswith("/autograder")]
    starved = ended and case.kind == "escape" and points is None and "Too many open files" in record["printed"]
    unsaid = ended and case.kind == "message" and case.status == "graded" and points is None
    written, made = record["disk"]
    seen = {
        "points": got is not None and got > worth(case, full[case.question]),
        # this is how the catalogue says that a connection was made
        "reached": got is not None and "del double" in case.code and got < case.deserves,
        "leaked": "LEAK" in case.told and bool(LEAK.search(record["said"] + record["printed"])),
        "left": bool(files or left["processes"] or left["ipc"] or record["touched"]),
        "starved": bool(record["out of memory"] or record["out of processes"])
        or written > MOST_BYTES
        or made > MOST_FILES,
        "hung": not ended,
        "killed": signalled or starved,
        "said": record["controls"] or max(record["result bytes"], record["printed bytes"]) > MOST_SAID or unsaid,
    }
    return [harm for harm in HARMS if seen[harm]]


LEAK = re.compile(r"LEAK \[[^\]]*CANARY-")
HARMS = {
    "points": "points that the answer is not worth",
    "leaked": "tests, reference or environment in what the author gets to read",
    "left": "files, processes, shared memory that outlive the grading, or the instructor's files changed",
    "starved": "memory, processes or disk until the container's limit",
    "hung": f"no end after {SECONDS:g} s",
    "killed": "the grader itself ended, or kept from its files",
    "reached": "a neighbour on the machine reached",
    "said": "a result of many megabytes, control characters on the terminal, or a message that no result can hold",
}


def right(case: Any, record: Record, full: Mapping[str, float]) -> bool:
    """A control has, for each question, what it deserves."""
    due = {question: case.deserves if question == case.question else points for question, points in full.items()}
    return record["points"] is not None and all(record["points"].get(q, 0.0) == points for q, points in due.items())


def judged(records: Mapping[str, Mapping[str, Record]], full: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Grader -> name -> {"blocked": yes or no, or None where it does not apply, "harms", "result"}."""
    from tests.attacks.catalogue import ATTACKS, CONTROLS

    found: dict[str, Any] = {}
    for grader in GRADERS:
        mine: dict[str, Any] = {}
        for case in ATTACKS:
            if why := no_sense(case, grader):
                mine[case.name] = {"blocked": None, "why": why}
            elif record := records.get(grader, {}).get(case.name):
                done = harms(case, record, full[SLUGS[case.week]])
                mine[case.name] = {"blocked": not done, "harms": done, "result": record["points"] is not None}
        for case in CONTROLS:
            if record := records.get(grader, {}).get(case.name):
                mine[case.name] = {"right": right(case, record, full[SLUGS[case.week]])}
        found[grader] = mine
    return found


def summary(verdicts: Mapping[str, Mapping[str, Any]], facts: Mapping[str, str]) -> Iterator[str]:
    """All tables, as lines."""
    from tests.attacks.catalogue import ATTACKS, CONTROLS
    from tests.attacks.table import KINDS, column

    yield ", ".join(f"{name} {value}" for name, value in facts.items())
    yield ""
    yield f"| attack | {' | '.join(GRADERS)} |"
    yield "| --- |" + " --- |" * len(GRADERS)
    columns = [column(verdicts[grader]) for grader in GRADERS]
    for kind, words in [*KINDS.items(), ("", "**all**")]:
        yield f"| {words} | {' | '.join(each[kind] for each in columns)} |"
    yield ""
    yield "| harm, as seen | " + " | ".join(GRADERS) + " |"
    yield "| --- |" + " --- |" * len(GRADERS)
    for harm, words in HARMS.items():
        yield f"| {words} | {' | '.join(str(len(those(verdicts[g], harm))) for g in GRADERS)} |"
    yield ""
    for grader in GRADERS:
        mine = verdicts[grader]
        tried = [name for name in (case.name for case in ATTACKS) if (mine.get(name) or {}).get("blocked") is not None]
        silent = [name for name in tried if not mine[name]["result"]]
        missing = [case.name for case in [*ATTACKS, *CONTROLS] if case.name not in mine]
        controls = [mine[case.name]["right"] for case in CONTROLS if case.name in mine]
        yield f"{grader}: {sum(controls)} of {len(controls)} controls are right. {len(silent)} of {len(tried)} attacks "
        yield "that apply end without any result, which costs their authors the other questions as well."
        if missing:
            yield f"Not tried: {', '.join(missing[:5])}{f' and {len(missing) - 5} more' if len(missing) > 5 else ''}."
    yield ""


def those(verdicts: Mapping[str, Any], harm: str) -> list[str]:
    return [name for name, verdict in verdicts.items() if harm in verdict.get("harms", ())]


# -------------------------------------------------------------------------------------------------------- the material


def stock_otter(bundle: Path, target: Path) -> None:
    """The kit's bundle without what is the kit's: Otter's own runner, in the student's kernel, is what is left."""
    with zipfile.ZipFile(bundle) as there, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as stock:
        for name in there.namelist():
            if name == "otter_config.json" or name.startswith("files/") or re.fullmatch(r"tests/\w+\.py", name):
                stock.writestr(name, adapted(there.read(name).decode(), COURSE_ADAPTED))


def adapted(text: str, names: Mapping[str, str]) -> str:
    for old, new in names.items():
        text = text.replace(old, new)
    return text


def test_cases(text: str) -> list[tuple[str, float]]:
    """(name, points) of the test cases in one of Otter's test files, in order."""
    found = []
    for node in ast.parse(text).body:
        for decorator in getattr(node, "decorator_list", []):
            if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "test_case":
                given = {word.arg: ast.literal_eval(word.value) for word in decorator.keywords}
                found.append((str(given["name"]), float(given["points"])))
    return found


def marks(name: str, *, grade: bool = False, points: float = 0.0) -> dict[str, Any]:
    """nbgrader's metadata of a cell that is graded, or answered."""
    made = {"grade_id": name, "grade": grade, "solution": not grade, "locked": grade, "task": False}
    return made | {"schema_version": 3, "cell_type": "code"} | ({"points": points} if grade else {})


def for_nbgrader(notebook: dict[str, Any], tests: Mapping[str, str], *, master: bool) -> dict[str, Any]:
    """The notebook with nbgrader's cells in the place of Otter's: a grading cell a test case, the same test code.

    In the instructor's copy the code is a hidden test, which a release does not show; in a student's there is what the
    student has written where a check stood. What a submission says in a cell's metadata stays there.
    """
    made = copy.deepcopy(notebook)
    made["cells"] = []
    for cell in copy.deepcopy(notebook["cells"]):
        question, _, kind = str(cell.get("id", "")).partition("-")
        if cell["cell_type"] == "code" and question == "otter":
            continue
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == cell.get("id"):
            cell["metadata"].pop("nbgrader", None)
        if question in tests and kind.startswith("code"):
            cell["metadata"] = {"nbgrader": marks(question)} | cell["metadata"]
            made["cells"].append(cell)
        elif question in tests and kind == "check":
            source = "".join(cell["source"])
            written = "" if source.strip() == f'grader.check("{question}")' else source
            for number, (name, points) in enumerate(test_cases(tests[question]), start=1):
                code = (
                    "import os; os.environ['GRADEKIT_DEVICE'] = 'cpu'\n"
                    f"exec({tests[question]!r}, tests := {{}})\n"
                    f"[c for c in tests.values() if getattr(c, 'name', '') == {name!r}][0].test_func(globals())"
                )
                graded = copy.deepcopy(cell)
                graded["id"] = f"{question}-test-{number}"
                graded["source"] = f"### BEGIN HIDDEN TESTS\n{code}\n### END HIDDEN TESTS" if master else written
                graded["metadata"] = {"nbgrader": marks(graded["id"], grade=True, points=points)} | cell["metadata"]
                made["cells"].append(graded)
        else:
            made["cells"].append(cell)
    return made


def prepare(root: Path, image: str) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """The course as an instructor has it, in root/course. Week -> question -> points, and the versions in the image."""
    from tests.attacks.catalogue import CASES
    from tests.attacks.suite import ID, prepare_folder

    shutil.copy(INSIDE, root)  # a run has one version of it
    built, course = root / "built", root / "course"
    built.mkdir()
    prepare_folder(built)
    for grader in ("otter", "nbgrader"):
        (course / grader / "submissions").mkdir(parents=True)
    shutil.copy(built / "grades.csv", course)
    full, tests = {}, {}
    for slug in SLUGS.values():
        bundle = built / "bundles" / f"{slug}.zip"
        stock_otter(bundle, course / "otter" / f"{slug}.zip")
        source = course / "nbgrader" / slug / "source" / slug
        with zipfile.ZipFile(bundle) as there:
            full[slug] = dict(json.loads(there.read("tests/gradekit.json"))["points"])
            texts = {question: there.read(f"tests/{question}.py").decode() for question in full[slug]}
            tests[slug] = {question: adapted(text, COURSE_ADAPTED) for question, text in texts.items()}
            for name in there.namelist():
                if name.startswith("files/"):
                    path = source / name.removeprefix("files/")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(there.read(name))
    first = {}
    for number, case in enumerate(CASES):
        slug = SLUGS[case.week]
        handed_in = built / "submissions" / slug / f"{ID.format(number)}.ipynb"
        text = handed_in.read_text(encoding="utf-8")
        if case.notebook is None:  # then only an answer is not the instructor's, and the master's answers are taken out
            first.setdefault(slug, json.loads(text))
        for grader, folder in zip(GRADERS, ("otter", "nbgrader"), strict=True):
            notebook = json.loads(adapted(text, ADAPTED[grader]))
            if folder == "nbgrader":
                notebook = for_nbgrader(notebook, tests[slug], master=False)
            (course / folder / "submissions" / handed_in.name).write_text(json.dumps(notebook), encoding="utf-8")
    for slug in SLUGS.values():
        master = for_nbgrader(first[slug], tests[slug], master=True)
        path = course / "nbgrader" / slug / "source" / slug / f"{slug}.ipynb"
        path.write_text(json.dumps(master), encoding="utf-8")
    shutil.rmtree(built)
    facts = docker_run(
        image,
        "make",
        *SLUGS.values(),
        options=["-v", f"{root / INSIDE.name}:/opt/inside.py:ro", "-v", f"{course}:/made", "--tmpfs", "/tmp"],
        seconds=300.0,
    )
    for path in (course, *course.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return full, facts


# ------------------------------------------------------------------------------------------------------- the container

_number = itertools.count()
_lock = threading.Lock()


def docker(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *words], text=True, capture_output=True, check=False, **options)


def docker_run(image: str, *words: str, options: Sequence[str], seconds: float) -> dict[str, Any]:
    """Run the program inside in a container of its own, and take the container away."""
    from tests.attacks.suite import canary

    with _lock:
        name = f"{IMAGE}-{os.getpid()}-{next(_number)}"
    command = ["run", "--pull", "never", "--rm", "--init", "--name", name, "--network", "none", "--cpu-shares", "512"]
    command += ["-e", f"INSTRUCTORS_TOKEN={canary('environment')}", *options]
    try:
        ran = docker(*command, image, "python", "/opt/inside.py", *words, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"the container did not end: {' '.join(words)}") from None
    finally:
        docker("rm", "-f", name)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(words)}: {ran.stderr[-2000:] or ran.stdout[-2000:]}")
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def grade(image: str, root: Path, grader: str, slug: str, name: str, seconds: float) -> Record:
    """One submission, in a container that holds the course and nothing else of this machine."""
    writable = f"rw,exec,nosuid,nodev,size={DISK},nr_inodes=200000"
    options = [
        "--read-only",
        "-v",
        f"{root / INSIDE.name}:/opt/inside.py:ro",
        "--memory",
        str(MEMORY),
        "--memory-swap",
        str(MEMORY),
        "--pids-limit",
        str(PROCESSES),
    ]
    options += ["--shm-size", str(2**28), "--tmpfs", f"/tmp:{writable},mode=1777"]
    options += [
        "--tmpfs",
        f"/var/tmp:{writable},mode=1777",
        "--tmpfs",
        f"/home/instructor:{writable},uid=1000,gid=1000",
    ]
    options += ["--tmpfs", "/run/observer:rw,mode=700", "-v", f"{root / 'course'}:/home/instructor/course:ro"]
    return docker_run(image, "grade", grader, slug, name, str(seconds), options=options, seconds=seconds + 120)


def build(image: str) -> None:
    """The image: the base image, nbgrader from the package index that pip is set to, and the kit as it is here."""
    from gradekit.build.wheel import pack_wheel

    with tempfile.TemporaryDirectory(prefix="gradekit-image-") as folder:
        wheels = Path(folder) / "wheels"
        subprocess.run([sys.executable, "-m", "pip", "download", "-qq", "--dest", str(wheels), "nbgrader"], check=True)
        name, wheel = pack_wheel()
        (wheels / name).write_bytes(wheel)
        (Path(folder) / "Dockerfile").write_text(DOCKERFILE)
        done = docker("build", "--network", "none", "-t", image, folder)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])


# -------------------------------------------------------------------------------------------------------------- a run


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(image: str, only: Sequence[str], jobs: int, seconds: float, output: Path) -> dict[str, Any]:
    """Every case that applies, through both graders; what is in the file already is not run again.

    Cases whose verdict rests on a time come last, one at a time, and if one gets too many points it must do so twice.
    """
    from tests.attacks.catalogue import CASES
    from tests.attacks.suite import ID

    kept: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {"records": {g: {} for g in GRADERS}}
    records = kept["records"]
    root = Path(tempfile.mkdtemp(prefix="gradekit-elsewhere-"))
    root.chmod(0o755)
    try:
        say("building the course")
        full, facts = prepare(root, image)
        facts = {
            "date": datetime.date.today().isoformat(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        } | facts
        kept |= {"facts": facts, "full": full}
        due = [
            (number, case, grader)
            for number, case in enumerate(CASES)
            for grader in GRADERS
            if (not only or case.name in only) and case.name not in records[grader] and not no_sense(case, grader)
        ]

        def one(item: tuple[int, Any, str]) -> None:
            number, case, grader = item
            slug = SLUGS[case.week]
            record = grade(image, root, grader, slug, ID.format(number), seconds)
            if case.timed and "points" in harms(case, record, full[slug]):
                again = grade(image, root, grader, slug, ID.format(number), seconds)
                record = again | {"first": record["points"]}
            with _lock:
                records[grader][case.name] = record
                output.write_text(json.dumps(kept, indent=1))
            done = [] if case.kind == "control" else harms(case, record, full[slug])
            say(f"{grader}: {case.kind}: {case.name}: {record['points']} in {record['seconds']} s {' '.join(done)}")

        say(f"{len(due)} to run")
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(one, [item for item in due if not item[1].timed]))
        for item in due:
            if item[1].timed:
                one(item)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return kept


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="What do other graders keep from the attacks of tests/attacks?")
    parser.add_argument("--build", action="store_true", help=f"only: build the image, from {BASE}")
    parser.add_argument("--image", default=IMAGE, help="Otter, nbgrader, torch, the kit, a user `instructor`")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="an attack or control; repeatable")
    parser.add_argument("--jobs", type=int, default=2, help="containers at a time")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for one submission")
    parser.add_argument("--output", type=Path, help="where records are kept; a run goes on with what is there")
    parser.add_argument("--summarise", type=Path, metavar="FILE", help="only: the tables of these records")
    parser.add_argument(
        "--keep",
        action="store_true",
        help=f"write the verdicts into {KEPT.name}, beside those of other cases, for tests.attacks.table",
    )
    options = parser.parse_args(arguments)
    try:
        if options.build:
            build(options.image)
            return 0
        if options.summarise:
            kept = json.loads(options.summarise.read_text())
        else:
            output = options.output or Path(tempfile.mkdtemp(prefix="elsewhere-")) / "records.json"
            say(f"records: {output}")
            kept = measure(options.image, options.only, options.jobs, options.seconds, output)
    except RuntimeError as error:
        say(f"attacks_elsewhere.py: {error}")
        return 1
    verdicts = judged(kept["records"], kept["full"])
    if options.keep:
        before = json.loads(KEPT.read_text())["verdicts"] if KEPT.exists() else {}
        both = {grader: before.get(grader, {}) | mine for grader, mine in verdicts.items()}
        KEPT.write_text(json.dumps({"facts": kept["facts"], "verdicts": both}, indent=1) + "\n")
    print("\n".join(summary(verdicts, kept["facts"])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
