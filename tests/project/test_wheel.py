"""What is published: the library and nothing of the course."""

import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "autograder" / "gradekit"


def build(target: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    [built] = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    with zipfile.ZipFile(build("wheel", tmp_path_factory.mktemp("wheel"))) as wheel:
        yield wheel


def in_wheel(wheel: zipfile.ZipFile, name: str) -> str:
    [member] = [member for member in wheel.namelist() if member.endswith(f".dist-info/{name}")]
    return wheel.read(member).decode()


def test_the_wheel_holds_gradekit_and_nothing_else(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    [metadata] = [top for top in tops if top.endswith(".dist-info")]
    assert tops == {"gradekit", metadata}


def test_every_file_of_the_library_is_in_the_wheel(wheel):
    files = [path for path in LIBRARY.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {f"gradekit/{path.relative_to(LIBRARY).as_posix()}" for path in files} <= set(wheel.namelist())
    assert "gradekit/py.typed" in wheel.namelist()


def test_the_command_of_the_wheel_can_be_loaded(wheel):
    assert in_wheel(wheel, "entry_points.txt").split() == ["[console_scripts]", "gradekit", "=", "gradekit.cli:main"]
    assert callable(EntryPoint("gradekit", "gradekit.cli:main", "console_scripts").load())


def test_the_plain_install_asks_for_nothing_that_only_instructors_need(wheel):
    required = message_from_string(in_wheel(wheel, "METADATA")).get_all("Requires-Dist")
    instructors = [line for line in required if "extra == 'instructor'" in line]
    plain = " ".join(line for line in required if line not in instructors)
    assert any(line.startswith("nbgrader") for line in instructors)
    for name in ("nbgrader", "torchvision", "pytest"):
        assert name not in plain


def test_the_wheel_is_the_same_every_time(wheel, tmp_path):
    assert build("wheel", tmp_path).read_bytes() == Path(wheel.filename).read_bytes()


def test_the_source_package_holds_nothing_of_the_course(tmp_path):
    with tarfile.open(build("sdist", tmp_path)) as sdist:
        inside = {name.split("/", 1)[1] for name in sdist.getnames()}
    assert "autograder/gradekit/__init__.py" in inside
    kept_back = ("reference/", "source/", "solutions/", "release/", "tests/", "autograder/bundles/")
    assert not [name for name in inside if name.startswith(kept_back)]
