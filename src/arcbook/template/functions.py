"""The functions of templates, which are called by name and cannot be used as values."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from arcbook.template import limits
from arcbook.template.access import MISSING
from arcbook.template.arguments import integer
from arcbook.template.budget import Budget
from arcbook.template.errors import BudgetError, TemplateError
from arcbook.template.operators import each, pair_key, unpack
from arcbook.template.scope import Scope
from arcbook.template.signatures import Word, words
from arcbook.template.values import data


def numbers(budget: Budget, *args: Any) -> list[int]:
    """Return the integers from a start to an end, as a list."""
    if not 1 <= len(args) <= 3:
        raise TemplateError("range takes an end; or a start and an end, and a step")
    bounds = [integer(a) for a in args]
    if len(bounds) == 3 and bounds[2] == 0:
        raise TemplateError("the step of a range must not be zero")
    integers = range(*bounds)
    try:
        count = len(integers)
    except OverflowError:
        count = limits.RANGE_MAX + 1
    if count > limits.RANGE_MAX:
        raise BudgetError(f"range() passes {limits.RANGE_MAX:,} numbers")
    budget.slots(count)
    return list(integers)


def mapping(budget: Budget, /, *args: Any, **named: Any) -> dict[Any, Any]:
    """Return a mapping built from another one or from pairs, and from named values."""
    if len(args) > 1:
        raise TemplateError("dict takes one mapping or list of pairs, and values by name")
    result: dict[Any, Any] = {}
    for source in args:
        plain = data(source)
        if type(plain) is dict:
            budget.slots(2 * len(plain))
            result.update(plain)
            continue
        pairs = each(budget, plain)
        budget.spend(2 * len(pairs))
        for pair in pairs:
            key, value = unpack(pair, 2)
            result[pair_key(key)] = value
    result.update(named)
    return result


def moment(scope: Scope) -> Any:
    """Return the current time in UTC."""
    return scope.now_at()


def chosen(scope: Scope, value: Any) -> Any:
    """Return a random item; repeating the render returns the same one."""
    values = each(scope.budget, value)
    if not values:
        return MISSING
    scope.draws += 1
    digest = hashlib.blake2b(f"{scope.seed()}:{scope.draws}".encode(), digest_size=8).digest()
    return values[int.from_bytes(digest) % len(values)]


FUNCTIONS: Final[dict[str, Word]] = words({"dict": mapping, "range": numbers}, given=1)
OF_SCOPE: Final[dict[str, Word]] = words({"now": moment, "utcnow": moment}, given=1)

KNOWN: Final = frozenset({*FUNCTIONS, *OF_SCOPE, "namespace"})
"""The names that can be called."""
