"""What every tool returns: an :class:`Outcome`, and the kinds of error it may carry.

Tools, tasks and pipelines share one vocabulary: ``ok`` or ``error``. The error kinds and
whether they are retryable follow the reference's richer classification.
"""

from __future__ import annotations

import enum
from typing import Any, Final

import msgspec

OK: Final = "ok"
ERROR: Final = "error"


class ErrorKind(enum.StrEnum):
    """The kind of an error, which policy rules read as ``output.error.kind``."""

    AUTH = "auth"
    CANCELLED = "cancelled"
    CHILD_FAILED = "child_failed"
    CLIENT_ERROR = "client_error"
    CONFIG = "config"
    CONNECTION = "connection"
    DB_CONNECTION = "db_connection"
    DB_CONSTRAINT = "db_constraint"
    DB_DEADLOCK = "db_deadlock"
    DB_TIMEOUT = "db_timeout"
    LIMIT = "limit"
    MISSING_REFERENCE = "missing_reference"
    NOT_FOUND = "not_found"
    PARSE = "parse"
    PROCESS = "process"
    RATE_LIMIT = "rate_limit"
    SCHEMA = "schema"
    SERVER_ERROR = "server_error"
    STORAGE_ACCESS = "storage_access"
    STORAGE_QUOTA = "storage_quota"
    TEMPLATE = "template"
    TIMEOUT = "timeout"
    TRANSFORM = "transform"
    UNKNOWN = "unknown"
    WORKER_LOST = "worker_lost"


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a call failed: data for policy rules, and a message for people."""

    kind: ErrorKind
    message: str
    #: Machine code: ``HTTP_429``, ``PG_40P01``, ``PY_ValueError``.
    code: str = ""
    #: Whether the same call may succeed later.
    retryable: bool = False
    #: Seconds to wait before a retry, as the remote side asked.
    retry_after: float | None = None
    http_status: int | None = None
    sqlstate: str | None = None
    #: Name of the exception type, for code that raised.
    exception: str | None = None
    traceback: str | None = None
    #: Where in the playbook, such as ``steps.load.tool.url``.
    where: str | None = None
    details: Any = None

    def __post_init__(self) -> None:
        for name, limit in _LIMITS:
            text = getattr(self, name)
            if text is not None and len(text) > limit:
                msgspec.structs.force_setattr(self, name, shortened(text, limit))


def shortened(text: str, limit: int) -> str:
    """Shorten a text to at most ``limit`` characters by leaving out its middle."""
    if len(text) <= limit:
        return text
    gap = f" ... ({len(text) - limit:,} characters left out) ... "
    length = limit - len(gap)
    return text[: length // 2] + gap + text[len(text) - (length - length // 2) :]


MESSAGE_CHARACTERS_MAX: Final = 8 * 1024
"""Maximum length of an error's message; the middle of a longer one is left out."""

TRACEBACK_CHARACTERS_MAX: Final = 32 * 1024
"""Maximum length of a traceback; the middle of a longer one is left out."""

_LIMITS: Final = (
    ("message", MESSAGE_CHARACTERS_MAX),
    ("code", 256),
    ("traceback", TRACEBACK_CHARACTERS_MAX),
    ("exception", 256),
    ("where", 1024),
)


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of one tool call.

    ``data`` is JSON-compatible. On an error it may hold the remote side's response.
    """

    status: str = OK
    data: Any = None
    error: ErrorInfo | None = None
    #: Helpers by tool family, read as ``output.http``, ``output.pg``, ``output.py``.
    http: dict[str, Any] | None = None
    pg: dict[str, Any] | None = None
    py: dict[str, Any] | None = None
    #: Field of the data that ``output.data`` refers to: for HTTP, ``data``, the body.
    body_key: str = ""
    #: Facts about the call: rows, bytes, truncated, ...
    meta: dict[str, Any] = {}

    @property
    def is_ok(self) -> bool:
        """Whether the call succeeded."""
        return self.status == OK


def ok(data: Any = None, **facts: Any) -> Outcome:
    """Return a successful outcome."""
    return Outcome(data=data, **facts)


def failed(
    kind: ErrorKind,
    message: str,
    *,
    code: str = "",
    retryable: bool = False,
    data: Any = None,
    **facts: Any,
) -> Outcome:
    """Return a failed outcome; ``facts`` are further fields of :class:`ErrorInfo`."""
    error = ErrorInfo(kind=kind, message=message, code=code, retryable=retryable, **facts)
    return Outcome(status=ERROR, data=data, error=error)
