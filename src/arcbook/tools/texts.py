"""Values as text, where only text will do: headers, query strings, environments."""

from __future__ import annotations

import json
from typing import Any


def text_of(value: Any) -> str | None:
    """Return a value as text; ``None`` stays, and says that there is nothing to write."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=str, ensure_ascii=False, separators=(",", ":"))
    return str(value)
