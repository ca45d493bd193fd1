"""What many answers have in common: identities, times, errors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

ID_MAX: Final = 2**63 - 1
"""The largest identity."""

Id = int | str
"""An identity as it comes in: a number, or a text of digits. It goes out as a text."""

Count = Annotated[int, Meta(ge=0, le=ID_MAX)]
"""How many there are of something."""

VersionNumber = Annotated[int, Meta(ge=1, le=2**31 - 1)]
"""A version of a document."""

PoolName = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{0,64}$", description="A pool of workers.")]
"""The name of a pool; buses have it in their subjects. An empty one means none."""


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request was not answered as asked."""

    error: str
    status: int
    #: A word for programs.
    code: str = ""
    #: The same sentence, where clients of the older server look for it.
    detail: str = ""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """Something was done."""

    status: str = "ok"
    message: str = ""


def identity(value: Any) -> int | None:
    """Return the identity that a number or a text of digits is, or nothing."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        value = int(value)
    is_one = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= ID_MAX
    return value if is_one else None


def told(identity_or_none: int | None) -> str | None:
    """Return an identity as it goes out."""
    return str(identity_or_none) if identity_or_none else None


def moment(at_us: int) -> str | None:
    """Return a time as it goes out: ISO 8601 in UTC; nothing for 0."""
    if not at_us:
        return None
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).isoformat().replace("+00:00", "Z")


def seconds_between(start_us: int, end_us: int) -> float | None:
    """Return a duration, if both times are known."""
    return round(max(0, end_us - start_us) / 1_000_000, 6) if start_us and end_us else None


def human(seconds: float | None) -> str | None:
    """Return a duration for people: ``1m 5s``."""
    if seconds is None:
        return None
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m {rest}s" if hours else f"{minutes}m {rest}s"
