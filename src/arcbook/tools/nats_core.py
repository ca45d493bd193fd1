"""Operations of ``nats`` besides buckets and messages: the server, requests, streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from arcbook.outcome import ErrorKind
from arcbook.tools.api import ToolCall
from arcbook.tools.nats_pool import refuse, server_info
from arcbook.tools.nats_values import decode_value, encode_value

TIMEOUT_SECONDS: Final = 10.0
"""How long an answer of the server may take."""

REQUEST_MS_MAX: Final = 300_000
"""How long ``request`` waits for an answer."""


async def _server_info(client: Any, params: Any, call: ToolCall) -> dict[str, Any]:
    info = server_info(client)
    names = ("server_name", "version", "cluster", "jetstream", "max_payload", "auth_required")
    return {name: info[name] for name in names if name in info}


async def _publish(client: Any, params: Any, call: ToolCall) -> dict[str, Any]:
    """Send a message to whoever listens now; no stream need take it."""
    data = _content(params)
    await client.publish(params.subject, data, headers=_headers(params))
    await client.flush(timeout=TIMEOUT_SECONDS)
    return {"subject": params.subject, "bytes": len(data)}


async def _request(client: Any, params: Any, call: ToolCall) -> dict[str, Any]:
    """Ask, and wait for one answer."""
    wait = max(1, min(params.timeout_ms, REQUEST_MS_MAX)) / 1000
    reply = await client.request(
        params.subject, _content(params), timeout=wait, headers=_headers(params)
    )
    content = decode_value(reply.data or b"", params.encoding)
    content["data"] = content.pop("value")
    return {"subject": params.subject, **content, "headers": dict(reply.headers or {})}


async def _js_create(client: Any, params: Any, call: ToolCall) -> dict[str, Any]:
    """Make a stream, or give it the subjects that it lacks."""
    from nats.js.api import StreamConfig
    from nats.js.errors import NotFoundError

    js = client.jetstream(timeout=TIMEOUT_SECONDS)
    requested = params.subjects or ([params.subject] if params.subject else [params.stream])
    try:
        existing = (await js.stream_info(params.stream)).config
    except NotFoundError:
        created = await js.add_stream(StreamConfig(name=params.stream, subjects=requested))
        return {"stream": params.stream, "subjects": created.config.subjects, "created": True}
    subjects = list(dict.fromkeys([*(existing.subjects or []), *requested]))
    if subjects != list(existing.subjects or []):
        await js.update_stream(existing.evolve(subjects=subjects))
    return {"stream": params.stream, "subjects": subjects, "created": False}


async def _js_purge(client: Any, params: Any, call: ToolCall) -> dict[str, Any]:
    """Remove the messages of a stream: all, those of a subject, those before a number."""
    js = client.jetstream(timeout=TIMEOUT_SECONDS)
    before = (await js.stream_info(params.stream)).state.messages
    done = await js.purge_stream(params.stream, seq=params.seq, subject=params.subject)
    if not done:
        raise refuse(ErrorKind.SERVER_ERROR, "the server did not purge", code="NATS_PURGE")
    remaining = (await js.stream_info(params.stream)).state.messages
    return {"stream": params.stream, "purged": max(0, before - remaining), "messages": remaining}


def _content(params: Any) -> bytes:
    content = params.value if params.data is None else params.data
    return b"" if content is None else encode_value(content, params.encoding)


def _headers(params: Any) -> dict[str, str] | None:
    return {str(k): str(v) for k, v in (params.headers or {}).items()} or None


Needs = tuple[tuple[str, ...], ...]
Perform = Callable[[Any, Any, ToolCall], Awaitable[dict[str, Any]]]

CORE: Final[dict[str, tuple[Needs, Perform]]] = {
    "server_info": ((), _server_info),
    "publish": ((("subject",),), _publish),
    "request": ((("subject",),), _request),
    "js_create": ((("stream",),), _js_create),
    "js_purge": ((("stream",),), _js_purge),
}
"""What each operation needs, and what performs it on a connection."""
