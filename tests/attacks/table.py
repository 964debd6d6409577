"""The table of docs/threat-model.md, from a run: `python -m tests.attacks.table` grades in each place and prints it.

The columns of other graders are not measured here: `benchmarks/attacks_elsewhere.py` keeps them in a file.
"""

from __future__ import annotations

import collections
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.attacks.catalogue import ATTACKS, CASES, CONTROLS, Attack
from tests.attacks.suite import CANARY, ID, PLACES, grade_in, points, prepare_folder, said

ANY = -1.0
BESIDE = Path(__file__).parents[2] / "benchmarks" / "attacks_elsewhere.json"
KINDS = {
    "patch": "patches the tester, the comparator, builtins",
    "lie": "returns what lies: equal to everything, subclasses, NaN",
    "read": "reads tests, reference, seed, environment, others",
    "forge": "forges frames on the wire",
    "time": "fakes the time: clocks, caches, deferral, precision",
    "rules": "hides a forbidden function",
    "memory": "hides memory",
    "escape": "signals, bombs, daemons, network, namespaces",
    "trouble": "hangs, crashes, breaks its own process",
    "message": "says something hostile",
    "notebook": "tags, ids, metadata, locked cells",
}


def blocked(case: Attack, result: dict[str, Any]) -> bool:
    """It got no more than it deserves, nothing of it leaked, and what happened is told."""
    got = points(result).get(case.question, 0.0)
    if CANARY.search(json.dumps(result)) or (got > case.deserves != ANY):
        return False
    return bool(case.known) or re.search(case.told, said(result)) is not None


def column(verdicts: Mapping[str, Any]) -> dict[str, str]:
    """Kind -> "n of m" for one of the other graders, and "" for all; m are those that apply to it and were tried."""
    cells = {}
    for kind in [*KINDS, ""]:
        known = [verdicts.get(case.name) or {} for case in ATTACKS if kind in (case.kind, "")]
        tried = [verdict["blocked"] for verdict in known if verdict.get("blocked") is not None]
        text = f"{sum(tried)} of {len(tried)}" if tried else "–"
        cells[kind] = text if kind else f"**{text}**"
    return cells


def table(found: dict[str, dict[str, Any]], beside: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """A row for each class, a column for each place: cases blocked of all. `beside`: grader -> name -> verdict."""
    places = [place for place in PLACES if "cannot" not in found[place]]
    counts: dict[tuple[str, str], list[bool]] = collections.defaultdict(list)
    for number, case in enumerate(CASES):
        if case in ATTACKS:
            for place in places:
                counts[case.kind, place].append(blocked(case, found[place]["results"][ID.format(number)]))
    others = {grader: column(verdicts) for grader, verdicts in (beside or {}).items()}
    lines = ["| attack | " + " | ".join([*places, *others]) + " |", "| --- |" + " --- |" * (len(places) + len(others))]
    for kind, words in KINDS.items():
        cells = [f"{sum(counts[kind, place])} of {len(counts[kind, place])}" for place in places]
        lines.append(f"| {words} | " + " | ".join(cells + [cells_of[kind] for cells_of in others.values()]) + " |")
    totals = [[b for (_, p), many in counts.items() if p == place for b in many] for place in places]
    cells = [f"**{sum(t)} of {len(t)}**" for t in totals] + [cells_of[""] for cells_of in others.values()]
    lines.append("| **all** | " + " | ".join(cells) + " |")
    return "\n".join(lines) + f"\n\n{len(CONTROLS)} honest controls score what they deserve in each place."


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="attacks-"))
    try:
        prepare_folder(folder)
        found = {place: grade_in(place, folder) for place in PLACES}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if sys.argv[1:]:
        Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")
    print(table(found, json.loads(BESIDE.read_text())["verdicts"] if BESIDE.exists() else None))


if __name__ == "__main__":
    main()
