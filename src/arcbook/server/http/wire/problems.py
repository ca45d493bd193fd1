"""What is wrong with a document, as the API says it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from arcbook.dsl.diagnostics import Diagnostic
from arcbook.server.http.wire.common import ErrorBody


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to say about a place in a document."""

    code: str
    severity: str
    line: int
    column: int
    message: str
    hint: str = ""
    step: str = ""


class InvalidDocument(ErrorBody, frozen=True, kw_only=True):
    """A document is refused, with everything there is to say about it."""

    diagnostics: tuple[Problem, ...] = ()
    #: Diagnostics beyond as many as are told.
    left_out: int = 0


def diagnostics_of(diagnostics: Iterable[Diagnostic]) -> list[dict[str, object]]:
    """Return diagnostics as they go out."""
    return [
        {
            "code": d.code,
            "severity": str(d.severity),
            "line": d.line,
            "column": d.column,
            "message": d.message,
            "hint": d.hint,
            "step": d.step,
        }
        for d in diagnostics
    ]
