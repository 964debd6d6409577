"""Whether large downloads are agreed to: the environment variable GRADEKIT_DATA."""

import os

CONSENT = "GRADEKIT_DATA"


def wants_full() -> bool:
    """True for `full`, False for `small` or nothing. ValueError for anything else."""
    wanted = os.environ.get(CONSENT, "").strip().lower()
    if wanted not in ("", "small", "full"):
        raise ValueError(f"{CONSENT}={wanted!r}: expected full, small, or nothing")
    return wanted == "full"
