"""The types of values in templates, and the cost of walking them.

Values are data of the exact types in :data:`DATA`, views, and :data:`MISSING`; templates
compute with nothing else. :func:`data` converts a host's values of other types, or rejects
them.
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
    """Return the name of a value's type, for messages."""
    return _KINDS.get(type(value), "a value of another kind")


def data(value: Any) -> Any:
    """Return the data of a value.

    Raises:
        TemplateError: If it is not data.
    """
    if type(value) in DATA:
        return value
    if isinstance(value, View):
        return data(value.plain())
    return _admitted(value)


def is_there(value: Any) -> bool:
    """Return whether a value is neither missing nor null."""
    if value is MISSING or value is None:
        return False
    return not (isinstance(value, View) and value.is_null())


def _admitted(value: Any) -> Any:
    """Convert a host's value to data.

    Raises:
        TemplateError: If templates do not support its type.
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

    Walks level by level, so that shared parts are charged each time they are met and a cyclic
    value reaches a limit.

    Raises:
        BudgetError: If the walk is too expensive or too deep.
        TemplateError: If something in it is not data.
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
    """Collect the containers among the elements; return whether all elements are data."""
    is_plain = True
    for element in elements:
        kind = type(element)
        if kind in CONTAINERS:
            containers.append(element)
        elif kind is str:
            budget.left -= len(element) >> 6
        elif kind not in SCALARS:
            is_plain = False
            plain = data(element)
            if type(plain) in CONTAINERS:
                containers.append(plain)
    return is_plain


def _data_below(value: Any) -> Any:
    """Return a value with everything in it converted to data; its depth is already bounded."""
    value = data(value)
    if type(value) is dict:
        return {k: _data_below(v) for k, v in value.items()}
    return [_data_below(v) for v in value] if type(value) in LISTS else value
