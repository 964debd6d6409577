"""What `gradekit doctor` says of the jail is what a worker gets."""

from __future__ import annotations

import sys

import pytest

from gradekit.sandbox.jail import LEVELS
from gradekit.sandbox.jail.policy import isolation
from gradekit.sandbox.jail.probe import probe


def test_a_jail_is_started_and_says_what_it_is() -> None:
    found = probe()
    assert found == isolation(found.layers)
    assert LEVELS.index(found.level) >= LEVELS.index("process")
    assert found.layers["session"] == "on"


def test_beside_an_accelerator_the_address_space_is_not_limited() -> None:
    assert probe(accelerator=True).layers["memory_limit"] != "on"


def test_where_it_cannot_be_started_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="a jail could not be started"):
        probe()
