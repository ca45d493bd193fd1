"""Access to values from templates, by name, key and index.

All evaluation goes through :func:`attribute` and :func:`item`, which look names up in data
only: the keys of a mapping, the names of a view, and a table of the fields of times. No name
from a template ever reaches ``getattr``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Final, Self, final


@final
class _Missing:
    """The sentinel for a missing name; false, and not JSON."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


@final
class AnyOf(str):
    """Text that equals several spellings, and optionally a number."""

    __slots__ = ("number", "spellings")
    number: int | None
    spellings: frozenset[str]

    def __new__(cls, *spellings: str, number: int | None = None) -> Self:
        text = super().__new__(cls, spellings[0])
        text.spellings = frozenset(spellings)
        text.number = number
        return text

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return str(other) in self.spellings
        return type(other) is int and other == self.number

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


class View:
    """A value with its own lookup of names, such as a step's result.

    Subclasses define :meth:`name`, :meth:`index` and the plain JSON value of the whole. A view
    used as a value *is* that data; the view itself only answers names and indexes, length,
    truth and iteration.
    """

    __slots__ = ()

    def name(self, key: str) -> Any:
        """Return ``view.key``, or :data:`MISSING`."""
        raise NotImplementedError

    def index(self, key: Any) -> Any:
        """Return ``view[key]``, or :data:`MISSING`."""
        if isinstance(key, str):
            return self.name(key)
        return item(self.plain(), key)

    def plain(self) -> Any:
        """Return the JSON value that ``{{ view }}`` alone yields."""
        raise NotImplementedError

    def is_null(self) -> bool:
        """Return whether the data is null, without fetching data stored elsewhere."""
        return False

    def each(self) -> Any:
        """Return the data that a loop over the view iterates over."""
        return self.plain()

    def __len__(self) -> int:
        return len(self.plain())

    def __bool__(self) -> bool:
        return bool(self.plain())

    def __eq__(self, other: object) -> bool:
        return bool(self.plain() == plain(other))

    def __hash__(self) -> int:
        return id(self)

    def __str__(self) -> str:
        return str(self.plain())


Part = Callable[[Any], Any]

_DATE: Final[dict[str, Part]] = {
    "year": lambda d: d.year,
    "month": lambda d: d.month,
    "day": lambda d: d.day,
}
_TIME: Final[dict[str, Part]] = {
    "hour": lambda t: t.hour,
    "minute": lambda t: t.minute,
    "second": lambda t: t.second,
    "microsecond": lambda t: t.microsecond,
}
PARTS: Final[Mapping[type, dict[str, Part]]] = {
    dt.datetime: {**_DATE, **_TIME},
    dt.date: _DATE,
    dt.time: _TIME,
    dt.timedelta: {
        "days": lambda d: d.days,
        "seconds": lambda d: d.seconds,
        "microseconds": lambda d: d.microseconds,
    },
}
"""Fields of times that templates can read."""

_SEQUENCES: Final = frozenset({list, tuple, str, bytes, AnyOf})
_KEYS: Final = frozenset({str, int, float, bool, type(None), AnyOf})


def attribute(obj: Any, name: str) -> Any:
    """Return ``obj.name`` with the semantics of templates, or :data:`MISSING`."""
    if type(obj) is dict:
        return obj.get(name, MISSING)
    if isinstance(obj, View):
        return obj.name(name)
    if isinstance(obj, dict):
        return obj.get(name, MISSING)
    parts = PARTS.get(type(obj))
    if parts is None or name not in parts:
        return MISSING
    return parts[name](obj)


def item(obj: Any, key: Any) -> Any:
    """Return ``obj[key]`` with the semantics of templates, or :data:`MISSING`."""
    if isinstance(key, View):
        key = key.plain()
    if isinstance(obj, View):
        return obj.index(key)
    if isinstance(obj, dict):
        return obj.get(key, MISSING) if type(key) in _KEYS else MISSING
    if type(obj) in _SEQUENCES and isinstance(key, int):
        return obj[key] if -len(obj) <= key < len(obj) else MISSING
    return attribute(obj, key) if isinstance(key, str) else MISSING


def plain(value: Any) -> Any:
    """Return ``value`` with every view in it replaced by its data."""
    if isinstance(value, View):
        return plain(value.plain())
    if type(value) is dict:
        if any(isinstance(v, (View, dict, list)) for v in value.values()):
            return {k: plain(v) for k, v in value.items()}
        return value
    if type(value) is list:
        if any(isinstance(v, (View, dict, list)) for v in value):
            return [plain(v) for v in value]
        return value
    return value
