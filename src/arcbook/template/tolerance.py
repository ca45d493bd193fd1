"""Find the names that a template allows to be missing.

``{{ x | default(1) }}`` and ``{% if x is defined %}`` handle a missing ``x``, so the lint does
not report it. Nothing is evaluated.
"""

from __future__ import annotations

from typing import Final

from jinja2 import nodes

from arcbook.template import syntax
from arcbook.template.errors import TemplateError
from arcbook.template.inspection import path_of
from arcbook.template.names import NO_NAMES, Names

_FILTERS: Final = frozenset({"default", "d"})
_TESTS: Final = frozenset({"defined", "undefined", "none"})


def tolerated(source: str) -> Names:
    """Return the names that a template allows to be missing."""
    try:
        tree = syntax.read_text(source)
    except TemplateError:
        return NO_NAMES
    names: set[tuple[str, ...]] = set()
    for node in tree.find_all((nodes.Filter, nodes.Test, nodes.Or, nodes.And, nodes.Not)):
        _take(node, names)
    for block in tree.find_all(nodes.If):
        _paths(block.test, names)
    for choice in tree.find_all(nodes.CondExpr):
        _paths(choice.test, names)
    return frozenset(names)


def _take(node: nodes.Node, names: set[tuple[str, ...]]) -> None:
    if isinstance(node, nodes.Filter):
        if node.name in _FILTERS and node.node is not None:
            _below(node.node, names)
    elif isinstance(node, nodes.Test):
        if node.name in _TESTS:
            _below(node.node, names)
    elif isinstance(node, nodes.Not):
        _paths(node.node, names)
    elif isinstance(node, (nodes.Or, nodes.And)):
        _paths(node.left, names)


def _paths(node: nodes.Node | None, names: set[tuple[str, ...]]) -> None:
    """Add a bare name, of which only the truth matters."""
    path = None if node is None else path_of(node)
    if path is not None:
        names.add(path)


def _below(node: nodes.Node, names: set[tuple[str, ...]]) -> None:
    _paths(node, names)
    for child in node.iter_child_nodes():
        _below(child, names)


def is_tolerated(path: tuple[str, ...], names: Names) -> bool:
    """Return whether a name or one of its parents is among ``names``."""
    return any(path[: len(name)] == name for name in names)
