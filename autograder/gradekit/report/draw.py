"""The report's pictures: SVG whose colours are the page's, and whose titles are what a screen reader says."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from gradekit.report.analysis import Timed

__all__ = ["histogram", "ratios"]

_WIDTH = 640


def histogram(scores: Sequence[float], possible: float, bins: int = 10) -> str:
    """How many submissions have which score: `bins` equal parts from 0 to `possible`, the last with its right end."""
    top = possible or 1.0
    counts = [0] * bins
    for score in scores:
        counts[min(bins - 1, max(0, int(bins * score / top)))] += 1
    highest, height, base = max(counts) or 1, 150, 172
    step = (_WIDTH - 40) / bins
    parts = []
    for number, count in enumerate(counts):
        tall, left = height * count / highest, 20 + number * step
        low, high = (f"{top * end / bins:g}" for end in (number, number + 1))
        parts.append(
            f'<rect class="bar" x="{left + 2:.1f}" y="{base - tall:.1f}" width="{step - 4:.1f}" height="{tall:.1f}">'
            f"<title>{count} of {len(scores)}: {low} to {high} points</title></rect>"
        )
        if count:
            parts.append(_text(left + step / 2, base - tall - 5, str(count), "middle"))
        parts.append(_text(left, base + 16, low, "middle"))
    parts.append(_text(_WIDTH - 20, base + 16, f"{top:g}", "middle"))
    parts.append(f'<line class="axis" x1="20" x2="{_WIDTH - 20}" y1="{base}" y2="{base}"/>')
    said = ", ".join(
        f"{top * i / bins:g} to {top * (i + 1) / bins:g}: {count}" for i, count in enumerate(counts) if count
    )
    return _svg(base + 24, f"Distribution of scores, in points: {said}", parts)


def ratios(timed: Timed) -> str:
    """Every submission's ratio to the reference on a logarithmic axis, and the limit."""
    values = [ratio for _, ratio, _ in timed.ratios]
    low, high = min([*values, 1.0, timed.limit]) / 1.15, max([*values, 1.0, timed.limit]) * 1.15

    def place(value: float) -> float:
        return 20 + (_WIDTH - 40) * math.log(value / low) / math.log(high / low)

    parts = [f'<line class="axis" x1="20" x2="{_WIDTH - 20}" y1="64" y2="64"/>']
    for number, (_, ratio, verdict) in enumerate(timed.ratios):
        y = 44 + ((number * 7) % 11 - 5) * 2.6  # so that equal ones do not hide each other
        parts.append(f'<circle class="{verdict.split()[0]}" cx="{place(ratio):.1f}" cy="{y:.1f}" r="3"/>')
    at = place(timed.limit)
    parts.append(f'<line class="limit" x1="{at:.1f}" x2="{at:.1f}" y1="22" y2="70"/>')
    parts.append(_text(at, 16, f"limit {timed.limit:g}", "end" if at > _WIDTH / 2 else "start"))
    parts.append(f'<line class="axis" x1="{place(1):.1f}" x2="{place(1):.1f}" y1="58" y2="70"/>')
    for value in _ticks(low, high):
        parts.append(_text(place(value), 84, f"{value:g}", "middle"))
    passed = sum(verdict != "fail" for _, _, verdict in timed.ratios)
    said = (
        f"{timed.question}, {timed.case}: {passed} of {len(values)} within {timed.limit:g} times the reference's time, "
        f"from {values[0]:.2g} to {values[-1]:.2g}"
    )
    return _svg(90, said, parts)


def _ticks(low: float, high: float) -> list[float]:
    every = [base * 10.0**power for power in range(-3, 5) for base in (1, 2, 5)]
    return [value for value in every if low <= value <= high]


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _svg(height: float, said: str, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {_WIDTH} {height:g}">'
        f"<title>{html.escape(said)}</title>{''.join(parts)}</svg>"
    )
