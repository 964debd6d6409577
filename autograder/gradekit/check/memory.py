"""The student's function holds at most so many times the memory of the reference.

What counts is what a call holds beyond its inputs and outputs, at its peak, or (`saved=True`) what is still held when
it has returned: what autograd keeps for the backward pass. Both are counted, see `storage`, so the verdict is the same
every time. The ratio is

    student / max(reference, size of the outputs, FLOOR)

so a reference that needs next to nothing counts as needing as much as its outputs: scratch of the size of the result is
nothing to be punished for, and no ratio is infinite.

What it sees, in MB beyond inputs and outputs, for attention over 1024 tokens (8 heads, 64 features, float32; one head's
matrix alone is 4.2 MB, all of them 33.6):

| attention | peak | kept for the backward pass |
| --- | --- | --- |
| the whole N x N matrix | 67.1 | 33.6 |
| in blocks of 128 keys, online softmax | 19.0 | 87.1: autograd keeps every step |
| whole, computed anew in the backward pass (checkpoint) | 67.1 | 0 |
"""

from collections.abc import Mapping
from typing import Any

from gradekit import device
from gradekit.check import budget, cases, evidence, plain
from gradekit.check.compare import mismatch
from gradekit.check.experiment import Experiment, parameters
from gradekit.check.failure import AuthoringError, CheckFailed
from gradekit.check.guard import guarded, resident
from gradekit.check.meter import MeteredSubject, as_metered
from gradekit.check.rules import refuse
from gradekit.check.run import refuse_blank
from gradekit.check.speed import limit_for
from gradekit.check.storage import Heap, Held, Storages, Use
from gradekit.check.subject import quiet

FLOOR = 64 * 1024
"""Bytes that nobody needs to save: the least that a reference counts as needing."""

RESIDENT_NOISE = 8 * 2**20
"""Bytes that a process may grow by beyond that: pages of Python's and what an operator takes inside itself, which no
meter sees. A call that needs nothing came out 20 to 40 kB above its inputs, three times of three."""


def memory(
    experiment: Experiment,
    env: Any,
    reference: Any,
    inputs: cases.Inputs,
    *,
    at_most: float | Mapping[str, float],
    saved: bool = False,
    forbid: tuple[str, ...] = (),
) -> None:
    """Raise CheckFailed if the experiment needs more than `at_most` times the reference's memory on the student's code.

    at_most: a ratio, or one for each device class; where the class at hand has none, the output is checked, the memory
    is "not assessed", and the check passes. `inputs` draws one case, large enough that what is to be caught is larger
    than the outputs.

    saved: count what is kept for the backward pass instead of the peak: every tensor that was made in the call, is
    none of its outputs and is still alive with them, however it is kept (saved by autograd, on a Function's ctx, in a
    cache). Inputs and parameters are older than the call and never count. The outputs must hang on autograd's graph,
    so an input needs `requires_grad_()`.

    The output must be right before its memory counts. A view of a large tensor is no way to hide it.
    """
    with evidence.recording("memory", experiment) as draft:
        student, expert = as_metered(env), as_metered(reference)
        kind = device.current().kind
        limit = limit_for(at_most, kind)
        case = cases.only(inputs, experiment.__name__, kind, draw=0, check="memory")
        with quiet():
            _verify(experiment, student, expert, case)
            if forbid:
                with guarded(student, experiment, forbid):
                    refuse(student.call(experiment, case, record=True).recorded, forbid)
            if limit is None:
                draft.verdict = "not assessed"
                draft.message = f"not assessed on a {kind}: there is a limit for {' and '.join(at_most)} only"  # type: ignore[arg-type]
                return
        theirs = use(expert, experiment, case, kind)
        with guarded(student, experiment, forbid, counted=True):
            ours = use(student, experiment, case, kind)
        with quiet():
            grown = resident(student, experiment, case)
        if saved:
            _require_graph(ours, theirs, experiment)
        mine, base = (ours.kept, theirs.kept) if saved else (ours.peak, theirs.peak)
        floor = max(base, theirs.outputs, FLOOR)
        largest = ours.largest_kept if saved else ours.largest
        ratio = mine / floor
        draft.data = {
            "limit": limit,
            "ratio": ratio,
            "saved": saved,
            "student_bytes": mine,
            "reference_bytes": base,
            "floor_bytes": floor,
            "output_bytes": theirs.outputs,
            "largest": _describe(largest),
        }
        beyond = f"{megabytes(mine)} beyond inputs and outputs, limit {limit:g}"
        if base < floor:
            beyond += f"; the reference needs {megabytes(base)} and counts as {megabytes(floor)}"
        does = "keeps for the backward pass" if saved else "needs"
        said = f"{experiment.__name__} {does} {_figure(ratio)} times the memory of the reference ({beyond})"
        if ratio > limit:
            if largest is not None and not largest.what and not saved:
                largest = _line_of_heap(student, experiment, case)
            raise CheckFailed(said + _blame(largest, saved))
        if grown is not None:
            most = 2 * limit * floor + RESIDENT_NOISE + 2 * _nbytes(experiment, case) + 3 * theirs.outputs
            found = grown[1] if saved else grown[0]
            draft.data["resident_bytes"] = found
            if found > most:
                raise CheckFailed(
                    f"in one call of {experiment.__name__} the process it runs in grew by {megabytes(found)}, inputs "
                    f"and outputs included, where {megabytes(int(most))} are more than enough for what is allowed. Its "
                    f"tensors, arrays and Python's objects come to {megabytes(mine)} only: hold no memory past them"
                )
        draft.message = said


def use(subject: MeteredSubject, experiment: Experiment, case: dict[str, Any], kind: str) -> Use:
    """What one call holds. It is made twice: once for tensors, once for Python's objects and NumPy's arrays."""
    with quiet():
        storages, heap = Storages(cuda=kind == "cuda"), Heap()
        subject.metered(experiment, case, storages)
        subject.metered(experiment, case, heap)
    tensors, rest = storages.use, heap.use
    return Use(
        tensors.peak + rest.peak,
        tensors.kept + rest.kept,
        tensors.outputs + rest.outputs,
        _larger(tensors.largest, rest.largest),
        tensors.largest_kept,
        tensors.graph,
    )


def _nbytes(experiment: Experiment, case: dict[str, Any]) -> int:
    keys = parameters(experiment, case).inputs
    return sum(plain.nbytes(leaf) for key in keys for _, leaf in plain.leaves(case[key], key))


def megabytes(nbytes: int) -> str:
    """`33.6 MB`, or kB for less than one."""
    return f"{nbytes / 1e6:.1f} MB" if nbytes >= 999_950 else f"{nbytes / 1e3:.0f} kB"


def _verify(experiment: Experiment, student: MeteredSubject, expert: MeteredSubject, case: dict[str, Any]) -> None:
    """Raise CheckFailed unless the output is right. It also lets both load what they load in a first call."""
    outputs = student.call(experiment, case).outputs
    refuse_blank(outputs, experiment, case)
    expected = budget.measure(expert, experiment, case, factor=budget.FACTOR)
    found = mismatch(outputs, expected.outputs, expected.expect, budget.OUTPUT)
    if found is not None:
        raise CheckFailed(f"before its memory counts it must be right: {found.text}")


def _require_graph(ours: Use, theirs: Use, experiment: Experiment) -> None:
    if not theirs.graph:
        raise AuthoringError(
            f"no output of {experiment.__name__} hangs on autograd's graph, so nothing is kept for a backward pass: "
            "give an input requires_grad_()"
        )
    if not ours.graph:
        raise CheckFailed(
            "the output is cut off from autograd's graph, so it has no backward pass: is there a detach(), a no_grad() "
            "or a way through NumPy?"
        )


def _larger(a: Held | None, b: Held | None) -> Held | None:
    return max((held for held in (a, b) if held is not None), key=lambda held: held.nbytes, default=None)


def _line_of_heap(student: MeteredSubject, experiment: Experiment, case: dict[str, Any]) -> Held | None:
    """Where the peak of Python's heap lies, from one more call."""
    heap = Heap(lines=True)
    with quiet():
        student.metered(experiment, case, heap)
    return heap.use.largest


def _blame(largest: Held | None, saved: bool) -> str:
    if largest is None:
        return ""
    if not largest.what:
        return f": Python's objects and arrays are at their peak in {largest.where}" if largest.where else ""
    made = f", made in {largest.where}" if largest.where else ""
    return f": the largest {'tensor that is kept' if saved else 'live tensor'} was {largest.what}{made}"


def _describe(held: Held | None) -> dict[str, Any] | None:
    return None if held is None else {"bytes": held.nbytes, "what": held.what, "where": held.where}


def _figure(value: float) -> str:
    return f"{value:#.2g}" if value < 9.95 else f"{float(f'{value:.2g}'):.0f}"
