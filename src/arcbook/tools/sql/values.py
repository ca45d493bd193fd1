"""Values of SQL as JSON, without loss, and each type of a column as one type of JSON.

Integers and floats are numbers; decimals, and integers of more than 64 bits, are text
whatever their digits, or floats where a task asks for that; times are ISO 8601 text. The
exception is what JSON has no number for: NaN and the infinities are text.
"""

from __future__ import annotations

import enum
import math
import re
from decimal import Decimal
from typing import Any, Final

INT_MIN: Final = -(2**63)
"""Least integer that every reader of our JSON takes."""

INT_MAX: Final = 2**64 - 1
"""Greatest integer that every reader of our JSON takes."""

_TIME_ZONE: Final = re.compile(r"([+-]\d\d)(:\d\d(?::\d\d)?)?$")
_USUAL_TIMESTAMP: Final = re.compile(r"(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)([+-]\d\d)?")
_TIMESTAMP: Final = re.compile(r"\d{4,}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?([+-][\d:]+)?$")
_INTERVAL: Final = re.compile(
    r"(?:([+-]?\d+) years? ?)?(?:([+-]?\d+) mon(?:th)?s? ?)?(?:([+-]?\d+) days? ?)?"
    r"(?:([+-])?(\d+):(\d\d):(\d\d(?:\.\d+)?))?$"
)


# -- numbers ----------------------------------------------------------------------------


def integer(value: int) -> int | str:
    """Return an integer, as text where JSON readers would not take it."""
    return value if INT_MIN <= value <= INT_MAX else str(value)


def real(value: float) -> float | str:
    """Return a float, as text where JSON has no number for it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


class Decimals(enum.StrEnum):
    """What decimals of a result are."""

    #: Their digits, all of them.
    TEXT = "text"
    #: The nearest float.
    NUMBER = "number"


def decimal(value: Decimal) -> str:
    """Return the digits of a decimal, with as many places as its column has."""
    if not value.is_finite():
        return "NaN" if value.is_nan() else "Infinity" if value > 0 else "-Infinity"
    return format(value, "f")


def nearest(value: Any) -> Any:
    """Return the float nearest to the text of a decimal, also in lists of such."""
    if isinstance(value, list):
        return [nearest(item) for item in value]
    return real(float(value)) if isinstance(value, str) else value


def json_integer(text: str) -> int | str:
    """Return an integer of a JSON text."""
    return integer(int(text)) if len(text) < 100 else text


def json_real(text: str) -> float | str:
    """Return a number with a fraction or an exponent of a JSON text."""
    value = float(text)
    return value if math.isfinite(value) else text


# -- times ------------------------------------------------------------------------------


def iso_timestamp(text: str) -> str:
    """Return a timestamp as ISO 8601; ``infinity`` and years before our era as they are."""
    usual = _USUAL_TIMESTAMP.fullmatch(text)
    if usual is not None:
        day, clock, zone = usual.groups()
        return f"{day}T{clock}{zone}:00" if zone else f"{day}T{clock}"
    if not _TIMESTAMP.match(text):
        return text
    return iso_zone(text.replace(" ", "T", 1))


def iso_zone(text: str) -> str:
    """Return a time whose zone says its minutes too: ``+02`` as ``+02:00``."""
    zone = _TIME_ZONE.search(text)
    return text if zone is None or zone[2] else f"{text}:00"


def iso_interval(text: str) -> str:
    """Return ``1 year 2 mons 3 days 04:05:06`` as ``P1Y2M3DT4H5M6S``; other text as it is."""
    found = _INTERVAL.match(text)
    if found is None or not text:
        return text
    years, months, days, sign, *clock = found.groups()
    dates = [(years, "Y"), (months, "M"), (days, "D")]
    day_part = "".join(f"{int(n)}{unit}" for n, unit in dates if n and int(n))
    minus = "-" if sign == "-" else ""
    shown = [part.lstrip("0") or "0" for part in clock if part is not None]
    shown = ["0" + part if part.startswith(".") else part for part in shown]
    clock_part = "".join(
        f"{minus}{n}{unit}" for n, unit in zip(shown, "HMS", strict=False) if float(n)
    )
    if not day_part and not clock_part:
        return "PT0S"
    return f"P{day_part}" + (f"T{clock_part}" if clock_part else "")
