"""The operators of templates: arithmetic, comparison, membership and concatenation.

Each takes the budget first. The first lines of a function are a fast path for common types.
The slow path converts views to data and raises :class:`TemplateError` for everything else.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, NoReturn

from arcbook.template import limits
from arcbook.template.access import MISSING, View, item
from arcbook.template.budget import Budget
from arcbook.template.errors import BudgetError, TemplateError
from arcbook.template.formatting import percent
from arcbook.template.text import text_of
from arcbook.template.values import (
    CONTAINERS,
    DATA,
    LISTS,
    NUMBERS,
    SCALARS,
    TEXTS,
    TIMES,
    data,
    kind_of,
    weigh,
)

_SMALL: Final = 1 << 62
_LONG_TEXT: Final = 4096


def bounded(number: Any) -> Any:
    """Return a computed number, checking its size.

    Raises:
        BudgetError: If it has too many bits.
    """
    if type(number) is int and number.bit_length() > limits.NUMBER_BITS_MAX:
        raise BudgetError(f"an integer passes {limits.NUMBER_BITS_MAX:,} bits")
    return number


def fail(name: str, left: Any, right: Any) -> NoReturn:
    """Raise the error for an operator that does not support two values.

    Raises:
        TemplateError: Always.
    """
    raise TemplateError(f"{name} has no meaning for {kind_of(left)} and {kind_of(right)}")


# -- arithmetic -----------------------------------------------------------------------


def _numbers(name: str, compute: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    """Compute with two numbers; a decimal combined with a float is converted to a float."""
    if type(left) is Decimal and type(right) is float:
        left = float(left)
    elif type(left) is float and type(right) is Decimal:
        right = float(right)
    try:
        found = compute(left, right)
    except ZeroDivisionError:
        raise TemplateError("division by zero") from None
    except (ArithmeticError, TypeError, ValueError):
        raise TemplateError(f"{name}: the result is no number") from None
    if type(found) not in NUMBERS:
        raise TemplateError(f"{name}: the result is no real number")
    return bounded(found)


def add(budget: Budget, left: Any, right: Any) -> Any:
    """Return ``left + right``: of numbers, texts, lists, a time and a duration."""
    if type(left) is int and type(right) is int:
        found = left + right
        return found if -_SMALL < found < _SMALL else bounded(found)
    left, right = data(left), data(right)
    kind, other = type(left), type(right)
    if kind in NUMBERS and other in NUMBERS:
        return _numbers("+", operator.add, left, right)
    if kind in TEXTS and other in TEXTS:
        budget.characters(len(left) + len(right))
        return str.__add__(left, right)
    if kind is other and kind in LISTS:
        budget.slots(len(left) + len(right))
        return left + right
    if kind in TIMES and other in TIMES:
        return _times("+", operator.add, left, right)
    fail("+", left, right)


def sub(budget: Budget, left: Any, right: Any) -> Any:
    """Return ``left - right``: of numbers and times."""
    if type(left) is int and type(right) is int:
        found = left - right
        return found if -_SMALL < found < _SMALL else bounded(found)
    left, right = data(left), data(right)
    if type(left) in NUMBERS and type(right) in NUMBERS:
        return _numbers("-", operator.sub, left, right)
    if type(left) in TIMES and type(right) in TIMES:
        return _times("-", operator.sub, left, right)
    fail("-", left, right)


def _times(name: str, compute: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    try:
        return compute(left, right)
    except TypeError:
        fail(name, left, right)
    except OverflowError:
        raise TemplateError(f"{name}: the time is out of range") from None


def mul(budget: Budget, left: Any, right: Any) -> Any:
    """Return ``left * right``: of numbers, or a text or list repeated."""
    if type(left) is int and type(right) is int:
        found = left * right
        return found if -_SMALL < found < _SMALL else bounded(found)
    left, right = data(left), data(right)
    if type(left) in NUMBERS and type(right) in NUMBERS:
        return _numbers("*", operator.mul, left, right)
    if isinstance(left, int):
        left, right = right, left
    if isinstance(right, int):
        times = max(right, 0)
        if type(left) in TEXTS:
            budget.characters(len(left) * times)
            return str.__mul__(left, times)
        if type(left) in LISTS:
            budget.slots(len(left) * times)
            return left * times
    fail("*", left, right)


def div(budget: Budget, left: Any, right: Any) -> Any:
    """Return ``left / right``."""
    return _quotient("/", operator.truediv, left, right)


def floordiv(budget: Budget, left: Any, right: Any) -> Any:
    """Return ``left // right``."""
    return _quotient("//", operator.floordiv, left, right)


def _quotient(name: str, compute: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    left, right = data(left), data(right)
    if type(left) in NUMBERS and type(right) in NUMBERS:
        return _numbers(name, compute, left, right)
    fail(name, left, right)


def mod(budget: Budget, left: Any, right: Any) -> Any:
    """Return ``left % right``: of numbers, or a format and its values."""
    left = data(left)
    if type(left) in TEXTS and right is not MISSING:
        return percent(budget, left, data(right))
    return _quotient("%", operator.mod, left, right)


def power(budget: Budget, left: Any, right: Any) -> Any:
    """Return ``left ** right``."""
    left, right = data(left), data(right)
    if type(left) not in NUMBERS or type(right) not in NUMBERS:
        fail("**", left, right)
    if isinstance(left, int) and isinstance(right, int) and right > 0:
        bits = abs(left).bit_length() * right if abs(left) > 1 else 1
        if bits > limits.NUMBER_BITS_MAX:
            raise BudgetError(f"the result of ** passes {limits.NUMBER_BITS_MAX:,} bits")
    return _numbers("**", operator.pow, left, right)


def neg(budget: Budget, value: Any) -> Any:
    """Return ``-value``."""
    value = data(value)
    if type(value) not in NUMBERS:
        raise TemplateError(f"- has no meaning for {kind_of(value)}")
    return -value


def pos(budget: Budget, value: Any) -> Any:
    """Return ``+value``."""
    value = data(value)
    if type(value) not in NUMBERS:
        raise TemplateError(f"+ has no meaning for {kind_of(value)}")
    return +value


def concat(budget: Budget, values: tuple[Any, ...]) -> str:
    """Concatenate several values as text: ``a ~ b``."""
    texts = [text_of(budget, value) for value in values]
    budget.characters(sum(map(len, texts)))
    return "".join(texts)


# -- comparison -----------------------------------------------------------------------


def equal(budget: Budget, left: Any, right: Any) -> bool:
    """Return ``left == right``. Values of different types are unequal, without an error."""
    kind, other = type(left), type(right)
    if kind is str and other is str:
        if len(left) > _LONG_TEXT:
            budget.left -= len(left) >> 10
        return bool(left == right)
    if kind not in DATA or other not in DATA:
        return equal(budget, data(left), data(right))
    if kind in SCALARS or other in SCALARS:
        if left is MISSING or right is MISSING:
            budget.missed = True
        return (kind in SCALARS and other in SCALARS) and bool(left == right)
    if (kind is dict) is not (other is dict) or len(left) != len(right):
        return False
    return bool(weigh(budget, left) == weigh(budget, right))


def unequal(budget: Budget, left: Any, right: Any) -> bool:
    """Return ``left != right``."""
    return not equal(budget, left, right)


def _ordering(name: str, compare: Callable[[Any, Any], Any]) -> Callable[..., bool]:
    def ordered(budget: Budget, left: Any, right: Any) -> bool:
        if type(left) is int and type(right) is int:
            return bool(compare(left, right))
        left, right = data(left), data(right)
        if left is MISSING or right is MISSING:
            budget.missed = True
            return False
        return bool(compare(*comparable(budget, name, left, right)))

    return ordered


def comparable(budget: Budget, name: str, left: Any, right: Any) -> tuple[Any, Any]:
    """Return two values in a form that Python can order, charging the budget.

    Raises:
        TemplateError: If they cannot be ordered.
    """
    kind, other = type(left), type(right)
    if kind in TEXTS and other in TEXTS:
        budget.left -= len(left) >> 10
        return str.__str__(left), str.__str__(right)
    if kind in NUMBERS and other in NUMBERS:
        return left, right
    if (kind in TIMES and kind is other) or (kind in LISTS and other in LISTS):
        if kind in LISTS:
            left, right = list(weigh(budget, left)), list(weigh(budget, right))
        try:
            operator.lt(left, right)
        except TypeError:
            fail(name, left, right)
        return left, right
    fail(name, left, right)


less = _ordering("<", operator.lt)
less_equal = _ordering("<=", operator.le)
greater = _ordering(">", operator.gt)
greater_equal = _ordering(">=", operator.ge)


def contains(budget: Budget, needle: Any, among: Any) -> bool:
    """Return ``needle in among``, for parts of text, items of a list and keys of a mapping."""
    needle = data(needle)
    if isinstance(among, View):
        among = among.each()
    among = data(among)
    kind = type(among)
    if kind in TEXTS:
        if type(needle) not in TEXTS:
            fail("in", needle, among)
        search(budget, len(needle), len(among))
        return str.__contains__(among, needle)
    if kind is dict:
        return type(needle) in SCALARS and needle is not MISSING and needle in among
    if kind in LISTS:
        return _is_among(budget, needle, among)
    if among is MISSING:
        budget.missed = True
        return False
    fail("in", needle, among)


def _is_among(budget: Budget, needle: Any, among: Any) -> bool:
    budget.spend(1 + (len(among) >> 2))
    if type(needle) is str and len(needle) > _LONG_TEXT:
        budget.spend(len(among) * len(needle) >> 12)
    if type(needle) in SCALARS and SCALARS.issuperset(map(type, among)):
        return needle in among
    return any(equal(budget, needle, element) for element in among)


def search(budget: Budget, needle: int, text: int) -> None:
    """Charge for searching one text for another, given their lengths."""
    work = needle * text >> 7 if text < 30_000 else text
    budget.spend(1 + (text >> 6) + min(work, text * 8))


# -- the rest -------------------------------------------------------------------------


def truth(value: Any) -> bool:
    """Return whether a value counts as true in Jinja2."""
    kind = type(value)
    if kind is bool:
        return bool(value)
    if kind in DATA or isinstance(value, View):
        return bool(value)
    return bool(data(value))


def cut(budget: Budget, value: Any, start: Any, stop: Any, step: Any) -> Any:
    """Return ``value[start:stop:step]`` of a text or a list; missing for anything else."""
    value = data(value.each() if isinstance(value, View) else value)
    bounds = [_bound(bound) for bound in (start, stop, step)]
    if type(value) not in TEXTS and type(value) not in LISTS and type(value) is not bytes:
        return MISSING
    if bounds[2] == 0:
        raise TemplateError("a slice's step must not be zero")
    part = slice(*bounds)
    budget.slots(len(range(*part.indices(len(value)))))
    return str.__getitem__(value, part) if type(value) in TEXTS else value[part]


def _bound(value: Any) -> int | None:
    value = data(value)
    if value is None or isinstance(value, int):
        return value
    raise TemplateError(f"a slice's bounds are integers, not {kind_of(value)}")


def each(budget: Budget, value: Any) -> Any:
    """Return the items of a value for a loop, as a list or tuple.

    Raises:
        TemplateError: If it has no items.
    """
    if type(value) is list:
        budget.left -= 1 + (len(value) >> 3)
        return value
    value = data(value.each() if isinstance(value, View) else value)
    kind = type(value)
    if kind in CONTAINERS or kind in TEXTS:
        budget.slots(len(value))
        return value if kind in LISTS else list(value)
    if value is MISSING:
        budget.missed = True
        return ()
    raise TemplateError(f"{kind_of(value)} has no items to go through")


def unpack(value: Any, count: int) -> Any:
    """Return the items of a list that must have exactly ``count`` of them.

    Raises:
        TemplateError: If it has a different number of items.
    """
    value = data(value)
    if type(value) in LISTS and len(value) == count:
        return value
    raise TemplateError(f"{kind_of(value)} has not {count} items to give names to")


def pair_key(value: Any) -> Any:
    """Return a value as the key of a mapping.

    Raises:
        TemplateError: If it is not text, a number, a boolean or null.
    """
    value = data(value)
    kind = type(value)
    if kind is str or kind is bool or value is None or kind is float:
        return value
    if kind is int and value.bit_length() <= limits.KEY_BITS_MAX:
        return value
    if kind in TEXTS:
        return str.__str__(value)
    raise TemplateError(f"{kind_of(value)} cannot be the key of a mapping")


def length(budget: Budget, value: Any) -> int:
    """Return the number of items or characters of a value; 0 for a missing or null one."""
    if isinstance(value, View):
        return len(value)
    value = data(value)
    if value is None or value is MISSING:
        return 0
    if type(value) in CONTAINERS or type(value) in TEXTS or type(value) is bytes:
        return len(value)
    raise TemplateError(f"{kind_of(value)} has no length")


__all__ = [
    "add", "bounded", "comparable", "concat", "contains", "cut", "div", "each", "equal",
    "fail", "floordiv", "greater", "greater_equal", "item", "length", "less", "less_equal",
    "mod", "mul", "neg", "pair_key", "pos", "power", "search", "sub", "truth", "unequal",
    "unpack",
]  # fmt: skip
