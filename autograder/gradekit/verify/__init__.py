"""Tests are tested: the solution passes, the blank fails, every mutant is caught, every alternate is let through.

`mutants.py` of a week imports `Mutant`, `Alternate` and `Equivalent` from here.
"""

from gradekit.verify.variant import Alternate, Equivalent, Mutant

__all__ = ["Alternate", "Equivalent", "Mutant"]
