"""What tests are written with.

from gradekit import check

def gradients(conv2d_backward, dout, x, w):          # an experiment: runs beside the student's code
    return conv2d_backward(dout, x, w)

def test_gradients(env):                             # runs beside the judge
    check.accuracy(gradients, env, reference, inputs=conv_inputs)
    check.speed(gradients, env, reference, inputs=conv_inputs, at_most={"cuda": 2.0, "cpu": 3.0})
"""

from gradekit.check import evidence
from gradekit.check.accuracy import accuracy
from gradekit.check.checkpoint import checkpoint
from gradekit.check.close import close
from gradekit.check.counts import counts
from gradekit.check.evidence import Evidence
from gradekit.check.failure import AuthoringError, CheckFailed
from gradekit.check.gradient import gradient
from gradekit.check.memory import memory
from gradekit.check.normal import normal
from gradekit.check.outcome import outcome
from gradekit.check.rules import AUTOGRAD, CONVOLUTION, POOLING, UNFOLD, rules
from gradekit.check.run import run
from gradekit.check.scaling import scaling
from gradekit.check.speed import speed
from gradekit.check.subject import LocalSubject, Outcome, Subject, as_subject

__all__ = [
    "AUTOGRAD",
    "CONVOLUTION",
    "POOLING",
    "UNFOLD",
    "AuthoringError",
    "CheckFailed",
    "Evidence",
    "LocalSubject",
    "Outcome",
    "Subject",
    "accuracy",
    "as_subject",
    "checkpoint",
    "close",
    "counts",
    "evidence",
    "gradient",
    "memory",
    "normal",
    "outcome",
    "rules",
    "run",
    "scaling",
    "speed",
]
