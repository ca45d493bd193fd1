"""Performing one operation on an object, and what its failures mean."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import obstore
from obstore import exceptions

from arcbook.dsl.durations import SHOWN, seconds_of
from arcbook.egress import EgressError
from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.tools import values
from arcbook.tools.api import CredentialError, ToolCall, ToolContext
from arcbook.tools.confinement import OutsideError
from arcbook.tools.object.place import Place, PlaceError, opened
from arcbook.tools.object.tool import ObjectParams

TIMEOUT_SECONDS: Final = 300.0
"""How long a call may take where the task says nothing."""

SIGNED_SECONDS_MAX: Final = 7 * 24 * 3600
"""How long a signed URL may be good; services take no longer."""


class TooLargeError(ValueError):
    """An object is too large for a result."""


async def perform(
    params: ObjectParams, operation: str, call: ToolCall, context: ToolContext
) -> Outcome:
    """Perform one call."""
    seconds = TIMEOUT_SECONDS if call.timeout_seconds is None else call.timeout_seconds
    try:
        async with asyncio.timeout(seconds):
            place, store = await opened(params, call.auth, context, needs_key=operation != "list")
            data = await _OPERATIONS[operation](store, place, params, context)
    except TimeoutError:
        message = f"{operation} did not end within {seconds:g} seconds"
        return failed(ErrorKind.TIMEOUT, message, code="TIMEOUT", retryable=True)
    except CredentialError as error:
        return failed(ErrorKind.AUTH, str(error), code="CREDENTIAL", retryable=error.retryable)
    except EgressError as error:
        return failed(ErrorKind.CONFIG, f"tool kind 'object': {error}", code="EGRESS")
    except TooLargeError as error:
        return failed(ErrorKind.LIMIT, str(error), code="OBJECT_TOO_LARGE")
    except (PlaceError, OutsideError, values.ContentError) as error:
        return failed(ErrorKind.CONFIG, f"tool kind 'object': {error}", code="CONFIG")
    except (exceptions.BaseError, OSError) as error:
        return _failure(error, f"{operation} {params.url or params.bucket}")
    if not place.key:
        return ok({"status": "success", "operation": operation, "bucket": place.bucket, **data})
    where = {"url": place.url, "bucket": place.bucket, "key": place.key}
    return ok({"status": "success", "operation": operation, **where, **data})


# -- operations ---------------------------------------------------------------------------


async def _get(
    store: Any, place: Place, params: ObjectParams, context: ToolContext
) -> dict[str, Any]:
    stored = await obstore.get_async(store, place.key)
    facts = _facts(stored.meta, stored.attributes)
    if params.file is not None:
        path = Path(context.confinement.resolve(params.file, context.workspace))
        part = path.with_name(f"{path.name}.arcbook-part")
        try:
            with part.open("wb") as file:
                async for piece in stored.stream(min_chunk_size=1024 * 1024):
                    await asyncio.to_thread(file.write, piece)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return {**facts, "file": str(path)}
    if stored.meta["size"] > values.CONTENT_BYTES_MAX:
        raise TooLargeError(
            f"{place.url} has {stored.meta['size']:,} bytes; the limit is {values.CONTENT_BYTES_MAX:,}: "
            "write 'file'"
        )
    return {**facts, **values.content_of(bytes(await stored.bytes_async()), params.encoding)}


async def _put(
    store: Any, place: Place, params: ObjectParams, context: ToolContext
) -> dict[str, Any]:
    if params.if_absent and place.provider in ("gcs", "gcs_hmac"):
        raise PlaceError("'if_absent' is not possible with Google Cloud Storage")
    content: Any
    if params.file is not None:
        content = Path(context.confinement.resolve(params.file, context.workspace))
        size = content.stat().st_size
    else:
        content = values.bytes_of(params.data, params.encoding)
        size = len(content)
    attributes = {str(k): str(v) for k, v in (params.metadata or {}).items()}
    if params.content_type:
        attributes["Content-Type"] = params.content_type
    elif isinstance(params.data, dict | list):
        attributes["Content-Type"] = "application/json"
    mode: Any = "create" if params.if_absent else "overwrite"
    done = await obstore.put_async(store, place.key, content, attributes=attributes, mode=mode)
    facts: dict[str, Any] = {"size": size, "etag": done.get("e_tag")}
    return {**facts, "file": str(content)} if params.file is not None else facts


async def _info(
    store: Any, place: Place, params: ObjectParams, context: ToolContext
) -> dict[str, Any]:
    return _facts(await obstore.head_async(store, place.key))


async def _delete(
    store: Any, place: Place, params: ObjectParams, context: ToolContext
) -> dict[str, Any]:
    try:
        await obstore.head_async(store, place.key)
    except FileNotFoundError:
        return {"deleted": False}
    await obstore.delete_async(store, place.key)
    return {"deleted": True}


async def _list(
    store: Any, place: Place, params: ObjectParams, context: ToolContext
) -> dict[str, Any]:
    objects: list[dict[str, Any]] = []
    prefix = params.prefix or place.key or None
    async for batch in obstore.list(store, prefix, chunk_size=1000):
        for meta in batch:
            if len(objects) == params.limit:
                return {"objects": objects, "count": len(objects), "truncated": True}
            objects.append({"key": meta["path"], **_facts(meta)})
    return {"objects": objects, "count": len(objects), "truncated": False}


async def _sign(
    store: Any, place: Place, params: ObjectParams, context: ToolContext
) -> dict[str, Any]:
    if place.provider == "gcs":
        raise PlaceError("a signed URL of Google's needs a credential of type gcs_hmac")
    seconds = seconds_of(params.expires)
    if seconds is None or not 0 < seconds <= SIGNED_SECONDS_MAX:
        raise PlaceError(f"'expires' is {SHOWN}, at most 7 days; not {params.expires!r}")
    span = dt.timedelta(seconds=seconds)
    url = await obstore.sign_async(store, params.method, place.key, span)
    return {"signed_url": url, "expires_in": seconds}


Perform = Callable[[Any, Place, ObjectParams, ToolContext], Awaitable[dict[str, Any]]]

_OPERATIONS: Final[dict[str, Perform]] = {
    "get": _get,
    "put": _put,
    "info": _info,
    "delete": _delete,
    "list": _list,
    "sign": _sign,
}


def _facts(meta: Any, attributes: Any = None) -> dict[str, Any]:
    modified = meta.get("last_modified")
    facts = {
        "size": meta["size"],
        "etag": meta.get("e_tag"),
        "last_modified": modified.isoformat() if modified else None,
    }
    if attributes:
        facts["content_type"] = attributes.get("Content-Type")
        own = {k: v for k, v in attributes.items() if not k.startswith(("Content-", "Cache-"))}
        facts["metadata"] = own or None
    return {name: value for name, value in facts.items() if value is not None}


# -- failures -----------------------------------------------------------------------------

_STATUS: Final = re.compile(r"status(?: code)?:? \(?(\d{3})|HTTP status.*?\((\d{3})")


def _failure(error: Exception, subject: str) -> Outcome:
    """Return the outcome of an operation that failed."""
    text = str(error).split("\n\nDebug source:")[0].strip()
    message = f"{subject}: {text}"
    if isinstance(error, FileNotFoundError):
        return failed(ErrorKind.NOT_FOUND, message, code="OBJECT_NOT_FOUND")
    if isinstance(error, exceptions.AlreadyExistsError | exceptions.PreconditionError):
        return failed(ErrorKind.CLIENT_ERROR, message, code="OBJECT_EXISTS")
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        return failed(ErrorKind.AUTH, message, code="OBJECT_AUTH")
    match = _STATUS.search(text)
    status = int(match[1] or match[2]) if match else 0
    if status == 404:
        return failed(ErrorKind.NOT_FOUND, message, code="OBJECT_NOT_FOUND")
    if status in (401, 403):
        return failed(ErrorKind.AUTH, message, code="OBJECT_AUTH")
    if status:
        again = status == 429 or status >= 500
        kind = ErrorKind.SERVER_ERROR if again else ErrorKind.CLIENT_ERROR
        return failed(kind, message, code=f"HTTP_{status}", retryable=again, http_status=status)
    if isinstance(error, exceptions.BaseError):
        return failed(ErrorKind.CONNECTION, message, code="CONNECT", retryable=True)
    return failed(ErrorKind.STORAGE_ACCESS, message, code="FILE")
