"""Filters over lists and mappings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from arcbook.template import limits
from arcbook.template.access import MISSING, View, attribute, item
from arcbook.template.arguments import integer, text, truthy
from arcbook.template.budget import Budget
from arcbook.template.errors import BudgetError, TemplateError
from arcbook.template.operators import add, bounded, each, length, truth
from arcbook.template.text import json_of, text_of
from arcbook.template.values import (
    CONTAINERS,
    DATA,
    LISTS,
    NUMBERS,
    TEXTS,
    TIMES,
    data,
    is_there,
    kind_of,
    weigh,
)

Getter = Callable[[Any], Any]

_SUMMED: Final = frozenset({int, float})


class GroupView(View):
    """One group of ``groupby``: a pair of key and items, which can also be read by name."""

    __slots__ = ("grouper", "members")

    def __init__(self, grouper: Any, members: list[Any]) -> None:
        self.grouper = grouper
        self.members = members

    def name(self, key: str) -> Any:
        return {"grouper": self.grouper, "list": self.members}.get(key, MISSING)

    def plain(self) -> Any:
        return (self.grouper, self.members)


# -- keys -----------------------------------------------------------------------------


def _same(value: Any) -> Any:
    return value


def getter(path: Any, default: Any = None) -> Getter:
    """Return a getter for a path such as ``a.b.0``; for null, of the whole value.

    Raises:
        TemplateError: If the path is neither text nor an integer.
    """
    path = data(path)
    if path is None:
        return data
    if type(path) is int:
        parts: list[Any] = [path]
    else:
        parts = [int(p) if p.isdigit() and len(p) < 10 else p for p in text(path).split(".")]
    if len(parts) > limits.DATA_DEPTH_MAX:
        raise BudgetError(f"a path has more than {limits.DATA_DEPTH_MAX} parts")

    def read(value: Any) -> Any:
        for part in parts:
            value = item(value, part)
            if value is MISSING and default is not None:
                value = default
        return data(value)

    return read


def column(budget: Budget, values: Any, path: Any, default: Any = None) -> list[Any]:
    """Return the data at a path below each value."""
    budget.spend(2 * len(values))
    if type(path) is str and default is None and "." not in path and not path.isdigit():
        return [
            found
            if type(found := v.get(path, MISSING) if type(v) is dict else item(v, path)) in DATA
            else data(found)
            for v in values
        ]
    read = getter(path, default)
    return [read(value) for value in values]


def keys_of(
    budget: Budget, values: Any, path: Any, case_sensitive: Any, default: Any = None
) -> list[Any]:
    """Return the keys for ordering or grouping values."""
    found = column(budget, values, path, default)
    if truthy(case_sensitive) or TEXTS.isdisjoint(map(type, found)):
        return found
    return [_lowered(budget, key) for key in found]


def _lowered(budget: Budget, key: Any) -> Any:
    if type(key) not in TEXTS:
        return key
    budget.characters(len(key))
    return str.lower(key)


def ranks(budget: Budget, keys: list[Any]) -> list[Any]:
    """Return keys in a form that Python can order, charging the budget.

    Raises:
        TemplateError: If their types cannot be ordered.
    """
    types = set(map(type, keys))
    if len(keys) < 2 or types <= {type(None)} or types <= {type(MISSING)}:
        return [0] * len(keys)
    kinds = {NUMBERS if k in NUMBERS else TEXTS if k in TEXTS else k for k in types}
    if len(kinds) > 1 or not all(k in (NUMBERS, TEXTS) or k in TIMES or k in LISTS for k in kinds):
        what = " and ".join(sorted({kind_of(key) for key in keys}))
        raise TemplateError(f"{what} have no order")
    rounds = max(1, len(keys).bit_length())
    weight = 1
    if TEXTS in kinds:
        weight += 4 * max(map(len, keys)) >> 10
    elif types & LISTS:
        before = budget.left
        for key in keys:
            weigh(budget, key)
        weight += before - budget.left
    budget.spend(len(keys) * rounds * weight >> 2)
    return keys


def _ordered(budget: Budget, values: Any, keys: list[Any], reverse: Any) -> list[Any]:
    keys = ranks(budget, keys)
    try:
        order = sorted(range(len(keys)), key=keys.__getitem__, reverse=truthy(reverse))
    except TypeError:
        raise TemplateError("the values have no order") from None
    return [values[i] for i in order]


# -- filters --------------------------------------------------------------------------


def sort(
    budget: Budget,
    value: Any,
    reverse: Any = False,
    case_sensitive: Any = False,
    attribute: Any = None,
) -> list[Any]:
    """Return the items sorted, optionally by one or several attributes."""
    values = each(budget, value)
    paths = [attribute]
    if type(attribute) in TEXTS and "," in attribute:
        paths = str.split(attribute, ",")
        budget.spend(len(paths) * len(values))
    # A sort keeps the order of what is equal: so the last attribute comes first.
    for path in reversed(paths):
        keys = keys_of(budget, values, path, case_sensitive)
        values = _ordered(budget, values, keys, reverse)
    return list(values)


def dictsort(
    budget: Budget, value: Any, case_sensitive: Any = False, by: Any = "key", reverse: Any = False
) -> list[Any]:
    """Return the pairs of a mapping, sorted by key or value."""
    pairs = items(budget, value)
    if by not in ("key", "value"):
        raise TemplateError("dictsort sorts by 'key' or by 'value'")
    keys = keys_of(budget, pairs, 0 if by == "key" else 1, case_sensitive)
    return _ordered(budget, pairs, keys, reverse)


def unique(
    budget: Budget, value: Any, case_sensitive: Any = False, attribute: Any = None
) -> list[Any]:
    """Return the items without duplicates."""
    values = each(budget, value)
    kept: list[Any] = []
    seen: set[Any] = set()
    for element, key in zip(
        values, keys_of(budget, values, attribute, case_sensitive), strict=True
    ):
        mark = _mark(budget, key)
        if mark not in seen:
            seen.add(mark)
            kept.append(element)
    return kept


def _mark(budget: Budget, key: Any) -> Any:
    """Return a hashable stand-in for a key, such that integers cannot force hash collisions."""
    if type(key) in CONTAINERS:
        return ("json", json_of(budget, key))
    if type(key) is int and key.bit_length() > limits.KEY_BITS_MAX:
        return ("integer", hex(key))
    budget.left -= len(key) >> 6 if type(key) in TEXTS else 1
    return str.__str__(key) if type(key) in TEXTS else key


def groupby(
    budget: Budget,
    value: Any,
    attribute: Any,
    default: Any = None,
    case_sensitive: Any = False,
) -> list[Any]:
    """Return the items grouped and sorted by an attribute."""
    values = each(budget, value)
    keys = keys_of(budget, values, attribute, case_sensitive, default)
    order = _ordered(budget, range(len(keys)), keys, reverse=False)
    read = getter(attribute, default)
    groups: list[Any] = []
    before: Any = MISSING
    for index in order:
        if not groups or keys[index] != before:
            groups.append(GroupView(read(values[index]), []))
            before = keys[index]
        groups[-1].members.append(values[index])
    return groups


def minimum(budget: Budget, value: Any, case_sensitive: Any = False, attribute: Any = None) -> Any:
    """Return the smallest item; missing if there is none."""
    return _extreme(budget, min, value, case_sensitive, attribute)


def maximum(budget: Budget, value: Any, case_sensitive: Any = False, attribute: Any = None) -> Any:
    """Return the largest item; missing if there is none."""
    return _extreme(budget, max, value, case_sensitive, attribute)


def _extreme(
    budget: Budget, choose: Callable[..., Any], value: Any, case_sensitive: Any, path: Any
) -> Any:
    values = each(budget, value)
    if not values:
        return MISSING
    keys = ranks(budget, keys_of(budget, values, path, case_sensitive))
    try:
        return values[choose(range(len(keys)), key=keys.__getitem__)]
    except TypeError:
        raise TemplateError("the values have no order") from None


def total(budget: Budget, value: Any, attribute: Any = None, start: Any = 0) -> Any:
    """Return the sum of the items, starting from ``start``."""
    elements = column(budget, each(budget, value), attribute)
    found = data(start)
    if _SUMMED.issuperset(map(type, elements)) and type(found) in _SUMMED:
        return bounded(sum(elements, found))
    for element in elements:
        found = add(budget, found, element)
    return found


def join(budget: Budget, value: Any, d: Any = "", attribute: Any = None) -> str:
    """Join the items as text, separated by ``d``."""
    values = each(budget, value)
    separator = text_of(budget, d)
    read = _same if attribute is None else getter(attribute)
    budget.spend(len(values))
    texts: list[str] = []
    for element in values:
        texts.append(text_of(budget, read(element)))
        if budget.left < 0:
            budget.spend(0)
    budget.characters(sum(map(len, texts)) + len(separator) * len(texts))
    return separator.join(texts)


def first(budget: Budget, value: Any) -> Any:
    """Return the first item; missing if there is none."""
    return _at(budget, value, 0)


def last(budget: Budget, value: Any) -> Any:
    """Return the last item; missing if there is none."""
    return _at(budget, value, -1)


def _at(budget: Budget, value: Any, index: int) -> Any:
    value = data(value.each() if isinstance(value, View) else value)
    if value is None or value is MISSING:
        return MISSING
    if type(value) in TEXTS:
        return str.__getitem__(value, index) if value else MISSING
    values = value if type(value) in LISTS else each(budget, value)
    return values[index] if values else MISSING


def listed(budget: Budget, value: Any) -> list[Any]:
    """Return the items as a list: the characters of text, the keys of a mapping."""
    found = each(budget, value)
    return found if type(found) is list else list(found)


def reverse(budget: Budget, value: Any) -> Any:
    """Return a text or a list in reverse order."""
    found = data(value.each() if isinstance(value, View) else value)
    if type(found) in TEXTS:
        budget.characters(len(found))
        return str.__getitem__(found, slice(None, None, -1))
    return list(reversed(each(budget, found)))


def batch(budget: Budget, value: Any, linecount: Any, fill_with: Any = None) -> list[Any]:
    """Return the items in lists of ``linecount``; the last one may be padded."""
    values, size = each(budget, value), integer(linecount)
    if size < 1:
        raise TemplateError("batch makes lists of 1 or more")
    budget.spend(2 * (len(values) // size + 1))
    rows = [list(values[i : i + size]) for i in range(0, len(values), size)]
    if rows and fill_with is not None:
        budget.slots(size)
        rows[-1] += [fill_with] * (size - len(rows[-1]))
    return rows


def slices(budget: Budget, value: Any, slices: Any, fill_with: Any = None) -> list[Any]:
    """Return the items in ``slices`` lists of about the same length."""
    values, count = each(budget, value), integer(slices)
    if count < 1:
        raise TemplateError("slice makes 1 list or more")
    budget.spend(2 * count)
    size, longer = divmod(len(values), count)
    rows: list[Any] = []
    at = 0
    for number in range(count):
        end = at + size + (number < longer)
        row = list(values[at:end])
        if fill_with is not None and number >= longer:
            row.append(fill_with)
        rows.append(row)
        at = end
    return rows


def items(budget: Budget, value: Any) -> list[Any]:
    """Return the pairs of a mapping; an empty list for other values."""
    found = data(value)
    if type(found) is not dict:
        return []
    budget.spend(len(found))
    return list(found.items())


def keys(budget: Budget, value: Any) -> list[Any]:
    """Return the keys of a mapping; an empty list for other values."""
    found = data(value)
    if type(found) is not dict:
        return []
    budget.slots(len(found))
    return list(found)


def values(budget: Budget, value: Any) -> list[Any]:
    """Return the values of a mapping; an empty list for other values."""
    found = data(value)
    if type(found) is not dict:
        return []
    budget.slots(len(found))
    return list(found.values())


def default(budget: Budget, value: Any, default_value: Any = "", boolean: Any = False) -> Any:
    """Replace a missing or null value; with ``true`` any false one."""
    if not is_there(value) or (truthy(boolean) and not truth(value)):
        return default_value
    return value


def get(budget: Budget, value: Any, key: Any, default: Any = None) -> Any:
    """Return an item by its key or index, or the default."""
    found = attribute(value, key) if type(key) is str else item(value, key)
    return default if found is MISSING else found


def attr(budget: Budget, value: Any, name: Any) -> Any:
    """Return ``value.name``."""
    return attribute(value, text(name))


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "attr": attr,
    "batch": batch,
    "count": length,
    "d": default,
    "default": default,
    "dictsort": dictsort,
    "first": first,
    "get": get,
    "groupby": groupby,
    "items": items,
    "join": join,
    "keys": keys,
    "last": last,
    "len": length,
    "length": length,
    "list": listed,
    "max": maximum,
    "min": minimum,
    "reverse": reverse,
    "slice": slices,
    "sort": sort,
    "sum": total,
    "unique": unique,
    "values": values,
}
