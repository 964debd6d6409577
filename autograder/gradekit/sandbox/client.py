"""The other side of the fork server: start it, and ask it for processes."""

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MESSAGE = 64 * 1024
_KEPT = {"PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH", "TMPDIR", "XDG_CACHE_HOME"}
_KEPT_PREFIXES = ("LC_", "GRADEKIT_", "CUDA_", "NVIDIA_")
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""As in a worker: threads gain nothing where the time of all counts, and a twin (see `guard`) can start none."""
START_S = 120.0
"""Seconds that the server may take to import everything."""
END_S = 60.0
"""Seconds that it may take to end everything. One that is killed leaves that to the keepers, unseen."""


class ServerLost(RuntimeError):
    """The fork server, or the connection to it, is gone."""


class Connection:
    """Requests and replies, one at a time; threads take turns."""

    def __init__(self, sock: socket.socket) -> None:
        self.answered = False  # whether anything was: until then the server has forked nothing
        self._socket = sock
        self._turn = threading.Lock()

    def worker(
        self, scratch: Path, *, readable: Sequence[Path] = (), memory_bytes: int, accelerator: bool = False
    ) -> tuple[int, socket.socket]:
        """A jailed process that runs `worker.work`: its pid and the stream to it."""
        policy = {
            "scratch": str(scratch),
            "readable": [str(path) for path in readable],
            "memory_bytes": memory_bytes,
            "accelerator": accelerator,
        }
        reply, stream = self._ask({"ask": "worker", "policy": policy})
        return reply["pid"], stream

    def run(self, entry: str, task: dict[str, Any]) -> tuple[int, socket.socket]:
        """A trusted child that runs `entry` ("module:function"): its pid and the stream that it writes to."""
        reply, stream = self._ask({"ask": "run", "entry": entry, "task": task})
        return reply["pid"], stream

    def end(self, pid: int, *, patience_s: float = 0.0) -> int | None:
        """End a process that was asked for here, with all that it has started or asked for, and wait until nothing of
        it is left; its exit status (-9 if it still ran).

        patience_s: for a worker that has hung up, how long to wait for it to end by itself. None if the server is gone.
        """
        with contextlib.suppress(ServerLost):
            reply, _ = self._ask({"ask": "end", "pid": pid, "patience_s": patience_s}, stream=False)
            return int(reply["status"]) if reply["status"] is not None else None
        return None

    def another(self) -> "Connection":
        """One more to the same server, which need not wait while something is asked for here."""
        _, stream = self._ask({"ask": "connect"})
        return Connection(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=stream.detach()))

    def close(self) -> None:
        """Everything that was asked for here ends."""
        self._socket.close()

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _ask(self, request: dict[str, Any], *, stream: bool = True) -> tuple[dict[str, Any], Any]:
        with self._turn:
            try:
                self._socket.sendall(json.dumps(request).encode())
                data, descriptors, _, _ = socket.recv_fds(self._socket, MESSAGE, 1)
            except OSError as error:
                raise ServerLost(f"the fork server does not answer: {error}") from error
        if not data:
            raise ServerLost("the fork server has ended")
        self.answered = True
        reply = json.loads(data)
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply, socket.socket(fileno=descriptors[0]) if stream else None


@dataclasses.dataclass
class Server:
    """A running fork server."""

    process: subprocess.Popen[bytes]
    connection: Connection

    @classmethod
    def start(cls, modules: Sequence[str]) -> "Server":
        """Start one that has imported `modules`. Its first answer comes when it is ready."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "gradekit.sandbox.server", str(theirs.fileno()), *modules]
            # A fork keeps the environment that its process was started with in its memory, cleared or not.
            environment = {n: v for n, v in os.environ.items() if n in _KEPT or n.startswith(_KEPT_PREFIXES)}
            process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment | _ONE_THREAD | {"PYTHONDONTWRITEBYTECODE": "1"},
                start_new_session=True,
            )
        return cls(process, Connection(ours))

    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        """End it and all that was forked from it."""
        self.connection.close()
        if not self.connection.answered:  # it still imports, perhaps, and would hear of it only afterwards
            self.process.kill()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
