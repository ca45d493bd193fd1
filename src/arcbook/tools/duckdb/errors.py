"""DuckDB's errors as outcomes, by the class of the exception."""

from __future__ import annotations

from typing import Any, Final

from arcbook.outcome import ErrorKind, Outcome, failed

_KINDS: Final[dict[str, tuple[ErrorKind, bool]]] = {
    "BinderException": (ErrorKind.SCHEMA, False),
    "CatalogException": (ErrorKind.SCHEMA, False),
    "ConnectionException": (ErrorKind.DB_CONNECTION, True),
    "ConstraintException": (ErrorKind.DB_CONSTRAINT, False),
    "DataError": (ErrorKind.TRANSFORM, False),
    "HTTPException": (ErrorKind.CONNECTION, True),
    "IOException": (ErrorKind.STORAGE_ACCESS, False),
    "InterruptException": (ErrorKind.DB_TIMEOUT, True),
    "NotSupportedError": (ErrorKind.CLIENT_ERROR, False),
    "OutOfMemoryException": (ErrorKind.LIMIT, False),
    "PermissionException": (ErrorKind.STORAGE_ACCESS, False),
    "ProgrammingError": (ErrorKind.CLIENT_ERROR, False),
    "SerializationException": (ErrorKind.DB_DEADLOCK, True),
    "TransactionException": (ErrorKind.DB_DEADLOCK, True),
}

#: A file that another process holds is an IOException like any other; only its text tells.
_LOCKED: Final = "could not set lock on file"

#: After these the database in memory is of no more use.
_FATAL: Final = frozenset({"FatalException", "InternalException"})


def classify(error: BaseException) -> tuple[ErrorKind, bool]:
    """Return the error kind of an exception, and whether another try may help."""
    if is_locked(error):
        return ErrorKind.DB_CONNECTION, True
    names = [cls.__name__ for cls in type(error).__mro__]
    return next((_KINDS[n] for n in names if n in _KINDS), (ErrorKind.UNKNOWN, False))


def is_locked(error: BaseException) -> bool:
    """Whether another process holds the file."""
    return type(error).__name__ == "IOException" and _LOCKED in str(error).lower()


def is_fatal(error: BaseException) -> bool:
    """Whether the database must be opened anew after an error."""
    return type(error).__name__ in _FATAL


def failure(error: BaseException, where: str, details: dict[str, Any] | None = None) -> Outcome:
    """Return the outcome of what DuckDB refused.

    Args:
        error: its exception.
        where: which statement, or what else was tried.
        details: facts for policy rules.
    """
    kind, retryable = classify(error)
    name = type(error).__name__
    return failed(
        kind,
        f"{str(error).strip()} ({where})",
        code=f"DUCKDB_{name.removesuffix('Exception')}",
        retryable=retryable,
        exception=name,
        details=details,
    )


def timed_out(seconds: float, where: str) -> Outcome:
    """Return the outcome of a call that took too long and was interrupted."""
    message = f"the call did not end within {seconds:g} seconds and was interrupted ({where})"
    return failed(ErrorKind.DB_TIMEOUT, message, code="DUCKDB_TIMEOUT", retryable=True)
