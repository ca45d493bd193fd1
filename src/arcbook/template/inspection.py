"""What a template reads and whether it can be compiled, found without compiling it.

Generating and compiling code takes ten times as long as parsing. The lint reads every
template of a document and runs none, so it parses only; a template that is built of
anything unusual is compiled all the same, to learn whether it can be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from jinja2 import meta, nodes

from arcbook.template.environment import environment
from arcbook.template.errors import TemplateError, UnknownWordError
from arcbook.template.names import Names

DEPTH_MAX: Final = 120
"""Nesting of a template's syntax tree; Python compiles about 200."""

_PLAIN: Final = (
    nodes.Expr, nodes.Helper, nodes.Output, nodes.Template, nodes.If, nodes.For,
)  # fmt: skip
"""Nodes that can always be compiled, given that their filters and tests exist."""

_OTHERS: Final = (nodes.Extends, nodes.FromImport, nodes.Import, nodes.Include)


def inspect(tree: nodes.Node, source: str, compiled: Callable[[], Any]) -> Names:
    """Return the names that a template reads.

    Args:
        tree: its syntax tree.
        source: its text, for errors.
        compiled: compiles it; raises what is wrong.

    Raises:
        TemplateError: it cannot be compiled.
    """
    found: set[tuple[str, ...]] = set()
    has_scopes = is_unusual = False
    todo: list[tuple[nodes.Node, int]] = [(tree, 1)]
    while todo:
        node, depth = todo.pop()
        if depth > DEPTH_MAX:
            raise TemplateError("template syntax: the expression nests too deep", source)
        path = _path(node)
        if path is not None:
            found.add(path)
            if not isinstance(node, nodes.Getitem):
                continue
        elif isinstance(node, (nodes.Filter, nodes.Test)):
            _check_word(node, source)
        else:
            has_scopes |= isinstance(node, nodes.For)
            is_unusual |= not _is_plain(node, source)
        todo += [(child, depth + 1) for child in node.iter_child_nodes()]
    if is_unusual:
        compiled()
    if is_unusual or has_scopes:
        undeclared = _undeclared(tree, source)
        return frozenset(path for path in found if path[0] in undeclared)
    return frozenset(found)


def _is_plain(node: nodes.Node, source: str) -> bool:
    if isinstance(node, _OTHERS):
        raise TemplateError("a template cannot take in other templates", source)
    return isinstance(node, _PLAIN)


def _undeclared(tree: nodes.Node, source: str) -> set[str]:
    try:
        return meta.find_undeclared_variables(tree)  # type: ignore[arg-type]  # a template
    except (ValueError, RuntimeError) as error:
        raise TemplateError(f"template syntax: {error}", source) from None


def _path(node: nodes.Node) -> tuple[str, ...] | None:
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


def _check_word(node: nodes.Filter | nodes.Test, source: str) -> None:
    is_filter = isinstance(node, nodes.Filter)
    known = environment.filters if is_filter else environment.tests
    if node.name not in known:
        what = "filter" if is_filter else "test"
        raise UnknownWordError(what, node.name, tuple(known), source)
