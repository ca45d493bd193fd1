"""Checks that apply to every request before its handler runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
import msgspec.inspect as mi

from arcbook.nesting import NESTING_MAX, is_nested_too_deeply

BAD: Final = "\x00"
"""The character that PostgreSQL cannot store in a text."""

_BRACKETS: Final = (b"{", b"[")


class Texts:
    """Finds the texts of a type: names and words, but not the arbitrary data of callers."""

    def __init__(self, kind: Any) -> None:
        self._texts: dict[type, list[str]] = {}
        self._inner: dict[type, list[str]] = {}
        self._learn(mi.type_info(kind))

    def _learn(self, kind: mi.Type) -> bool:
        """Register the structures in a type; return whether it may itself be a text."""
        if isinstance(kind, mi.Metadata):
            return self._learn(kind.type)
        if isinstance(kind, mi.UnionType):
            are_texts = [self._learn(member) for member in kind.types]
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
        """Return the name of a field with an invalid text; empty if there is none."""
        return next(self._bad(value), None)

    def _bad(self, value: Any) -> Iterator[str]:
        kind = type(value)
        for name in self._texts.get(kind, ()):
            if any(BAD in text for text in _texts(getattr(value, name))):
                yield name
        for name in self._inner.get(kind, ()):
            inner = getattr(value, name)
            for item in inner if type(inner) is list else (inner,):
                if isinstance(item, msgspec.Struct):
                    yield from self._bad(item)


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
    """Return whether a JSON body nests deeper than allowed.

    Most bodies have too few brackets for that, and are not parsed a second time.
    """
    if sum(map(body.count, _BRACKETS)) <= NESTING_MAX:
        return False
    try:
        return is_nested_too_deeply(msgspec.json.decode(body))
    except RecursionError:
        return True
