"""What is known of a value that is kept by reference, without reading it.

A summary answers truly or not at all: small fields are whole, large ones have their
sizes, and a mapping whose keys are not all listed says so.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

FIELD_BYTES_MAX: Final = 512
"""Size up to which a field stands in the summary."""

FIELDS_MAX: Final = 200
"""Keys listed in a summary."""

SELECTED_BYTES_MAX: Final = 16 * 1024
"""Size up to which a field that the playbook selects stands in the summary."""


def summarise(value: Any, select: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the summary of a value.

    Args:
        value: the JSON-compatible value.
        select: fields that the playbook wants to read without loading the value.

    Returns:
        ``count`` for a list, text or mapping; for a mapping also ``fields`` (whole
        values), ``sizes`` (of larger ones) and whether that is ``complete``.
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
