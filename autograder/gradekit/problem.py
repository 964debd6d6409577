"""What went wrong, where, and how to mend it: the one shape of every error that a person should read."""

from __future__ import annotations

from pathlib import Path

__all__ = ["Problem", "UsageProblem"]


class Problem(Exception):
    """Something in the course or in the input is wrong.

    `where` names the file (and the cell or key inside it), `what` says what is wrong, `mend` what to do about it.
    Commands print it and exit with 1.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | Path = "", mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = str(where)
        self.mend = mend

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        if self.mend:
            lines.append(f"  mend: {self.mend}")
        return "\n".join(lines)


class UsageProblem(Problem):
    """The command was called with something that cannot be meant. Commands print it and exit with 2."""

    exit_code = 2
