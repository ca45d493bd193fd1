"""Detect text that is valid but almost certainly a mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from arcbook.dsl.mistaken import misspelt
from arcbook.outcome import ErrorKind

_LOOKALIKE: Final = re.compile(
    r"(?<![{\w])\$?\{ *((?:workload|ctx|iter|output|keychain|payload)\.\w+(?:\.\w+)*) *\}(?!\})"
)
"""A name of the playbook in single braces."""

_UNOPENED: Final = re.compile(
    r"\s*((?:workload|ctx|iter|output|keychain|payload)\.\w+(?:\.\w+)*) *\}\}\s*"
)
"""A text that is a name of the playbook and the end of a template, without its beginning."""

_COMPARED_WITH: Final[dict[str, tuple[str, ...]]] = {
    "output.status": ("ok", "error", "success", "failed", "failure", "completed"),
    "error.kind": tuple(str(kind) for kind in ErrorKind),
    "event.name": (
        "call.done", "call.error", "loop.done", "loop.failed", "step.done", "step.exit",
        "step.failed", "step.completed", "command.completed", "command.failed",
    ),
}  # fmt: skip
_COMPARED: Final = re.compile(
    r"(?<![\w.])(?:output\.(?=error))?(error\.kind|output\.status|event\.name)"
    r"\s*[!=]=\s*['\"]([\w.]+)['\"]"
)
"""A comparison of a field with a fixed set of values."""


class Lookalike(NamedTuple):
    """A name of the playbook in the braces of another language."""

    text: str
    name: str
    #: Line within the text, from 1.
    line: int


def lookalike(text: str) -> Lookalike | None:
    """Return the first name of the playbook in braces that are not a template."""
    match = _LOOKALIKE.search(text) or _UNOPENED.fullmatch(text)
    if match is None:
        return None
    return Lookalike(match[0], match[1], text.count("\n", 0, match.start()) + 1)


def never_equal(guard: str) -> Iterator[tuple[str, str, str]]:
    """Yield comparisons with a misspelt status, error kind or event: field, value, correction."""
    for match in _COMPARED.finditer(guard):
        known = _COMPARED_WITH[match[1]]
        near = "" if match[2] in known else misspelt(match[2], known)
        if near:
            yield match[1], match[2], near
