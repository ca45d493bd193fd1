"""The limit on nested data: recursive code, ours and others', walks whatever comes in."""

from __future__ import annotations

from typing import Any, Final

from arcbook.template.limits import DATA_DEPTH_MAX

NESTING_MAX: Final = DATA_DEPTH_MAX
"""Maximum levels of mappings and lists in external data, which templates can walk."""

_CONTAINERS: Final = frozenset({dict, list, tuple})


def is_nested_too_deeply(value: Any) -> bool:
    """Return whether plain data has more levels than :data:`NESTING_MAX`.

    Walks level by level, without recursion.
    """
    if type(value) not in _CONTAINERS:
        return False
    level = [value]
    for _ in range(NESTING_MAX):
        children: list[Any] = []
        for container in level:
            inner = container.values() if type(container) is dict else container
            children += [child for child in inner if type(child) in _CONTAINERS]
        if not children:
            return False
        level = children
    return True
