"""Filters that read and round numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from arcbook.template import limits
from arcbook.template.arguments import integer
from arcbook.template.budget import Budget
from arcbook.template.errors import BudgetError, TemplateError
from arcbook.template.operators import bounded
from arcbook.template.values import NUMBERS, TEXTS, data, kind_of


def to_int(budget: Budget, value: Any, default: Any = 0, base: Any = 10) -> Any:
    """Convert a value to an integer, truncating; return the default if it is not a number."""
    budget.left -= 3
    found = data(value)
    if type(found) is int:
        return found
    if type(found) in TEXTS:
        spelled = str.strip(found)
        if len(spelled) > limits.NUMBER_CHARACTERS_MAX:
            return default
        try:
            return bounded(int(spelled, _base(base)))
        except ValueError:
            found = _float(spelled)
    if type(found) not in NUMBERS or not _has_integer_part(found):
        return default
    return bounded(int(found))


def _base(base: Any) -> int:
    found = integer(base)
    if found == 0 or 2 <= found <= 36:
        return found
    raise TemplateError("the base of a number is 0, or 2 to 36")


def _has_integer_part(number: Any) -> bool:
    if type(number) is Decimal:
        return number.is_finite() and number.adjusted() < limits.NUMBER_CHARACTERS_MAX
    return math.isfinite(number) if type(number) is float else True


def to_float(budget: Budget, value: Any, default: Any = 0.0) -> Any:
    """Convert a value to a floating-point number; return the default if it is not one."""
    budget.left -= 3
    found = data(value)
    if type(found) in TEXTS:
        number = _float(str.strip(found))
        return default if number is None else number
    if type(found) not in NUMBERS:
        return default
    try:
        return float(found)
    except OverflowError:
        return default


def _float(spelled: str) -> float | None:
    if len(spelled) > limits.NUMBER_CHARACTERS_MAX:
        return None
    try:
        return float(spelled)
    except ValueError:
        return None


def absolute(budget: Budget, value: Any) -> Any:
    """Return the absolute value of a number."""
    return abs(_number("abs", value))


def rounded(budget: Budget, value: Any, precision: Any = 0, method: Any = "common") -> Any:
    """Return a number rounded to a precision: to the nearest, up (``ceil``) or down (``floor``)."""
    found, digits = _number("round", value), integer(precision)
    if abs(digits) > limits.WIDTH_MAX // 4:
        raise BudgetError(f"round takes at most {limits.WIDTH_MAX // 4} digits")
    if method not in ("common", "ceil", "floor"):
        raise TemplateError("round rounds 'common', 'ceil' or 'floor'")
    try:
        if method == "common":
            return bounded(round(found, digits))
        if type(found) is Decimal:
            found = float(found)
        scale = 10**digits
        whole = math.ceil(found * scale) if method == "ceil" else math.floor(found * scale)
        return whole / scale
    except (ArithmeticError, ValueError):
        raise TemplateError("the number cannot be rounded") from None


def _number(name: str, value: Any) -> Any:
    found = data(value)
    if type(found) not in NUMBERS:
        raise TemplateError(f"{name} takes a number, not {kind_of(found)}")
    return found


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "abs": absolute,
    "float": to_float,
    "int": to_int,
    "round": rounded,
}
