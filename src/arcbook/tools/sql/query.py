"""What the SQL tools take alike: the text, wherever it is, and nested parameters."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from arcbook.outcome import ErrorKind, Outcome, failed
from arcbook.tools.api import ToolCall, ToolContext
from arcbook.tools.scripts import SCRIPT_SOURCES, load_script
from arcbook.tools.sql.text import split

S = TypeVar("S", bound=msgspec.Struct)

Query = str | list[str] | dict[str, Any] | None

QUERY_NAMES: Final = ("command", "commands", "sql", "script", "queries", "cmd", "cmds")
"""Other names of ``query``."""

QUERY_CHOICES: Final = {f"{name}.source.type": SCRIPT_SOURCES for name in ("query", *QUERY_NAMES)}
"""Values that can stand in a query that says where its text is."""


async def statements(query: Query, context: ToolContext) -> list[str]:
    """Return the statements of a query, wherever its text is.

    Raises:
        ScriptError: the text cannot be had.
    """
    texts = [await load_script(query, context)] if isinstance(query, dict) else query or []
    return [s for text in ([texts] if isinstance(texts, str) else texts) for s in split(text)]


def convert(model: type[S], value: Any, call: ToolCall, field: str) -> S | Outcome:
    """Return a field of a call's parameters as its own model, or what is wrong with it."""
    try:
        return msgspec.convert(value, model, strict=False)
    except msgspec.ValidationError as error:
        message = f"tool kind {call.kind!r}: {field}: {error}"
        return failed(ErrorKind.CONFIG, message, code="CONFIG")


def no_statement() -> Outcome:
    """Return the outcome of a call without any SQL."""
    message = "no SQL command provided: 'query' is empty or has only comments"
    return failed(ErrorKind.CONFIG, message, code="CONFIG")
