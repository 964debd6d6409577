"""Removing what a submission has left in its folder."""

import os
from pathlib import Path

from gradekit.sandbox.scratch import remove


def test_depth_links_and_modes_do_not_matter(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "scratch"
    for made in (outside, folder, folder / "closed"):
        made.mkdir()
    (outside / "kept").write_text("x")
    (folder / "link").symlink_to(outside)
    (folder / "closed" / "file").write_text("x")
    (folder / "closed").chmod(0)
    here = os.getcwd()
    os.chdir(folder)
    try:
        for _ in range(1500):  # deeper than Python recurses, and than a path may be long
            os.mkdir("deep")
            os.chdir("deep")
    finally:
        os.chdir(here)
    remove(folder)
    assert not folder.exists()
    assert (outside / "kept").read_text() == "x"


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("x")
    (tmp_path / "scratch").symlink_to(tmp_path / "outside")
    remove(tmp_path / "scratch")
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (tmp_path / "outside" / "kept").exists()
