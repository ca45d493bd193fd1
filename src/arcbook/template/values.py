"""What a template's value can be, and what looking through one costs.

Values are data of the exact types in :data:`DATA`, views, and :data:`MISSING`; nothing
else is ever computed with. What a host hands in that is of another type becomes data in
:func:`data`, or is refused.
"""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from arcbook.template import limits
from arcbook.template.access import MISSING, AnyOf, View
from arcbook.template.budget import Budget, exhausted
from arcbook.template.errors import BudgetError, TemplateError

TIMES: Final = frozenset({dt.datetime, dt.date, dt.time, dt.timedelta})
TEXTS: Final = frozenset({str, AnyOf})
NUMBERS: Final = frozenset({bool, int, float, Decimal})
SCALARS: Final = NUMBERS | TEXTS | TIMES | {bytes, type(None), type(MISSING)}
LISTS: Final = frozenset({list, tuple})
CONTAINERS: Final = LISTS | {dict}
DATA: Final = SCALARS | CONTAINERS
"""The exact types of all values."""

_KINDS: Final[dict[type, str]] = {
    AnyOf: "text",
    Decimal: "a number",
    bool: "a boolean",
    bytes: "bytes",
    dict: "a mapping",
    dt.date: "a date",
    dt.datetime: "a time",
    dt.time: "a time of day",
    dt.timedelta: "a duration",
    float: "a number",
    int: "an integer",
    list: "a list",
    str: "text",
    tuple: "a list",
    type(MISSING): "a missing value",
    type(None): "null",
}


def kind_of(value: Any) -> str:
    """Return what a value is, for messages."""
    return _KINDS.get(type(value), "a value of another kind")


def data(value: Any) -> Any:
    """Return the data that a value stands for.

    Raises:
        TemplateError: it is no data.
    """
    if type(value) in DATA:
        return value
    if isinstance(value, View):
        return data(value.plain())
    return _admitted(value)


def is_there(value: Any) -> bool:
    """Return whether a value needs no default: it is neither missing nor null."""
    if value is MISSING or value is None:
        return False
    return not (isinstance(value, View) and value.is_null())


def _admitted(value: Any) -> Any:
    """Make data of what a host handed in.

    Raises:
        TemplateError: it is of a type that has no place in templates.
    """
    if isinstance(value, enum.Enum):
        return data(value.value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__index__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, dict):
        return {k: value[k] for k in value}
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return list(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TemplateError(f"a value of the type {type(value).__name__} is no data")


def weigh(budget: Budget, value: Any) -> Any:
    """Charge for a walk through a value, and return it as data down to its leaves.

    The walk goes level by level, so that shared parts count as often as a walk meets them
    and what would never end does not begin.

    Raises:
        BudgetError: the walk costs too much, or goes too deep.
        TemplateError: something in it is no data.
    """
    value = data(value)
    if type(value) not in CONTAINERS:
        budget.left -= 1 + (len(value) >> 6 if type(value) in TEXTS else 0)
        return value
    level: list[Any] = [value]
    is_plain = True
    for _ in range(limits.DATA_DEPTH_MAX):
        below: list[Any] = []
        for container in level:
            budget.slots(len(container))
            inner = container.values() if type(container) is dict else container
            is_plain &= _gather(budget, inner, below)
        if budget.left < 0:
            exhausted(budget)
        if not below:
            return value if is_plain else _data_below(value)
        level = below
    raise BudgetError(f"the value nests deeper than {limits.DATA_DEPTH_MAX} levels")


def _gather(budget: Budget, elements: Iterable[Any], containers: list[Any]) -> bool:
    """Add the containers among elements to a list; return whether all elements are data."""
    is_plain = True
    for element in elements:
        kind = type(element)
        if kind in CONTAINERS:
            containers.append(element)
        elif kind is str:
            budget.left -= len(element) >> 6
        elif kind not in SCALARS:
            is_plain = False
            found = data(element)
            if type(found) in CONTAINERS:
                containers.append(found)
    return is_plain


def _data_below(value: Any) -> Any:
    """Return a value with everything in it made data; its depth is known to be bounded."""
    value = data(value)
    if type(value) is dict:
        return {k: _data_below(v) for k, v in value.items()}
    return [_data_below(v) for v in value] if type(value) in LISTS else value
