"""A subject whose author may have handed in files beside the notebook."""

from typing import Any, Protocol, runtime_checkable

from gradekit.check.failure import AuthoringError
from gradekit.check.subject import Subject, as_subject


@runtime_checkable
class HoldingSubject(Subject, Protocol):
    """It gives what was handed in: in a notebook the file that lies beside it, in grading the judge's own copy."""

    def handed_in(self, name: str, most_bytes: int) -> bytes:
        """The whole file. Raises CheckFailed, saying why, where it is not there, was refused, or is larger."""
        ...


def as_holding(env: Any) -> HoldingSubject:
    """As `as_subject`; raises AuthoringError for a subject that knows of no files."""
    subject = as_subject(env)
    if not isinstance(subject, HoldingSubject):
        raise AuthoringError(f"{type(subject).__name__} has no files that were handed in")
    return subject
