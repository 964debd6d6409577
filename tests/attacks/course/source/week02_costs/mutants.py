"""No wrong answers here: the attacks are in catalogue.py."""

from gradekit.verify import Alternate, Mutant

MUTANTS: list[Mutant] = []
ALTERNATES: list[Alternate] = []
