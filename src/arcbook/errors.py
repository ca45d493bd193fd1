"""The errors that one part of Arcbook raises for another, and for its users.

::

    ArcbookError
     ├─ InvalidError      what was written or passed is wrong; nothing was changed
     ├─ MissingError      there is no such thing
     ├─ AccessError       the caller may not do this
     ├─ LimitError        something is larger than a named limit
     ├─ ConflictError     another process was first, or owns what this one asked for
     ├─ UnavailableError  a service cannot be reached now; the same call may succeed later
     └─ DamagedError      what was stored cannot be read, or a part of Arcbook failed

Each class has a ``code``: a stable word for programs. ``docs/errors.md`` lists them all.
"""

from __future__ import annotations


class ArcbookError(Exception):
    """Base class of all errors that leave the part that raised them."""

    #: A stable word for programs.
    code: str = "error"


class InvalidError(ArcbookError, ValueError):
    """What was written or passed is wrong."""

    code = "invalid"


class MissingError(ArcbookError, LookupError):
    """There is no such thing."""

    code = "not_found"


class AccessError(ArcbookError, PermissionError):
    """The caller may not do this."""

    code = "forbidden"


class LimitError(InvalidError):
    """Something is larger than a named limit."""

    code = "too_large"


class ConflictError(ArcbookError, RuntimeError):
    """Another process was first, or owns what this one asked for."""

    code = "conflict"


class UnavailableError(ArcbookError, RuntimeError):
    """A service cannot be reached now."""

    code = "unavailable"


class DamagedError(ArcbookError, RuntimeError):
    """What was stored cannot be read, or a part of Arcbook failed."""

    code = "damaged"
