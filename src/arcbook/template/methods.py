"""The methods that templates may call, by the type of the value."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from operator import methodcaller
from typing import Any, Final

from arcbook.template.access import MISSING, AnyOf, View
from arcbook.template.arguments import integer, optional_integer, text, truthy
from arcbook.template.budget import Budget
from arcbook.template.characters import whole_text
from arcbook.template.errors import TemplateError, UnknownWordError
from arcbook.template.filters import sequences
from arcbook.template.filters import text as texts
from arcbook.template.formatting import braces, time_text
from arcbook.template.operators import contains, each, equal, search
from arcbook.template.signatures import Word, call, words
from arcbook.template.values import LISTS, TEXTS, data, kind_of

_Table = dict[str, Callable[..., Any]]


# -- text -----------------------------------------------------------------------------


def _plain(name: str) -> Callable[..., Any]:
    """Return a text method without arguments whose result is at most three times as long."""
    method = vars(str)[name]

    def run(budget: Budget, value: str) -> Any:
        budget.characters(len(value))
        return method(value)

    return run


def _stripping(name: str) -> Callable[..., Any]:
    method = vars(str)[name]

    def run(budget: Budget, value: str, chars: Any = None) -> Any:
        stripped = None if chars is None else text(chars)[:256]
        budget.characters(len(value) * (1 if stripped is None else 1 + len(stripped) // 16))
        return method(value, stripped)

    return run


def _finding(name: str) -> Callable[..., Any]:
    method = vars(str)[name]

    def run(budget: Budget, value: str, sub: Any, start: Any = None, end: Any = None) -> Any:
        needle = text(sub)
        search(budget, max(1, len(needle)), len(value))
        if name.startswith("r"):
            # A search from the end compares at every position.
            budget.spend(len(needle) * len(value) >> 8)
        try:
            return method(value, needle, optional_integer(start), optional_integer(end))
        except ValueError:
            raise TemplateError("the text does not hold what is looked for") from None

    return run


def _partitioning(name: str) -> Callable[..., Any]:
    method = vars(str)[name]

    def run(budget: Budget, value: str, sep: Any) -> Any:
        between = text(sep)
        if not between:
            raise TemplateError("a text cannot be parted at an empty separator")
        search(budget, len(between), len(value))
        if name.startswith("r"):
            budget.spend(len(between) * len(value) >> 8)
        budget.characters(len(value))
        return method(value, between)

    return run


def _filling(name: str) -> Callable[..., Any]:
    method = vars(str)[name]

    def run(budget: Budget, value: str, width: Any, fillchar: Any = " ") -> Any:
        size, fill = integer(width), text(fillchar)
        if len(fill) != 1:
            raise TemplateError("a text is filled up with one character")
        budget.characters(max(size, len(value)))
        return method(value, size, fill)

    return run


def _affix(name: str) -> Callable[..., Any]:
    method = vars(str)[name]

    def run(budget: Budget, value: str, affix: Any, start: Any = None, end: Any = None) -> Any:
        found = data(affix)
        several = each(budget, found) if type(found) in LISTS else (found,)
        affixes = tuple(text(a) for a in several)
        budget.spend(1 + sum(map(len, affixes)) // 64)
        return method(value, affixes, optional_integer(start), optional_integer(end))

    return run


def _removing(name: str) -> Callable[..., Any]:
    method = vars(str)[name]

    def run(budget: Budget, value: str, affix: Any) -> Any:
        budget.characters(len(value))
        return method(value, text(affix))

    return run


def _split(budget: Budget, value: str, sep: Any = None, maxsplit: Any = -1) -> Any:
    return texts.split(budget, value, sep, maxsplit)


def _rsplit(budget: Budget, value: str, sep: Any = None, maxsplit: Any = -1) -> Any:
    if sep is not None:
        budget.spend(len(text(sep)) * len(value) >> 8)
    texts.split(budget, value, sep, maxsplit)
    return str.rsplit(value, None if sep is None else text(sep), integer(maxsplit))


def _splitlines(budget: Budget, value: str, keepends: Any = None) -> Any:
    budget.characters(len(value))
    budget.spend(len(value) >> 3)
    return value.splitlines(truthy(keepends))


def _join(budget: Budget, value: str, iterable: Any) -> Any:
    return sequences.join(budget, iterable, value)


def _replace(budget: Budget, value: str, old: Any, new: Any, count: Any = -1) -> Any:
    return texts.replaced(budget, value, text(old), text(new), integer(count))


def _zfill(budget: Budget, value: str, width: Any) -> Any:
    size = integer(width)
    budget.characters(max(size, len(value)))
    return value.zfill(size)


def _expandtabs(budget: Budget, value: str, tabsize: Any = 8) -> Any:
    size = max(0, integer(tabsize))
    budget.characters(len(value) + value.count("\t") * size)
    return value.expandtabs(size)


def _format(budget: Budget, value: str, /, *args: Any, **named: Any) -> Any:
    return braces(budget, value, list(args), named)


def _encode(budget: Budget, value: str, encoding: Any = "utf-8") -> Any:
    if text(encoding).lower().replace("_", "-") not in ("utf-8", "utf8", "ascii"):
        raise TemplateError("text is encoded as utf-8")
    budget.characters(len(value) * 4)
    return whole_text(value).encode("utf-8")


def _decode(budget: Budget, value: bytes, encoding: Any = "utf-8", errors: Any = "replace") -> Any:
    if text(encoding).lower().replace("_", "-") not in ("utf-8", "utf8", "ascii"):
        raise TemplateError("bytes are decoded as utf-8")
    budget.characters(len(value))
    return value.decode("utf-8", "replace")


def _hex(budget: Budget, value: bytes) -> Any:
    budget.characters(2 * len(value))
    return value.hex()


_PLAIN_TEXT: Final = (
    "capitalize", "casefold", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit",
    "isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle", "isupper",
    "lower", "swapcase", "title", "upper",
)  # fmt: skip

_TEXT: Final[_Table] = {
    **{name: _plain(name) for name in _PLAIN_TEXT},
    **{name: _stripping(name) for name in ("strip", "lstrip", "rstrip")},
    **{name: _finding(name) for name in ("count", "find", "index", "rfind", "rindex")},
    **{name: _partitioning(name) for name in ("partition", "rpartition")},
    **{name: _filling(name) for name in ("center", "ljust", "rjust")},
    **{name: _affix(name) for name in ("startswith", "endswith")},
    **{name: _removing(name) for name in ("removeprefix", "removesuffix")},
    "encode": _encode,
    "expandtabs": _expandtabs,
    "format": _format,
    "join": _join,
    "replace": _replace,
    "rsplit": _rsplit,
    "split": _split,
    "splitlines": _splitlines,
    "zfill": _zfill,
}


# -- lists and mappings ---------------------------------------------------------------


def _count(budget: Budget, value: Any, element: Any) -> int:
    budget.spend(len(value))
    return sum(1 for v in value if equal(budget, v, element))


def _index(budget: Budget, value: Any, element: Any) -> int:
    if contains(budget, element, value):
        budget.spend(len(value))
        for index, found in enumerate(value):
            if equal(budget, found, element):
                return index
    raise TemplateError("the list does not hold what is looked for")


def _copy(budget: Budget, value: Any) -> Any:
    budget.slots(len(value))
    return value.copy() if type(value) is dict else list(value)


def _get(budget: Budget, value: dict[str, Any], key: Any, default: Any = None) -> Any:
    found = sequences.get(budget, value, key, MISSING)
    return default if found is MISSING else found


# -- numbers and times ----------------------------------------------------------------


def _bit_length(budget: Budget, value: int) -> int:
    return value.bit_length()


def _is_integer(budget: Budget, value: float) -> bool:
    return value.is_integer()


def _is_finite(budget: Budget, value: Decimal) -> bool:
    return value.is_finite()


def _isoformat(budget: Budget, value: Any, sep: Any = "T") -> str:
    between = text(sep)
    if len(between) != 1:
        raise TemplateError("one character stands between date and time")
    if type(value) is dt.datetime:
        return value.isoformat(sep=between)
    return str(value.isoformat())


def _of_time(name: str) -> Callable[..., Any]:
    """Return a method of times without arguments."""
    method = methodcaller(name)

    def run(budget: Budget, value: Any) -> Any:
        try:
            return method(value)
        except (ArithmeticError, ValueError, OSError):
            raise TemplateError(f"the time has no {name}") from None

    return run


_FIELDS: Final = ("year", "month", "day", "hour", "minute", "second", "microsecond")


def _replaced_time(budget: Budget, value: Any, /, **named: Any) -> Any:
    fields = {name: integer(v) for name, v in named.items() if name in _FIELDS}
    if len(fields) < len(named):
        raise TemplateError(f"a time is replaced in {', '.join(_FIELDS)}")
    try:
        return value.replace(**fields)
    except (TypeError, ValueError):
        raise TemplateError("there is no such time") from None


def _isocalendar(budget: Budget, value: Any) -> Any:
    return tuple(value.isocalendar())


_DATE: Final[_Table] = {
    "isoformat": _isoformat,
    "strftime": time_text,
    "replace": _replaced_time,
    "isocalendar": _isocalendar,
    **{name: _of_time(name) for name in ("weekday", "isoweekday", "toordinal", "ctime")},
}

METHODS: Final[dict[type, dict[str, Word]]] = {
    str: words(_TEXT),
    AnyOf: words(_TEXT),
    bytes: words({"decode": _decode, "hex": _hex}),
    list: words({"copy": _copy, "count": _count, "index": _index}),
    tuple: words({"count": _count, "index": _index}),
    dict: words(
        {
            "copy": _copy,
            "get": _get,
            "items": sequences.items,
            "keys": sequences.keys,
            "values": sequences.values,
        }
    ),
    int: words({"bit_length": _bit_length}),
    float: words({"is_integer": _is_integer}),
    Decimal: words({"is_finite": _is_finite}),
    dt.datetime: words(
        {**_DATE, **{name: _of_time(name) for name in ("date", "time", "timestamp")}}
    ),
    dt.date: words(_DATE),
    dt.time: words({"isoformat": _isoformat, "strftime": time_text, "replace": _replaced_time}),
    dt.timedelta: words({"total_seconds": _of_time("total_seconds")}),
}

NAMES: Final = frozenset(name for table in METHODS.values() for name in table)
"""All methods, of any type."""


def invoke(budget: Budget, value: Any, name: str, args: Any, named: Any) -> Any:
    """Call a method of a value.

    Raises:
        TemplateError: If its type has no such method, or the arguments do not match.
    """
    value = data(value.plain() if isinstance(value, View) else value)
    table = METHODS.get(type(value), {})
    word = table.get(name)
    if word is None:
        if value is MISSING:
            raise TemplateError(f"a missing value has no method {name!r}")
        raise UnknownWordError(f"method of {kind_of(value)}", name, tuple(table), "")
    budget.left -= 1
    if type(value) in TEXTS:
        value = str.__str__(value)
    return call("method", word, (budget, value), args, named)
