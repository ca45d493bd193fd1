"""Puts changed code into the functions of modules that are imported already."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

FunctionKey = tuple[str, str, int]
"""The file, the qualified name and the first line of a function."""


class NotInFunctionsError(Exception):
    """What changed ran when its module was imported; only a new process sees the change."""


class Functions:
    """The functions that this process has made, by their place in the source."""

    def __init__(self) -> None:
        self._by_key: dict[FunctionKey, list[FunctionType]] = {}
        for found in gc.get_objects():
            if isinstance(found, FunctionType):
                self._by_key.setdefault(_key(found.__code__), []).append(found)

    def swaps(self, file: str, old: str, new: str) -> Callable[[], None]:
        """Return what gives the functions of a file the code of its changed source.

        Raises:
            NotInFunctionsError: if the change is not, or not only, within functions.
        """
        before = compile(old, file, "exec", dont_inherit=True)
        after = compile(new, file, "exec", dont_inherit=True)
        codes: list[tuple[FunctionType, CodeType]] = []
        for was, becomes in _changed(before, after):
            functions = self._by_key.get(_key(was), [])
            closes_over_others = was.co_freevars != becomes.co_freevars
            if closes_over_others or not was.co_flags & inspect.CO_OPTIMIZED:
                raise NotInFunctionsError
            codes += [(function, becomes) for function in functions]

        if not codes:
            raise NotInFunctionsError

        def swap() -> None:
            for function, code in codes:
                function.__code__ = code

        return swap


def _key(code: CodeType) -> FunctionKey:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _changed(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """Yield what differs: code objects, and the functions around them."""
    inner = [*zip(_nested(old), _nested(new), strict=False)]
    found = [pair for was, becomes in inner for pair in _changed(was, becomes)]
    around = bool(found) and bool(old.co_flags & inspect.CO_OPTIMIZED)
    if around or _own(old) != _own(new):
        found.append((old, new))
    yield from found


def _nested(code: CodeType) -> list[CodeType]:
    return [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def _own(code: CodeType) -> tuple[Any, ...]:
    """Return what a code object does by itself, wherever its lines stand."""
    constants = [c.co_name if isinstance(c, CodeType) else (type(c), c) for c in code.co_consts]
    return code.co_code, code.co_names, code.co_varnames, repr(constants)
