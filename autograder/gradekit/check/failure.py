"""The two ways in which a check stops: the student's work is wrong, or the test itself is."""


class CheckFailed(AssertionError):
    """The student's work does not do what was asked. The message is written for the student."""


class AuthoringError(ValueError):
    """The test is written wrongly. The message is for its author; it never counts against a student's understanding."""


class Denied(BaseException):
    """Raised in the place of a forbidden operator; no `except Exception` of the student's stops it."""
