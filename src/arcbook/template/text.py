"""How a value is written when it stands in the middle of text."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any

from arcbook.template.access import MISSING, plain


def to_text(value: Any) -> str:
    """Return the text of ``value`` as SQL, a URL or JSON would want it.

    ``None`` and missing values are empty, booleans are ``true`` and ``false``,
    containers are JSON, times are ISO 8601.
    """
    if type(value) is str:
        return value
    if value is None or value is MISSING:
        return ""
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (int, float, Decimal)):
        return str(value)
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    value = plain(value)
    if isinstance(value, (dict, list, tuple)):
        return to_json(value)
    return to_text(value) if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def to_json(value: Any, indent: int | None = None) -> str:
    """Return ``value`` as JSON text, in the order of its keys, not HTML-escaped."""
    return json.dumps(plain(value), default=_json_default, ensure_ascii=False, indent=indent)


def _json_default(value: Any) -> Any:
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (set, frozenset, range)):
        return list(value)
    if value is MISSING:
        return None
    return to_text(plain(value))


def to_value(value: Any) -> Any:
    """Return ``value`` as the JSON-compatible value that a lone template yields.

    Missing becomes ``None``; tuples, sets, ranges and generators become lists;
    times become ISO text; numbers that JSON lacks (NaN, infinities) become ``None``.
    """
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is dict:
        return {(k if type(k) is str else to_text(k)): to_value(v) for k, v in value.items()}
    if kind is list:
        return [to_value(v) for v in value]
    if kind is float:
        return value if math.isfinite(value) else None
    if value is MISSING:
        return None
    return _unusual(value)


def _unusual(value: Any) -> Any:
    value = plain(value)
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, str):
        return str(value)
    if isinstance(value, dict):
        return {to_text(k): to_value(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, range)) or hasattr(value, "__next__"):
        return [to_value(v) for v in value]
    if isinstance(value, (int, float)):
        return value
    return None if callable(value) else to_text(value)
