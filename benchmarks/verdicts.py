"""How often is a verdict on speed wrong? `check.speed` beside the usual ways to time a function.

    .venv/bin/python benchmarks/verdicts.py                     the whole, 38 minutes on an otherwise idle machine
    .venv/bin/python benchmarks/verdicts.py --quick             a look at it, 90 seconds
    .venv/bin/python benchmarks/verdicts.py --summarise FILE    what a finished or interrupted run has found

A trial asks one method whether a student's function takes at most as long as the reference's. Both do the same piece
of work again and again, the reference REFERENCE = 20 units and the student 10, 16, 25 or 40 of them, so that the true
ratio is exactly 0.5, 0.8, 1.25 or 2 times the limit, which is 1. The methods:

    gradekit      check.speed itself, with an experiment and evidence as in a week's tests
    mean of 20    a warm-up call, then the mean of 20 calls: first the student's, then the reference's
    min of 20     the fastest of the same 20 calls
    torch Timer   the median that torch.utils.benchmark.Timer.blocked_autorange(min_run_time=0.1) gives for either
    do_bench      as triton.testing.do_bench: 25 ms of warm-up, 100 ms of calls, their median, for either

The last four say pass if student / reference <= limit. In the A/A trials the student's function is the reference's
own, the limit is 1.3, and a fail is wrong.
"""

import argparse
import contextlib
import dataclasses
import datetime
import json
import math
import os
import platform
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, TextIO

import numpy as np
import scipy  # type: ignore[import-untyped]
import scipy.stats  # type: ignore[import-untyped]
import torch
from torch.utils import benchmark

import gradekit
from gradekit.check import CheckFailed, evidence, speed
from gradekit.check.experiment import Experiment
from gradekit.verify.busy import busy, cores

SIZES = (0.3, 2.0, 20.0)  # milliseconds that the reference takes
RATIOS = (0.5, 0.8, 1.25, 2.0)
NEAR = (0.8, 1.25)
LOADS = (0, 1, 2)  # busy processes per core
LIMIT = 1.0
REFERENCE = 20  # units of work
SIDE = 32  # of the square matrices in a unit

KIT = "gradekit"
MEAN, MIN, TIMER, DO_BENCH = PEERS = ("mean of 20", "min of 20", "torch Timer", "do_bench")

SAME_LIMIT = 1.3
SAME_MS = 0.3
SAME_TRIALS = 1_000
SAME_SHARE = 0.35  # of the time, at most

MINUTES = 38.0
QUICK_MINUTES = 1.5
SETTLE_S = 0.3  # between the start of a load and the first trial under it
SEED = 20_260_701

WRONG, UNDECIDED, MEDIAN_S, WHOLE_MINUTES = 0.002, 0.05, 1.0, 40.0  # the targets
OFF = 0.03  # a realised ratio that is off by more is warned of

Compute = Callable[..., torch.Tensor]


class Cell(NamedTuple):
    """What a trial is about. same: an A/A trial."""

    ms: float
    ratio: float
    load: int
    same: bool = False

    @property
    def limit(self) -> float:
        return SAME_LIMIT if self.same else LIMIT

    @property
    def right(self) -> str:
        return "pass" if self.ratio <= self.limit else "fail"


SAME = Cell(SAME_MS, 1.0, max(LOADS), same=True)
CELLS = [Cell(ms, ratio, load) for ms in SIZES for ratio in RATIOS for load in LOADS]


class Trial(NamedTuple):
    """What a method said in one cell. estimate: its figure for the ratio; seconds: how long it took to say it."""

    cell: Cell
    method: str
    verdict: str
    estimate: float
    seconds: float
    pairs: int = 0


# ---------------------------------------------------------------------------------------------------- the work


def repeated(times: int) -> Compute:
    """A function that does the same work so many times over; its output does not depend on how many."""

    def compute(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        y = x
        for _ in range(times):
            y = torch.tanh(x @ w)
        return y

    return compute


def operands(rng: np.random.Generator, device: str = "cpu") -> dict[str, Any]:
    shape = (SIDE, SIDE)
    return {name: torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)) for name in ("x", "w")}


def work(ms: float, ratio: float, per_second: float) -> tuple[Compute, Compute]:
    """The student's and the reference's function. per_second: how many repetitions this machine does idle."""
    unit = max(1, round(ms / 1e3 * per_second / REFERENCE))
    student = REFERENCE * ratio
    assert student == round(student)
    return repeated(round(student) * unit), repeated(REFERENCE * unit)


def calibrate() -> float:
    """Repetitions per second of processor time: the fastest of a number of runs."""
    case, times = operands(np.random.default_rng(SEED)), 500
    run = repeated(times)
    run(**case)
    return times / min(processor_s(run, case) for _ in range(30))


def processor_s(function: Compute, case: dict[str, Any]) -> float:
    start = time.thread_time_ns()
    function(**case)
    return (time.thread_time_ns() - start) / 1e9


def realised(ms: float, ratio: float, per_second: float) -> float:
    """The ratio of processor times, measured in pairs without a load."""
    student, reference = work(ms, ratio, per_second)
    case = operands(np.random.default_rng(SEED))
    count = max(9, min(101, round(300 / ms)))
    pairs = [(processor_s(student, case), processor_s(reference, case)) for _ in range(count)]
    return statistics.median(s / r for s, r in pairs)


# ------------------------------------------------------------------------------------------------- the methods


def fresh_experiment() -> Experiment:
    """A new one for every trial, since check.speed keeps what it measured with the experiment."""

    def computed(compute, x, w):  # type: ignore[no-untyped-def]
        return compute(x, w)

    return computed


def ask_gradekit(student: Compute, reference: Compute, limit: float, seed: int) -> tuple[str, float, int]:
    """Verdict, ratio and number of pairs of check.speed. Raises RuntimeError if it failed for anything but time."""
    os.environ["GRADEKIT_SEED"] = str(seed)
    with evidence.collect() as found, contextlib.suppress(CheckFailed):
        speed(fresh_experiment(), {"compute": student}, {"compute": reference}, operands, at_most=limit)
    (measured,) = found
    if "ratio" not in measured.data:
        raise RuntimeError(f"check.speed gave no ratio: {measured.message}")
    return measured.verdict, float(measured.data["ratio"]), measured.data["pairs"]


def calls(function: Compute, case: dict[str, Any], count: int) -> list[float]:
    """Seconds of so many calls, one after the other."""
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        function(**case)
        seconds.append(time.perf_counter() - start)
    return seconds


def twenty(function: Compute, case: dict[str, Any]) -> list[float]:
    function(**case)
    return calls(function, case, 20)


def blocked_autorange(function: Compute, case: dict[str, Any]) -> float:
    timer = benchmark.Timer("compute(x, w)", globals={"compute": function, **case})
    return timer.blocked_autorange(min_run_time=0.1).median


def do_bench(function: Compute, case: dict[str, Any], *, warm_up_s: float = 0.025, rep_s: float = 0.1) -> float:
    function(**case)
    estimate = sum(calls(function, case, 5)) / 5
    calls(function, case, max(1, int(warm_up_s / estimate)))
    return statistics.median(calls(function, case, max(1, int(rep_s / estimate))))


def decide(student_s: float, reference_s: float, limit: float) -> tuple[str, float]:
    """How the peers' users decide."""
    ratio = student_s / reference_s
    return ("pass" if ratio <= limit else "fail"), ratio


def by_twenty(student: Sequence[float], reference: Sequence[float], limit: float) -> dict[str, tuple[str, float]]:
    """The two verdicts that the same twenty calls of either function give."""
    return {
        MEAN: decide(statistics.fmean(student), statistics.fmean(reference), limit),
        MIN: decide(min(student), min(reference), limit),
    }


def trials(cell: Cell, method: str, per_second: float, seed: int) -> list[Trial]:
    """Ask one method once. (Mean and min of 20 share their calls and are asked together.)"""
    student, reference = work(cell.ms, cell.ratio, per_second)
    start, pairs = time.perf_counter(), 0
    if method == KIT:
        verdict, ratio, pairs = ask_gradekit(student, reference, cell.limit, seed)
        said = {KIT: (verdict, ratio)}
    else:
        case = operands(np.random.default_rng(seed))
        if method == MEAN:
            said = by_twenty(twenty(student, case), twenty(reference, case), cell.limit)
        else:
            median = blocked_autorange if method == TIMER else do_bench
            said = {method: decide(median(student, case), median(reference, case), cell.limit)}
    seconds = time.perf_counter() - start
    return [Trial(cell, name, verdict, ratio, seconds, pairs) for name, (verdict, ratio) in said.items()]


# ---------------------------------------------------------------------------------------------------- the plan


def per_round(cell: Cell, method: str) -> float:
    """How many trials a round has of a cell, on average: most where it is hard, few where each takes long."""
    if cell.same:
        return 12.0
    near, full = cell.ratio in NEAR, cell.load == max(LOADS)
    if cell.ms == 2.0 and near and full:
        return 5.0 if method == KIT else 2.0
    if cell.ms == 20.0:
        return 0.25 if near else 0.125
    if near and method == KIT:
        return 1.0 if full else 1.75
    return 0.75 if near else 0.5


def _count(number: int, often: float, offset: float) -> int:
    """How many trials the round of this number has of what comes `often` per round."""
    return math.floor(offset + (number + 1) * often) - math.floor(offset + number * often)


Asked = tuple[Cell, str]
ASKED: list[Asked] = [(cell, method) for cell in CELLS for method in (KIT, MEAN, TIMER, DO_BENCH)]


@dataclasses.dataclass
class Plan:
    """Rounds: in each the loads in an order drawn by lot, and under each load its trials in an order drawn by lot.

    Every round has every cell in the same proportion, so that a run that is cut short is a smaller whole one. Where
    the number per round is no whole number, the fraction adds up over the rounds from a start drawn by lot.
    """

    same_per_round: float = per_round(SAME, KIT)  # follows from the time there is

    def round(self, number: int) -> list[tuple[int, list[Asked]]]:
        """The trials of a round under each load: the same ones for the same number, whatever came before.

        Only the number of A/A trials, which are strewn in between, may differ.
        """
        offsets, lots = random.Random(SEED), random.Random(SEED + 1 + number)
        blocks: dict[int, list[Asked]] = {load: [] for load in LOADS}
        for asked in ASKED:
            blocks[asked[0].load] += [asked] * _count(number, per_round(*asked), offsets.random())
        order = list(LOADS)
        lots.shuffle(order)
        for block in blocks.values():
            lots.shuffle(block)
        block = blocks[SAME.load]
        for _ in range(_count(number, self.same_per_round, 0.0)):
            block.insert(lots.randrange(len(block) + 1), (SAME, KIT))
        return [(load, blocks[load]) for load in order]


class Clock:
    """What is left of the time, and what a trial will take by what it took so far."""

    def __init__(self, seconds: float) -> None:
        self.start = time.monotonic()
        self.end = self.start + seconds
        self.spent: dict[Asked, list[float]] = defaultdict(list)

    def left(self) -> float:
        return self.end - time.monotonic()

    def expected(self, asked: Asked) -> float:
        if self.spent[asked]:
            return statistics.fmean(self.spent[asked])
        cell, method = asked
        calls = {KIT: 63 if cell.ratio in NEAR else 21, MEAN: 21}.get(method, 0)
        return 0.25 + calls * (cell.ms / 1e3 * (1 + cell.ratio) + 0.001 * (method == KIT)) * (1 + cell.load)

    def admits(self, asked: Asked) -> bool:
        return self.expected(asked) < self.left()

    def of_round(self) -> float:
        """Seconds of an average round without its A/A trials."""
        return sum(per_round(*asked) * self.expected(asked) for asked in ASKED) + len(LOADS) * (SETTLE_S + 0.1)

    def same_per_round(self, done: int) -> float:
        """A/A trials per round that spread what is left of them over the time that is left."""
        left, each = max(0.0, self.left()), self.expected((SAME, KIT))
        fits = min(SAME_TRIALS - done, left * SAME_SHARE / each)
        rounds = max(1.0, (left - fits * each) / self.of_round())
        return math.ceil(10 * fits / rounds) / 10


# ----------------------------------------------------------------------------------------------------- the run


def run(minutes: float, output: Path) -> None:
    """Measure until the time is up. Every result is in `output` the moment it is there."""
    clock = Clock(60 * minutes)
    torch.set_num_threads(1)
    os.environ["GRADEKIT_DEVICE"] = "cpu"
    with output.open("x", encoding="utf-8") as file:
        print(f"results: {output}")
        idle = os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan
        if idle > 0.3:
            print(f"warning: this machine is busy (load average {idle:.2f}): the load is more than the tables say")
        per_second = calibrate()
        ratios = {f"{ms:g} ms, {ratio:g}": realised(ms, ratio, per_second) for ms in SIZES for ratio in RATIOS}
        _append(file, {"header": header(minutes), "load_average": idle, "realised": ratios})
        for name, found in ratios.items():
            true = float(name.split(", ")[1])
            off = abs(found / true - 1) > OFF
            print(f"true ratio {name}: realised {found:.4f}{'  warning: is off' if off else ''}")
        wrong, counts = 0, {KIT: 0, "A/A": 0}
        plan, number, seed = Plan(), 0, SEED
        while clock.admits((Cell(2.0, 0.5, 0), MEAN)):
            before = sum(counts.values())
            for load, block in plan.round(number):
                with settled(load * cores()) if block and clock.left() > 1 else contextlib.nullcontext():
                    for asked in block:
                        if not clock.admits(asked) or (asked[0].same and counts["A/A"] >= SAME_TRIALS):
                            continue
                        seed += 1
                        for trial in (done := trials(*asked, per_second, seed)):
                            _append(file, as_record(trial))
                            if trial.method == KIT:
                                counts["A/A" if trial.cell.same else KIT] += 1
                                wrong += is_wrong(trial)
                        clock.spent[asked].append(done[0].seconds)
            number += 1
            if sum(counts.values()) == before:
                break
            plan = Plan(clock.same_per_round(counts["A/A"]))
            each = clock.of_round() + plan.same_per_round * clock.expected((SAME, KIT))
            passed = (time.monotonic() - clock.start) / 60
            print(
                f"round {number} of about {number + clock.left() / each:.0f}, {passed:.1f} of {minutes:g} minutes: "
                f"gradekit wrong {wrong} of {counts[KIT]} + {counts['A/A']} A/A",
                flush=True,
            )
        top_up(file, per_second, seed, SAME_TRIALS - counts["A/A"])
        _append(file, {"minutes": (time.monotonic() - clock.start) / 60})


def top_up(file: TextIO, per_second: float, seed: int, missing: int) -> None:
    """The A/A trials that the plan fell short by, if they are few: a tenth of a second each."""
    if 0 < missing <= SAME_TRIALS // 20:
        with settled(SAME.load * cores()):
            for number in range(missing):
                for trial in trials(SAME, KIT, per_second, seed + 1 + number):
                    _append(file, as_record(trial))


@contextlib.contextmanager
def settled(count: int) -> Iterator[None]:
    with busy(count):
        time.sleep(SETTLE_S)
        yield


def header(minutes: float) -> dict[str, Any]:
    """What a reader of the figures needs to know."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "minutes": minutes,
        "machine": f"{processor()}, {cores()} cores, {platform.system()} {platform.machine()}",
        "versions": {
            "gradekit": gradekit.__version__,
            "Python": platform.python_version(),
            "torch": torch.__version__,
            "NumPy": np.__version__,
            "SciPy": scipy.__version__,
        },
    }


def processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def as_record(trial: Trial) -> dict[str, Any]:
    return {**trial.cell._asdict(), **{key: value for key, value in trial._asdict().items() if key != "cell"}}


def as_trial(record: dict[str, Any]) -> Trial:
    cell = Cell(**{key: record[key] for key in Cell._fields})
    return Trial(cell, *(record[key] for key in Trial._fields[1:]))


def _append(file: TextIO, record: dict[str, Any]) -> None:
    file.write(json.dumps(record) + "\n")
    file.flush()


# ------------------------------------------------------------------------------------------------- the figures


@dataclasses.dataclass(frozen=True)
class Rate:
    """So many of so many."""

    count: int
    of: int

    @property
    def value(self) -> float:
        return self.count / self.of if self.of else math.nan

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Clopper and Pearson's exact interval; (0, 1) where there is no trial."""
        if not self.of:
            return 0.0, 1.0
        found = scipy.stats.binomtest(self.count, self.of).proportion_ci(confidence, method="exact")
        return float(found.low), float(found.high)

    def __str__(self) -> str:
        if not self.of:
            return "–"
        low, high = self.interval()
        return f"{self.count}/{self.of} = {percent(self.value)} % ({percent(low)}–{percent(high)})"


def percent(value: float) -> str:
    value *= 100
    return f"{value:.0f}" if value >= 9.95 or value == 0 else f"{value:.2g}"


def is_wrong(trial: Trial) -> bool:
    """Undecided is not wrong, it is counted apart."""
    return trial.verdict not in (trial.cell.right, "undecided")


def wrong(found: Iterable[Trial]) -> Rate:
    flags = [is_wrong(trial) for trial in found]
    return Rate(sum(flags), len(flags))


def undecided(found: Iterable[Trial]) -> Rate:
    flags = [trial.verdict == "undecided" for trial in found]
    return Rate(sum(flags), len(flags))


def not_right(found: Iterable[Trial]) -> Rate:
    flags = [trial.verdict != trial.cell.right for trial in found]
    return Rate(sum(flags), len(flags))


def seconds(found: Sequence[Trial]) -> float:
    return statistics.median(trial.seconds for trial in found) if found else math.nan


def balanced_median(found: Sequence[Trial]) -> float:
    """The median of seconds in which every cell counts alike, however many trials it has."""
    sizes: dict[Cell, int] = defaultdict(int)
    for trial in found:
        sizes[trial.cell] += 1
    passed = 0.0
    for trial in sorted(found, key=lambda trial: trial.seconds):
        passed += 1 / sizes[trial.cell]
        if passed >= len(sizes) / 2:
            return trial.seconds
    return math.nan


def better(kit: Rate, peer: Rate) -> float | None:
    """If the peer's rate is lower, the probability of that or more by chance (Fisher's exact test), else None."""
    if not kit.of or not peer.of or peer.value >= kit.value:
        return None
    table = [[kit.count, kit.of - kit.count], [peer.count, peer.of - peer.count]]
    return float(scipy.stats.fisher_exact(table, alternative="greater").pvalue)


class Results:
    """Trials of one run. Cells are asked for by size, ratios and load; what is left out is pooled."""

    def __init__(self, found: Iterable[Trial]) -> None:
        self.all = list(found)

    def of(
        self,
        method: str,
        *,
        ms: float | None = None,
        ratios: tuple[float, ...] = RATIOS,
        load: int | None = None,
    ) -> list[Trial]:
        return [
            trial
            for trial in self.all
            if trial.method == method
            and not trial.cell.same
            and ms in (None, trial.cell.ms)
            and trial.cell.ratio in ratios
            and load in (None, trial.cell.load)
        ]

    def same(self) -> list[Trial]:
        return [trial for trial in self.all if trial.cell.same]

    def beaten(self, rate: Callable[[Iterable[Trial]], Rate]) -> list[tuple[Cell, str, Rate, Rate, float]]:
        """Cells in which a peer's rate is lower than the kit's: cell, peer, kit's and peer's rate, p."""
        found = []
        for cell in CELLS:
            where: dict[str, Any] = {"ms": cell.ms, "ratios": (cell.ratio,), "load": cell.load}
            ours = rate(self.of(KIT, **where))
            for name in PEERS:
                peer = rate(self.of(name, **where))
                if (p := better(ours, peer)) is not None:
                    found.append((cell, name, ours, peer, p))
        return found


class Target(NamedTuple):
    """mark: met, missed, or "not shown" where there are too few trials."""

    text: str
    mark: str
    figures: str


def targets(results: Results, minutes: float | None) -> list[Target]:
    """The targets of the issue, each with its figures."""
    near = results.of(KIT, ratios=NEAR)
    found = [
        _at_most("wrong at 0.8 and 1.25, all sizes and loads", WRONG, wrong(near)),
        _at_most("undecided at 0.8 and 1.25, all sizes and loads", UNDECIDED, undecided(near)),
    ]
    for load in (None, *LOADS):
        kit = results.of(KIT, ms=2.0, load=load)
        where = "all loads and ratios, each counting alike" if load is None else f"{load} per core"
        median = balanced_median(kit)
        figures = f"{median:.2f} s, longest {max((trial.seconds for trial in kit), default=math.nan):.2f} s"
        mark = _mark(median <= MEDIAN_S, shown=bool(kit))
        found.append(Target(f"median time of the 2 ms function <= {MEDIAN_S:g} s, {where}", mark, figures))
    for text, rate in (("wrong", wrong), ("wrong or undecided", not_right)):
        beaten = results.beaten(rate)
        shown = all(results.of(method, ms=c.ms, ratios=(c.ratio,), load=c.load) for c in CELLS for method in METHODS)
        figures = "; ".join(
            f"{c.ms:g} ms, {c.ratio:g}, {c.load} per core: gradekit {ours.count}/{ours.of}, "
            f"{name} {peer.count}/{peer.of} (p = {p:.2g})"
            for c, name, ours, peer, p in beaten
        )
        found.append(
            Target(
                f"no cell in which a peer is less often {text}",
                _mark(not beaten, shown=shown or bool(beaten)),
                figures or "no such cell among those with trials",
            )
        )
    same = results.same()
    fails = Rate(sum(trial.verdict == "fail" for trial in same), len(same))
    found.append(
        Target(
            f"A/A, limit {SAME_LIMIT:g}, {SAME_TRIALS:,} trials of the {SAME_MS:g} ms function, full load: no fail",
            _mark(fails.count == 0, shown=fails.count > 0 or fails.of >= SAME_TRIALS),
            f"fails {fails}, undecided {undecided(same)}, median {seconds(same):.2f} s",
        )
    )
    took = "interrupted" if minutes is None else f"{minutes:.1f} minutes"
    whole = minutes is not None and minutes <= WHOLE_MINUTES
    found.append(Target(f"the whole in under {WHOLE_MINUTES:g} minutes", _mark(whole, shown=minutes is not None), took))
    return found


def _at_most(text: str, limit: float, rate: Rate) -> Target:
    sure = rate.of > 0 and (rate.interval()[1] <= limit or rate.interval()[0] > limit)
    note = "" if sure or not rate.of else "; the interval reaches to the other side of the target"
    return Target(f"{text} <= {percent(limit)} %", _mark(rate.value <= limit, shown=rate.of > 0), f"{rate}{note}")


def _mark(met: bool, *, shown: bool) -> str:
    return ("met" if met else "missed") if shown else "not shown"


# -------------------------------------------------------------------------------------------------- the report


METHODS = (KIT, *PEERS)


def summarise(output: Path) -> str:
    """The Markdown of RESULTS.md from a file of results, a torn last line left out."""
    found, head, minutes, found_ratios, idle = [], {}, None, {}, math.nan
    for line in output.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        if "header" in record:
            head, found_ratios, idle = record["header"], record["realised"], record["load_average"]
        elif "minutes" in record:
            minutes = record["minutes"]
        else:
            found.append(as_trial(record))
    return "\n".join(markdown(Results(found), head, found_ratios, idle, minutes)) + "\n"


def markdown(
    results: Results, head: dict[str, Any], ratios: dict[str, float], idle: float, minutes: float | None
) -> Iterator[str]:
    """All tables, as lines."""
    yield "## Verdicts on speed"
    yield ""
    versions = ", ".join(f"{name} {version}" for name, version in head.get("versions", {}).items())
    yield f"{head.get('date', 'no date')} · {head.get('machine', 'unknown machine')} · {versions}."
    yield f"Load average before the start {idle:.2f}. " + (
        f"{minutes:.1f} minutes." if minutes is not None else "Interrupted: these are the trials until then."
    )
    if ratios:
        off = max(abs(found / float(name.split(", ")[1]) - 1) for name, found in ratios.items())
        yield f"The realised ratios, in processor time without a load, are within {off:.1%} of the true ones."
    yield "In brackets: exact 95 % confidence intervals, in %. Times are medians of what a verdict took."
    yield ""
    yield "### Targets"
    yield ""
    rows = [[target.text, f"**{target.mark}**", target.figures] for target in targets(results, minutes)]
    yield from table(["target", "", "measured"], rows)
    yield ""
    yield "### Wrong verdicts at 0.8 and 1.25 times the limit"
    yield ""
    yield from table(["reference", "busy per core", *METHODS], list(_near(results, wrong)))
    yield ""
    yield "### Undecided and time, gradekit, at 0.8 and 1.25 times the limit"
    yield ""
    rows = [
        [f"{ms:g} ms", str(load), str(undecided(kit)), *(_time(results.of(m, **where)) for m in METHODS)]
        for ms, load, where in _groups()
        if (kit := results.of(KIT, **where))
    ]
    yield from table(["reference", "busy per core", "undecided", *(f"time {method}" for method in METHODS)], rows)
    yield ""
    yield "### All cells"
    yield ""
    rows = []
    for cell in CELLS:
        by = {m: results.of(m, ms=cell.ms, ratios=(cell.ratio,), load=cell.load) for m in METHODS}
        peers = [f"{wrong(by[method])}, {_time(by[method])}" if by[method] else "–" for method in PEERS]
        ours = [str(wrong(by[KIT])), str(undecided(by[KIT])), _ratio(by[KIT]), _time(by[KIT])]
        rows.append([f"{cell.ms:g} ms", f"{cell.ratio:g}", str(cell.load), *ours, *peers])
    columns = ["reference", "true ratio", "busy per core", "gradekit wrong", "undecided", "its ratio", "time"]
    yield from table([*columns, *(f"{method} wrong, time" for method in PEERS)], rows)


def _groups() -> Iterator[tuple[float, int, dict[str, Any]]]:
    for ms in SIZES:
        for load in LOADS:
            yield ms, load, {"ms": ms, "load": load, "ratios": NEAR}


def _near(results: Results, rate: Callable[[Iterable[Trial]], Rate]) -> Iterator[list[str]]:
    for ms, load, where in _groups():
        yield [f"{ms:g} ms", str(load), *(str(rate(results.of(method, **where))) for method in METHODS)]


def _time(found: Sequence[Trial]) -> str:
    return f"{seconds(found):.2f} s" if found else "–"


def _ratio(found: Sequence[Trial]) -> str:
    return f"{statistics.median(trial.estimate for trial in found):.3f}" if found else "–"


def table(columns: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"


# ------------------------------------------------------------------------------------------------ command line


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # the one exception that a check lets through


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="How often is a verdict on speed wrong?")
    parser.add_argument("--minutes", type=float, help=f"time to spend, {MINUTES:g} by default")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_MINUTES:g} minutes, for a look")
    parser.add_argument("--output", type=Path, help="new file for the results, one JSON object a line")
    parser.add_argument("--summarise", type=Path, metavar="FILE", help="only show what is in a file of results")
    options = parser.parse_args(arguments)
    if options.summarise:
        print(summarise(options.summarise), end="")
        return 0
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is not signal.SIG_IGN:  # nohup ignores
            signal.signal(getattr(signal, name), _stop)
    minutes = options.minutes or (QUICK_MINUTES if options.quick else MINUTES)
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    output = options.output or Path(tempfile.gettempdir()) / f"verdicts-{now}.jsonl"
    try:
        run(minutes, output)
        status = 0
    except KeyboardInterrupt:
        print("\ninterrupted")
        status = 130
    if output.exists():
        text = summarise(output)
        output.with_suffix(".md").write_text(text, encoding="utf-8")
        print(f"\n{text}\nresults: {output}\ntable: {output.with_suffix('.md')}")
    return status


if __name__ == "__main__":
    sys.exit(main())
