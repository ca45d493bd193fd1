"""Diagnostics of the lint: code, position, message and a hint how to fix it."""

from __future__ import annotations

import difflib
import enum
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from arcbook.dsl.source import Position

DIAGNOSTICS_MAX: Final = 500
"""Maximum errors, and maximum warnings, reported for one document."""

EXCERPT_COLUMNS_MAX: Final = 160
"""Maximum length of the source line shown with a diagnostic."""


class Severity(enum.StrEnum):
    """The severity of a diagnostic; a document with errors is rejected."""

    ERROR = "error"
    WARNING = "warning"


class Diagnostic(msgspec.Struct, frozen=True, kw_only=True):
    """An error or warning at a position in a document."""

    #: Stable code, such as ``ARC101``; :mod:`arcbook.dsl.codes` lists them.
    code: str
    severity: Severity
    #: One sentence that describes the problem.
    message: str
    line: int
    column: int
    #: How to fix it, or an empty string.
    hint: str = ""
    #: The step that the position belongs to, or an empty string.
    step: str = ""

    @property
    def position(self) -> Position:
        """The position."""
        return Position(self.line, self.column)


class Report:
    """Collects the diagnostics of one document.

    Args:
        allowed: unknown keys to accept.
        is_stored: whether the document was accepted before. Checks that have become errors
            since then do not reject it.
    """

    def __init__(self, allowed: frozenset[str] = frozenset(), *, is_stored: bool = False) -> None:
        self._allowed = allowed
        #: Whether the document was accepted before; its warnings are not shown.
        self.is_stored = is_stored
        self._errors: list[Diagnostic] = []
        self._warnings: list[Diagnostic] = []
        #: Number of diagnostics over the limit.
        self.left_out = 0

    def error(
        self, code: str, message: str, position: Position, hint: str = "", step: str = ""
    ) -> None:
        """Report an error, which rejects the document."""
        diagnostic = _at(position, code=code, message=message, hint=hint, step=step)
        self._add(self._errors, diagnostic)

    def tightened(
        self, code: str, message: str, position: Position, hint: str = "", step: str = ""
    ) -> None:
        """Report an error of a check added later; a stored document only gets a warning."""
        report = self.warning if self.is_stored else self.error
        report(code, message, position, hint, step)

    def allows(self, key: str) -> bool:
        """Return whether an unknown key is accepted."""
        return key in self._allowed

    def warning(
        self, code: str, message: str, position: Position, hint: str = "", step: str = ""
    ) -> None:
        """Report something that is probably unintended."""
        diagnostic = _at(position, code=code, message=message, hint=hint, step=step)
        self._add(self._warnings, msgspec.structs.replace(diagnostic, severity=Severity.WARNING))

    def _add(self, diagnostics: list[Diagnostic], diagnostic: Diagnostic) -> None:
        if len(diagnostics) < DIAGNOSTICS_MAX:
            diagnostics.append(diagnostic)
        else:
            self.left_out += 1

    @property
    def has_errors(self) -> bool:
        """Whether there are errors, which reject the document."""
        return bool(self._errors)

    def has_error_at(self, position: Position) -> bool:
        """Return whether an error is at a position."""
        return any((e.line, e.column) == (position.line, position.column) for e in self._errors)

    @property
    def errors(self) -> int:
        """The number of errors."""
        return len(self._errors)

    def as_one(self, code: str, position: Position, after: int) -> None:
        """Replace all errors but the first ``after`` with a single one about the document."""
        first_errors, (first, *rest) = self._errors[:after], self._errors[after:]
        suffix = f", and {len(rest)} more" if rest else ""
        cause = f"line {first.line}: {first.message}{suffix}"
        message = f"this document of an older version cannot be upgraded: {cause}"
        hint = first.hint or "see 'Older spellings' in the description of the language"
        self._errors = [*first_errors, _at(position, code=code, message=message, hint=hint)]

    @property
    def is_full(self) -> bool:
        """Whether further errors are only counted, so that suggestions are not needed."""
        return len(self._errors) >= DIAGNOSTICS_MAX

    def sorted(self) -> tuple[Diagnostic, ...]:
        """Return the diagnostics ordered by position, without duplicates."""
        unique: dict[tuple[int, int, str, str], Diagnostic] = {}
        for d in (*self._errors, *self._warnings):
            unique.setdefault((d.line, d.column, d.code, d.message), d)
        return tuple(unique[key] for key in sorted(unique))


def _at(position: Position, **fields: str) -> Diagnostic:
    return Diagnostic(severity=Severity.ERROR, line=position.line, column=position.column, **fields)


NAMES_COMPARED_MAX: Final = 100
"""Maximum names compared for a suggestion; names with the same first letter come first."""


@lru_cache(1024)
def _nearest(word: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return near[0] if near else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the known word nearest to ``word``, or an empty string."""
    near = nearest(word, known)
    return f"did you mean {near!r}?" if near else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word nearest to ``word``, or an empty string."""
    difference_max = max(2, len(word) // 2)
    candidates = [k for k in known if abs(len(k) - len(word)) <= difference_max and k != word]
    candidates.sort(key=lambda k: (k[:1] != word[:1], k))
    return _nearest(word, tuple(candidates[:NAMES_COMPARED_MAX]))


def excerpt(lines: Sequence[str], diagnostic: Diagnostic) -> str:
    """Return the source line of a diagnostic, with a caret below the position."""
    if not 1 <= diagnostic.line <= len(lines):
        return ""
    line = lines[diagnostic.line - 1].expandtabs(1)
    start = max(0, diagnostic.column - EXCERPT_COLUMNS_MAX // 2)
    shown = line[start : start + EXCERPT_COLUMNS_MAX]
    before = line[start : max(diagnostic.column - 1, start)]
    gutter = f"{diagnostic.line:>5} | "
    caret = " " * (len(gutter) + sum(map(_columns, before))) + "^"
    return f"{gutter}{shown}\n{caret}"


def _columns(character: str) -> int:
    """Return how many terminal columns a character takes."""
    if character.isascii():
        return 1
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def text(name: str, diagnostic: Diagnostic, lines: Sequence[str]) -> str:
    """Format a diagnostic for a terminal."""
    head = (
        f"{name}:{diagnostic.line}:{diagnostic.column}: "
        f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"
    )
    parts = [head, excerpt(lines, diagnostic)]
    if diagnostic.hint:
        parts.append(f"      = {diagnostic.hint}")
    return "\n".join(part for part in parts if part)
