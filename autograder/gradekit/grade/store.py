"""The store of results: one SQLite file, from which grades.csv and the JSON files are made.

    with Store.open(folder) as store:
        result = store.get(key, "ada") or grade(...)
        store.put(key, result)

A result that was put is there, whole, whatever is killed afterwards; a grading that was interrupted leaves nothing.
Several processes may use one store at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import tempfile
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from gradekit.grade.result import Result
from gradekit.grade.views import write_grades, write_result
from gradekit.problem import Problem, UsageProblem

__all__ = ["FILE_NAME", "Key", "Store", "write_grades", "write_result"]

FILE_NAME = "results.sqlite"
_APPLICATION = 0x67726164  # "grad": tells a store from other programs' SQLite files
_SCHEMA = 1
_PATIENCE_SECONDS = 60.0  # how long another process may keep the store to itself

# `number` grows with every put, so the latest result is known without trusting the clock. `name` has no type: a name
# that is no Unicode text (from a file system that knows bytes only) is kept as bytes.
_TABLES = """
CREATE TABLE results (
    number INTEGER PRIMARY KEY,
    submission TEXT NOT NULL,
    bundle TEXT NOT NULL,
    kit TEXT NOT NULL,
    device TEXT NOT NULL,
    name NOT NULL,
    graded_at TEXT NOT NULL,
    status TEXT NOT NULL,
    result NOT NULL,
    checksum INTEGER NOT NULL,
    UNIQUE (submission, bundle, kit, device, name)
);
CREATE INDEX results_by_name ON results (name);
"""
_SAME_CONTENT = "submission = ? AND bundle = ? AND kit = ? AND device = ?"


@dataclass(frozen=True)
class Key:
    """What a result follows from, and so what must be the same for it to be used again.

    submission, bundle: sha256 of the notebook's and of the bundle's bytes, in hex (of an assignment that takes files
    beside the notebook, theirs as well); kit: gradekit's version; device: the device class (cuda, mps, cpu).
    """

    submission: str
    bundle: str
    kit: str
    device: str


class Store:
    """Results by their key and the submission's name. May be used from several threads, but not across a fork."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._lock = threading.Lock()

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: Path) -> Iterator[Store]:
        """The store in `folder`, which is made where there is none.

        UsageProblem if its file is something else, is damaged, or was written by a newer gradekit: the file stays as it
        is. Problem if it cannot be written, or if another process keeps it to itself for a minute.
        """
        path = folder / FILE_NAME
        _make(folder)
        # SQLite takes a file of one byte for an empty one.
        if path.exists() and (not path.is_file() or path.stat().st_size == 1):
            raise UsageProblem(*_NOT_A_STORE, where=path, mend=_ANOTHER_FOLDER)
        with _explained(path), _alone(folder):
            connection = _connect(path)
            try:
                _prepare(connection, path)
            except BaseException:
                connection.close()
                raise
        store = cls(path, connection)
        try:
            yield store
        finally:
            with _explained(path), _alone(folder):
                connection.close()

    def put(self, key: Key, result: Result) -> None:
        """Keep a result, in place of the one of the same key and name; it is the latest of its name from now on."""
        text = result.to_json()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        values = (*_values(key, result.submission), now, result.status, _text(text), _checksum(text))
        with self._lock, _explained(self._path), _alone(self._path.parent):
            self._connection.execute(
                "INSERT OR REPLACE INTO results"
                " (submission, bundle, kit, device, name, graded_at, status, result, checksum)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )

    def get(self, key: Key, name: str) -> Result | None:
        """The result of exactly this, if there is one."""
        found = self._find(f"{_SAME_CONTENT} AND name = ?", _values(key, name))
        return found[0] if found else None

    def get_same_content(self, key: Key, name: str) -> Result | None:
        """The latest result of the same content under another name, as one of `name`.

        Only a grading that came to its end: a crash may have been bad luck, which is not for others to share.
        """
        where = f"{_SAME_CONTENT} AND name <> ? AND status = 'graded' ORDER BY number DESC LIMIT 1"
        found = self._find(where, _values(key, name))
        return replace(found[0], submission=name) if found else None

    def contents(self, name: str) -> str | None:
        """Of what the latest result of a submission is: the `submission` of its key."""
        with self._lock, _explained(self._path):
            row = self._connection.execute(
                "SELECT submission FROM results WHERE name = ? ORDER BY number DESC LIMIT 1", (_text(name),)
            ).fetchone()
        return None if row is None else str(row[0])

    def current(self, names: Iterable[str] | None = None) -> list[Result]:
        """The latest result of each submission, or of each in `names` that has one; sorted by name."""
        if names is None:
            found = self._find("number IN (SELECT max(number) FROM results GROUP BY name)", ())
        else:
            latest = "number = (SELECT max(number) FROM results WHERE name = ?)"
            found = [result for name in set(names) for result in self._find(latest, (_text(name),))]
        return sorted(found, key=lambda result: result.submission)

    def forget(self, name: str) -> None:
        """Drop all that is known of a submission."""
        with self._lock, _explained(self._path), _alone(self._path.parent):
            self._connection.execute("DELETE FROM results WHERE name = ?", (_text(name),))

    def _find(self, where: str, values: tuple[str | bytes, ...]) -> list[Result]:
        with self._lock, _explained(self._path):
            rows = self._connection.execute(f"SELECT result, checksum FROM results WHERE {where}", values)
            return [self._result(stored, checksum) for stored, checksum in rows]

    def _result(self, stored: str | bytes, checksum: int) -> Result:
        try:
            text = stored.decode("utf-8", "surrogatepass") if isinstance(stored, bytes) else stored
            if _checksum(text) == checksum:
                return Result.from_json(text)
        except (ValueError, AttributeError, TypeError):  # not UTF-8, not JSON, not a text
            pass
        raise UsageProblem(_DAMAGED, where=self._path, mend=_START_AGAIN)


# Words -----------------------------------------------------------------------------------------------------------

_NOT_A_STORE = ("is not a store of results; it is left as it is",)
_ANOTHER_FOLDER = "name another folder, or move that file elsewhere"
_DAMAGED = "the store of results is damaged; it is left as it is"
_START_AGAIN = "put back a copy of it, or move it elsewhere (with its -wal file, if there is one) and grade again"
_NOT_WRITABLE = "make the folder and the file writable, or name another folder"


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Tell a person what an error of SQLite or the system means. A mistake in this program is raised as it is."""
    try:
        yield
    except OSError as error:
        reason = f"the store of results cannot be used: {error.strerror or error}"
        raise Problem(reason, where=path, mend=_NOT_WRITABLE) from error
    except sqlite3.DatabaseError as error:
        code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF  # the upper bytes say more than a person needs
        if code == sqlite3.SQLITE_NOTADB:
            raise UsageProblem(*_NOT_A_STORE, where=path, mend=_ANOTHER_FOLDER) from error
        if code == sqlite3.SQLITE_CORRUPT:
            raise UsageProblem(_DAMAGED, where=path, mend=_START_AGAIN) from error
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
            raise Problem("the store of results cannot be written", where=path, mend=_NOT_WRITABLE) from error
        if code == sqlite3.SQLITE_FULL:
            raise Problem("there is no room for another result", where=path, mend="free space on its disk") from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise _kept(path) from error
        if code == sqlite3.SQLITE_IOERR:
            mend = "see whether its disk is in order, or name a folder on another one"
            raise Problem(f"the store of results cannot be used: {error}", where=path, mend=mend) from error
        raise


def _kept(path: Path) -> Problem:
    return Problem(
        f"another process has kept the store of results to itself for {_PATIENCE_SECONDS:g} s",
        where=path,
        mend="see what else grades into this folder (`fuser -v` names it), and end it or wait",
    )


# The file --------------------------------------------------------------------------------------------------------


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageProblem("is not a folder", where=folder, mend="name another folder for the results") from error
    except OSError as error:
        raise Problem(f"cannot be made: {error.strerror or error}", where=folder, mend=_NOT_WRITABLE) from error


def _connect(path: Path) -> sqlite3.Connection:
    # Without an isolation level every statement is a transaction of its own. The lock in Store keeps threads apart.
    return sqlite3.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None, check_same_thread=False)


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """See that it is a store, or make it one if it is empty. Runs alone."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not (application or version or tables):
        if _can_wal(path.parent):
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        settings = f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_SCHEMA};"
        connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} {settings} COMMIT;")
    elif application != _APPLICATION:
        raise UsageProblem(*_NOT_A_STORE, where=path, mend=_ANOTHER_FOLDER)
    elif version > _SCHEMA:
        raise UsageProblem(
            f"was written by a newer gradekit (schema {version}, this one knows {_SCHEMA}); it is left as it is",
            where=path,
            mend="upgrade gradekit, or name another folder",
        )
    elif connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):  # 0.3 s for 10,000 large results
        raise UsageProblem(_DAMAGED, where=path, mend=_START_AGAIN)
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    # With a WAL, NORMAL survives the death of any process, and a power cut costs the last results but no more: they are
    # graded again. Without one, NORMAL may cost the file (sqlite.org/pragma.html#pragma_synchronous).
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'wal' else 'FULL'}")
    # Who may only read is told now, and not after the first grading: with a WAL it takes a write to find out.
    connection.executescript(f"BEGIN IMMEDIATE; PRAGMA user_version = {_SCHEMA}; ROLLBACK;")


def _can_wal(folder: Path) -> bool:
    """Whether the file system has the shared memory that a WAL needs; some network mounts have not.

    Tried on another file: once a store's own header says WAL, a file system without cannot even read it.
    """
    with tempfile.TemporaryDirectory(prefix=".wal-", dir=folder, ignore_cleanup_errors=True) as trial:
        try:
            with contextlib.closing(_connect(Path(trial) / "trial.sqlite")) as connection:
                (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
                connection.execute("CREATE TABLE trial (x)")
                return bool(mode == "wal")
        except sqlite3.OperationalError:
            return False


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process writes to the store in `folder`, opens or closes it meanwhile. The kernel ends it with us.

    SQLite has locks of its own, but before 3.51.3 a commit that met another process's checkpoint could be lost in rare
    cases (sqlite.org/wal.html#walresetbug), and of two that make a new store at once one may be turned away.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise _kept(folder / FILE_NAME) from None
                time.sleep(0.001)
            except OSError:  # a file system without such locks: SQLite's own must do
                break
        yield
    finally:
        os.close(descriptor)


def _values(key: Key, name: str) -> tuple[str | bytes, ...]:
    return key.submission, key.bundle, key.kit, key.device, _text(name)


def _text(text: str) -> str | bytes:
    """As SQLite can keep it: a text with lone surrogates is none, and is kept as bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def _checksum(text: str) -> int:
    """SQLite has none: a byte that changed on the disk would change a grade unseen."""
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))
