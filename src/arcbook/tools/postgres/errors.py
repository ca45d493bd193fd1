"""PostgreSQL's errors as outcomes: by SQLSTATE, which has one meaning in every language."""

from __future__ import annotations

import re
from typing import Any, Final

import psycopg
from msgspec.structs import replace

from arcbook.outcome import ErrorKind, Outcome, failed

_BY_CODE: Final[dict[str, tuple[ErrorKind, bool]]] = {
    "25P03": (ErrorKind.DB_TIMEOUT, True),
    "3D000": (ErrorKind.NOT_FOUND, False),
    "3F000": (ErrorKind.SCHEMA, False),
    "40001": (ErrorKind.DB_DEADLOCK, True),
    "40P01": (ErrorKind.DB_DEADLOCK, True),
    "42501": (ErrorKind.AUTH, False),
    "42703": (ErrorKind.SCHEMA, False),
    "42704": (ErrorKind.SCHEMA, False),
    "42883": (ErrorKind.SCHEMA, False),
    "42P01": (ErrorKind.SCHEMA, False),
    "53100": (ErrorKind.STORAGE_QUOTA, False),
    "53200": (ErrorKind.LIMIT, True),
    "53300": (ErrorKind.DB_CONNECTION, True),
    "55P03": (ErrorKind.DB_TIMEOUT, True),
    "57014": (ErrorKind.DB_TIMEOUT, True),
    "57P01": (ErrorKind.DB_CONNECTION, True),
    "57P02": (ErrorKind.DB_CONNECTION, True),
    "57P03": (ErrorKind.DB_CONNECTION, True),
    "57P04": (ErrorKind.DB_CONNECTION, True),
    "57P05": (ErrorKind.DB_CONNECTION, True),
}
_BY_CLASS: Final[dict[str, tuple[ErrorKind, bool]]] = {
    "08": (ErrorKind.DB_CONNECTION, True),
    "22": (ErrorKind.TRANSFORM, False),
    "23": (ErrorKind.DB_CONSTRAINT, False),
    "28": (ErrorKind.AUTH, False),
    "42": (ErrorKind.CLIENT_ERROR, False),
    "54": (ErrorKind.LIMIT, False),
}

#: libpq keeps the SQLSTATE of a failed connect to itself, so the server's phrases stand in.
#: In another language, or unknown to us, such a failure is one of connecting.
_CONNECT_PHRASES: Final = [
    (r"password authentication failed|authentication failed for user", "28P01"),
    (r"no password supplied|no pg_hba\.conf entry|role .* does not exist", "28000"),
    (r"is not permitted to log in|permission denied for database", "28000"),
    (r"database .* does not exist", "3D000"),
    (r"too many clients|remaining connection slots|too many connections", "53300"),
    (r"starting up|shutting down|in recovery mode", "57P03"),
]

_NO_CONNECTION: Final = "08001"


def classify(sqlstate: str | None) -> tuple[ErrorKind, bool]:
    """Return the error kind of a SQLSTATE, and whether another try may help."""
    if sqlstate is None:
        return ErrorKind.UNKNOWN, False
    return _BY_CODE.get(sqlstate) or _BY_CLASS.get(sqlstate[:2], (ErrorKind.UNKNOWN, False))


def connect_failure(error: psycopg.Error) -> Outcome:
    """Return the outcome of a connect that failed."""
    text = " ".join(str(error).split())
    state = next((s for p, s in _CONNECT_PHRASES if re.search(p, text)), _NO_CONNECTION)
    kind, retryable = classify(state)
    return _failed(kind, f"cannot connect to PostgreSQL: {text}", state, retryable=retryable)


def statement_failure(error: psycopg.Error, where: str, details: dict[str, Any]) -> Outcome:
    """Return the outcome of a statement that failed.

    Args:
        error: what the database, or the driver, said.
        where: which statement.
        details: facts of the statement, for policy rules.
    """
    diag = error.diag
    if error.sqlstate is None:
        return _driver_failure(error, where, details)
    kind, retryable = classify(error.sqlstate)
    lines = [f"{diag.severity_nonlocalized or 'ERROR'}: {diag.message_primary} ({where})"]
    lines += [f"DETAIL: {diag.message_detail}"] if diag.message_detail else []
    lines += [f"HINT: {diag.message_hint}"] if diag.message_hint else []
    named = {
        "detail": diag.message_detail,
        "hint": diag.message_hint,
        "position": int(diag.statement_position) if diag.statement_position else None,
        "schema": diag.schema_name,
        "table": diag.table_name,
        "column": diag.column_name,
        "constraint": diag.constraint_name,
    }
    details = {**details, **{k: v for k, v in named.items() if v is not None}}
    return _failed(kind, "\n".join(lines), error.sqlstate, retryable=retryable, details=details)


def _driver_failure(error: psycopg.Error, where: str, details: dict[str, Any]) -> Outcome:
    """Return the outcome of an error that the server did not send."""
    message = f"ERROR: {str(error).strip()} ({where})"
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return _failed(ErrorKind.DB_CONNECTION, message, "08006", retryable=True, details=details)
    kind = ErrorKind.TRANSFORM if isinstance(error, psycopg.DataError) else ErrorKind.CLIENT_ERROR
    return failed(kind, message, code="PG_CLIENT", details=details)


def timed_out(seconds: float, where: str) -> Outcome:
    """Return the outcome of a call that took too long and was cancelled."""
    message = f"the call did not end within {seconds:g} seconds and was cancelled ({where})"
    return _failed(ErrorKind.DB_TIMEOUT, message, "57014", retryable=True)


def _failed(
    kind: ErrorKind,
    message: str,
    sqlstate: str,
    *,
    retryable: bool,
    details: dict[str, Any] | None = None,
) -> Outcome:
    code = f"PG_{sqlstate}"
    outcome = failed(
        kind, message, code=code, retryable=retryable, sqlstate=sqlstate, details=details
    )
    return replace(outcome, pg={"code": code, "sqlstate": sqlstate})
