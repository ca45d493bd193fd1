"""Which names a template reads, found without running it.

A worker is sent only the names that its templates mention, and the lint knows
which names exist; both rest on this.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from arcbook.template.paths import Part

Names = frozenset[tuple[str, ...]]
"""Each name read, as the path from its root: ``{("ctx", "page"), ("load",)}``."""

NO_NAMES: Final[Names] = frozenset()


def merge(several: Iterable[Names]) -> Names:
    """Return all names of several templates."""
    return NO_NAMES.union(*several)


def roots(names: Names) -> frozenset[str]:
    """Return the root of each name."""
    return frozenset(name[0] for name in names)


def names_of_path(root: str, parts: tuple[Part, ...]) -> Names:
    """Return the name that a plain path reads, up to its first index."""
    path = [root]
    for _, key in parts:
        if not isinstance(key, str):
            break
        path.append(key)
    return frozenset({tuple(path)})


@lru_cache(4096)
def names_of_source(source: str) -> Names:
    """Return the names that a template's source reads from its scope."""
    from jinja2 import meta, nodes  # Jinja2 loads only for playbooks that need it

    from arcbook.template.environment import environment

    tree = environment.parse_source(source)
    undeclared = meta.find_undeclared_variables(tree)
    found: set[tuple[str, ...]] = set()

    def chain(node: nodes.Node) -> tuple[str, ...] | None:
        if isinstance(node, nodes.Name):
            return (node.name,)
        if isinstance(node, nodes.Getattr):
            inner = chain(node.node)
            return inner and (*inner, node.attr)
        if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            inner = chain(node.node)
            if inner and isinstance(node.arg.value, str):
                return (*inner, node.arg.value)
            return inner
        return None

    def visit(node: nodes.Node) -> None:
        path = chain(node)
        if path and path[0] in undeclared:
            found.add(path)
        rest = node.iter_child_nodes()
        if path is None or isinstance(node, nodes.Getitem):
            for child in rest:
                visit(child)

    visit(tree)
    return frozenset(found)
