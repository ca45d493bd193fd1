"""Filters that apply another filter, or a test, to each item: ``map``, ``select``, ``reject``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from arcbook.template.arguments import text
from arcbook.template.budget import Budget
from arcbook.template.errors import TemplateError, UnknownWordError
from arcbook.template.filters import numbers, sequences
from arcbook.template.filters import text as texts
from arcbook.template.filters.sequences import column
from arcbook.template.operators import each, truth
from arcbook.template.predicates import TESTS
from arcbook.template.signatures import Word, call, words
from arcbook.template.values import data

_PLAIN: Final = words({**texts.FILTERS, **sequences.FILTERS, **numbers.FILTERS})


def map_items(budget: Budget, value: Any, /, *args: Any, **named: Any) -> list[Any]:
    """Return an attribute of each item, or apply a filter to each."""
    found = each(budget, value) if truth(value) else []
    budget.spend(2 * len(found))
    if not args:
        if "attribute" not in named or not named.keys() <= {"attribute", "default"}:
            raise TemplateError("map takes the name of a filter, or attribute and default")
        return column(budget, found, named["attribute"], named.get("default"))
    word = word_named("filter", FILTERS, args[0])
    made: list[Any] = []
    budget.spend(2 * len(found))
    for element in found:
        made.append(call("filter", word, (budget, element), args[1:], named))
        if budget.left < 0:
            budget.spend(0)
    return made


def select(budget: Budget, value: Any, /, *args: Any, **named: Any) -> list[Any]:
    """Return the items that pass a test, or that count as true."""
    return _chosen(budget, value, None, args, named, wanted=True)


def reject(budget: Budget, value: Any, /, *args: Any, **named: Any) -> list[Any]:
    """Return the items that do not pass a test, or that count as false."""
    return _chosen(budget, value, None, args, named, wanted=False)


def selectattr(
    budget: Budget, value: Any, attribute: Any, /, *args: Any, **named: Any
) -> list[Any]:
    """Return the items whose attribute passes a test."""
    return _chosen(budget, value, attribute, args, named, wanted=True)


def rejectattr(
    budget: Budget, value: Any, attribute: Any, /, *args: Any, **named: Any
) -> list[Any]:
    """Return the items whose attribute does not pass a test."""
    return _chosen(budget, value, attribute, args, named, wanted=False)


def _chosen(  # what the four have in common
    budget: Budget, value: Any, path: Any, args: Any, named: Any, *, wanted: bool
) -> list[Any]:
    if not truth(value):
        return []
    found = each(budget, value)
    keys = column(budget, found, path)
    if not args:
        return [v for v, key in zip(found, keys, strict=True) if truth(key) is wanted]
    word = word_named("test", TESTS, args[0])
    kept: list[Any] = []
    budget.spend(4 * len(found))
    for element, key in zip(found, keys, strict=True):
        if truth(call("test", word, (budget, key), args[1:], named)) is wanted:
            kept.append(element)
        if budget.left < 0:
            budget.spend(0)
    return kept


def word_named(what: str, known: dict[str, Word], name: Any) -> Word:
    """Look up a filter or test by name.

    Raises:
        UnknownWordError: If there is none.
    """
    found = known.get(text(data(name)))
    if found is None:
        raise UnknownWordError(what, str(name)[:40], tuple(known), "")
    return found


_APPLYING: Final[dict[str, Callable[..., Any]]] = {
    "map": map_items,
    "reject": reject,
    "rejectattr": rejectattr,
    "select": select,
    "selectattr": selectattr,
}

FILTERS: Final[dict[str, Word]] = {**_PLAIN, **words(_APPLYING)}

NAMES: Final = frozenset({*FILTERS, "random"})
"""All filters except ``random``, which needs a scope."""
