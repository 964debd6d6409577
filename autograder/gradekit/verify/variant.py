"""Wrong and right answers other than the solution, and what must happen to each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

__all__ = ["Alternate", "Equivalent", "Mutant", "Variant"]


@dataclass(frozen=True)
class Variant:
    """The solution with a change to the answer of one question.

    `replace` maps old text to new: each old text stands exactly once in the answer. `define` is code put after it, as
    a rule a function of the same name. A change that cannot be made is a failure, not something to pass over.
    """

    name: str
    question: str
    why: str
    replace: Mapping[str, str] = field(default_factory=dict)
    define: str = ""

    def __post_init__(self) -> None:
        if not self.name or not self.why:
            raise ValueError(f"{self.name!r}: a variant has a name, and says why somebody would write it")
        if self.name in {"solution", "blank"} or self.name.startswith("solution, "):
            raise ValueError(f"{self.name!r}: the table has another line of this name")
        if bool(self.replace) == bool(self.define):
            raise ValueError(f"{self.name!r}: give either replace= or define=")


@dataclass(frozen=True)
class Alternate(Variant):
    """A right answer written differently: full marks."""


@dataclass(frozen=True)
class Mutant(Variant):
    """A wrong answer. `fails` maps a question to patterns of the names of its test cases (as in fnmatch).

    Of every pattern at least one test case must fail, and none that no pattern matches; every question that is not
    named keeps full marks. `may_fail` are patterns of test cases of its own question that it may fail or not: a time so
    near to a limit that the machine decides. `peer` says what it stands for in the table of limits, if it is no answer
    of a student's but something to measure against, such as torch's own kernel (wrong because the question forbids it).
    """

    fails: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    may_fail: str | tuple[str, ...] = ()
    peer: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.fails or not all(self.patterns(question) for question in self.fails):
            raise ValueError(f"{self.name!r}: a mutant must say what it fails")

    def patterns(self, question: str) -> tuple[str, ...]:
        named = self.fails.get(question, ())
        return (named,) if isinstance(named, str) else tuple(named)

    def surprises(self, question: str, failed: list[str]) -> list[str]:
        """What is not as declared, given the names of the test cases of `question` that failed."""
        patterns = self.patterns(question)
        let_be = (self.may_fail,) if isinstance(self.may_fail, str) else self.may_fail
        allowed = (*patterns, *let_be) if question == self.question else patterns
        missed = [
            f"{question}: survived {pattern!r}"
            for pattern in patterns
            if not any(fnmatchcase(name, pattern) for name in failed)
        ]
        extra = [
            f"{question}: also failed {name!r}"
            for name in failed
            if not any(fnmatchcase(name, pattern) for pattern in allowed)
        ]
        return missed + extra


@dataclass(frozen=True)
class Equivalent:
    """Automatic mutants that no test can tell from the solution, or none should: `why` says which, and why.

    `replace` maps a piece of a statement to another, or to several; each pair by itself is a change. Pieces are quoted
    as `gradekit verify` prints them (as `ast.unparse` writes them), with so much around them that they stand for
    nothing else. Such mutants are not graded and do not count.
    """

    question: str
    why: str
    replace: Mapping[str, str | tuple[str, ...]]

    def __post_init__(self) -> None:
        if not self.why or not self.replace:
            raise ValueError(f"{self.question!r}: an equivalent mutant has a change, and says why nothing can tell")

    def makes(self, before: str, after: str) -> bool:
        """Whether one of the changes, made at one place, turns the statement `before` into `after`."""
        return any(
            before[:place] + new + before[place + len(old) :] == after
            for old, news in self.replace.items()
            for new in ((news,) if isinstance(news, str) else news)
            for place in _places(before, old)
        )


def _places(text: str, piece: str) -> list[int]:
    return [i for i in range(len(text) - len(piece) + 1) if text.startswith(piece, i)]
