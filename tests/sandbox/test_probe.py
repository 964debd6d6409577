"""What `gradekit doctor` says of the jail is what a worker gets."""

from __future__ import annotations

import sys

import pytest

from gradekit.sandbox.client import Server
from gradekit.sandbox.jail import Isolation
from gradekit.sandbox.jail.probe import probe
from gradekit.sandbox.scratch import remove
from gradekit.sandbox.subject import Worker, scratch_root


def test_it_finds_what_a_worker_has() -> None:
    server, root = Server.start(["gradekit.sandbox.worker"]), scratch_root()
    try:
        worker = Worker(server.connection, root / "probe", None, memory_bytes=2**33)
        assert probe() == Isolation(worker.level, worker.layers)
        worker.end()
    finally:
        server.close()
        remove(root)


def test_beside_an_accelerator_the_address_space_is_not_limited() -> None:
    assert probe(accelerator=True).layers["memory_limit"] != "on"


def test_where_it_cannot_be_started_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="a jail could not be started"):
        probe()
