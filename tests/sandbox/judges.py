"""What the fork server runs as a trusted child in test_server.py."""

import os
import socket
import time
from pathlib import Path
from typing import Any

from gradekit.sandbox.client import Connection


def idle(task: dict[str, Any], stream: socket.socket, spawner: socket.socket) -> None:
    """Do nothing, for long."""
    stream.sendall(b"ready")
    time.sleep(600)


def with_workers(task: dict[str, Any], stream: socket.socket, spawner: socket.socket) -> None:
    """Ask for workers, say that they are ready, and leave their end to whoever ends this process."""
    connection, held = Connection(spawner), []
    for number in range(task["workers"]):
        scratch = Path(task["scratch"]) / f"{os.getpid()}-{number}"
        scratch.mkdir()
        _, worker = connection.worker(scratch, memory_bytes=2**30)
        worker.recv(1)
        held.append(worker)
    stream.sendall(b"ready")
    time.sleep(600)


def with_an_orphan(task: dict[str, Any], stream: socket.socket, spawner: socket.socket) -> None:
    """Leave a process in a session of its own, as a keeper that is killed leaves its inmate."""
    if os.fork():
        time.sleep(600)
    os.setsid()
    stream.sendall(b"ready")
    time.sleep(600)
