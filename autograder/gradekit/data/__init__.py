"""Data sets that need no download."""

from gradekit.data.digits import Digits, digits

__all__ = ["Digits", "digits"]
