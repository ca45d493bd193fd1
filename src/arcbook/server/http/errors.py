"""Errors of the API: one shape for all, never a traceback."""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from arcbook.bus.api import BusError
from arcbook.dsl.load import InvalidPlaybookError
from arcbook.logs import events as logged
from arcbook.owner.drive import ExecutionMissingError, LostOwnershipError
from arcbook.owner.plans import PlaybookMissingError
from arcbook.results.refs import InvalidRefError
from arcbook.results.store import ResultMissingError
from arcbook.secrets.envelope import SealError
from arcbook.secrets.taint import shown
from arcbook.server.core import OwnerAwayError
from arcbook.store.api import LostServerError, StoreError, UnstorableError
from arcbook.wire.http.common import ErrorBody
from arcbook.wire.http.problems import diagnostics_of

RETRY_AFTER_SECONDS: Final = 1
"""Retry-After of temporary errors."""

log = logging.getLogger(__name__)


class ApiError(Exception):
    """A request that cannot be answered as asked.

    Attributes:
        status: the status code.
        message: one sentence for the caller.
        code: a stable code for programs.
        facts: further fields of the body.
    """

    def __init__(self, status: int, message: str, code: str = "", **facts: Any) -> None:
        self.status = status
        self.message = message
        self.code = code or _CODES.get(status, "error")
        self.facts = facts
        super().__init__(message)


_CODES: Final = {
    400: "bad_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid",
    429: "too_many_requests",
    500: "internal",
    503: "unavailable",
}


ENDING: Final = frozenset({"crowded", "too_slow"})
"""Codes of errors after which the connection is closed."""


def not_found(subject: str) -> ApiError:
    """Return the error for something that does not exist."""
    return ApiError(404, f"there is no {subject}")


def invalid(message: str, **facts: Any) -> ApiError:
    """Return the error for a well-formed request with invalid content."""
    return ApiError(422, message, **facts)


REFUSALS: Final = (
    BusError,
    ExecutionMissingError,
    InvalidRefError,
    LostOwnershipError,
    LostServerError,
    OwnerAwayError,
    InvalidPlaybookError,
    PlaybookMissingError,
    ResultMissingError,
    SealError,
    StoreError,
)
"""Errors of lower layers that mean something to a caller."""

_MISSING: Final = (ExecutionMissingError, PlaybookMissingError, ResultMissingError)
_CHANGING: Final = (LostOwnershipError, LostServerError, OwnerAwayError)


def refusal_of(error: Exception) -> ApiError:
    """Return the API error for one of :data:`REFUSALS`."""
    if isinstance(error, InvalidPlaybookError):
        diagnostics = diagnostics_of(error.loaded)
        return invalid(str(error), code="invalid_playbook", diagnostics=diagnostics)
    if isinstance(error, _MISSING):
        return ApiError(404, str(error))
    if isinstance(error, InvalidRefError):
        return ApiError(400, str(error))
    if isinstance(error, SealError):
        return ApiError(503, f"the wallet has no usable key: {error}", "no_key")
    if isinstance(error, _CHANGING):
        return ApiError(503, str(error), "owner_changing")
    log.warning(logged.STORE_UNREACHABLE, {"reason": error})
    if isinstance(error, UnstorableError):
        return invalid("a value of the request is one that the store cannot hold")
    return ApiError(503, "the store or the bus cannot be reached; try again")


def error_response(error: ApiError) -> Response:
    """Return an error in the format of the reference system, with our own fields added."""
    body = ErrorBody(
        error=str(shown(error.message)),
        status=error.status,
        code=error.code,
        detail=str(shown(error.message)),
    )
    plain = msgspec.to_builtins(body) | error.facts
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if error.status in (429, 503) else {}
    if error.code in ENDING:
        headers["Connection"] = "close"
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    content = msgspec.json.encode(plain)
    return Response(content, error.status, headers, media_type="application/json")


async def on_http_error(_: Request, error: Exception) -> Response:
    """Answer errors of the router: unknown route or method."""
    assert isinstance(error, HTTPException)
    response = error_response(ApiError(error.status_code, error.detail))
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


async def on_fault(_: Request, error: Exception) -> Response:
    """Answer an unexpected error; the traceback goes to the log, not to the caller."""
    log.error(logged.REQUEST_FAILED, exc_info=error)
    return error_response(ApiError(500, "internal error; see the log of the server"))
