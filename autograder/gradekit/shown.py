"""Text that came from a submission, to be shown to people."""

from __future__ import annotations

__all__ = ["shown"]


def shown(text: str, most: int | None = None) -> str:
    """Without what would steer a terminal, or turn the direction of the text around it; cut to `most` characters.

    Markup is the business of whoever writes it into markup.
    """
    seen = "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return seen if most is None or len(seen) <= most else seen[: most - 1] + "…"
