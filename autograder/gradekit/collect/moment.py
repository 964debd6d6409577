"""Times as platforms and people write them -> moments with a time zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from gradekit.problem import UsageProblem

__all__ = ["due", "moment"]

_MOMENT = re.compile(
    r"""(?P<date>\d{4}-\d\d-\d\d)[T ]+
    (?P<hour>\d\d)[:_](?P<minute>\d\d)(?:[:_](?P<second>\d\d))?(?:[.,](?P<part>\d{1,9}))?
    \s*(?:(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d)?|(?P<zone>[A-Za-z][A-Za-z0-9_+/-]*))?""",
    re.VERBOSE,
)


def moment(text: str) -> datetime | None:
    """`2026-11-24 18:00:00.5 UTC`, `...+01:00`, `...Z`, or an IANA zone's name at the end; UTC where none is said.

    None where it is no such time.
    """
    found = _MOMENT.fullmatch(text.strip())
    if not found:
        return None
    zone: tzinfo = UTC
    try:
        if found["sign"]:
            offset = timedelta(hours=int(found["hours"]), minutes=int(found["minutes"] or 0))
            zone = timezone(-offset if found["sign"] == "-" else offset)
        elif found["zone"] and found["zone"].upper() not in ("Z", "UTC", "GMT"):
            zone = ZoneInfo(found["zone"])
        part = int((found["part"] or "0").ljust(6, "0")[:6])
        year, month, day = map(int, found["date"].split("-"))
        clock = (int(found["hour"]), int(found["minute"]), int(found["second"] or 0), part)
        said = datetime(year, month, day, *clock, tzinfo=zone)
        return said.astimezone(UTC)
    except (ValueError, KeyError, OverflowError, OSError):  # no such day, or no such zone
        return None


def due(text: str) -> datetime:
    """--due: ISO 8601; this machine's time zone where it says none. UsageProblem where it is none."""
    example = 'write it like "2026-11-24 18:00" or "2026-11-24T18:00+01:00"'
    try:
        said = datetime.fromisoformat(text.strip())
        if not re.search(r"\d[T ]\d", text.strip()):
            raise UsageProblem(f"--due {text}: says no time of day", mend=example)
        return said.astimezone(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageProblem(f"--due {text}: is no date and time of ISO 8601", mend=example) from error
