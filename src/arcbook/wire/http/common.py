"""Shared parts of requests and answers: identities, times, errors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

ID_MAX: Final = 2**63 - 1
"""The largest identity."""

Id = int | str
"""An identity in a request: a number, or a string of digits. Answers contain a string."""

Count = Annotated[int, Meta(ge=0, le=ID_MAX)]
"""A number of things."""

VersionNumber = Annotated[int, Meta(ge=1, le=2**31 - 1)]
"""A version of a document."""

PoolName = Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{0,64}$", description="A pool of workers.")]
"""The name of a pool, which is part of subjects on the bus; empty for none."""


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """An error answer."""

    error: str
    status: int
    #: A stable code for programs.
    code: str = ""
    #: The same message, for clients of the older server.
    detail: str = ""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The confirmation of an action."""

    status: str = "ok"
    message: str = ""


def identity(value: Any) -> int | None:
    """Parse an identity from a number or a string of digits; return None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 19:
        value = int(value)
    is_one = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= ID_MAX
    return value if is_one else None


def id_text(identity: int | None) -> str | None:
    """Return an identity as a string, as in answers; None for 0."""
    return str(identity) if identity else None


def moment(at_us: int) -> str | None:
    """Format a time for an answer: ISO 8601 in UTC; None for 0."""
    if not at_us:
        return None
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).isoformat().replace("+00:00", "Z")


def seconds_between(start_us: int, end_us: int) -> float | None:
    """Return a duration in seconds, if both times are known."""
    return round(max(0, end_us - start_us) / 1_000_000, 6) if start_us and end_us else None


def human(seconds: float | None) -> str | None:
    """Format a duration for people: ``1m 5s``."""
    if seconds is None:
        return None
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m {rest}s" if hours else f"{minutes}m {rest}s"
