"""What the lint says about a document: code, place, sentence, and what would be right."""

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
"""Errors, and warnings, reported for one document."""

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
    """Collects the diagnostics of one document, in one pass over all of it.

    Args:
        allowed: keys that may stand where the language has none of that name.
        is_stored: whether the document was accepted before; what has become an error
            since then does not refuse it.
    """

    def __init__(self, allowed: frozenset[str] = frozenset(), *, is_stored: bool = False) -> None:
        self._allowed = allowed
        #: Whether the document was accepted before; nobody is told warnings of it.
        self.is_stored = is_stored
        self._errors: list[Diagnostic] = []
        self._warnings: list[Diagnostic] = []
        #: Diagnostics that were over the limit.
        self.left_out = 0

    def error(
        self, code: str, message: str, position: Position, hint: str = "", step: str = ""
    ) -> None:
        """Note something that refuses the document."""
        made = _at(position, code=code, message=message, hint=hint, step=step)
        self._add(self._errors, made)

    def tightened(
        self, code: str, message: str, position: Position, hint: str = "", step: str = ""
    ) -> None:
        """Note what has become an error since documents were accepted; those still run."""
        note = self.warning if self.is_stored else self.error
        note(code, message, position, hint, step)

    def allows(self, key: str) -> bool:
        """Return whether a key may stand where the language has none of that name."""
        return key in self._allowed

    def warning(
        self, code: str, message: str, position: Position, hint: str = "", step: str = ""
    ) -> None:
        """Note something that is probably not meant."""
        made = _at(position, code=code, message=message, hint=hint, step=step)
        self._add(self._warnings, msgspec.structs.replace(made, severity=Severity.WARNING))

    def _add(self, found: list[Diagnostic], diagnostic: Diagnostic) -> None:
        if len(found) < DIAGNOSTICS_MAX:
            found.append(diagnostic)
        else:
            self.left_out += 1

    @property
    def has_errors(self) -> bool:
        """Whether any diagnostic refuses the document."""
        return bool(self._errors)

    @property
    def errors(self) -> int:
        """How many errors were noted."""
        return len(self._errors)

    def as_one(self, code: str, position: Position, after: int) -> None:
        """Put one error in the place of all but the first few: the whole document is wrong."""
        kept, (first, *rest) = self._errors[:after], self._errors[after:]
        more = f", and {len(rest)} more" if rest else ""
        found = f"line {first.line}: {first.message}{more}"
        message = f"this document of an older version cannot be upgraded: {found}"
        hint = first.hint or "see 'Older spellings' in the description of the language"
        self._errors = [*kept, _at(position, code=code, message=message, hint=hint)]

    @property
    def is_full(self) -> bool:
        """Whether further errors are only counted, so that no suggestion is needed."""
        return len(self._errors) >= DIAGNOSTICS_MAX

    def sorted(self) -> tuple[Diagnostic, ...]:
        """Return the diagnostics by place, each once."""
        unique: dict[tuple[int, int, str, str], Diagnostic] = {}
        for d in (*self._errors, *self._warnings):
            unique.setdefault((d.line, d.column, d.code, d.message), d)
        return tuple(unique[key] for key in sorted(unique))


def _at(position: Position, **fields: str) -> Diagnostic:
    return Diagnostic(severity=Severity.ERROR, line=position.line, column=position.column, **fields)


NAMES_COMPARED_MAX: Final = 100
"""Names among which a suggestion is looked for; those that begin alike come first."""


@lru_cache(1024)
def _nearest(word: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return near[0] if near else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the known word nearest to ``word``, or nothing."""
    near = nearest(word, known)
    return f"did you mean {near!r}?" if near else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word nearest to ``word``, or an empty text."""
    longest = max(2, len(word) // 2)
    alike = [k for k in known if abs(len(k) - len(word)) <= longest and k != word]
    alike.sort(key=lambda k: (k[:1] != word[:1], k))
    return _nearest(word, tuple(alike[:NAMES_COMPARED_MAX]))


def excerpt(lines: Sequence[str], diagnostic: Diagnostic) -> str:
    """Return the line of a diagnostic with a caret below the place."""
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
    """Return how many columns of a terminal a character takes."""
    if character.isascii():
        return 1
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


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
