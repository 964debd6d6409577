"""Which platform gave this, and where in it the submissions lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gradekit.collect import canvas, folder, gradescope, moodle, nbgrader
from gradekit.collect.listing import Listing
from gradekit.problem import UsageProblem

__all__ = ["KINDS", "recognise"]

# In this order where two fit equally well.
_SHARES: dict[str, Callable[[Listing], float]] = {
    "gradescope": gradescope.share,
    "nbgrader": nbgrader.share,
    "moodle": moodle.share,
    "canvas": canvas.share,
}
KINDS = (*sorted(_SHARES), "folder")
_ENOUGH = 0.5  # of the names: one student who names a file like another platform's does not decide
_WRAPPERS = 3  # folders around it, as unpacking makes them
_EXPECTED = {
    "canvas": canvas.EXPECTED,
    "gradescope": gradescope.METADATA,
    "moodle": moodle.EXPECTED,
    "nbgrader": "submitted/ada/week05/, or inbound/ada+week05+TIME+RANDOM/",
}


def recognise(listing: Listing, asked: str = "") -> tuple[str, Listing]:
    """(kind, what lies where the submissions are). `asked`: take it for this kind; UsageProblem where nothing fits."""
    if asked and asked not in KINDS:
        raise UsageProblem(f"--from {asked}: expected one of {', '.join(KINDS)}")
    if asked != "folder":
        for place in _places(listing):
            shares = {kind: share(place) for kind, share in _SHARES.items() if asked in ("", kind)}
            best = max(shares, key=lambda kind: shares[kind])
            if shares[best] >= _ENOUGH or (asked and shares[best] > 0):
                return best, place
    if asked not in ("", "folder"):
        raise UsageProblem(
            f"does not look like what {asked} gives: there is nothing like {_EXPECTED[asked]} in it",
            where=listing.title,
            mend="leave out --from, or name another",
        )
    return "folder", folder.class_folder(listing)


def _places(listing: Listing) -> Iterator[Listing]:
    for _ in range(_WRAPPERS + 1):
        yield listing
        tops = listing.tops()
        if len(tops) != 1 or (tops[0],) not in listing.folders:
            return
        listing = listing.below(tops[0])
