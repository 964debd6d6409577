"""A build, for commands that need one: says where it left what somebody had changed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gradekit.cli.terminal import console, plain
from gradekit.course import Week

if TYPE_CHECKING:
    from gradekit.build.assignment import Assignment

__all__ = ["rebuild"]


def rebuild(week: Week) -> Assignment:
    from gradekit.build.make import build_week

    def tell(place: Path, folder: Path) -> None:
        told = f"{week.relative(place)} is built anew; what was changed there by hand lies in {week.relative(folder)}"
        console.print(plain(told), style="yellow")

    return build_week(week, on_aside=tell)
