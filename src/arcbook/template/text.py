"""Format values inside text."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any, Final

from arcbook.template import limits
from arcbook.template.access import MISSING, plain
from arcbook.template.budget import Budget
from arcbook.template.errors import BudgetError, TemplateError
from arcbook.template.values import CONTAINERS, NUMBERS, TEXTS, data, weigh


def to_text(value: Any) -> str:
    """Return ``value`` as text that suits SQL, URLs and JSON.

    ``None``, missing values, NaN and the infinities become an empty string, booleans ``true``
    and ``false``, containers JSON, and times ISO 8601.

    Raises:
        TemplateError: If it is not data.
    """
    if type(value) is str:
        return value
    value = plain(data(value))
    kind = type(value)
    if value is None or value is MISSING:
        return ""
    if kind is bool:
        return "true" if value else "false"
    if kind in TEXTS:
        return str.__str__(value)
    if kind in NUMBERS:
        return _number_text(value)
    if kind in CONTAINERS:
        return to_json(value)
    if kind is bytes:
        return str(value.decode("utf-8", "replace"))
    return str(value) if kind is dt.timedelta else str(value.isoformat())


def _number_text(value: Any) -> str:
    if type(value) is int:
        try:
            return str(value)
        except ValueError:  # more digits than Python writes
            raise TemplateError("the number has too many digits to be written") from None
    return str(value) if math.isfinite(value) else ""


def to_json(value: Any, indent: int | None = None) -> str:
    """Return ``value`` as JSON text, with keys in their order and without HTML escapes."""
    return _dumped(plain(value), indent)


def _dumped(value: Any, indent: int | None) -> str:
    try:
        if indent is None:
            return _encode(value)
        return json.dumps(
            value, default=_json_default, ensure_ascii=False, indent=indent, allow_nan=False
        )
    except (ValueError, TypeError):  # NaN, an infinity, or a key that JSON lacks
        return json.dumps(to_value(value), ensure_ascii=False, indent=indent)


def _json_default(value: Any) -> Any:
    value = data(value)
    return value if type(value) in CONTAINERS else to_text(value)


_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_json_default).encode


def to_value(value: Any) -> Any:
    """Return ``value`` as the JSON-compatible value of a lone template.

    Missing values, NaN and the infinities become ``None``; tuples, sets and ranges become
    lists; times become ISO text.

    Raises:
        TemplateError: If something in it is not data.
    """
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is dict:
        return {(k if type(k) is str else to_text(k)): to_value(v) for k, v in value.items()}
    if kind is list or kind is tuple:
        return [to_value(v) for v in value]
    if kind is float:
        return value if math.isfinite(value) else None
    if value is MISSING:
        return None
    if kind is Decimal:
        return to_text(value) if value.is_finite() else None
    plain = data(value)
    return to_text(plain) if plain is value else to_value(plain)


# -- within a budget ------------------------------------------------------------------


def text_of(budget: Budget, value: Any) -> str:
    """Return the text of a value, charging the budget.

    Raises:
        TemplateError: If it is not data.
    """
    if type(value) is str:
        budget.left -= len(value) >> 4
        return value
    value = data(value)
    if type(value) in CONTAINERS:
        return json_of(budget, value)
    text = to_text(value)
    budget.left -= len(text) >> 4
    return text


def json_of(budget: Budget, value: Any, indent: int | None = None) -> str:
    """Return a value as JSON text, charging the budget."""
    if indent is not None and indent > limits.WIDTH_MAX:
        raise BudgetError(f"an indent passes {limits.WIDTH_MAX:,} characters")
    plain = weigh(budget, None if value is MISSING else value)
    if indent:
        # Each level of the value may add an indent.
        before = budget.left
        weigh(budget, plain)
        budget.spend((before - budget.left) * (indent * limits.DATA_DEPTH_MAX >> 6))
    text = _dumped(plain, indent)
    budget.characters(len(text))
    return text


def joined(budget: Budget, pieces: list[str]) -> str:
    """Join the pieces of a render, within the limit of its length.

    Raises:
        BudgetError: If they are too long.
    """
    size = sum(map(len, pieces))
    if size > limits.OUTPUT_CHARACTERS_MAX:
        raise BudgetError(f"the text passes {limits.OUTPUT_CHARACTERS_MAX:,} characters")
    budget.characters(size)
    return "".join(pieces)


def value_of(budget: Budget, value: Any) -> Any:
    """Return the value of a lone template, charging the budget.

    Raises:
        BudgetError: If it is too large or nests too deeply.
        TemplateError: If something in it is not data.
    """
    return value if type(value) in _FINAL else _value(budget, value, 1)


_FINAL: Final = frozenset({str, int, bool, type(None)})
_TEXT_ONLY: Final = frozenset({str})


def _value(budget: Budget, value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is dict or kind is list or kind is tuple:
        if depth > limits.DATA_DEPTH_MAX:
            raise BudgetError(f"the value nests deeper than {limits.DATA_DEPTH_MAX} levels")
        budget.spend(3 + (len(value) >> 2))
        depth += 1
        if kind is dict:
            if not _TEXT_ONLY.issuperset(map(type, value)):
                value = {to_text(k): v for k, v in value.items()}
            if _FINAL.issuperset(map(type, value.values())):
                return value
            return {
                k: v if type(v) in _FINAL else _value(budget, v, depth) for k, v in value.items()
            }
        if kind is list and _FINAL.issuperset(map(type, value)):
            return value
        return [v if type(v) in _FINAL else _value(budget, v, depth) for v in value]
    plain = data(value)
    return _value(budget, plain, depth) if type(plain) in CONTAINERS else to_value(plain)
