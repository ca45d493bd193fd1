"""References: names of values stored outside the event log."""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from arcbook.errors import InvalidError

_REF: Final = re.compile(r"noetl://execution/(\d+)/result/(.+)/([^/]+)")


class RefParts(NamedTuple):
    """The parts of ``noetl://execution/<id>/result/<step>/<name>``."""

    execution_id: int
    step: str
    name: str


class InvalidRefError(InvalidError):
    """A string is not a valid reference to a result."""

    code = "invalid_reference"


def make_ref(execution_id: int, step: str, name: str) -> str:
    """Return the reference of a step's value."""
    return f"noetl://execution/{execution_id}/result/{quote(step, safe='')}/{quote(name, safe='')}"


def parse_ref(ref: str) -> RefParts:
    """Parse a reference.

    Raises:
        InvalidRefError: It does not have the form ``noetl://execution/<id>/result/...``.
    """
    match = _REF.fullmatch(ref)
    if match is None:
        raise InvalidRefError(
            f"{ref!r} is not a reference: noetl://execution/<id>/result/<step>/<name>"
        )
    return RefParts(int(match[1]), unquote(match[2]), unquote(match[3]))
