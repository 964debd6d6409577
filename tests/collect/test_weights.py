"""Weights go where the notebook goes that they came with."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from gradekit.grade.beside import TAKEN, take_beside
from gradekit.grade.submission import find_submissions
from gradekit.hand_in import MOST_BYTES
from tests.collect.conftest import NOTEBOOK, Collecting, notebook, packed, put, zipped

FILE = "network.safetensors"


def weights(collecting: Collecting) -> dict[str, bytes]:
    found = [path for path in collecting.output.rglob("*.safetensors") if path.is_file()]
    return {path.relative_to(collecting.output).as_posix(): path.read_bytes() for path in sorted(found)}


def why(collecting: Collecting, student: str) -> str:
    return next(row["why"] for row in collecting.rows if row["student"] == student and row["outcome"] == "taken")


def test_from_a_folder_and_from_a_zip_and_nobody_elses(collecting: Collecting, tmp_path: Path) -> None:
    ben = packed({NOTEBOOK: notebook(), FILE: b"bens"}, tmp_path / "ben.zip")
    put(
        collecting.source,
        {f"ada/{NOTEBOOK}": notebook(), f"ada/{FILE}": b"adas", "ben.zip": ben, f"cleo/{NOTEBOOK}": notebook()},
    )
    collecting()
    assert weights(collecting) == {f"ada/{FILE}": b"adas", f"ben/{FILE}": b"bens"}
    assert why(collecting, "ada") == ""
    for found in find_submissions([collecting.output]):
        place = tmp_path / f"taken-{found.name}"
        place.mkdir()
        assert take_beside(found, [FILE], place) == {FILE: "" if found.name == "cleo" else TAKEN}


def test_in_a_folder_of_notebooks_they_are_nobodys(collecting: Collecting) -> None:
    put(collecting.source, {"ada.ipynb": notebook(), "ben.ipynb": notebook(), FILE: b"whose?"})
    collecting()
    assert weights(collecting) == {}
    assert (FILE, "not taken") in collecting.said("file", "outcome")


def test_beside_a_zip_with_the_notebook_they_are_told_and_left(collecting: Collecting, tmp_path: Path) -> None:
    work = packed({NOTEBOOK: notebook()}, tmp_path / "work.zip")
    put(collecting.source, {"ada/work.zip": work, f"ada/{FILE}": b"adas", "ben/x.txt": b""})
    collecting()
    assert weights(collecting) == {}
    assert f"without what came with it: {FILE}" in why(collecting, "ada")


def test_of_those_that_canvas_numbers_the_last_counts(collecting: Collecting) -> None:
    files = {
        "lovelaceada_1042_1_week05_conv.ipynb": notebook(),
        "lovelaceada_1042_2_network.safetensors": b"first",
        "lovelaceada_1042_3_network-1.safetensors": b"second",
        "hopperg_1043_4_week05_conv.ipynb": notebook(),
        "hopperg_1043_5_network%20(1).safetensors": b"odd name",
    }
    put(collecting.source, files)
    collecting(kind="canvas")
    assert weights(collecting) == {f"lovelaceada/{FILE}": b"second"}
    assert "has a name that no assignment gives" in why(collecting, "hopperg")


def test_in_nbgraders_layout(collecting: Collecting) -> None:
    name = "ada+week05_conv+2026-11-24 10:00:00.000000 UTC+r"
    put(collecting.source, {f"{name}/{NOTEBOOK}": notebook(), f"{name}/{FILE}": b"adas"})
    collecting(nbgrader="week05_conv")
    assert weights(collecting) == {f"ada/week05_conv/{FILE}": b"adas"}


def test_an_update_sees_that_only_the_weights_have_changed(collecting: Collecting, tmp_path: Path) -> None:
    name = f"Ada_1_assignsubmission_file_/{NOTEBOOK}"
    place = f"Ada_1_assignsubmission_file_/{FILE}"
    collecting(put(tmp_path / "1", {name: notebook(), place: b"one"}))
    before = next(collecting.output.rglob("*.ipynb")).stat().st_mtime_ns
    collecting(put(tmp_path / "2", {name: notebook(), place: b"one"}), update=True)
    assert next(collecting.output.rglob("*.ipynb")).stat().st_mtime_ns == before
    for number, data in (("3", b"two"), ("4", b"three!")):
        collecting(put(tmp_path / number, {name: notebook(), place: data}), update=True)
        assert list(weights(collecting).values()) == [data]
    collecting(put(tmp_path / "5", {name: notebook()}), update=True)
    assert weights(collecting) == {}


@pytest.mark.parametrize("inside", [True, False], ids=["zip", "folder"])
def test_what_may_not_be_taken_costs_the_notebook_nothing(collecting: Collecting, tmp_path: Path, inside: bool) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    files = {NOTEBOOK: notebook(), "large.safetensors": bytes(MOST_BYTES + 1), "a/twice.safetensors": b"1"}
    files["b/twice.safetensors"] = b"2"
    if inside:
        path = zipped(collecting.source / "ada.zip", files)
        with zipfile.ZipFile(path, "a") as archive:
            link = zipfile.ZipInfo("linked.safetensors")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, str(tmp_path / "secret"))
        put(collecting.source, {"ben.ipynb": notebook()})
    else:
        put(collecting.source / "ada", files)
        (collecting.source / "ada" / "linked.safetensors").symlink_to(tmp_path / "secret")
    collecting(kind="folder")
    assert weights(collecting) == {}
    assert f"ada/{NOTEBOOK}" in collecting.files
    for said in ("large.safetensors, which is larger", "twice.safetensors, which is there 2 times"):
        assert said in why(collecting, "ada")
    assert "linked.safetensors, which" in why(collecting, "ada")
    assert "link" in why(collecting, "ada").split("linked.safetensors, which")[1]


def test_more_than_a_few_are_not_taken(collecting: Collecting) -> None:
    epochs = {f"epoch{i:02}.safetensors": b"" for i in range(40)}
    put(collecting.source / "ada", {NOTEBOOK: notebook(), **epochs})
    put(collecting.source, {"ben.ipynb": notebook()})
    collecting()
    assert len(weights(collecting)) == 32
    assert "is one of more than 32" in why(collecting, "ada")


def test_checkpoints_of_epochs_do_not_crowd_out_what_was_asked_for(collecting: Collecting) -> None:
    epochs = {f"epoch{i}.safetensors": b"" for i in range(9)}
    put(collecting.source / "ada", {NOTEBOOK: notebook(), FILE: b"mine", **epochs})
    put(collecting.source, {"ben.ipynb": notebook()})
    collecting()
    assert weights(collecting)[f"ada/{FILE}"] == b"mine"


def test_more_bytes_than_an_assignment_can_ask_for_are_not_taken(
    collecting: Collecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gradekit.collect.weights._MOST_BYTES_TAKEN", 10)
    put(collecting.source / "ada", {NOTEBOOK: notebook(), "a.safetensors": bytes(8), "b.safetensors": bytes(8)})
    put(collecting.source, {"ben.ipynb": notebook()})
    collecting()
    assert list(weights(collecting)) == ["ada/a.safetensors"]
    assert "b.safetensors, which is beyond" in why(collecting, "ada")


def test_beside_a_notebook_those_in_the_zip_that_it_exported_are_taken(collecting: Collecting, tmp_path: Path) -> None:
    """Where the notebook and the zip of its last cell are handed in together."""
    put(collecting.source, {f"adalovelace_1_2_{NOTEBOOK}": notebook(), f"hopperg_3_4_{NOTEBOOK}": notebook()})
    zipped(collecting.source / "adalovelace_1_5_week05.zip", {NOTEBOOK: notebook(), FILE: b"inside"})
    collecting(kind="canvas")
    assert weights(collecting) == {f"adalovelace/{FILE}": b"inside"}
    assert "with the weights in the zip beside it" in why(collecting, "adalovelace")


def test_loose_weights_come_before_those_in_a_zip(collecting: Collecting) -> None:
    put(collecting.source / "ada", {NOTEBOOK: notebook(), FILE: b"loose"})
    zipped(collecting.source / "ada" / "old.zip", {NOTEBOOK: notebook(), FILE: b"inside"})
    put(collecting.source, {"ben.ipynb": notebook()})
    collecting(kind="folder")
    assert weights(collecting) == {f"ada/{FILE}": b"loose"}
