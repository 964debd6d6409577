"""What counts the cost of one call while it runs: its memory (`storage`), its operations (`operations`)."""

from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

from gradekit.check.experiment import Experiment
from gradekit.check.failure import AuthoringError
from gradekit.check.subject import Outcome, Subject, as_subject


class Meter(AbstractContextManager[Any], Protocol):
    """Open around the call alone: not while inputs are copied before it or outputs after it."""

    def start(self, namespace: dict[str, Any], experiment: Experiment) -> None:
        """Before the call: whose lines are the student's."""
        ...

    def finish(self, value: Any) -> None:
        """After the call: what it returned, alive and still on autograd's graph."""
        ...

    def options(self) -> dict[str, Any]:
        """What makes another meter like this one, where the student's code runs in another process."""
        ...

    def report(self) -> dict[str, Any]:
        """What was counted, as plain data."""
        ...

    def adopt(self, report: dict[str, Any]) -> None:
        """Take over what another meter counted. Raises KeyError, TypeError or ValueError if it is no such report."""
        ...


@runtime_checkable
class MeteredSubject(Subject, Protocol):
    """A subject whose calls can be counted."""

    def metered(self, experiment: Experiment, inputs: dict[str, Any], meter: Meter, *, seed: int = 0) -> Outcome:
        """Run the experiment once inside the meter. Raises what `call` raises."""
        ...


def as_metered(env: Any) -> MeteredSubject:
    """As `as_subject`; raises AuthoringError for a subject that cannot count."""
    subject = as_subject(env)
    if not isinstance(subject, MeteredSubject):
        raise AuthoringError(f"{type(subject).__name__} cannot count memory or operations")
    return subject
