"""Durations as playbooks write them: ``5m``, ``1h 30m``, ``90d``; a number is in seconds."""

from __future__ import annotations

import math
import re
from typing import Any, Final

UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
"""Units and their seconds."""

_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+")

SHOWN: Final = "seconds, or a number with its unit: 500ms, 30s, 5m, 2h, 90d"
"""Description of a duration, for messages."""


def seconds_of(value: Any) -> int | float | None:
    """Return a duration in seconds, or ``None`` if the value is not a duration."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return value if math.isfinite(value) else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _WHOLE.fullmatch(text):
        seconds = sum(float(n) * UNITS[unit] for n, unit in _PART.findall(text))
        return int(seconds) if seconds == int(seconds) else seconds
    try:
        number = int(text) if text.lstrip("+-").isdecimal() else float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
