"""Text that came from a submission -> a cell of a CSV file that every spreadsheet reads as that text."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["cell", "plain", "quoted"]

# What opens a formula, or a command, in one spreadsheet or another; the last four are their full-width twins.
_OPENS_A_FORMULA = tuple("=+-@|%＝＋－＠")

# Marks that turn the direction of text round (Unicode Bidirectional Algorithm, 2), and control characters.
_UNSEEN = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def cell(text: str) -> str:
    """`text` as a cell: plain, and quoted where it must be."""
    return quoted(plain(text))


def plain(name: str) -> str:
    """A name that a spreadsheet does not take for a formula, and that does not rearrange the text around it."""
    seen = _UNSEEN.sub(lambda mark: f"\\u{ord(mark[0]):04x}", name)
    return f"'{seen}" if name[:1] in ("\t", "\r") or _bare(name).startswith(_OPENS_A_FORMULA) else seen


def _bare(name: str) -> str:
    """Without the white space and invisible characters in front, which some spreadsheets drop."""
    for i, character in enumerate(name):
        if not character.isspace() and unicodedata.category(character) not in ("Cc", "Cf"):
            return name[i:]
    return ""


def quoted(text: str) -> str:
    """Quoted wherever a dialect of CSV might cut it in two: where Excel's list separator is a semicolon, say."""
    return '"' + text.replace('"', '""') + '"' if re.search(r'[^\S ]|[,;:|"]', text) else text
