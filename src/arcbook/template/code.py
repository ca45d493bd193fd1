"""Templates in Python source code, where braces have other meanings.

Only a ``{{ name... }}`` whose root is a known name is replaced, as text. The braces of
f-strings, sets and dictionaries are left unchanged. Passing values by ``input`` is better,
and the lint says so. For shells and other languages see :mod:`arcbook.template.script`.
"""

from __future__ import annotations

import io
import re
import tokenize
from functools import lru_cache
from typing import Any, Final

from arcbook.template.access import MISSING
from arcbook.template.budget import Budget
from arcbook.template.errors import TemplateError
from arcbook.template.names import NO_NAMES, Names, merge, roots
from arcbook.template.render import Literal, Template, compile_text
from arcbook.template.scope import Scope
from arcbook.template.text import joined
from arcbook.template.values import weigh

_HOLE: Final = re.compile(r"\{\{(?:[^{}]|\{[^{}]*\})*\}\}")


class Code(Template):
    """Source code with holes for known names."""

    __slots__ = ("names", "pieces")

    def __init__(self, pieces: tuple[str | tuple[str, Template], ...]) -> None:
        self.pieces = pieces
        self.names: Names = merge(p[1].names for p in pieces if not isinstance(p, str))

    def render(self, scope: Scope) -> str:
        written: list[str] = []
        for piece in self.pieces:
            if isinstance(piece, str):
                written.append(piece)
                continue
            text, template = piece
            known = all(scope.lookup(r) is not MISSING for r in roots(template.names))
            written.append(python_text(scope.budget, template.render(scope)) if known else text)
        return joined(scope.budget, written)

    evaluate = render


def compile_code(source: Any) -> Template:
    """Compile source code; code without holes is a literal.

    Code that consists of a single ``{{ expression }}`` is an ordinary template.

    Raises:
        TemplateError: If that template has a syntax error.
    """
    if not isinstance(source, str) or "{{" not in source:
        return Literal(source)
    if _HOLE.fullmatch(source.strip()) and "\n" not in source.strip():
        return compile_text(source.strip())
    pieces: list[str | tuple[str, Template]] = []
    at = 0
    for match in _HOLE.finditer(source):
        template = _hole(match[0])
        if template is not None:
            pieces += [source[at : match.start()], (match[0], template)]
            at = match.end()
    if not pieces:
        return Literal(source)
    return Code((*pieces, source[at:]))


def _hole(text: str) -> Template | None:
    try:
        template = compile_text(text)
    except TemplateError:
        return None
    return None if template.names == NO_NAMES else template


@lru_cache(1024)
def uses_name(source: str, name: str) -> bool:
    """Return whether Python code uses a name, ignoring comments and strings."""
    if name not in source:
        return False
    try:
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        return any(_mentions(token, name) for token in tokens)
    except (tokenize.TokenError, SyntaxError):
        return True


def _mentions(token: tokenize.TokenInfo, name: str) -> bool:
    if token.type == tokenize.NAME:
        return token.string == name
    # Up to Python 3.11 an f-string with all its expressions is one token.
    is_formatted = (
        token.type == tokenize.STRING and "f" in token.string.partition(token.string[-1])[0].lower()
    )
    return is_formatted and re.search(rf"\b{name}\b", token.string) is not None


def python_text(budget: Budget, value: Any) -> str:
    """Format ``value`` for Python source: text unchanged, other values as literals.

    Raises:
        TemplateError: If it is not data, or too large.
    """
    found = None if value is MISSING else weigh(budget, value)
    text = str.__str__(found) if isinstance(found, str) else repr(found)
    budget.characters(len(text))
    return text
