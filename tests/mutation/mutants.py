"""Small changes of a source file, each of which a test should notice."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}

OPERATORS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


LIMIT_MIN: Final = 1000
"""From here on a number is a limit, which one more of does not change."""


EQUAL: Final = Path(__file__).with_name("equal.txt")
"""Mutants that behave like the original: file, change and reason, separated by `` | ``."""


@dataclass(frozen=True)
class Mutant:
    """A change of one place."""

    file: Path
    line: int
    what: str
    text: str


def mutants(file: Path) -> list[Mutant]:
    """Return the mutants of a file, in the order of their places."""
    source = file.read_text("utf-8")
    tree = ast.parse(source)
    found: list[Mutant] = []
    for node in _nodes(tree):
        for changed in _changes(node):
            text = _replaced(source, node, changed)
            if text is not None:
                what = f"{ast.unparse(node)[:60]} -> {ast.unparse(changed)[:60]}"
                found.append(Mutant(file, node.lineno, what.replace("\n", " "), text))
    return found


def equal() -> dict[tuple[str, str], str]:
    """Return the mutants that no test can tell from the original, each with the reason."""
    lines = [line for line in EQUAL.read_text("utf-8").splitlines() if not line.startswith("#")]
    parts = [line.split(" | ") for line in lines if line]
    return {(file, what): reason for file, what, reason in parts}


def _nodes(tree: ast.AST, *, is_function: bool = False) -> Iterator[ast.expr | ast.stmt]:
    """Yield what may be changed: no annotations, docstrings, or constants of limits."""
    is_function = is_function or isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef))
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, (ast.Import, ast.ImportFrom, ast.arguments)):
            continue
        if child is getattr(tree, "returns", None):
            continue
        if isinstance(child, ast.AnnAssign):
            if is_function and child.value is not None:
                yield from _nodes(ast.Expr(child.value), is_function=True)
            continue
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        if isinstance(child, (ast.expr, ast.stmt)) and hasattr(child, "end_col_offset"):
            yield child
        yield from _nodes(child, is_function=is_function)


def _changes(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            if type(operator) in COMPARISONS:
                yield ast.Compare(left, [COMPARISONS[type(operator)]()], [right])
        case ast.BoolOp(op=operator, values=values):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPERATORS:
            yield ast.BinOp(left, OPERATORS[type(operator)](), right)
        case ast.IfExp(body=body, orelse=orelse):
            yield body
            yield orelse
        case ast.Constant():
            yield from _other_values(node)
        case ast.stmt():
            yield from _other_statements(node)


def _other_values(node: ast.Constant) -> Iterator[ast.expr]:
    if isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node.value, int) and abs(node.value) < LIMIT_MIN:
        yield ast.Constant(node.value + 1)


def _other_statements(node: ast.stmt) -> Iterator[ast.stmt]:
    match node:
        case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Continue() | ast.Break():
            yield ast.Pass()
        case ast.Return(value=ast.expr() as value) if not _is_answer(value):
            yield ast.Return(ast.Constant(None))


def _is_answer(value: ast.expr) -> bool:
    """Return whether a value is nothing, or true or false, whose other value is a mutant."""
    return isinstance(value, ast.Constant) and (value.value is None or value.value in {True, False})


def _replaced(source: str, node: ast.expr | ast.stmt, changed: ast.AST) -> str | None:
    """Return a source with a node in another's place; nothing if it would say the same."""
    if node.end_lineno is None or node.end_col_offset is None:
        return None
    lines = source.encode().splitlines(keepends=True)
    begin = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    new = ast.unparse(ast.fix_missing_locations(changed))
    if isinstance(node, ast.expr):
        new = f"({new})"
    raw = source.encode()
    text = (raw[:begin] + new.encode() + raw[end:]).decode()
    try:
        ast.parse(text)
    except SyntaxError:
        return None  # within an f-string, whose quotes are taken
    return text
