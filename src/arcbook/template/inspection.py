"""Find the names that a template reads and its errors, without compiling it.

The lint reads every template of a document and runs none. Most are expressions, whose names
one walk finds. Templates with statements are also generated as source, which resolves each
name and checks that everything exists. Nothing is evaluated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from jinja2 import nodes

from arcbook.template import functions, limits
from arcbook.template.emission.words import check_word
from arcbook.template.errors import BudgetError, TemplateError
from arcbook.template.names import Names

_EXPRESSIONS: Final = (nodes.Expr, nodes.Helper, nodes.Output, nodes.Template, nodes.If)
"""Nodes that bind no names."""

_PLAIN: Final = frozenset(
    [
        nodes.Add, nodes.And, nodes.Compare, nodes.Concat, nodes.CondExpr, nodes.Dict, nodes.Div,
        nodes.Filter, nodes.FloorDiv, nodes.Getattr, nodes.Getitem, nodes.If, nodes.Keyword,
        nodes.List, nodes.Mod, nodes.Mul, nodes.Name, nodes.Neg, nodes.Not, nodes.Operand, nodes.Or,
        nodes.Output, nodes.Pair, nodes.Pos, nodes.Pow, nodes.Slice, nodes.Sub, nodes.Template,
        nodes.TemplateData, nodes.Test, nodes.Tuple,
    ]
)  # fmt: skip
"""Nodes that can always be generated as source if their filters and tests exist."""

_OTHERS: Final = (nodes.Extends, nodes.FromImport, nodes.Import, nodes.Include)


def inspect(tree: nodes.Node, source: str, emit: Callable[[], tuple[Any, str]]) -> Names:
    """Return the names that a template reads.

    Args:
        tree: its syntax tree.
        source: its text, for errors.
        emit: generates its Python source, or raises its error.

    Raises:
        TemplateError: If it cannot be compiled.
    """
    found: set[tuple[str, ...]] = set()
    has_statements = False
    is_plain = True
    remaining: list[tuple[nodes.Node, int]] = [(tree, 1)]
    while remaining:
        node, depth = remaining.pop()
        if depth > limits.TREE_DEPTH_MAX:
            raise BudgetError("template syntax: the expression nests too deep", source)
        if isinstance(node, _OTHERS):
            raise TemplateError("a template cannot take in other templates", source)
        path = path_of(node)
        if path is not None:
            found.add(path)
            if not isinstance(node, nodes.Getitem):
                continue
        if isinstance(node, (nodes.Filter, nodes.Test)):
            _checked(partial(check_word, node), source)
        is_plain = is_plain and (type(node) in _PLAIN or _is_short_constant(node))
        has_statements |= not isinstance(node, _EXPRESSIONS)
        remaining += [(child, depth + 1) for child in _children(node)]
    if is_plain:
        return frozenset(found)
    emitter = _checked(emit, source)[0]
    if has_statements:
        return frozenset(path for path in found if path[0] in emitter.roots)
    return frozenset(found)


def _checked(check: Callable[[], Any], source: str) -> Any:
    try:
        return check()
    except TemplateError as error:
        if not error.template:
            error.template = TemplateError("", source).template
        raise


def _is_short_constant(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Const) and (
        not isinstance(node.value, int) or node.value.bit_length() <= limits.NUMBER_BITS_MAX
    )


def _children(node: nodes.Node) -> list[nodes.Node]:
    """Return the children of a node, except the name of a function that it calls."""
    children = list(node.iter_child_nodes())
    if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name):
        return [c for c in children if c is not node.node or c.name not in functions.KNOWN]
    return children


def path_of(node: nodes.Node) -> tuple[str, ...] | None:
    """Return the name that a node reads, as the path from its root."""
    keys: list[str] = []
    while True:
        if isinstance(node, nodes.Name):
            keys.append(node.name)
            return tuple(reversed(keys)) if node.ctx == "load" else None
        if isinstance(node, nodes.Getattr):
            keys.append(node.attr)
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            # What lies behind an index is not a name any more.
            keys = [*keys, node.arg.value] if isinstance(node.arg.value, str) else []
        else:
            return None
        node = node.node
