"""What no request may hold, whatever its route: looked at once, before any handler sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import msgspec.inspect as mi

from arcbook.nesting import NESTING_MAX, is_nested_too_deeply

BAD: Final = "\x00"
"""The character that PostgreSQL holds in no text."""

_BRACKETS: Final = (b"{", b"[")


class Texts:
    """Finds the texts of a type: names and words, not the data of callers, which may be any."""

    def __init__(self, kind: Any) -> None:
        self._texts: dict[type, list[str]] = {}
        self._inner: dict[type, list[str]] = {}
        self._learn(mi.type_info(kind))

    def _learn(self, kind: mi.Type) -> bool:
        """Take note of the structures in a type; return whether it may be a text itself."""
        if isinstance(kind, mi.Metadata):
            return self._learn(kind.type)
        if isinstance(kind, mi.UnionType):
            are_texts = [self._learn(one) for one in kind.types]
            return any(are_texts)
        if isinstance(kind, (mi.ListType, mi.VarTupleType, mi.SetType)):
            return self._learn(kind.item_type)
        if isinstance(kind, mi.DictType):
            return self._learn(kind.value_type)
        if isinstance(kind, mi.StructType) and kind.cls not in self._texts:
            self._texts[kind.cls] = []
            self._texts[kind.cls] += [f.name for f in kind.fields if self._learn(f.type)]
            self._inner[kind.cls] = [f.name for f in kind.fields]
        return isinstance(kind, mi.StrType)

    def bad(self, value: Any) -> str | None:
        """Return the name of a field whose text nobody can hold; nothing if all is well."""
        return next(self._bad(value), None)

    def _bad(self, value: Any) -> Iterator[str]:
        kind = type(value)
        for name in self._texts.get(kind, ()):
            if any(BAD in text for text in _texts(getattr(value, name))):
                yield name
        for name in self._inner.get(kind, ()):
            inner = getattr(value, name)
            for one in inner if type(inner) is list else (inner,):
                if isinstance(one, msgspec.Struct):
                    yield from self._bad(one)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            for part in pair:
                yield from _texts(part)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for part in value:
            yield from _texts(part)


def nests_too_deeply(body: bytes) -> bool:
    """Return whether a body in JSON nests deeper than data may.

    Most have too few brackets for it, and are not read a second time.
    """
    if sum(map(body.count, _BRACKETS)) <= NESTING_MAX:
        return False
    try:
        return is_nested_too_deeply(msgspec.json.decode(body))
    except RecursionError:
        return True
