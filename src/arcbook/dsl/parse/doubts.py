"""Text that is well formed and cannot be what its author meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from arcbook.dsl.mistaken import misspelt
from arcbook.outcome import ErrorKind

_LOOKALIKE: Final = re.compile(
    r"(?<![{\w])\$?\{ *((?:workload|ctx|iter|output|keychain|payload)\.\w+(?:\.\w+)*) *\}(?!\})"
)
"""A name of the playbook, in braces that are not doubled."""

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
"""A comparison of what has few values."""


class Lookalike(NamedTuple):
    """A name of the playbook in the braces of another language."""

    text: str
    name: str
    #: Where it is in the text, from 1.
    line: int


def lookalike(text: str) -> Lookalike | None:
    """Return the first name of the playbook in braces that are no template."""
    found = _LOOKALIKE.search(text)
    if found is None:
        return None
    return Lookalike(found[0], found[1], text.count("\n", 0, found.start()) + 1)


def never_equal(guard: str) -> Iterator[tuple[str, str, str]]:
    """Yield comparisons with a misspelt status, kind of error or event: what, value, right one."""
    for found in _COMPARED.finditer(guard):
        known = _COMPARED_WITH[found[1]]
        near = "" if found[2] in known else misspelt(found[2], known)
        if near:
            yield found[1], found[2], near
