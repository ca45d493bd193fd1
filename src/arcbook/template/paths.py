"""The fast path: ``{{ a.b[0].c }}`` without Jinja2.

Most templates of real playbooks are a single dotted path. Looking it up takes a tenth of a
microsecond; a cached Jinja2 render takes ten. Both use :mod:`arcbook.template.access`, and a
property test checks that they agree.
"""

from __future__ import annotations

import re
from typing import Any, Final

from arcbook.template.access import MISSING, View, attribute, item

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_PART: Final = rf"(?:\.{_NAME}|\[\d{{1,9}}\]|\['[^'\\{{}}]*'\]|\[\"[^\"\\{{}}]*\"\])"
_PATH: Final = re.compile(rf"\s*({_NAME})((?:{_PART})*)\s*")
_PARTS: Final = re.compile(rf"\.({_NAME})|\[(\d+)\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")

#: Words that Jinja2 reads as something other than a name.
_WORDS: Final = frozenset(
    ["and", "else", "false", "False", "if", "in", "is", "none", "None", "not", "or", "true", "True"]
)  # fmt: skip

Part = tuple[bool, str | int]
"""One step of a path: whether it is an attribute (or an item), and its key."""


def parse_path(expression: str) -> tuple[str, tuple[Part, ...]] | None:
    """Return the root name and the parts of a simple path, or ``None`` if it is not one."""
    match = _PATH.fullmatch(expression)
    if match is None or match[1] in _WORDS:
        return None
    parts: list[Part] = []
    for name, index, single, double in _PARTS.findall(match[2]):
        if name:
            if name in _WORDS:
                return None
            parts.append((True, name))
        elif index:
            parts.append((False, int(index)))
        else:
            parts.append((False, single or double))
    return match[1], tuple(parts)


def follow(value: Any, parts: tuple[Part, ...]) -> Any:
    """Follow ``parts`` from ``value``; return :data:`MISSING` if they lead nowhere."""
    for is_attribute, key in parts:
        if type(value) is dict and (is_attribute or key in value):
            value = value.get(key, MISSING)
        elif is_attribute:
            value = attribute(value, key)  # type: ignore[arg-type]  # attributes are names
        else:
            value = item(value, key)
        if value is MISSING:
            return MISSING
    return value.plain() if isinstance(value, View) else value
