"""Summaries of values stored by reference, readable without loading the value.

A summary is never wrong, only incomplete: it holds small fields in full and the sizes of
large ones, and it says whether all keys of a mapping are listed.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

FIELD_BYTES_MAX: Final = 512
"""Maximum size of a field that the summary holds in full."""

FIELDS_MAX: Final = 200
"""Maximum number of keys in a summary."""

SELECTED_BYTES_MAX: Final = 16 * 1024
"""Maximum size of a selected field that the summary holds in full."""


def summarise(value: Any, select: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the summary of a value.

    Args:
        value: The JSON-compatible value.
        select: Fields that the playbook reads without loading the value.

    Returns:
        ``count`` of a list, string or mapping; for a mapping also ``fields`` (full
        values), ``sizes`` (of larger values) and whether these are ``complete``.
    """
    if isinstance(value, (list, str)):
        return {"count": len(value)}
    if not isinstance(value, dict):
        return {}
    fields: dict[str, Any] = {}
    sizes: dict[str, int] = {}
    keys = list(value)
    listed = [k for k in select if k in value] + [k for k in keys if k not in select]
    for key in listed[:FIELDS_MAX]:
        field = value[key]
        limit = SELECTED_BYTES_MAX if key in select else FIELD_BYTES_MAX
        if _is_small(field, limit):
            fields[key] = field
        elif isinstance(field, (list, dict, str)):
            sizes[key] = len(field)
    complete = len(keys) <= FIELDS_MAX and len(fields) + len(sizes) == len(keys)
    return {"count": len(keys), "fields": fields, "sizes": sizes, "complete": complete}


def _is_small(value: Any, limit: int) -> bool:
    if isinstance(value, str):
        return len(value) <= limit
    if isinstance(value, (list, dict)):
        return len(value) <= limit and len(msgspec.json.encode(value)) <= limit
    return True
