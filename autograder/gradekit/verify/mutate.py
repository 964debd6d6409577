"""Automatic mutants: one small mistake at a time, made in the solution's own code.

The operators are those of the literature (Offutt et al., "An experimental determination of sufficient mutant
operators", ACM TOSEM 5(2), 1996), with the slips of array code added: a wrong axis, a forgotten keyword, swapped
arguments, a dropped term.
"""

from __future__ import annotations

import ast
import copy
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Mutation", "mutations"]


@dataclass(frozen=True)
class Mutation:
    """A solution with one mistake. `before` and `after` are the statement without and with it (of a compound one the
    first line), as `ast.unparse` writes them; `source` is the whole of the answer cell `cell`.
    """

    question: str
    cell: str
    line: int
    operator: str
    before: str
    after: str
    source: str

    @property
    def difference(self) -> tuple[str, str]:
        """What stands in `before` exactly once and is another text in `after`: as short as can be read."""
        first, last = 0, 0
        shorter = min(len(self.before), len(self.after))
        while first < shorter and self.before[first] == self.after[first]:
            first += 1
        while last < shorter - first and self.before[-1 - last] == self.after[-1 - last]:
            last += 1
        while True:
            first, last = (
                _outward(self.before, first, -1),
                len(self.before) - _outward(self.before, len(self.before) - last, 1),
            )
            old, new = self.before[first : len(self.before) - last], self.after[first : len(self.after) - last]
            if old and self.before.count(old) == 1:
                return old, new

    @property
    def name(self) -> str:
        old, new = self.difference
        return f"{self.question} line {self.line}, {self.operator}: {old!r} -> {new!r}"


def _outward(text: str, place: int, step: int) -> int:
    """One sign further out from `place`, and on to the end of the word that stands there."""
    at = place + (step if step < 0 else 0)
    if not 0 <= at < len(text):
        return place
    at += step
    while 0 <= at < len(text) and (text[at].isalnum() or text[at] in "_."):
        at += step
    return max(at + 1 if step < 0 else at, 0)


def mutations(solution: Any, release: Any) -> list[Mutation]:
    """Every mutation of what students write: the code in the answer cells of the notebook `solution` that does not
    stand in the cell of the same id in `release`. Two that come to the same code are one. Cells that only show, and
    cells that are no plain Python, are left alone.
    """
    given = {str(cell.id): str(cell.source) for cell in release.cells}
    found: list[Mutation] = []
    for cell in solution.cells:
        question, _, kind = str(cell.id).partition("-")
        tags = cell.metadata.get("tags", [])
        if cell.cell_type == "code" and kind.startswith("code-") and "show" not in tags:
            found += _of_cell(question, str(cell.id), str(cell.source), given.get(str(cell.id), ""))
    return found


def _of_cell(question: str, cell: str, source: str, given: str) -> Iterator[Mutation]:
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a magic
        return
    written = _written(source, given)
    known = {ast.unparse(tree)}
    for statement, block, here in _statements(tree):
        if statement.lineno not in written:
            continue
        before = _first_line(statement)
        for operator in _changes(block, here):
            mutated = ast.unparse(tree)
            if mutated not in known:
                known.add(mutated)
                yield Mutation(question, cell, statement.lineno, operator, before, _first_line(block[here]), mutated)


def _written(source: str, given: str) -> set[int]:
    """The numbers of the lines of `source` that are not in `given`."""
    matcher = difflib.SequenceMatcher(None, given.splitlines(), source.splitlines(), autojunk=False)
    return {
        line + 1
        for tag, _, _, first, end in matcher.get_opcodes()
        if tag in ("insert", "replace")
        for line in range(first, end)
    }


def _statements(tree: ast.AST) -> Iterator[tuple[ast.stmt, list[ast.stmt], int]]:
    """Every statement with the block that it stands in, and where."""
    for owner in list(ast.walk(tree)):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(owner, field, None)
            if isinstance(block, list):
                yield from ((statement, block, index) for index, statement in enumerate(block))


def _first_line(statement: ast.stmt) -> str:
    return ast.unparse(statement).splitlines()[0]


def _changes(block: list[ast.stmt], here: int) -> Iterator[str]:
    """Make each change to a statement of the tree, say its name while it stands there, and take it back."""
    statement = block[here]
    for operator, other in _other_statements(statement):
        block[here] = ast.copy_location(other, statement)
        yield operator
        block[here] = statement
    for node, place, index in _expressions(statement):
        alone = isinstance(statement, ast.Expr) and node is statement.value
        for operator, changed in _replacements(node, alone=alone):
            _put(place, index, changed)
            yield operator
            _put(place, index, node)


def _other_statements(statement: ast.stmt) -> Iterator[tuple[str, ast.stmt]]:
    match statement:
        case ast.Expr(value=ast.Constant()):  # a docstring
            return
        case ast.Expr() | ast.Assign() | ast.AugAssign():
            yield "statement forgotten", ast.Pass()
        case ast.Break():
            yield "continue for break", ast.Continue()
        case ast.Continue():
            yield "break for continue", ast.Break()
    if isinstance(statement, ast.AugAssign):
        for operator, other in _OTHER_BINARY.get(type(statement.op), ()):
            yield operator, ast.AugAssign(statement.target, other(), statement.value)
        yield "operator forgotten", ast.Assign([statement.target], statement.value)


Place = tuple[ast.AST, str]


def _expressions(statement: ast.stmt) -> Iterator[tuple[ast.expr, Place, int | None]]:
    """The expressions of a statement and where they stand; not of statements in it, of annotations or of f-strings."""

    def inside(owner: ast.AST) -> Iterator[tuple[ast.expr, Place, int | None]]:
        for field, value in ast.iter_fields(owner):
            if field in ("annotation", "returns", "decorator_list", "ctx"):
                continue
            several = isinstance(value, list)
            for index, node in enumerate(value if several else [value]):
                if not isinstance(node, ast.AST) or isinstance(node, ast.stmt | ast.JoinedStr | ast.ExceptHandler):
                    continue
                if isinstance(node, ast.expr):
                    yield node, (owner, field), index if several else None
                yield from inside(node)

    yield from inside(statement)


def _put(place: Place, index: int | None, node: ast.expr) -> None:
    owner, field = place
    if index is None:
        setattr(owner, field, node)
    else:
        getattr(owner, field)[index] = node


_OTHER_BINARY: dict[type[ast.operator], Sequence[tuple[str, type[ast.operator]]]] = {
    ast.Add: (("- for +", ast.Sub),),
    ast.Sub: (("+ for -", ast.Add),),
    ast.Mult: (("/ for *", ast.Div),),
    ast.Div: (("* for /", ast.Mult),),
    ast.FloorDiv: (("* for //", ast.Mult), ("% for //", ast.Mod)),
    ast.Mod: (("// for %", ast.FloorDiv),),
    ast.Pow: (("* for **", ast.Mult),),
    ast.BitAnd: (("| for &", ast.BitOr),),
    ast.BitOr: (("& for |", ast.BitAnd),),
    ast.LShift: ((">> for <<", ast.RShift),),
    ast.RShift: (("<< for >>", ast.LShift),),
}
_OTHER_COMPARISON: dict[type[ast.cmpop], tuple[str, type[ast.cmpop]]] = {
    ast.Lt: ("<= for <", ast.LtE),
    ast.LtE: ("< for <=", ast.Lt),
    ast.Gt: (">= for >", ast.GtE),
    ast.GtE: ("> for >=", ast.Gt),
    ast.Eq: ("!= for ==", ast.NotEq),
    ast.NotEq: ("== for !=", ast.Eq),
    ast.Is: ("is not for is", ast.IsNot),
    ast.IsNot: ("is for is not", ast.Is),
    ast.In: ("not in for in", ast.NotIn),
    ast.NotIn: ("in for not in", ast.In),
}


def _replacements(node: ast.expr, *, alone: bool) -> Iterator[tuple[str, ast.expr]]:
    """Name and result of each change to an expression; `alone`: it is a statement by itself."""
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            for operator, other in _OTHER_BINARY.get(type(op), ()):
                yield operator, ast.BinOp(left, other(), right)
            if isinstance(op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.BitAnd | ast.BitOr):
                yield "dropped term", left
                if not isinstance(op, ast.Div):
                    yield "dropped term", right
            if isinstance(op, ast.MatMult | ast.Sub | ast.Div):
                yield "swapped operands", ast.BinOp(right, op, left)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _OTHER_COMPARISON:
            operator, comparison = _OTHER_COMPARISON[type(op)]
            yield operator, ast.Compare(left, [comparison()], [right])
        case ast.BoolOp(op=op, values=values):
            swapped = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield "or for and" if isinstance(op, ast.And) else "and for or", ast.BoolOp(swapped, values)
            yield from (("dropped term", value) for value in values)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield "dropped sign" if isinstance(node.op, ast.USub) else "dropped not", operand
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield "branches swapped", ast.IfExp(test, orelse, body)
        case ast.Constant(value=bool() as value):
            yield "not of a constant", ast.Constant(not value)
        case ast.Constant(value=int() as value):
            yield "off by one", ast.Constant(value + 1)
            yield "off by one", ast.Constant(value - 1)
        case ast.Constant(value=float() as value):
            yield "constant", ast.Constant(2 * value if value else 1.0)
        case ast.Call(func=func, args=args, keywords=keywords):
            if _is(func, "range") and len(args) == 1:
                yield "off by one", ast.Call(func, [ast.BinOp(args[0], ast.Sub(), ast.Constant(1))], keywords)
            for i in range(len(args) - 1):
                if not isinstance(args[i], ast.Starred) and not isinstance(args[i + 1], ast.Starred):
                    yield (
                        "swapped arguments",
                        ast.Call(func, [*args[:i], args[i + 1], args[i], *args[i + 2 :]], keywords),
                    )
            for i, keyword in enumerate(keywords):
                if keyword.arg is not None:
                    yield "keyword forgotten", ast.Call(func, args, [*keywords[:i], *keywords[i + 1 :]])
            if isinstance(func, ast.Attribute) and not _is_module(func.value) and not alone:
                yield "call forgotten", copy.copy(func.value)
        case ast.Attribute(value=value, attr="T" | "mT"):
            yield "transpose forgotten", value
        case ast.Tuple(elts=elements, ctx=ast.Load()):
            for i in range(len(elements) - 1):
                swapped_elements = [*elements[:i], elements[i + 1], elements[i], *elements[i + 2 :]]
                yield "swapped elements", ast.Tuple(swapped_elements, ast.Load())
        case ast.Slice(lower=lower, upper=upper, step=step):
            if upper is not None and not isinstance(upper, ast.Constant):
                yield "off by one", ast.Slice(lower, ast.BinOp(upper, ast.Sub(), ast.Constant(1)), step)
            if step is not None:
                yield "step forgotten", ast.Slice(lower, upper, None)


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _is_module(node: ast.expr) -> bool:
    """Whether `node.f(...)` is likely a function of a module, such as torch or nn.functional, and no method."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id in {"torch", "nn", "F", "np", "numpy", "math", "functional"}
