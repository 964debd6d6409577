"""What guards a counted call against the code that it counts, where that runs in another process.

A notebook in this process is its owner's own affair: nothing is guarded there.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from gradekit.check.experiment import Experiment


@contextlib.contextmanager
def guarded(
    subject: Any, experiment: Experiment, forbid: tuple[str, ...] = (), *, counted: bool = False
) -> Iterator[None]:
    """Inside, where something is forbidden or counted, calls on the subject run in one process with one thread, which
    can start no other and has nothing that matches `forbid`. What they leave behind there is gone afterwards.

    Raises CheckFailed if the student's code has changed the code that counts.
    """
    guard = getattr(subject, "guarded", None)
    if guard is None or not (forbid or counted):
        yield
        return
    with guard(experiment, forbid):
        yield


def resident(subject: Any, experiment: Experiment, case: dict[str, Any]) -> tuple[int, int] | None:
    """Bytes by which a process grows in one call, inputs and outputs included, as the system tells: at its peak, and
    when the output is there and all else is given back. None where nobody tells.
    """
    outside = getattr(subject, "resident", None)
    return None if outside is None else outside(experiment, case)
