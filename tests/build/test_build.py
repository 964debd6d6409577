"""gradekit build: what comes out of a source, and what it refuses to build."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import jupytext
import nbformat
import pytest

from gradekit.build.make import build_week, differences
from gradekit.build.stamp import is_fresh
from gradekit.course import Week
from gradekit.problem import Problem


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def edit(week: Week, old: str, new: str) -> None:
    """Change the source in one place."""
    text = week.source.read_text()
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
    week.source.write_text(text.replace(old, new))


def test_release_solutions_and_bundle_are_written(built_week: Week) -> None:
    assert set(files(built_week.release)) == {"week01_double.ipynb", "notes/readme.txt", "tests/q1.py", "tests/q2.py"}
    assert set(files(built_week.solutions)) == {"week01_double.ipynb", "notes/readme.txt"}
    with zipfile.ZipFile(built_week.bundle) as archive:
        names = set(archive.namelist())
    assert {
        "run_autograder",
        "setup.sh",
        "otter_config.json",
        "tests/q1.py",
        "files/reference/week01_double.py",
    } <= names
    assert any(re.fullmatch(r"requirements\.wheels/gradekit-.*\.whl", name) for name in names)


def test_the_release_has_stubs_and_no_solution(built_week: Week) -> None:
    release = nbformat.read(built_week.release / built_week.notebook_name, as_version=4)
    answer = next(cell for cell in release.cells if cell.id == "q1-code-1")
    assert answer.source == 'def double(x):\n    """Twice x, element by element."""\n    ...'
    text = (built_week.release / built_week.notebook_name).read_text()
    assert "x + x" not in text
    assert "0.5" not in text


def test_the_stub_is_a_part_of_the_solution(built_week: Week) -> None:
    release = nbformat.read(built_week.release / built_week.notebook_name, as_version=4)
    solution = nbformat.read(built_week.solutions / built_week.notebook_name, as_version=4)
    full = {cell.id: cell.source for cell in solution.cells}
    for cell in release.cells:
        lines = [line for line in cell.source.splitlines() if line.strip() and line.strip() != "..."]
        assert all(line in full[cell.id] or line.strip().endswith("...") for line in lines)


def test_hidden_tests_are_in_the_bundle_alone(built_week: Week) -> None:
    public = (built_week.release / "tests" / "q1.py").read_text()
    with zipfile.ZipFile(built_week.bundle) as archive:
        whole = archive.read("tests/q1.py").decode()
    assert "agrees with the reference on random tensors" in whole
    assert "hidden=True" in whole
    assert "agrees with the reference" not in public
    assert "secret_inputs" not in public


def test_cells_have_stable_and_telling_ids(built_week: Week) -> None:
    release = nbformat.read(built_week.release / built_week.notebook_name, as_version=4)
    ids = [cell.id for cell in release.cells]
    assert ids[0] == "otter-init"
    assert {"q1-text-1", "q1-code-1", "q1-check", "q2-check", "otter-export"} <= set(ids)
    assert len(set(ids)) == len(ids)


def test_building_twice_gives_the_same_bytes(week: Week) -> None:
    build_week(week)
    first = files(week.course.root)
    (week.bundle.with_suffix(".stamp.json")).unlink()
    build_week(week)
    assert files(week.course.root) == first


def test_nothing_is_built_when_nothing_has_changed(week: Week) -> None:
    assert not is_fresh(week)
    build_week(week)
    assert is_fresh(week)
    week.source.write_text(week.source.read_text().replace("The smallest week there is.", "A small week."))
    assert not is_fresh(week)


def test_an_edited_release_is_not_fresh_and_differs(week: Week) -> None:
    build_week(week)
    assert differences(week) == []
    (week.release / "tests" / "q1.py").write_text("# edited\n")
    (week.release / "extra.txt").write_text("left behind\n")
    (week.solutions / "notes" / "readme.txt").unlink()
    assert not is_fresh(week)
    assert differences(week) == [
        "release/week01_double/extra.txt is not built from any source",
        "release/week01_double/tests/q1.py differs",
        "solutions/week01_double/notes/readme.txt is missing",
    ]


def test_a_refused_build_leaves_everything_as_it_was(week: Week) -> None:
    build_week(week)
    before = files(week.course.root / "release") | files(week.bundle.parent)
    edit(week, "name: q2", "name: q1")
    with pytest.raises(Problem):
        build_week(week)
    assert files(week.course.root / "release") | files(week.bundle.parent) == before


def test_the_source_opens_as_a_notebook_and_survives_a_round_trip(week: Week) -> None:
    notebook = jupytext.read(week.source)
    nbformat.validate(notebook)
    assert sum(cell.cell_type == "code" for cell in notebook.cells) >= 4


def cut(pattern: str) -> Callable[[Week], None]:
    def change(week: Week) -> None:
        text = week.source.read_text()
        assert re.search(pattern, text, re.DOTALL)
        week.source.write_text(re.sub(pattern, "", text, count=1, flags=re.DOTALL))

    return change


def swap(old: str, new: str) -> Callable[[Week], None]:
    return lambda week: edit(week, old, new)


def remove(attribute: str) -> Callable[[Week], None]:
    return lambda week: getattr(week, attribute).unlink()


def name_a_file(week: Week) -> None:
    (week.room / "notes" / "halves a tensor of four numbers.txt").write_text("")


def shadow_reference(week: Week) -> None:
    edit(week, "files: [notes]", "files: [notes, reference]")
    (week.room / "reference").mkdir()
    (week.room / "reference" / "week01_double.py").write_text("")


HIDDEN = 'points: 1\nhidden: true\n""" # END TEST CONFIG\ndef apply_double'
COPIED = 'def mine(rng):\n    return {"x": check.normal(rng, 5, 3, device=device)}\n\n\ndef test_small(env):'

REFUSED = [
    ("no tests", cut(r"# %% \[raw\]\n# # BEGIN TESTS.*?# # END TESTS\n\n"), "q1 has no tests"),
    ("no public test", swap('points: 1\n""" # END TEST CONFIG\ndef apply_double', HIDDEN), "q1 has no public test"),
    (
        "hidden text in prose",
        swap("Return twice `x`.", "It agrees with the reference on random tensors."),
        "shows a line of a hidden test of q1",
    ),
    ("hidden test's line in public", swap("def test_small(env):", COPIED), "shows a line of a hidden test"),
    (
        "solution in prose",
        swap("Return half of `x`.", "Write this line:\n#\n#     return x * 0.5  # SOLUTION"),
        "shows a line of the solution",
    ),
    (
        "short answer in prose",
        swap("Return twice `x`.", "Write\n#\n#     doubled = x + x\n#     return doubled"),
        "of the solution",
    ),
    ("hidden test's name as a file", name_a_file, "shows a line of a hidden test of q2"),
    (
        "fence left open in a cell",
        swap("    return doubled\n    # END SOLUTION\n", "    return doubled\n"),
        "BEGIN SOLUTION",
    ),
    ("cell that is not Python", swap("# %%\nimport torch\n", "# %%\nimport torch as\n"), "is not Python"),
    ("files that are no list", swap("files: [notes]", "files: 3"), "`files` is not a list of names"),
    ("hidden that is no truth value", swap("points: 2\nhidden: true", 'points: 2\nhidden: "no"'), "`hidden` is 'no'"),
    ("student file over the reference", shadow_reference, "has the name of something that the build makes"),
    (
        "reference in the release",
        swap("# %%\nimport torch\n", "# %%\nimport torch\nfrom reference import week01_double\n"),
        "which is for instructors only",
    ),
    (
        "package that students lack",
        swap("# %%\nimport torch\n", "# %%\nimport torch\nimport nbgrader\n"),
        "'nbgrader', which is not in the plain install",
    ),
    ("two questions of one name", swap("name: q2", "name: q1"), "two questions are named 'q1'"),
    (
        "two definitions of one name",
        swap("def secret_inputs(rng, device):", "def apply_double(rng, device):"),
        "q1 defines apply_double twice",
    ),
    ("points that do not add up", swap("name: q1\n# points: 3", "name: q1\n# points: 4"), "its test cases add up to 3"),
    ("points in prose", swap("*2 points · about", "*5 points · about"), "the prose of q2 says 5 points"),
    (
        "no points line",
        swap("*2 points · about 5 minutes · difficulty 1 of 5*", "*some points*"),
        "does not say its points",
    ),
    ("unknown key of the assignment", swap("files: [notes]", "filez: [notes]"), "unknown key 'filez'"),
    ("unknown key of a question", swap("name: q2", "colour: red\n# name: q2"), "unknown key 'colour'"),
    (
        "unknown key of a test",
        swap('points: 2\nhidden: true\n"""', 'points: 2\nhiden: true\n"""'),
        "unknown key 'hiden'",
    ),
    ("test without docstring", swap('    """halves two"""\n', ""), "has no one-line docstring"),
    ("test without points", swap('points: 2\nhidden: true\n"""', 'hidden: true\n"""'), "does not say its points"),
    (
        "test that takes the student's function",
        swap("def test_halve(env):", "def test_halve(halve):"),
        "must take `env` alone",
    ),
    ("file that is not there", swap("files: [notes]", "files: [pictures]"), "`files` names 'pictures'"),
    ("file from outside", swap("files: [notes]", "files: [../../reference]"), "which is not in this folder"),
    ("wrong name", swap("name: week01_double\n", "name: week02\n"), "the assignment is named 'week02'"),
    ("block left open", cut(r"# %% \[raw\]\n# # END SOLUTION\n\n"), "inside a solution block"),
    (
        "raw cell that is no block",
        swap("# # BEGIN QUESTION\n# name: q2", "# # BEGIN QUESTON\n# name: q2"),
        "no block of the grammar",
    ),
    ("no about.toml", remove("about"), "about.toml: is missing"),
    ("no reference", remove("reference"), "there is no reference implementation"),
]


@pytest.mark.parametrize(("change", "says"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refuses(week: Week, change: Callable[[Week], None], says: str) -> None:
    change(week)
    with pytest.raises(Problem) as refusal:
        build_week(week)
    assert says in str(refusal.value)
    assert refusal.value.where, "the message does not say where"
    assert not week.release.exists()


@pytest.mark.parametrize(
    "change",
    [
        swap("The smallest week there is.", "It is right for all tensors, hidden layers included."),
        swap("# %%\nimport torch\n", "# %%\nimport torch\n\nquarter = lambda x: x * 0.5 + 1\n"),
        lambda week: (week.room / "notes" / "hidden_layer_resolution.svg").write_text("<svg/>"),
        lambda week: (week.room / "notes" / ".DS_Store").write_text(""),
    ],
)
def test_innocent_text_is_built(week: Week, change: Callable[[Week], object]) -> None:
    change(week)
    build_week(week)
    assert not (week.release / "notes" / ".DS_Store").exists()


def test_a_renamed_file_is_not_fresh(week: Week) -> None:
    build_week(week)
    (week.release / "tests").rename(week.release / "testz")
    assert not is_fresh(week)


def test_a_refusal_names_the_cell_and_its_line(week: Week) -> None:
    edit(week, "name: q2", "name: q1")
    line = week.source.read_text().splitlines().index("# name: q1", 60) - 1
    with pytest.raises(Problem, match=rf"source/week01_double/week01_double.py, cell \d+, line {line}: two questions"):
        build_week(week)


@pytest.mark.parametrize("key", ["week.title", "objectives", "week.colour"])
def test_about_says_which_key_is_wrong(week: Week, key: str) -> None:
    text = week.about.read_text()
    changed = {
        "week.title": text.replace('title = "Doubling"\n', ""),
        "objectives": text.replace('["double a tensor"]', "[]"),
        "week.colour": text + 'colour = "red"\n',
    }[key]
    week.about.write_text(changed)
    with pytest.raises(Problem, match=re.escape(key)):
        build_week(week)


def test_the_otter_config_is_otters_own(built_week: Week) -> None:
    from otter.run import AutograderConfig

    with zipfile.ZipFile(built_week.bundle) as archive:
        config = json.loads(archive.read("otter_config.json"))
    assert AutograderConfig(config, require_valid_keys=True).assignment_name == "week01_double"
