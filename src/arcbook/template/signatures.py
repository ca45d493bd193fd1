"""Signatures of filters, tests, functions and methods, checked before they are called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from typing import Any

from arcbook.template.errors import TemplateError


class Word:
    """A filter, test, function or method, with its signature.

    Attributes:
        name: its name in templates.
        run: its implementation; takes the budget, usually the value, and :attr:`parameters`.
        parameters: names of its arguments, in order.
        required: number of required arguments.
        is_open: whether any further positional and named arguments may follow.
    """

    __slots__ = ("is_open", "name", "parameters", "required", "run")

    def __init__(self, name: str, run: Callable[..., Any], *, given: int = 2) -> None:
        self.name = name
        self.run = run
        rest = list(inspect.signature(run).parameters.values())[given:]
        named = [p for p in rest if p.kind in (p.POSITIONAL_OR_KEYWORD, p.POSITIONAL_ONLY)]
        self.is_open = len(named) < len(rest)
        self.parameters = tuple(p.name for p in named)
        self.required = sum(1 for p in named if p.default is p.empty)

    def check(self, what: str, count: int, names: Collection[str]) -> None:
        """Check that it accepts ``count`` positional arguments and the named ones.

        Raises:
            TemplateError: If it does not.
        """
        known = self.parameters
        if not self.is_open:
            if count > len(known):
                takes = f"at most {len(known)}" if known else "no"
                raise TemplateError(f"{what} {self.name!r} takes {takes} values, not {count}")
            for name in names:
                if name not in known:
                    raise TemplateError(f"{what} {self.name!r} takes no value named {name!r}")
                if known.index(name) < count:
                    raise TemplateError(f"{what} {self.name!r} is given {name!r} twice")
        missing = [n for n in known[count : self.required] if n not in names]
        if missing:
            raise TemplateError(f"{what} {self.name!r} needs a value for {missing[0]!r}")


def words(table: dict[str, Callable[..., Any]], given: int = 2) -> dict[str, Word]:
    """Return the words of a table of functions."""
    return {name: Word(name, run, given=given) for name, run in table.items()}


def call(what: str, word: Word, given: Sequence[Any], args: Sequence[Any], named: Any) -> Any:
    """Call a word that is looked up at run time, as ``map('int')`` does."""
    word.check(what, len(args), named)
    return word.run(*given, *args, **named)
