"""Data sets that need no download."""

from gradekit.data.digits import Digits, digits
from gradekit.data.prose import Prose, Question, prose

__all__ = ["Digits", "Prose", "Question", "digits", "prose"]
