"""Times, as platforms write them."""

from __future__ import annotations

import pytest

from gradekit.collect.moment import moment


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-11-24 18:00:00.123456 UTC", "2026-11-24T18:00:00.123456+00:00"),
        ("2026-11-24 18:00:00", "2026-11-24T18:00:00+00:00"),
        ("2026-11-24 18:00:00.318411000 Z\n", "2026-11-24T18:00:00.318411+00:00"),
        ("2026-11-24 18_00_00 UTC", "2026-11-24T18:00:00+00:00"),  # as Windows unpacks it
        ("2026-11-24T18:00:00.5-07:00", "2026-11-25T01:00:00.500000+00:00"),
        ("2026-11-24 18:00:00.0 +0530", "2026-11-24T12:30:00+00:00"),
        ("2026-07-24 18:00:00 Europe/Berlin", "2026-07-24T16:00:00+00:00"),
    ],
)
def test_a_time_with_or_without_a_zone(text: str, said: str) -> None:
    found = moment(text)
    assert found is not None
    assert found.isoformat() == said


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-13-24 18:00:00", "2026-11-24 25:00", "2026-11-24 18:00:00 XQZ", "0001-01-01 00:00 +23:00"],
)
def test_what_is_no_time_is_unknown(text: str) -> None:
    assert moment(text) is None
