"""What a check measured: every check records one `Evidence`, whether it passed or failed.

    with evidence.collect() as found:
        test.run(env)
    json.dumps([e.as_dict() for e in found])

Without a collector nothing is kept. In a notebook, outside a grading, what can be drawn is then shown (see `picture`).
"""

import contextlib
import contextvars
import dataclasses
import html
import math
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal

from gradekit import device, picture
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
        name = experiment if isinstance(experiment, str) else getattr(experiment, "__name__", "experiment")
        filed = Evidence(check, name, device.current().kind, draft.verdict, draft.message, _jsonable(draft.data))
        found = _collector.get()
        if found is not None:
            found.append(filed)
        else:
            _show(filed)


def _show(found: Evidence) -> None:
    """Display a picture below the cell that runs, if a person sits at a notebook: not elsewhere, not while grading."""
    ipython = sys.modules.get("IPython")  # never imported for this: no notebook is without it
    if ipython is None or "GRADEKIT_SEED" in os.environ:
        return
    shell = ipython.get_ipython()
    record = found.as_dict()
    if getattr(shell, "kernel", None) is None or not (drawn := picture.svg(record)):
        return
    from IPython.display import display

    text = [found.message, *picture.lines(record)]
    content = {"text/html": f"<div>{html.escape(found.message)}<br>{drawn}</div>", "text/plain": "\n".join(text)}
    with contextlib.suppress(Exception):  # a frontend that shows nothing decides nothing
        display(content, raw=True)


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
