"""Values in the text forms that databases take in bulk."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

Form = Callable[[Any], Any]
"""Makes of a value the text that a column takes; ``None`` stays."""


def copied_form(category: str, kind: str) -> Form:
    """Return the form for a column of PostgreSQL.

    Args:
        category: ``A`` for an array.
        kind: name of the column's type, or of an array's elements.
    """
    inner = json_text if kind in ("json", "jsonb") else plain_text
    return (lambda value: _array(value, inner)) if category == "A" else inner


def plain_text(value: Any) -> str | bytes | None:
    """Return a value as text, bytes as they are."""
    if value is None or isinstance(value, str | bytes):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return _json(value) if isinstance(value, dict | list) else str(value)


def json_text(value: Any) -> str | None:
    """Return a value as JSON; text that is a mapping or a list already stays as it is."""
    if value is None:
        return None
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "[") and _is_json(value):
        return value
    return _json(value)


def csv_row(values: list[str | None]) -> str:
    r"""Return a line of CSV in which only ``\N`` without quotes is null."""
    return ",".join("\\N" if v is None else '"' + v.replace('"', '""') + '"' for v in values)


def nested_text(value: Any) -> str | None:
    """Return a value for a column of lists, mappings or JSON."""
    return None if value is None else json_text(value)


def spooled_text(value: Any) -> str | None:
    """Return a value for a plain column of DuckDB; bytes in hexadecimal digits."""
    return value.hex() if isinstance(value, bytes) else _as_str(plain_text(value))


def _as_str(value: str | bytes | None) -> str | None:
    return value.decode() if isinstance(value, bytes) else value


def _array(value: Any, inner: Form) -> Any:
    if not isinstance(value, list):
        return inner(value)
    return "{" + ",".join(_element(item, inner) for item in value) + "}"


def _element(value: Any, inner: Form) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, list) and inner is not json_text:
        return str(_array(value, inner))
    text = inner(value)
    plain = "\\x" + text.hex() if isinstance(text, bytes) else str(text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _json(value: Any) -> str:
    return json.dumps(value, default=_json_scalar, ensure_ascii=False, separators=(",", ":"))


def _json_scalar(value: Any) -> str:
    """Return what JSON has no word for: bytes are Base64 there, as in results."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
