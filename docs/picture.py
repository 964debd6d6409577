"""Draw docs/demo.svg, the picture in the README, from a real run of `gradekit demo`.

.venv/bin/python docs/picture.py
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from gradekit.cli.demo import demo

HERE = Path(__file__).parent


def main() -> None:
    console = Console(record=True, width=88, highlight=False, force_terminal=True)
    for command in ("demo", "grade"):  # not the progress bar's, which leaves nothing behind on a screen only
        sys.modules[f"gradekit.cli.{command}"].console = console  # type: ignore[attr-defined]
    console.print("[dim]$[/] make demo")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        demo(output=Path("demo"), course=HERE.parent)
        shown = console.export_svg(title="gradekit demo", clear=False)
    (HERE / "demo.svg").write_text(shown)


if __name__ == "__main__":
    main()
