"""Run an experiment on the student's code and hand its outputs to the test."""

from typing import Any

from gradekit.check import evidence
from gradekit.check.experiment import Experiment, parameters
from gradekit.check.failure import CheckFailed
from gradekit.check.subject import as_subject


def run(experiment: Experiment, env: Any, /, **inputs: Any) -> Any:
    """The experiment's outputs on the student's code, as plain data; the inputs are copied first.

    Raises CheckFailed, with the student's own line, for whatever goes wrong there; outputs of None mean an answer that
    is still blank.
    """
    with evidence.recording("run", experiment):
        outputs = as_subject(env).call(experiment, inputs).outputs
        refuse_blank(outputs, experiment, inputs)
        return outputs


def refuse_blank(outputs: Any, experiment: Experiment, inputs: dict[str, Any]) -> None:
    """Raise CheckFailed if the outputs are None, or a tuple of nothing else: a stub's body is `...`."""
    parts = outputs if isinstance(outputs, tuple | list) and outputs else [outputs]
    if all(part is None for part in parts):
        names = parameters(experiment, inputs).names
        who = names[0] if len(names) == 1 else f"{experiment.__name__} ({', '.join(names)})" if names else "it"
        raise CheckFailed(f"{who} returned None: is the body still the placeholder?")
