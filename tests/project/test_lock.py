"""requirements.lock pins everything that pyproject.toml asks for, and says nothing about where it came from."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ASKED = [
    *PYPROJECT["build-system"]["requires"],
    *PYPROJECT["project"]["dependencies"],
    *PYPROJECT["project"]["optional-dependencies"]["instructor"],
    *PYPROJECT["dependency-groups"]["dev"],
]


@pytest.fixture(scope="module")
def pins() -> dict[str, list[Requirement]]:
    """Name -> its pins: more than one where the version depends on Python or the platform."""
    pins: dict[str, list[Requirement]] = {}
    for line in LOCK.splitlines():
        if line and not line.lstrip().startswith("#"):
            pin = Requirement(line)
            pins.setdefault(canonicalize_name(pin.name), []).append(pin)
    return pins


def test_every_line_pins_one_exact_version(pins):
    for pin in (pin for several in pins.values() for pin in several):
        [specifier] = pin.specifier
        assert specifier.operator == "==", pin
        assert not specifier.version.endswith("*"), pin


@pytest.mark.parametrize("asked", [Requirement(text) for text in ASKED], ids=str)
def test_what_is_asked_for_is_pinned_within_its_bounds(asked, pins):
    assert canonicalize_name(asked.name) in pins, f"{asked.name} is not in requirements.lock: run make lock"
    for pin in pins[canonicalize_name(asked.name)]:
        [specifier] = pin.specifier
        assert asked.specifier.contains(specifier.version, prereleases=True), f"{pin} is outside {asked}: run make lock"


def test_torch_and_torchvision_are_pinned_for_every_platform(pins):
    for name in ("torch", "torchvision"):
        [pin] = pins[name]
        assert pin.marker is None


def test_no_address_and_no_path_of_a_machine_is_in_the_lock():
    assert "://" not in LOCK
    assert "--index-url" not in LOCK
    assert "--find-links" not in LOCK
    assert not [line for line in LOCK.splitlines() if " /" in line or "\\" in line]
