"""Diagnostics of a document in answers."""

from __future__ import annotations

import msgspec

from arcbook.dsl.diagnostics import excerpt
from arcbook.dsl.load import Loaded
from arcbook.wire.http.common import ErrorBody


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A diagnostic of a document."""

    code: str
    severity: str
    line: int
    column: int
    message: str
    #: How to fix it.
    hint: str = ""
    step: str = ""
    #: The line, with a caret below the column.
    excerpt: str = ""


class InvalidDocument(ErrorBody, frozen=True, kw_only=True):
    """The rejection of a document, with its diagnostics."""

    diagnostics: tuple[Problem, ...] = ()
    #: Number of diagnostics beyond the limit.
    left_out: int = 0


def diagnostics_of(loaded: Loaded) -> list[dict[str, object]]:
    """Return the diagnostics of a document for an answer."""
    return [
        {
            "code": d.code,
            "severity": str(d.severity),
            "line": d.line,
            "column": d.column,
            "message": d.message,
            "hint": d.hint,
            "step": d.step,
            "excerpt": excerpt(loaded.lines, d),
        }
        for d in loaded.diagnostics
    ]
