"""Find the names that a simple expression reads with Python's own parser.

Python's parser is twenty times as fast as Jinja2's. Where the two syntaxes coincide, an
expression that Python can parse also compiles in Jinja2, with the same names. Everything else
is left to Jinja2. A property test checks that the two agree.
"""

from __future__ import annotations

import ast
import re
from typing import Final

from arcbook.template.names import Names

DEPTH_MAX: Final = 60
"""Maximum nesting of an expression handled here."""

_CODE_CHARACTERS_MAX: Final = 2000

#: Printable ASCII except for what Jinja2 reads differently: braces, pipes, escapes, comments.
_SAME: Final = re.compile(r"""[A-Za-z0-9_ .,\[\]()'"=<>!+*/%-]+""")
#: Text with a prefix, in triple quotes or of two parts; numbers that are not plain integers.
_DIFFERENT: Final = re.compile(
    r"""(?<![A-Za-z0-9_])[rRbBuUfF]{1,2}['"]|'''|\"\"\"|['"]\s*['"]|(?<![A-Za-z0-9_])0?[0-9]+[A-Za-z_.]"""
    r"""|(?<![A-Za-z0-9_])0[0-9]|[0-9]{10}|<>|\.\s*[0-9]"""
)

_BRANCHES: Final = (
    ast.BoolOp, ast.And, ast.Or, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
    ast.In, ast.NotIn, ast.UnaryOp, ast.Not, ast.USub, ast.BinOp, ast.Add, ast.Sub, ast.Mult,
    ast.Div, ast.FloorDiv, ast.Mod, ast.IfExp, ast.List, ast.Load, ast.Name, ast.Attribute,
    ast.Subscript,
)  # fmt: skip

_CONSTANTS: Final = frozenset({"true", "false", "none"})


def quick_names(code: str) -> Names | None:
    """Return the names that ``code`` reads, or ``None`` if Jinja2 must parse it."""
    code = code.strip()
    if len(code) > _CODE_CHARACTERS_MAX or not _SAME.fullmatch(code) or _DIFFERENT.search(code):
        return None
    try:
        tree = ast.parse(code, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    found: set[tuple[str, ...]] = set()
    remaining: list[tuple[ast.AST, int]] = [(tree.body, 1)]
    while remaining:
        node, depth = remaining.pop()
        path = _path(node)
        if path is not None:
            found.add(path)
            if not isinstance(node, ast.Subscript):
                continue
        elif depth > DEPTH_MAX or not _is_same(node):
            return None
        if not isinstance(node, ast.Constant):
            remaining += [(child, depth + 1) for child in ast.iter_child_nodes(node)]
    return frozenset(found)


def _is_same(node: ast.AST) -> bool:
    """Return whether a node has the same meaning in Jinja2 as in Python."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (str, int, type(None)))
    return isinstance(node, _BRANCHES)


def _path(node: ast.AST) -> tuple[str, ...] | None:
    keys: list[str] = []
    while True:
        if isinstance(node, ast.Name):
            keys.append(node.id)
            return None if node.id in _CONSTANTS else tuple(reversed(keys))
        if isinstance(node, ast.Attribute):
            keys.append(node.attr)
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            # What lies behind an index is not a name any more.
            keys = [*keys, node.slice.value] if isinstance(node.slice.value, str) else []
        else:
            return None
        node = node.value
