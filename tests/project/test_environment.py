"""environment.yml (conda) and pyproject.toml (pip) ask for the same packages with the same bounds."""

import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
INSTRUCTOR_LINE = "  # For instructors only\n"
CONDA_NAMES = {"msgpack": "msgpack-python", "torch": "pytorch"}  # every other package has one name
CONDA_ONLY = {"python", "pip"}

Bounds = dict[str, tuple[frozenset[str], SpecifierSet]]  # name -> extras, versions


def bounds(requirements: list[str]) -> Bounds:
    parsed = [Requirement(text) for text in requirements]
    return {r.name: (frozenset(r.extras), r.specifier) for r in parsed}


def conda_bounds(text: str) -> Bounds:
    """What an environment file asks for, under the names that pip uses."""
    pip_names = {conda: pip for pip, conda in CONDA_NAMES.items()}
    entries = yaml.safe_load(text)["dependencies"]
    from_conda = bounds([entry for entry in entries if isinstance(entry, str)])
    from_pip = bounds([line for entry in entries if isinstance(entry, dict) for line in entry["pip"] if line[0] != "-"])
    named = {pip_names.get(name, name): value for name, value in from_conda.items() if name not in CONDA_ONLY}
    assert not named.keys() & from_pip.keys(), "a package comes from conda-forge or from pip, not from both"
    return named | from_pip


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def environment() -> str:
    return (ROOT / "environment.yml").read_text()


def test_students_get_the_same_packages_from_conda_and_from_pip(project, environment):
    student, _, _ = environment.partition(INSTRUCTOR_LINE)
    assert conda_bounds(student) == bounds(project["dependencies"])


def test_instructors_get_the_same_packages_from_conda_and_from_pip(project, environment):
    assert INSTRUCTOR_LINE in environment
    both = project["dependencies"] + project["optional-dependencies"]["instructor"]
    assert conda_bounds(environment) == bounds(both)


def test_both_ask_for_the_same_python(project, environment):
    entries = [Requirement(e) for e in yaml.safe_load(environment)["dependencies"] if isinstance(e, str)]
    [python] = [entry for entry in entries if entry.name == "python"]
    assert python.specifier == SpecifierSet(project["requires-python"])


def test_the_environment_installs_the_kit_itself(environment):
    [pip] = [entry["pip"] for entry in yaml.safe_load(environment)["dependencies"] if isinstance(entry, dict)]
    assert "--editable ." in pip
