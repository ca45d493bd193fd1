"""The tests of templates: ``value is number``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from arcbook.template import operators
from arcbook.template.access import MISSING
from arcbook.template.arguments import text
from arcbook.template.budget import Budget
from arcbook.template.errors import TemplateError
from arcbook.template.signatures import Word, words
from arcbook.template.text import text_of
from arcbook.template.values import CONTAINERS, LISTS, NUMBERS, TEXTS, data


def defined(budget: Budget, value: Any) -> bool:
    """Whether a name has a value, null included."""
    return value is not MISSING


def undefined(budget: Budget, value: Any) -> bool:
    """Whether a name has no value."""
    return value is MISSING


def none(budget: Budget, value: Any) -> bool:
    """Whether a value is null."""
    return data(value) is None


def boolean(budget: Budget, value: Any) -> bool:
    """Whether a value is true or false."""
    return type(data(value)) is bool


def true(budget: Budget, value: Any) -> bool:
    """Whether a value is ``true`` itself."""
    return data(value) is True


def false(budget: Budget, value: Any) -> bool:
    """Whether a value is ``false`` itself."""
    return data(value) is False


def integer(budget: Budget, value: Any) -> bool:
    """Whether a value is an integer."""
    return type(data(value)) is int


def float_(budget: Budget, value: Any) -> bool:
    """Whether a value is a floating-point number."""
    return type(data(value)) is float


def number(budget: Budget, value: Any) -> bool:
    """Whether a value is a number; as in Jinja2, booleans are numbers."""
    return type(data(value)) in NUMBERS


def string(budget: Budget, value: Any) -> bool:
    """Whether a value is text."""
    return type(data(value)) in TEXTS


def mapping(budget: Budget, value: Any) -> bool:
    """Whether a value is a mapping."""
    return type(data(value)) is dict


def sequence(budget: Budget, value: Any) -> bool:
    """Whether a value has a length and items: a list, a text, a mapping."""
    kind = type(data(value))
    return kind in CONTAINERS or kind in TEXTS or kind is bytes


def iterable(budget: Budget, value: Any) -> bool:
    """Whether a value is iterable; as in Jinja2, a missing one is."""
    return value is MISSING or sequence(budget, value)


def odd(budget: Budget, value: Any) -> bool:
    """Whether an integer is odd."""
    return bool(operators.mod(budget, _number(value), 2) == 1)


def even(budget: Budget, value: Any) -> bool:
    """Whether an integer is even."""
    return bool(operators.mod(budget, _number(value), 2) == 0)


def divisibleby(budget: Budget, value: Any, num: Any) -> bool:
    """Whether a number is divisible by another one."""
    return bool(operators.mod(budget, _number(value), num) == 0)


def _number(value: Any) -> Any:
    found = data(value)
    if type(found) in NUMBERS:
        return found
    raise TemplateError("only a number is odd, even or divisible")


def lower(budget: Budget, value: Any) -> bool:
    """Whether a text is in lower case."""
    return text_of(budget, value).islower()


def upper(budget: Budget, value: Any) -> bool:
    """Whether a text is in upper case."""
    return text_of(budget, value).isupper()


def sameas(budget: Budget, value: Any, other: Any) -> bool:
    """Whether two values are identical."""
    one, two = data(value), data(other)
    return one is two or (type(one) is type(two) and type(one) not in LISTS and _equal(one, two))


def _equal(one: Any, two: Any) -> bool:
    return type(one) is not dict and bool(one == two)


def never(budget: Budget, value: Any) -> bool:
    """Always false: no value is callable, and none is marked as escaped."""
    return False


def is_filter(budget: Budget, value: Any) -> bool:
    """Whether a filter exists."""
    from arcbook.template.filters.applying import NAMES  # which applies tests

    return text(value) in NAMES


def is_test(budget: Budget, value: Any) -> bool:
    """Whether a test exists."""
    return text(value) in TESTS


_TABLE: Final[dict[str, Callable[..., Any]]] = {
    "!=": operators.unequal,
    "<": operators.less,
    "<=": operators.less_equal,
    "==": operators.equal,
    ">": operators.greater,
    ">=": operators.greater_equal,
    "boolean": boolean,
    "callable": never,
    "defined": defined,
    "divisibleby": divisibleby,
    "eq": operators.equal,
    "equalto": operators.equal,
    "escaped": never,
    "even": even,
    "false": false,
    "filter": is_filter,
    "float": float_,
    "ge": operators.greater_equal,
    "greaterthan": operators.greater,
    "gt": operators.greater,
    "in": operators.contains,
    "integer": integer,
    "iterable": iterable,
    "le": operators.less_equal,
    "lessthan": operators.less,
    "lower": lower,
    "lt": operators.less,
    "mapping": mapping,
    "ne": operators.unequal,
    "none": none,
    "number": number,
    "odd": odd,
    "sameas": sameas,
    "sequence": sequence,
    "string": string,
    "test": is_test,
    "true": true,
    "undefined": undefined,
    "upper": upper,
}

TESTS: Final[dict[str, Word]] = words(_TABLE)
