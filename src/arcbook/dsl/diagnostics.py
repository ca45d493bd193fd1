"""What the lint says about a document: code, place, sentence, and what would be right."""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from arcbook.dsl.source import Position

DIAGNOSTICS_MAX: Final = 500
"""Diagnostics reported for one document."""

EXCERPT_COLUMNS_MAX: Final = 160
"""Length of the line shown with a diagnostic."""


class Severity(enum.StrEnum):
    """How bad a diagnostic is; errors refuse the document."""

    ERROR = "error"
    WARNING = "warning"


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to say about a place in a document."""

    #: Stable code, ``ARC101``; :mod:`arcbook.dsl.codes` explains each.
    code: str
    severity: Severity
    #: One sentence that says what is wrong.
    message: str
    line: int
    column: int
    #: What to write instead, or an empty text.
    hint: str = ""
    #: The step that the place belongs to, or an empty text.
    step: str = ""

    @property
    def position(self) -> Position:
        """The place."""
        return Position(self.line, self.column)


class Report:
    """Collects the diagnostics of one document, in one pass over all of it."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []

    def error(
        self, code: str, message: str, position: Position, hint: str = "", step: str = ""
    ) -> None:
        """Note something that refuses the document."""
        self._add(Severity.ERROR, code, message, position, hint, step)

    def warning(
        self, code: str, message: str, position: Position, hint: str = "", step: str = ""
    ) -> None:
        """Note something that is probably not meant."""
        self._add(Severity.WARNING, code, message, position, hint, step)

    def _add(  # noqa: PLR0913  # the fields of a diagnostic
        self,
        severity: Severity,
        code: str,
        message: str,
        position: Position,
        hint: str,
        step: str,
    ) -> None:
        if len(self.found) < DIAGNOSTICS_MAX:
            self.found.append(
                Diagnostic(
                    code=code,
                    severity=severity,
                    message=message,
                    line=position.line,
                    column=position.column,
                    hint=hint,
                    step=step,
                )
            )

    @property
    def has_errors(self) -> bool:
        """Whether any diagnostic refuses the document."""
        return any(d.severity is Severity.ERROR for d in self.found)

    def sorted(self) -> tuple[Diagnostic, ...]:
        """Return the diagnostics by place, each once."""
        unique = {(d.line, d.column, d.code, d.message): d for d in self.found}
        return tuple(d for _, d in sorted(unique.items()))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the known word nearest to ``word``, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else ""


def excerpt(lines: Sequence[str], diagnostic: Diagnostic) -> str:
    """Return the line of a diagnostic with a caret below the place."""
    if not 1 <= diagnostic.line <= len(lines):
        return ""
    line = lines[diagnostic.line - 1].expandtabs(1)
    start = max(0, diagnostic.column - EXCERPT_COLUMNS_MAX // 2)
    shown = line[start : start + EXCERPT_COLUMNS_MAX]
    gutter = f"{diagnostic.line:>5} | "
    caret = " " * (len(gutter) + max(0, diagnostic.column - 1 - start)) + "^"
    return f"{gutter}{shown}\n{caret}"


def text(name: str, diagnostic: Diagnostic, lines: Sequence[str]) -> str:
    """Return a diagnostic as a person reads it on a terminal."""
    head = (
        f"{name}:{diagnostic.line}:{diagnostic.column}: "
        f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"
    )
    parts = [head, excerpt(lines, diagnostic)]
    if diagnostic.hint:
        parts.append(f"      = {diagnostic.hint}")
    return "\n".join(part for part in parts if part)
