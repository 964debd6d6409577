"""What a check measured: every check records one `Evidence`, whether it passed or failed.

    with evidence.collect() as found:
        test.run(env)
    json.dumps([e.as_dict() for e in found])

Without a collector nothing is kept.
"""

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

from gradekit import device
from gradekit.check.failure import CheckFailed

Verdict = Literal["pass", "fail", "undecided", "not assessed"]

_collector: contextvars.ContextVar[list["Evidence"] | None] = contextvars.ContextVar("evidence", default=None)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """One check's finding. `data` holds plain JSON values only (non-finite numbers as the strings "nan", "inf")."""

    check: str
    experiment: str
    device: str
    verdict: Verdict
    message: str
    data: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """The same as a dict that `json.dumps` takes."""
        return dataclasses.asdict(self)


@dataclasses.dataclass
class Draft:
    """Evidence that is being gathered; a check fills it in and `recording` files it."""

    message: str = ""
    verdict: Verdict = "pass"
    data: dict[str, Any] = dataclasses.field(default_factory=dict)


@contextlib.contextmanager
def collect() -> Iterator[list[Evidence]]:
    """Gather the evidence of all checks that run inside. A collector inside another one takes over while it lasts."""
    found: list[Evidence] = []
    token = _collector.set(found)
    try:
        yield found
    finally:
        _collector.reset(token)


@contextlib.contextmanager
def recording(check: str, experiment: Callable[..., Any] | str) -> Iterator[Draft]:
    """File one piece of evidence when the block ends; a CheckFailed that leaves the block is filed as a failure."""
    draft = Draft()
    try:
        yield draft
    except CheckFailed as failure:
        draft.verdict, draft.message = "fail", str(failure)
        raise
    except BaseException as error:
        draft.verdict, draft.message = "fail", f"the check itself stopped: {type(error).__name__}: {error}"
        raise
    finally:
        found = _collector.get()
        if found is not None:
            name = experiment if isinstance(experiment, str) else getattr(experiment, "__name__", "experiment")
            kind = device.current().kind
            found.append(Evidence(check, name, kind, draft.verdict, draft.message, _jsonable(draft.data)))


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return str(value)
