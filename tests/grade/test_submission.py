"""What may be handed in, what it is called, and what is said of what cannot be graded."""

from __future__ import annotations

import json
import os
import socket
import stat
import tempfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import gradekit.grade.submission as module
from gradekit.grade.outputs import drop_outputs
from gradekit.grade.submission import InvalidSubmission, Submission, find_submissions, read_cells, read_notebook
from gradekit.problem import UsageProblem

WEEK = "week01_double"


def notebook(assignment: str | None = WEEK) -> bytes:
    metadata = {"otter": {"assignment_name": assignment}} if assignment else {}
    cell = {"cell_type": "code", "id": "q1", "source": "x = 1", "metadata": {}, "outputs": []}
    return json.dumps({"cells": [cell], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}).encode()


def with_outputs(*outputs: str) -> bytes:
    return notebook().replace(b'"outputs": []', b'"outputs": [' + ", ".join(outputs).encode() + b"]")


def refused(path: Path, assignment: str = WEEK) -> str:
    """Why a file cannot be graded: always one line that can be printed."""
    with pytest.raises(InvalidSubmission) as reason:
        read_notebook(Submission("ada", path), assignment)
    with pytest.raises(InvalidSubmission):
        read_cells(Submission("ada", path), assignment)
    said = str(reason.value)
    assert said
    assert said.isprintable()
    assert len(said) <= 300
    said.encode()
    return said


def put(path: Path, data: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data or notebook())
    return path


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def names(*paths: Path) -> list[str]:
    return [submission.name for submission in find_submissions(paths)]


def test_a_notebook_is_named_after_its_file(tmp_path: Path) -> None:
    assert names(put(tmp_path / "ada.ipynb"), put(tmp_path / "ben.ipynb")) == ["ada", "ben"]


def test_a_folder_holds_one_submission_a_file_and_one_a_subfolder(tmp_path: Path) -> None:
    put(tmp_path / "ada.ipynb")
    zipped(tmp_path / "ben.zip", {"week01_double.ipynb": notebook()})
    put(tmp_path / "cleo" / "week01_double.ipynb")
    put(tmp_path / "cleo" / ".ipynb_checkpoints" / "week01_double-checkpoint.ipynb")
    put(tmp_path / "._ada.ipynb", b"what a Mac leaves behind")
    put(tmp_path / "dora" / "essay.pdf", b"no work")
    put(tmp_path / "emil.IPYNB")
    put(tmp_path / "fay.pdf", b"no work")
    assert names(tmp_path) == ["ada", "ben", "cleo", "dora", "emil", "fay.pdf"]


def test_a_students_notebook_beside_its_export_is_one_submission(tmp_path: Path) -> None:
    put(tmp_path / "ada" / "week01_double.ipynb")
    zipped(tmp_path / "ada" / "week01_double_2026.zip", {"week01_double.ipynb": notebook()})
    zipped(tmp_path / "ben.zip", {"week01_double.ipynb": notebook()})
    put(tmp_path / "cleo" / "first.ipynb")
    put(tmp_path / "cleo" / "second.ipynb")
    assert names(tmp_path) == ["ada", "ben", "cleo/first", "cleo/second"]


def test_who_handed_in_no_notebook_is_told(tmp_path: Path) -> None:
    put(tmp_path / "dora" / "essay.pdf", b"no work")
    put(tmp_path / "fay.pdf", b"no work")
    reasons = []
    for submission in find_submissions([tmp_path]):
        with pytest.raises(InvalidSubmission) as reason:
            read_notebook(submission, WEEK)
        reasons.append(str(reason.value))
    assert reasons == ["the folder holds no notebook and no zip", "is neither a notebook (.ipynb) nor a zip"]


def test_files_of_one_name_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    paths = [put(tmp_path / student / "week01_double.ipynb") for student in ("ada", "ben")]
    assert names(*paths) == ["ada/week01_double", "ben/week01_double"]


def test_the_same_file_twice_is_two_submissions_of_two_names(tmp_path: Path) -> None:
    path = put(tmp_path / "ada.ipynb")
    assert names(path, path) == ["ada", "ada-2"]


@pytest.mark.parametrize("name", ["with space", "quote'\"s", "-dash", "new\nline", "ünïcode", "a;rm -rf b"])
def test_odd_names_are_kept(tmp_path: Path, name: str) -> None:
    put(tmp_path / f"{name}.ipynb")
    assert names(tmp_path) == [name]


def test_a_path_that_is_not_there_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="no such file"):
        find_submissions([tmp_path / "nobody.ipynb"])


def test_an_empty_folder_is_bad_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="is empty"):
        find_submissions([tmp_path])


def test_a_zip_may_hold_more_than_the_notebook(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "ada.zip",
        {
            "sub/week01_double.ipynb": notebook(),
            "scratch.ipynb": b"{}",
            "__MACOSX/week01_double.ipynb": b"x",
            "data.bin": b"\0",
        },
    )
    assert read_notebook(Submission("ada", path), WEEK) == notebook()


def test_a_notebook_without_a_name_of_an_assignment_is_taken(tmp_path: Path) -> None:
    assert read_notebook(Submission("ada", put(tmp_path / "a.ipynb", notebook(None))), WEEK) == notebook(None)


def cells(*cells: Any, **more: Any) -> bytes:
    return json.dumps({"cells": list(cells), "nbformat": 4, **more}).encode()


INVALID = {
    "truncated JSON": (notebook()[:40], "is cut short"),
    "truncated at its end": (notebook()[:-1], "is cut short"),
    "truncated in a string": (notebook()[:-8], "is cut short"),
    "empty": (b" ", "not JSON (the file is empty)"),
    "not UTF-8": ("Grüße".encode("latin-1"), "not UTF-8"),
    "UTF-16": (notebook().decode().encode("utf-16"), "save it as UTF-8"),
    "UTF-32": (notebook().decode().encode("utf-32"), "save it as UTF-8"),
    "NUL bytes": (b"\0" * 100, "not JSON"),
    "NUL bytes inside": (notebook().replace(b"x = 1", b"x\0= 1"), "not JSON"),
    "a picture": (b"\x89PNG\r\n\x1a\n", "not UTF-8"),
    "escape codes": (b"\x1b[31m{}", "not JSON"),
    "a list": (b"[1, 2]", "has no cells"),
    "a number": (b"1", "has no cells"),
    "no cells": (b'{"nbformat": 4}', "has no cells"),
    "cells that are none": (b'{"cells": {"a": 1}}', "has no cells"),
    "format 2": (json.dumps({"worksheets": [], "nbformat": 2}).encode(), "format 2: open it in Jupyter and save"),
    "format 3": (json.dumps({"worksheets": [{"cells": []}], "nbformat": 3}).encode(), "format 3: open it in Jupyter"),
    "no format, worksheets": (b'{"worksheets": []}', "an old format: open it in Jupyter"),
    "format 99": (cells(nbformat=99), "format 99, newer"),
    "a format of 4000 digits": (b'{"cells": [], "nbformat": 1' + b"0" * 4000 + b"}", "a format unknown, newer"),
    "a negative format": (b'{"cells": [], "nbformat": -1}', "an old format"),
    "a number of 5000 digits": (b'{"cells": [], "a": 1' + b"0" * 5000 + b"}", "a number of 5001 digits"),
    "deep nesting": (b"[" * 100_000, "not JSON"),
    "deep nesting, whole": (cells()[:-1] + b', "a": ' + b"[" * 90_000 + b"]" * 90_000 + b"}", "nested too deeply"),
    "no cell": (cells(), "there is no code in it"),
    "no code cell": (cells({"cell_type": "markdown", "source": "x = 1"}), "there is no code in it"),
    "empty code": (
        cells({"cell_type": "code", "source": [" \n", ""]}, {"cell_type": "code"}),
        "there is no code in it",
    ),
    "odd cells": (cells(1, None, [], {"cell_type": "code", "source": 3}), "there is no code in it"),
    "another assignment": (notebook("week02"), "is a notebook of 'week02'"),
    "another with an odd name": (notebook("\x1b[31m\n\u202e" + "w" * 999), r"is a notebook of '\x1b[31m\n\u202ewww"),
    "a second notebook behind it": (notebook() * 2, "not JSON"),
}


@pytest.mark.parametrize(("data", "says"), INVALID.values(), ids=INVALID)
def test_what_cannot_be_graded_says_why_in_one_line(tmp_path: Path, data: bytes, says: str) -> None:
    assert says in refused(put(tmp_path / "ada.ipynb", data))
    assert says in refused(zipped(tmp_path / "ada.zip", {"a.ipynb": data}))


TAKEN = {
    "a byte order mark": b"\xef\xbb\xbf" + notebook(),
    "NaN and Infinity": notebook().replace(b'"metadata": {}', b'"metadata": {"t": [NaN, -Infinity, 1e999]}'),
    "no format": notebook().replace(b'"nbformat": 4, ', b""),
    "an odd assignment name": notebook().replace(b'"week01_double"', b"[1]"),
    "half a surrogate": notebook().replace(b"x = 1", rb"x = '\ud83d'"),
    "unknown keys": notebook().replace(b'"nbformat": 4', b'"nbformat": 4, "more": [{}]'),
}


@pytest.mark.parametrize("data", TAKEN.values(), ids=TAKEN)
def test_what_is_odd_but_can_be_graded_is_taken_as_it_is(tmp_path: Path, data: bytes) -> None:
    assert read_notebook(Submission("ada", put(tmp_path / "ada.ipynb", data)), WEEK) == data
    assert len(read_cells(Submission("ada", tmp_path / "ada.ipynb"), WEEK)["cells"]) == 1


def test_of_a_key_that_stands_twice_the_last_counts_as_in_jupyter(tmp_path: Path) -> None:
    data = notebook().replace(b'"source": "x = 1"', b'"source": "x = 1", "source": "x = 2"')
    (cell,) = read_cells(Submission("ada", put(tmp_path / "ada.ipynb", data)), WEEK)["cells"]
    assert cell["source"] == "x = 2"


# What is no file


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ada.ipynb")
    assert refused(tmp_path / "ada.ipynb") == "is not a file"


def test_a_socket_is_not_a_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "ada.ipynb"))
        assert refused(tmp_path / "ada.ipynb") == "is not a file"


def test_a_device_is_not_a_file() -> None:
    assert refused(Path("/dev/zero")) == "is not a file"


def test_a_folder_with_a_notebooks_name_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "ada.ipynb").mkdir()
    assert refused(tmp_path / "ada.ipynb") == "the folder is empty"
    put(tmp_path / "ada.ipynb" / "essay.pdf", b"no work")
    assert refused(tmp_path / "ada.ipynb") == "the folder holds no notebook and no zip"


def test_a_file_that_went_away_is_invalid(tmp_path: Path) -> None:
    assert refused(tmp_path / "ada.ipynb") == "cannot be read: No such file or directory"


LINKS: dict[str, Callable[[Path], str]] = {
    "dangling": lambda folder: "nowhere",
    "to itself": lambda folder: "eve.ipynb",
    "out of the folder": lambda folder: str(put(folder.parent / "secret" / "x.ipynb")),
    "to another's": lambda folder: str(put(folder / "ada.ipynb").name),
    "to a device": lambda folder: "/dev/zero",
}


@pytest.mark.parametrize("kind", LINKS)
def test_a_link_is_not_followed(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "all"
    folder.mkdir()
    (folder / "eve.ipynb").symlink_to(LINKS[kind](folder))
    for found in (find_submissions([folder]), find_submissions([folder / "eve.ipynb"])):
        assert found[-1].name == "eve"
        assert refused(found[-1].path) == "is a link: hand in the file itself"


def test_a_link_in_a_students_folder_is_not_followed(tmp_path: Path) -> None:
    put(tmp_path / "secret" / "x.ipynb")
    folder = tmp_path / "all"
    (folder / "eve").mkdir(parents=True)
    (folder / "eve" / "a.ipynb").symlink_to("../../secret/x.ipynb")
    (folder / "eve" / "more").symlink_to("../../secret")
    (folder / "fay").symlink_to("../secret")
    found = find_submissions([folder])
    assert [submission.name for submission in found] == ["eve", "fay"]
    for submission in found:
        assert refused(submission.path) == "is a link: hand in the file itself"


def test_a_file_without_permission_is_invalid(tmp_path: Path) -> None:
    path = put(tmp_path / "ada.ipynb")
    put(tmp_path / "ben" / "work.ipynb")
    path.chmod(0)
    (tmp_path / "ben").chmod(0)
    for above in [tmp_path, *tmp_path.parents]:
        if above == Path(tempfile.gettempdir()):
            break
        above.chmod(0o755)
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:  # root may read everything: so as somebody else
        try:
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            said = [f"{submission.name}: {refused(submission.path)}" for submission in find_submissions([tmp_path])]
            os.write(writer, "\n".join(said).encode())
        except BaseException as error:
            os.write(writer, repr(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    (tmp_path / "ben").chmod(0o755)
    assert said == "ada: cannot be read: Permission denied\nben: cannot be read: Permission denied"


@pytest.mark.parametrize("change", ["grows", "is cut", "is written anew"])
def test_a_file_that_changes_while_it_is_read_is_invalid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = put(tmp_path / "ada.ipynb", notebook() + b" " * 100)
    os.utime(path, ns=(0, 0))
    fstat = os.fstat

    def and_then(descriptor: int) -> os.stat_result:
        told = fstat(descriptor)
        if told.st_mtime_ns == 0:
            data = path.read_bytes()
            path.write_bytes({"grows": data + b" ", "is cut": data[:-9], "is written anew": data}[change])
        return told

    monkeypatch.setattr(module.os, "fstat", and_then)
    with pytest.raises(InvalidSubmission, match="changed while it was read: grade it again"):
        read_notebook(Submission("ada", path), WEEK)


# Names


def test_names_that_are_no_text_are_spelled_out(tmp_path: Path) -> None:
    for name in (b"gr\xfc\xdfe.ipynb", b"\xff.ipynb"):
        put(Path(os.fsdecode(bytes(tmp_path) + b"/" + name)))
    found = find_submissions([tmp_path])
    assert [submission.name for submission in found] == [r"gr\xfc\xdfe", r"\xff"]
    for submission in found:
        submission.name.encode()
        assert read_notebook(submission, WEEK) == notebook()


def test_a_name_may_have_255_bytes(tmp_path: Path) -> None:
    put(tmp_path / ("n" * 249 + ".ipynb"))
    (submission,) = find_submissions([tmp_path])
    assert submission.name == "n" * 249
    assert read_notebook(submission, WEEK) == notebook()


def test_two_submissions_of_one_student_are_told_apart(tmp_path: Path) -> None:
    put(tmp_path / "ada.ipynb")
    put(tmp_path / "ada.IPYNB")
    zipped(tmp_path / "ada.zip", {"a.ipynb": notebook()})
    put(tmp_path / "ada" / "one.ipynb")
    put(tmp_path / "ada" / "sub" / "one.ipynb")
    found = find_submissions([tmp_path, tmp_path])
    assert len({submission.name for submission in found}) == len(found) == 10
    for submission in found:
        assert read_notebook(submission, WEEK) == notebook()


def test_ten_thousand_submissions_are_named_at_once() -> None:
    found = [module._Found(["all", ["work", str(i)][i % 2]], Path(f"{i}/work.ipynb")) for i in range(10_000)]
    started = time.process_time()
    assert len({submission.name for submission in module._named(found)}) == 10_000
    assert time.process_time() - started < 3


def test_a_students_folder_may_be_deep_or_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 50)
    put(tmp_path / "ada" / "work.ipynb")
    deep = tmp_path / "ada" / "/".join("d" * 60)
    put(deep / "deep.ipynb")
    for i in range(200):
        put(tmp_path / "ben" / f"f{i % 20}" / f"{i:03}.ipynb")
    found = names(tmp_path)
    assert found[0] == "ada"
    assert 1 < len(found) < 100


# Size


def test_outputs_however_large_do_not_cost_the_work(tmp_path: Path) -> None:
    path = tmp_path / "ada.ipynb"
    before, after = with_outputs('"|"').split(b"|")
    with path.open("wb") as stream:  # sparse: 200 MB of nothing, in a string
        stream.write(before + b"A" * 100)
        stream.seek(200 * 10**6)
        stream.write(after)
    tracemalloc.start()
    assert read_notebook(Submission("ada", path), WEEK) == notebook()
    assert tracemalloc.get_traced_memory()[1] < 150 * 2**20
    tracemalloc.stop()


def test_a_text_of_200_mb_that_is_no_notebook_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "ada.ipynb"
    with path.open("wb") as stream:
        stream.truncate(200 * 2**20)
    assert refused(path) == "is larger than 16 MiB even without its outputs"


def test_a_file_that_is_larger_still_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "ada.ipynb"
    with path.open("wb") as stream:
        stream.truncate(2**40)
    assert refused(path) == "is larger than 256 MiB: clear its outputs and save it anew"


def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT_BYTES", 4096)
    monkeypatch.setattr(module, "MAX_NOTEBOOK_BYTES", 65_536)
    monkeypatch.setattr(module, "_CHUNK", 1000)


def test_a_large_notebook_that_is_cut_short_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    data = with_outputs(*['"aaaaaaaa"'] * 1000)
    assert read_notebook(Submission("ada", put(tmp_path / "ada.ipynb", data)), WEEK) == notebook()
    assert "is cut short" in refused(put(tmp_path / "ada.ipynb", data[:-200]))
    assert "is cut short" in refused(put(tmp_path / "ada.ipynb", data[:5000]))


def chopped(data: bytes, size: int) -> Iterator[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000, 10**6])
def test_only_outputs_are_dropped_wherever_a_chunk_ends(size: int) -> None:
    shown = ['"]}"', r'"\"]\\"', r'"\\\\"', '{"outputs": [1, {"a": []}]}', "[[]]", '""']
    text = '{"cells": [%s], "metadata": {"outputs": [1], "widgets": {"state": {"outputs": [2]}}}, "outputs": [3]}'
    cell = r'{"source": ["\"outputs\": [1]\\", "{"], "metadata": {"outputs": ["]"], "t": {"outputs": [{}]}}, %s}'
    full = cell % f'"outputs" : [{", ".join(shown)}],\n "attachments": {{"a": {{"b": "]"}}}}'
    bare = cell % '"outputs" : [],\n "attachments": {}'
    dropped, whole = drop_outputs(chopped((text % ", ".join([full] * 5)).encode(), size), 10**6)
    assert whole
    kept = (text % ", ".join([bare] * 5)).replace('{"state": {"outputs": [2]}}', "{}")
    assert dropped.decode() == kept
    json.loads(dropped)


COSTLY = {
    "brackets": (b'{"cells":[{"outputs":[', b"[]"),
    "open brackets": (b'{"cells":[{"outputs":[', b"["),
    "quotes": (b'{"cells":[{"outputs":[', b'""'),
    "backslashes": (b'{"cells":[{"outputs":["', b"\\\\"),
    "one odd backslash": (b'{"cells":[{"outputs":["a\\', b"\\"),
    "many outputs": (b'{"cells":[{', b'"outputs":[],'),
    "many cells": (b'{"cells":[', b'{"outputs":[]},'),
    "closing brackets": (b'{"cells":[{"outputs":[', b"]"),
}


@pytest.mark.parametrize("name", COSTLY)
def test_dropping_costs_the_same_whatever_the_text_is(name: str) -> None:
    head, unit = COSTLY[name]
    block = unit * (2**20 // len(unit))
    started = time.process_time()
    drop_outputs(iter([head, *[block] * 10]), 4 * 2**20)
    assert time.process_time() - started < 4


# Zips


def patched(path: Path, change: Callable[[zipfile.ZipInfo], None], data: bytes = b"") -> Path:
    entry = zipfile.ZipInfo("week01_double.ipynb")
    change(entry)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, data or notebook())
    return path


def link(entry: zipfile.ZipInfo) -> None:
    entry.create_system = 3
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16


def test_a_link_in_a_zip_is_not_followed(tmp_path: Path) -> None:
    assert "is a link" in refused(patched(tmp_path / "ada.zip", link, b"/etc/passwd"))


def test_an_encrypted_zip_says_so(tmp_path: Path) -> None:
    path = zipped(tmp_path / "ada.zip", {"week01_double.ipynb": notebook()})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert refused(path) == "the notebook in the zip is encrypted: zip it without a password"


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_zip_that_python_unpacks_without_bounds_is_refused(tmp_path: Path, method: int) -> None:
    path = tmp_path / "ada.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("week01_double.ipynb", notebook())
    assert "packed by another method than deflate" in refused(path)


def test_zips_in_zips_are_not_opened(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"week01_double.ipynb": notebook()}).read_bytes()
    path = zipped(tmp_path / "ada.zip", {f"lib {i}.zip": inner for i in range(16)})
    assert refused(path) == "there is no notebook in the zip"


def test_an_empty_zip_holds_no_notebook(tmp_path: Path) -> None:
    assert refused(zipped(tmp_path / "ada.zip", {})) == "there is no notebook in the zip"


def test_a_zip_from_windows_or_a_mac_is_taken(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "ada.zip",
        {"work\\week01_double.ipynb": notebook(), "__MACOSX/._week01_double.ipynb": b"x", "old.ipynb": b"{}"},
    )
    assert read_notebook(Submission("ada", path), WEEK) == notebook()


def test_a_zip_that_lists_too_many_files_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "ada.zip"
    entry = b"PK\x01\x02" + bytes(42)
    listed = entry * 200_000
    end = b"PK\x05\x06" + bytes(8) + len(listed).to_bytes(4, "little") + bytes(6)
    path.write_bytes(listed + end)
    tracemalloc.start()
    assert refused(path) == "is not a zip that can be read: it lists too many files"
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()


@pytest.mark.parametrize("lies", [0, 10, 2**31])
def test_a_zip_that_lies_of_its_size_is_cut_off(tmp_path: Path, lies: int) -> None:
    path = zipped(tmp_path / "ada.zip", {"week01_double.ipynb": b" " * (40 * 2**20)})
    data = bytearray(path.read_bytes())
    for place in (22, data.index(b"PK\x01\x02") + 24):  # the unpacked size, at both places
        data[place : place + 4] = lies.to_bytes(4, "little")
    path.write_bytes(data)
    tracemalloc.start()
    refused(path)
    assert tracemalloc.get_traced_memory()[1] < 100 * 2**20
    tracemalloc.stop()


def test_large_outputs_in_a_zip_do_not_cost_the_work(tmp_path: Path) -> None:
    data = with_outputs('"' + "A" * (30 * 2**20) + '"')
    path = zipped(tmp_path / "ada.zip", {"week01_double.ipynb": data})
    assert read_notebook(Submission("ada", path), WEEK) == notebook()


def test_text_from_a_zip_is_not_printed_as_it_is(tmp_path: Path) -> None:
    path = zipped(tmp_path / "ada.zip", {"\x1b[31mred\n.ipynb": notebook() * 9})
    data = path.read_bytes()
    path.write_bytes(data[:50] + b"\xff" + data[51:])
    refused(path)


def test_a_zip_bomb_is_cut_off(tmp_path: Path) -> None:
    path = zipped(tmp_path / "ada.zip", {"week01_double.ipynb": b" " * (65 * 2**20)})
    assert path.stat().st_size < 2**20
    assert refused(path) == "is larger than 16 MiB even without its outputs"


def test_a_bomb_of_outputs_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    path = zipped(tmp_path / "ada.zip", {"week01_double.ipynb": with_outputs('"' + "A" * 70_000 + '"')})
    assert "is larger than 0 MiB: clear its outputs" in refused(path)


@pytest.mark.parametrize("name", ["../../week01_double.ipynb", "/etc/week01_double.ipynb"])
def test_nothing_in_a_zip_is_unpacked(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "ada.zip", {name: notebook()})
    before = sorted(tmp_path.rglob("*"))
    assert read_notebook(Submission("ada", path), WEEK) == notebook()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_zip_with_broken_contents_is_invalid(tmp_path: Path) -> None:
    path = tmp_path / "ada.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("week01_double.ipynb", notebook() * 50)
    data = bytearray(path.read_bytes())
    data[60:90] = bytes(30)
    path.write_bytes(data)
    with pytest.raises(InvalidSubmission, match="is not a zip that can be read"):
        read_notebook(Submission("ada", path), WEEK)


def test_a_zip_without_the_notebook_is_invalid(tmp_path: Path) -> None:
    path = zipped(tmp_path / "ada.zip", {"a.ipynb": notebook(), "b.ipynb": notebook()})
    with pytest.raises(InvalidSubmission, match=r"does not hold one notebook named week01_double\.ipynb"):
        read_notebook(Submission("ada", path), WEEK)


def test_garbage_under_a_zips_name_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(InvalidSubmission, match="is not a zip"):
        read_notebook(Submission("ada", put(tmp_path / "ada.zip", b"PK\x03\x04 garbage")), WEEK)
