"""Compiled templates: any YAML value, compiled once, rendered many times.

:func:`compile_value` turns a value into a :class:`Template`. A string that is a single
``{{ expression }}`` keeps the native type of its value; other text with ``{{ }}`` or
``{% %}`` renders to text; everything else is an unchanged literal. The output of a template
is data and is never rendered again.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

from arcbook.template import limits
from arcbook.template.access import MISSING, View
from arcbook.template.errors import BudgetError, TemplateError
from arcbook.template.names import NO_NAMES, Names, merge, names_of_path
from arcbook.template.paths import Part, follow, parse_path
from arcbook.template.perform import perform
from arcbook.template.scope import Scope
from arcbook.template.text import joined, text_of, to_text, to_value
from arcbook.template.truth import is_true

CACHE_SIZE: Final = 8192


class Template:
    """A compiled value. Rendering never changes it."""

    __slots__ = ()

    #: Names that a render may look up in its scope.
    names: Names = NO_NAMES
    #: Whether the value is constant, so that no scope is needed.
    is_literal: bool = False

    def evaluate(self, scope: Scope) -> Any:
        """Return the raw value, which may be a view or :data:`MISSING`."""
        raise NotImplementedError

    def render(self, scope: Scope) -> Any:
        """Return the JSON-compatible value; a missing one is recorded and becomes ``None``."""
        raise NotImplementedError

    def test(self, scope: Scope) -> bool:
        """Return whether the value counts as true (see :mod:`arcbook.template.truth`)."""
        return is_true(self.evaluate(scope))


class Literal(Template):
    """A value without templates."""

    __slots__ = ("value",)
    is_literal = True

    def __init__(self, value: Any) -> None:
        self.value = value

    def evaluate(self, scope: Scope) -> Any:
        return self.value

    render = evaluate


class Path(Template):
    """One dotted path, such as ``{{ load.rows[0].id }}``."""

    __slots__ = ("names", "parts", "root", "source")

    def __init__(self, source: str, root: str, parts: tuple[Part, ...]) -> None:
        self.source = source
        self.root = root
        self.parts = parts
        self.names = names_of_path(root, parts)

    def evaluate(self, scope: Scope) -> Any:
        value = scope.lookup(self.root)
        return follow(value, self.parts) if self.parts else value

    def render(self, scope: Scope) -> Any:
        value = scope.lookup(self.root)
        if self.parts:
            value = follow(value, self.parts)
        if value is MISSING:
            scope.note_missing(self.source)
            return None
        kind = type(value)
        if kind is dict or kind is str or kind is list or kind is int:
            return value
        return value.plain() if isinstance(value, View) else to_value(value)


class Expression(Template):
    """One ``{{ expression }}`` other than a path; it keeps its native type."""

    __slots__ = ("_code", "_evaluating", "_rendering", "_written", "names", "source")

    def __init__(self, source: str, names: Names, code: str, written: str) -> None:
        self.source = source
        self.names = names
        self._code = code
        self._written = written
        self._evaluating: Any = None
        self._rendering: Any = None

    def evaluate(self, scope: Scope) -> Any:
        program = self._evaluating
        if program is None:
            program = self._evaluating = self._compiled(is_result=False)
        return perform(program, scope, self._written, self.names)

    def render(self, scope: Scope) -> Any:
        program = self._rendering
        if program is None:
            program = self._rendering = self._compiled(is_result=True)
        value = perform(program, scope, self._written, self.names)
        if value is MISSING:
            scope.note_missing(self.source)
            return None
        return value

    def _compiled(self, *, is_result: bool) -> Any:
        from arcbook.template import programs  # Jinja2 loads only for playbooks that need it

        return programs.expression(self._code, self._written, is_result=is_result)


class Text(Template):
    """Text that contains templates; it renders to text."""

    __slots__ = ("_program", "names", "source")

    def __init__(self, source: str, names: Names) -> None:
        self.source = source
        self.names = names
        self._program: Any = None

    def evaluate(self, scope: Scope) -> Any:
        program = self._program
        if program is None:
            from arcbook.template import programs  # Jinja2 loads only for playbooks that need it

            program = self._program = programs.text(self.source)
        return perform(program, scope, self.source, self.names)

    render = evaluate


class PathText(Template):
    """Text whose templates are all plain paths, rendered without Jinja2."""

    __slots__ = ("names", "pieces")

    def __init__(self, pieces: tuple[str | Path, ...]) -> None:
        self.pieces = pieces
        self.names = merge(p.names for p in pieces if not isinstance(p, str))

    def evaluate(self, scope: Scope) -> Any:
        budget = scope.budget
        written: list[str] = []
        for piece in self.pieces:
            if type(piece) is str:
                written.append(piece)
                continue
            found = piece.evaluate(scope)  # type: ignore[union-attr]  # not a str
            if found is MISSING:
                scope.note_missing(piece.source)  # type: ignore[union-attr]
            else:
                written.append(text_of(budget, found))
        return joined(budget, written)

    render = evaluate


class Mapping(Template):
    """A mapping that contains templates."""

    __slots__ = ("entries", "names")

    def __init__(self, entries: tuple[tuple[Template, Template], ...]) -> None:
        self.entries = entries
        self.names = merge(t.names for pair in entries for t in pair)

    def evaluate(self, scope: Scope) -> Any:
        return self.render(scope)

    def render(self, scope: Scope) -> Any:
        return {to_text(k.render(scope)): v.render(scope) for k, v in self.entries}


class Sequence(Template):
    """A list that contains templates."""

    __slots__ = ("elements", "names")

    def __init__(self, elements: tuple[Template, ...]) -> None:
        self.elements = elements
        self.names = merge(t.names for t in elements)

    def evaluate(self, scope: Scope) -> Any:
        return self.render(scope)

    def render(self, scope: Scope) -> Any:
        return [element.render(scope) for element in self.elements]


def is_template(text: str) -> bool:
    """Return whether ``text`` contains template syntax."""
    return "{{" in text or "{%" in text or "{#" in text


def compile_value(value: Any, depth: int = 0) -> Template:
    """Compile any YAML value.

    Raises:
        TemplateError: If a template in it has a syntax error or exceeds a limit.
    """
    if isinstance(value, str):
        return compile_text(value) if is_template(value) else Literal(value)
    if isinstance(value, (dict, list)) and depth >= limits.DEPTH_MAX:
        raise TemplateError(f"the value nests deeper than {limits.DEPTH_MAX} levels")
    if isinstance(value, dict):
        pairs = tuple(
            (compile_value(k, depth + 1), compile_value(v, depth + 1)) for k, v in value.items()
        )
        if all(k.is_literal and v.is_literal for k, v in pairs):
            return Literal(value)
        return Mapping(pairs)
    if isinstance(value, list):
        elements = tuple(compile_value(v, depth + 1) for v in value)
        return Literal(value) if all(e.is_literal for e in elements) else Sequence(elements)
    return Literal(value)


def compile_condition(value: Any) -> Template:
    """Compile a guard: a boolean, a template, or an expression without braces.

    Raises:
        TemplateError: If it has a syntax error.
    """
    if isinstance(value, str) and value.strip() and not is_template(value):
        return compile_text("{{ " + value + " }}")
    return compile_value(value)


@lru_cache(CACHE_SIZE)
def compile_text(source: str) -> Template:
    """Compile a string that contains template syntax.

    Raises:
        TemplateError: If it has a syntax error or is too long.
    """
    if len(source) > limits.TEXT_CHARACTERS_MAX:
        raise BudgetError(f"the template passes {limits.TEXT_CHARACTERS_MAX:,} characters", source)
    lone = _lone_expression(source)
    if lone is not None:
        path = parse_path(lone)
        if path:
            return Path(lone.strip(), *path)
        template = _expression(lone, source)
        if template:
            return template
    return _path_text(source) or _text(source)


def _lone_expression(source: str) -> str | None:
    """Return the inside of ``source`` if it may be a single expression, else ``None``."""
    text = source.strip()
    if not (text.startswith("{{") and text.endswith("}}")) or len(text) < len("{{}}"):
        return None
    return text[2:-2].removeprefix("-").removesuffix("-")


_PLAIN_HOLE: Final = re.compile(r"\{\{([^{}]*)\}\}")


def _path_text(source: str) -> PathText | None:
    if "{%" in source or "{#" in source or "{{-" in source or "-}}" in source:
        return None
    split = _PLAIN_HOLE.split(source)
    pieces: list[str | Path] = []
    for i, piece in enumerate(split):
        if i % 2:
            path = parse_path(piece)
            if path is None:
                return None
            pieces.append(Path(piece.strip(), *path))
        elif "{{" in piece or "}}" in piece:
            return None
        elif piece:
            pieces.append(piece)
    return PathText(tuple(pieces))


def _expression(expression: str, source: str) -> Template | None:
    from arcbook.template import programs  # Jinja2 loads only for playbooks that need it

    if not expression.strip():
        raise TemplateError("the template is empty: write a name between {{ and }}", source)
    names = programs.expression_names(expression, source)
    if names is None:
        return None
    return Expression(" ".join(expression.split()), names, expression, source)


def _text(source: str) -> Template:
    from arcbook.template import programs  # Jinja2 loads only for playbooks that need it

    return Text(source, programs.text_names(source))
