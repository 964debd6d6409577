"""Files of weights that came with a notebook: they go where it goes.

Which names count is the bundle's to say, and it is not known here: all of this kind are taken, within bounds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from gradekit.collect.listing import Listing
from gradekit.collect.upload import File, Upload, without_number
from gradekit.grade.submission import SKIPPED, InvalidSubmission, open_file, open_zip, unzip_one
from gradekit.hand_in import MOST_BYTES, MOST_FILES, SUFFIX, is_weights

__all__ = ["same_weights", "take_weights"]

_MOST_TAKEN = 32  # files: checkpoints of a few epochs may lie beside the one that was asked for
_MOST_BYTES_TAKEN = MOST_FILES * MOST_BYTES

_Place = Callable[[], AbstractContextManager[Path]]  # of a file, where it can be read


def take_weights(notebook: File, upload: Upload, listing: Listing) -> tuple[dict[str, bytes], list[str]]:
    """The weights by name, and a word on each that was not taken.

    They are those in the zip from which the notebook was taken, else those of the same upload; where that has none but
    one zip, those in the zip. Where a platform or a browser numbers what comes again, the last counts.
    """
    taken: dict[str, bytes] = {}
    notes: list[str] = []
    archive = _archive(notebook, upload)
    try:
        with _offered(archive, upload, listing) as offered:
            for name, places in offered.items():
                try:
                    if len(taken) == _MOST_TAKEN:
                        raise InvalidSubmission(f"is one of more than {_MOST_TAKEN}")
                    data = _read(name, places)
                    if sum(map(len, taken.values())) + len(data) > _MOST_BYTES_TAKEN:
                        raise InvalidSubmission(f"is beyond {_MOST_BYTES_TAKEN // 2**20} MiB in all")
                    taken[name] = data
                except (InvalidSubmission, OSError) as reason:
                    notes.append(f"without {name}, which {_said(reason)}")
    except (InvalidSubmission, OSError) as reason:
        notes.append(f"without its weights: the zip {_said(reason)}")
    if taken and archive not in (None, notebook):
        notes.append("with the weights in the zip beside it")
    return taken, notes


def same_weights(folder: Path, weights: Mapping[str, bytes]) -> bool:
    """Whether these, and no others, lie in a folder."""
    try:
        there = {path.name: path for path in folder.glob(f"*{SUFFIX}")}
        return there.keys() == weights.keys() and all(_bytes(there[name]) == weights[name] for name in weights)
    except (InvalidSubmission, OSError):
        return False


def _archive(notebook: File, upload: Upload) -> File | None:
    """The zip that the weights are in, None where they lie beside the notebook."""
    if notebook.suffix == ".zip":
        return notebook
    zips = [file for file in upload.files if file.suffix == ".zip"]
    loose = any(file.suffix == SUFFIX for file in upload.files)
    return zips[0] if len(zips) == 1 and not loose else None


@contextmanager
def _offered(archive: File | None, upload: Upload, listing: Listing) -> Iterator[dict[str, list[_Place]]]:
    """Where the weights of each name are: in one place, or nobody can say which counts."""
    found: dict[str, list[_Place]] = {}
    if archive is None:
        latest = sorted(upload.files, key=lambda file: (file.order, without_number(file.name, platform=True)[1]))
        newest: dict[str, File] = {}
        for file in latest:
            if file.suffix == SUFFIX:
                name = without_number(file.name, platform=upload.numbered)[0]
                again = name in newest and newest[name].name == file.name and not upload.numbered
                found[name] = [*(found[name] if again else []), partial(listing.file, file.entry)]
                newest[name] = file
        yield found
        return
    with listing.file(archive.entry) as path, open_zip(path) as opened:
        for entry in opened.infolist():
            parts = re.split(r"[/\\]", entry.filename)  # a zip made by Windows may use either
            if parts[-1].endswith(SUFFIX) and not any(part in SKIPPED or part.startswith("._") for part in parts):
                found.setdefault(parts[-1], []).append(partial(unzip_one, opened, entry, SUFFIX))
        yield found


def _read(name: str, places: list[_Place]) -> bytes:
    if not is_weights(name):
        raise InvalidSubmission("has a name that no assignment gives")
    if len(places) > 1:
        raise InvalidSubmission(f"is there {len(places)} times")
    with places[0]() as path:
        return _bytes(path)


def _bytes(path: Path) -> bytes:
    with open_file(path, None, frozenset({SUFFIX})) as stream:
        if os.fstat(stream.fileno()).st_size > MOST_BYTES:
            raise InvalidSubmission(f"is larger than {MOST_BYTES // 2**20} MiB")
        return b"".join(iter(lambda: stream.read(2**20), b""))


def _said(reason: Exception) -> str:
    return f"cannot be read: {reason.strerror}" if isinstance(reason, OSError) else str(reason)
