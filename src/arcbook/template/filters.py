"""The filters and functions of the reference that Jinja2 lacks or does otherwise."""

from __future__ import annotations

import base64
import json
from typing import Any

from jinja2 import Undefined
from jinja2.runtime import Context
from jinja2.utils import pass_context

from arcbook.template.access import MISSING, attribute, item, plain
from arcbook.template.text import to_json, to_text


def _absent(value: Any) -> bool:
    return value is None or value is MISSING or isinstance(value, Undefined)


def default(value: Any, fallback: Any = "", boolean: bool = False) -> Any:  # noqa: FBT001, FBT002
    """Replace a missing or null value; with ``true`` any false one."""
    return fallback if _absent(value) or (boolean and not value) else value


def to_int(value: Any, fallback: int = 0, base: int = 10) -> int:
    """Return the integer that ``value`` spells, else the fallback."""
    try:
        if isinstance(value, str):
            return int(value.strip(), base)
        return fallback if _absent(value) else int(value)
    except (TypeError, ValueError, OverflowError):
        return int(to_float(value, float(fallback)))


def to_float(value: Any, fallback: float = 0.0) -> float:
    """Return the number that ``value`` spells, else the fallback."""
    try:
        return fallback if _absent(value) else float(value)
    except (TypeError, ValueError, OverflowError):
        return fallback


def string(value: Any) -> str:
    """Return the text of ``value``, as it would stand in the middle of text."""
    return "" if _absent(value) else to_text(value)


def tojson(value: Any, indent: int | None = None) -> str:
    """Return ``value`` as JSON."""
    return to_json(None if _absent(value) else value, indent)


def fromjson(value: Any) -> Any:
    """Parse JSON text; ``None`` where it is not JSON."""
    try:
        return json.loads(to_text(value))
    except ValueError:
        return None


def b64encode(value: Any) -> str:
    """Return the Base64 of a text's UTF-8 bytes."""
    return base64.b64encode(string(value).encode()).decode("ascii")


def b64decode(value: Any) -> str:
    """Return the text whose UTF-8 bytes the Base64 text holds."""
    return base64.b64decode(string(value)).decode("utf-8", errors="replace")


def length(value: Any) -> int:
    """Return how many items or characters ``value`` has; 0 for a missing one."""
    return 0 if _absent(value) else len(value)


def split(value: Any, separator: str | None = None, limit: int = -1) -> list[str]:
    """Split a text at a separator, or at white space."""
    return string(value).split(separator, limit)


@pass_context
def first(context: Context, value: Any) -> Any:
    """Return the first item, undefined for an empty or missing value."""
    if not _absent(value):
        for found in plain(value):
            return found
    return context.environment.undefined("the value has no first item", name="first")


@pass_context
def last(context: Context, value: Any) -> Any:
    """Return the last item, undefined for an empty or missing value."""
    values = [] if _absent(value) else list(plain(value))
    if values:
        return values[-1]
    return context.environment.undefined("the value has no last item", name="last")


def keys(value: Any) -> list[Any]:
    """Return the keys of a mapping."""
    found = plain(value)
    return list(found) if isinstance(found, dict) else []


def values(value: Any) -> list[Any]:
    """Return the values of a mapping."""
    found = plain(value)
    return list(found.values()) if isinstance(found, dict) else []


def items(value: Any) -> list[tuple[Any, Any]]:
    """Return the pairs of a mapping."""
    found = plain(value)
    return list(found.items()) if isinstance(found, dict) else []


def get(value: Any, key: Any, fallback: Any = None) -> Any:
    """Return an item by key or index, else the fallback."""
    found = attribute(value, key) if isinstance(key, str) else item(value, key)
    return fallback if found is MISSING else found


FILTERS = {
    "b64decode": b64decode,
    "b64encode": b64encode,
    "count": length,
    "d": default,
    "default": default,
    "first": first,
    "float": to_float,
    "fromjson": fromjson,
    "get": get,
    "int": to_int,
    "items": items,
    "keys": keys,
    "last": last,
    "len": length,
    "length": length,
    "split": split,
    "string": string,
    "tojson": tojson,
    "values": values,
}
