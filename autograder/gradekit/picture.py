"""What a check measured, as a picture: every sample, and where the limit lies.

For a notebook (`svg`, which takes its colours from the page, light or dark) and for a terminal (`lines`). Both take
evidence as it stands in a results file, so that a report can draw it long after the check ran. They draw what has
samples (speed: student and reference) or runs (outcome and checkpoint: scores), and two amounts side by side (memory);
of the rest there is no picture.
"""

import dataclasses
import html
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_BARS = " ▁▂▃▄▅▆▇█"
_WIDTH = 48  # columns of the picture in a terminal
_YOURS, _REFERENCE, _LIMIT = "#1f77b4", "#8c8c8c", "#d62728"  # told apart by place and label as well


@dataclasses.dataclass(frozen=True)
class _Chart:
    """rows: label and samples; limit: where it lies on the same axis; logarithmic: which axis."""

    rows: tuple[tuple[str, tuple[float, ...]], ...]
    limit: float
    limit_name: str
    show: Callable[[float], str]
    logarithmic: bool

    def place(self, value: float) -> float:
        """From 0 to 1 along the axis."""
        low, high = self.ends()
        scale = math.log if self.logarithmic else float
        return (scale(value) - scale(low)) / (scale(high) - scale(low))

    def ends(self) -> tuple[float, float]:
        every = [value for _, samples in self.rows for value in samples] + [self.limit]
        low, high = min(every), max(every)
        if self.logarithmic:
            room = max((high / low) ** 0.06, 1.02)
            return low / room, high * room
        room = max((high - low) * 0.06, 1e-3 * max(abs(high), abs(low), 1e-9))
        return low - room, high + room


def svg(evidence: Mapping[str, Any]) -> str:
    """A small picture as an SVG element, "" if there is nothing to draw. Its title is what a screen reader says."""
    chart = _chart(evidence)
    if chart is None:
        return ""
    left, right, top, step = 76, 404, 22, 36
    height = top + step * len(chart.rows) + 20
    parts = []
    at = left + (right - left) * chart.place(chart.limit)
    anchor = "end" if at > (left + right) / 2 else "start"
    for number, (label, samples) in enumerate(chart.rows):
        y, colour = top + step * number + step / 2, _REFERENCE if label == "reference" else _YOURS
        parts.append(_text(left - 8, y + 4, label, "end"))
        shade = max(0.15, min(0.8, 8 / len(samples)))
        for index, value in enumerate(samples):
            x, off = left + (right - left) * chart.place(value), ((index * 7) % 9 - 4) * (len(samples) > 3)
            parts.append(f'<circle cx="{x:.1f}" cy="{y + off:.1f}" r="3" fill="{colour}" fill-opacity="{shade:.2f}"/>')
        middle = left + (right - left) * chart.place(statistics.median(samples))
        parts.append(_line(middle, y - 9, y + 9, "currentColor", 2))
        place = "start" if middle < right - 60 else "end"
        parts.append(
            _text(middle + (5 if place == "start" else -5), y - 11, chart.show(statistics.median(samples)), place)
        )
    parts.append(_line(at, top - 6, height - 18, _LIMIT, 1.5, dash="4 3"))
    parts.append(
        _text(at + (-4 if anchor == "end" else 4), 12, f"{chart.limit_name} {chart.show(chart.limit)}", anchor)
    )
    for end, side in ((chart.ends()[0], "start"), (chart.ends()[1], "end")):
        parts.append(_text(left if side == "start" else right, height - 4, chart.show(end), side, faint=True))
    said = html.escape(f"{evidence.get('check')} of {evidence.get('experiment')}: {evidence.get('message')}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="430" height="{height:.0f}" '
        f'viewBox="0 0 430 {height:.0f}" style="max-width:100%"><title>{said}</title>{"".join(parts)}</svg>'
    )


def lines(evidence: Mapping[str, Any]) -> list[str]:
    """The same for a terminal: a line a row, dark where many samples are, and the limit below. [] if there is none."""
    chart = _chart(evidence)
    if chart is None:
        return []
    found, wide = [], max(len(label) for label, _ in chart.rows)
    for label, samples in chart.rows:
        counts = [0] * _WIDTH
        for value in samples:
            counts[min(_WIDTH - 1, int(chart.place(value) * _WIDTH))] += 1
        most = max(counts)
        bars = "".join(_BARS[math.ceil(count / most * (len(_BARS) - 1))] for count in counts)
        found.append(f"{label:<{wide}}  {bars}  {chart.show(statistics.median(samples))}")
    at = min(_WIDTH - 1, int(chart.place(chart.limit) * _WIDTH))
    found.append(f"{'':<{wide}}  {' ' * at}┃{' ' * (_WIDTH - 1 - at)}  {chart.show(chart.limit)}: {chart.limit_name}")
    return found


def _chart(evidence: Mapping[str, Any]) -> _Chart | None:
    data, check = evidence.get("data"), evidence.get("check")
    if not isinstance(data, Mapping):
        return None
    try:
        if check == "speed":
            student, reference = _positive(data["student_s"]), _positive(data["reference_s"])
            limit = float(data["limit"]) * statistics.median(reference)
            return _Chart((("yours", student), ("reference", reference)), limit, "limit", _seconds, True)
        if check in ("outcome", "checkpoint") and data["at_least"] is not None:
            scores = _finite(data["scores"])
            return _Chart((("runs", scores),), float(data["at_least"]), "needed", "{:.4g}".format, False)
        if check == "memory":
            student, floor = _positive([data["student_bytes"]]), _positive([data["floor_bytes"]])
            limit = float(data["limit"]) * floor[0]
            return _Chart((("yours", student), ("reference", floor)), limit, "limit", _bytes, True)
    except (KeyError, TypeError, ValueError, OverflowError):  # evidence of a check that stopped before it measured
        return None
    return None


def _finite(values: Sequence[Any]) -> tuple[float, ...]:
    found = tuple(float(value) for value in values)
    if not found or not all(math.isfinite(value) for value in found):
        raise ValueError("nothing to draw")
    return found


def _positive(values: Sequence[Any]) -> tuple[float, ...]:
    found = _finite(values)
    if min(found) <= 0:
        raise ValueError("nothing to draw on a logarithmic axis")
    return found


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} µs"


def _bytes(value: float) -> str:
    return f"{value / 1e6:.3g} MB" if value >= 1e6 else f"{value / 1e3:.3g} kB"


def _text(x: float, y: float, text: str, anchor: str, *, faint: bool = False) -> str:
    shade = ' fill-opacity="0.6"' if faint else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor"{shade} font-size="11" '
        f'font-family="sans-serif">{html.escape(text)}</text>'
    )


def _line(x: float, top: float, bottom: float, colour: str, width: float, *, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}" stroke="{colour}" '
        f'stroke-width="{width}"{dashes}/>'
    )
