"""Wrong and right answers to week 8, and what must happen to each."""

from gradekit.verify import Alternate, Equivalent, Mutant

MUTANTS = []
ALTERNATES = []
EQUIVALENT = []
