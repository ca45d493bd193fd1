"""How deep data may nest: what comes in is walked by code that recurses, ours and others'."""

from __future__ import annotations

from typing import Any, Final

from arcbook.template.limits import DATA_DEPTH_MAX

NESTING_MAX: Final = DATA_DEPTH_MAX
"""Levels of mappings and lists in data that comes from outside: what templates can walk."""

_CONTAINERS: Final = frozenset({dict, list, tuple})


def is_nested_too_deeply(value: Any) -> bool:
    """Return whether plain data has more levels than :data:`NESTING_MAX`.

    The walk goes level by level, without recursion.
    """
    if type(value) not in _CONTAINERS:
        return False
    level = [value]
    for _ in range(NESTING_MAX):
        below: list[Any] = []
        for one in level:
            inner = one.values() if type(one) is dict else one
            below += [each for each in inner if type(each) in _CONTAINERS]
        if not below:
            return False
        level = below
    return True
