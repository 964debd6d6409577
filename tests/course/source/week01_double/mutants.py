"""Wrong and right answers to week 1 of the tests' own course."""

from gradekit.verify import Alternate, Mutant

MUTANTS = [
    Mutant("adds one", question="q1", fails={"q1": "agrees*"}, why="right for 1 alone", replace={"x + x": "x + 1"}),
    Mutant(
        "returns its input", question="q1", fails={"q1": "*"}, why="nothing is done", replace={"x + x": "x.clone()"}
    ),
    Mutant("divides by four", question="q2", fails={"q2": "*"}, why="a slip", replace={"0.5": "0.25"}),
    Mutant("zeros", question="q1", fails={"q1": ("doubles*", "agrees*")}, why="a stub", replace={"x + x": "x * 0"}),
]

ALTERNATES = [
    Alternate("multiplies", question="q1", why="the other way to write it", replace={"x + x": "2 * x"}),
    Alternate("divides", question="q2", why="the same", define="def halve(x):\n    return x / 2\n"),
]
