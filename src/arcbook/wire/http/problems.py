"""What is wrong with a document, as the API says it."""

from __future__ import annotations

import msgspec

from arcbook.dsl.diagnostics import excerpt
from arcbook.dsl.load import Loaded
from arcbook.wire.http.common import ErrorBody


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to say about a place in a document."""

    code: str
    severity: str
    line: int
    column: int
    message: str
    #: What to write instead.
    hint: str = ""
    step: str = ""
    #: The line, with a caret below the place.
    excerpt: str = ""


class InvalidDocument(ErrorBody, frozen=True, kw_only=True):
    """A document is refused, with everything there is to say about it."""

    diagnostics: tuple[Problem, ...] = ()
    #: Diagnostics beyond as many as are told.
    left_out: int = 0


def diagnostics_of(loaded: Loaded) -> list[dict[str, object]]:
    """Return a document's diagnostics as they go out."""
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
