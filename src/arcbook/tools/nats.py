"""``nats``: key-value buckets, object stores and streams of NATS JetStream."""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from arcbook.dsl.durations import seconds_of
from arcbook.egress import Egress
from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.tools.api import (
    Credential,
    CredentialError,
    Params,
    ToolCall,
    ToolContext,
    declare,
    parse,
    require,
)
from arcbook.tools.confinement import OutsideError
from arcbook.tools.nats_core import CORE
from arcbook.tools.nats_effects import NATS_EFFECTS, effects_of, summary
from arcbook.tools.nats_keys import encode_key, list_keys
from arcbook.tools.nats_pool import (
    Identity,
    NatsPool,
    Refusal,
    identity_of,
    refuse,
    translated,
)
from arcbook.tools.nats_results import RESULTS
from arcbook.tools.nats_values import decode_value, encode_value
from arcbook.tools.spec import ToolSpec

TIMEOUT_SECONDS: Final = 10.0
"""How long a call may take where the task says nothing."""

BATCH_MAX: Final = 1000
"""Messages of one ``js_consume``."""

WAIT_MS_MAX: Final = 5000
"""How long ``js_consume`` waits for messages."""

KEYS_MAX: Final = 10_000
"""Keys and objects that one call lists."""

VALUE_BYTES_MAX: Final = 64 * 1024 * 1024
"""Size of an object that is read, and of the messages of one ``js_consume`` together."""

TYPES: Final = frozenset({"nats", "secret"})
"""Types of credentials that hold an address of NATS."""

STREAM_NOT_FOUND: Final = 10059
"""Number of the server's error for a stream that is not there."""


Operation = Literal[
    "kv_get",
    "kv_put",
    "kv_delete",
    "kv_keys",
    "kv_purge",
    "object_get",
    "object_put",
    "object_delete",
    "object_list",
    "object_info",
    "js_publish",
    "js_consume",
    "js_get_msg",
    "js_stream_info",
    "js_create",
    "js_purge",
    "publish",
    "request",
    "server_info",
]
Encoding = Literal["utf-8", "base64"]
Text = str | int | float


class NatsParams(Params, frozen=True, kw_only=True):
    """Parameters of ``nats``."""

    operation: Annotated[Operation, Meta(description="What to do.")]
    bucket: Annotated[
        str | None,
        Meta(description="Key-value bucket or object store; putting into one makes it."),
    ] = None
    key: Annotated[Text | None, Meta(description="Key in the bucket.")] = None
    value: Annotated[Any, Meta(description="Value to put; mappings and lists become JSON.")] = None
    ttl: Annotated[
        float | str | None,
        Meta(description="How long a bucket that is made keeps values: seconds, or '10m'."),
    ] = None
    pattern: Annotated[str | None, Meta(description="Only names that match, such as 'a*'.")] = None
    name: Annotated[Text | None, Meta(description="Name of the object.")] = None
    object: Annotated[
        Text | None, Meta(description="Name of the object, where 'name' is the task's label.")
    ] = None
    data: Annotated[Any, Meta(description="Content of the object or message.")] = None
    encoding: Annotated[
        Encoding | None, Meta(description="How bytes stand in text: utf-8 or base64.")
    ] = None
    desc: Annotated[str | None, Meta(description="Description of the object.")] = None
    stream: Annotated[str | None, Meta(description="Name of the stream.")] = None
    subject: Annotated[str | None, Meta(description="Subject of the message.")] = None
    subjects: Annotated[
        list[str] | None, Meta(description="Subjects of a stream that is made.")
    ] = None
    headers: Annotated[dict[str, Any] | None, Meta(description="Headers of the message.")] = None
    seq: Annotated[int | None, Meta(description="Number of the message.")] = None
    last: Annotated[bool | None, Meta(description="Whether the last message is wanted.")] = None
    consumer: Annotated[
        str | None, Meta(description="Durable consumer; made if there is none of that name.")
    ] = None
    batch: Annotated[int, Meta(description="Messages to take, at most 1000.")] = 100
    timeout_ms: Annotated[
        int, Meta(description="How long to wait: for messages at most 5000, for an answer 300000.")
    ] = 1000
    ack: Annotated[bool, Meta(description="Whether messages are acknowledged when read.")] = True
    url: Annotated[str | None, Meta(description="Address, where no credential has it.")] = None
    user: Annotated[str | None, Meta(description="User.")] = None
    password: Annotated[str | None, Meta(description="Password.")] = None
    token: Annotated[str | None, Meta(description="Token.")] = None
    tls: Annotated[
        dict[str, Any] | bool | None,
        Meta(description="TLS: ca, cert, key (files), hostname, verify."),
    ] = None


KIND = declare(
    "nats",
    NatsParams,
    "Works with key-value buckets, object stores and streams of NATS JetStream.",
    takes_auth=True,
    keys={"tls": ["ca", "cert", "key", "hostname", "verify"]},
    result_by="operation",
    results=RESULTS,
    effects=NATS_EFFECTS,
    effects_of=effects_of,
    summary=summary,
    example="""
    tool:
      kind: nats
      auth: bus
      operation: kv_put
      bucket: prices
      key: apple
      value: {euro: 1.2}
    """,
)


class Nats:
    """Performs operations over one connection for each identity."""

    def __init__(self) -> None:
        self._pool = NatsPool()

    async def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        require("nats", KIND.name)
        params = parse(NatsParams, call)
        if isinstance(params, Outcome):
            return params
        identity = identity_of(_settings(call))
        if identity is None:
            return _config("no address: name a credential with 'auth', or write 'url'")
        try:
            keep_within(identity, context)
        except OutsideError as error:
            return _config(f"tls: {error}")
        seconds = TIMEOUT_SECONDS if call.timeout_seconds is None else call.timeout_seconds
        try:
            with translated(lambda: self._pool.complaint(identity)):
                async with asyncio.timeout(seconds):
                    data = await self._perform(params, call, identity, context.confinement.egress)
        except Refusal as refusal:
            if refusal.outcome.error and refusal.outcome.error.kind is ErrorKind.TIMEOUT:
                # Whatever was half way would answer a later call.
                await self._pool.discard(identity)
                return _timed_out(params.operation, seconds)
            return refusal.outcome
        return ok({"status": "success", "operation": params.operation, **data})

    async def _perform(
        self, params: NatsParams, call: ToolCall, identity: Identity, egress: Egress
    ) -> dict[str, Any]:
        core = CORE.get(params.operation)
        needed, perform = core or _OPERATIONS[params.operation]
        for group in needed:
            if not any(_given(params, name) for name in group):
                raise _needs(params.operation, *group)

        async def work(client: Any) -> dict[str, Any]:
            on = client if core else client.jetstream(timeout=TIMEOUT_SECONDS)
            return await perform(on, params, call)

        return await self._pool.use(identity, work, egress)

    async def close(self) -> None:
        await self._pool.close()


def _settings(call: ToolCall) -> dict[str, Any]:
    """Return what the task says over what its credential says."""
    base: dict[str, Any] = {}
    if isinstance(call.auth, Credential):
        if call.auth.type.lower() not in TYPES:
            raise CredentialError(call.auth.name, f"is of type {call.auth.type!r}, not nats")
        base = dict(call.auth.data)
    elif isinstance(call.auth, dict):
        base = dict(call.auth)
    own = {k: call.config.get(k) for k in ("url", "user", "password", "token", "tls")}
    return {**base, **{k: v for k, v in own.items() if v not in (None, "")}}


def keep_within(identity: Identity, context: ToolContext) -> None:
    """Let a worker open no file for a connection that its execution may not reach.

    Raises:
        OutsideError: one of TLS's files is such a file.
    """
    for name in ("ca", "cert", "key"):
        written = (identity.tls or {}).get(name)
        if written and "-----BEGIN" not in str(written):
            context.confinement.resolve(str(written), context.workspace)


def _config(message: str) -> Outcome:
    return failed(ErrorKind.CONFIG, f"nats: {message}", code="CONFIG")


def _given(params: NatsParams, name: str) -> bool:
    """Return whether a parameter is there; names must not be empty, contents may be."""
    value = getattr(params, name)
    return value is not None and (value != "" or name in ("value", "data"))


def _needs(operation: str, *names: str) -> Refusal:
    wanted = " or ".join(repr(name) for name in names)
    return refuse(ErrorKind.CONFIG, f"{operation} needs {wanted}", code="CONFIG")


def _timed_out(operation: str, seconds: float) -> Outcome:
    message = f"{operation} got no answer within {seconds:g} seconds"
    return failed(ErrorKind.TIMEOUT, message, code="NATS_TIMEOUT", retryable=True)


# -- values ---------------------------------------------------------------------------


def _seconds(ttl: float | str | None) -> float | None:
    """Return a time to live in seconds."""
    if ttl in (None, "", 0):
        return None
    seconds = seconds_of(ttl)
    if seconds is None or seconds <= 0:
        message = f"'ttl' is a number of seconds, or such as '10m', not {ttl!r}"
        raise refuse(ErrorKind.CONFIG, message, code="CONFIG")
    return seconds


# -- key-value ------------------------------------------------------------------------


async def _kv_get(js: Any, params: NatsParams, call: ToolCall) -> dict[str, Any]:
    from nats.js.errors import NotFoundError

    where = {"bucket": params.bucket, "key": params.key}
    try:
        bucket = await js.key_value(params.bucket)
        entry = await bucket.get(encode_key(str(params.key)))
    except NotFoundError:
        return {**where, "status": "not_found", "value": None}
    value = decode_value(entry.value or b"", params.encoding)
    return {**where, **value, "revision": entry.revision}


async def _kv_put(js: Any, params: NatsParams, call: ToolCall) -> dict[str, Any]:
    from nats.js.errors import NotFoundError

    value = encode_value(params.value, params.encoding)
    try:
        bucket = await js.key_value(params.bucket)
    except NotFoundError:
        bucket = await js.create_key_value(bucket=params.bucket, ttl=_seconds(params.ttl))
    revision = await bucket.put(encode_key(str(params.key)), value)
    return {
        "bucket": params.bucket,
        "key": params.key,
        "revision": revision,
        "bytes": len(value),
    }


async def _kv_remove(js: Any, params: NatsParams, call: ToolCall) -> dict[str, Any]:
    """Delete a key, or purge it with its history."""
    from nats.js.errors import NotFoundError

    where = {"bucket": params.bucket, "key": params.key}
    key = encode_key(str(params.key))
    try:
        bucket = await js.key_value(params.bucket)
        await bucket.get(key)
    except NotFoundError:
        return {**where, "status": "not_found", "deleted": False}
    await (bucket.delete(key) if params.operation == "kv_delete" else bucket.purge(key))
    return {**where, "deleted": True}


async def _kv_keys(js: Any, params: NatsParams, call: ToolCall) -> dict[str, Any]:
    from nats.js.errors import NotFoundError

    try:
        found = await list_keys(js, str(params.bucket))
    except NotFoundError:
        return {"bucket": params.bucket, "status": "not_found", "keys": [], "count": 0}
    return {"bucket": params.bucket, **_listed("keys", _matching(found, params.pattern))}


def _matching(names: list[str], pattern: str | None) -> list[str]:
    """Return the names that a pattern takes: ``*``, and ``>`` at the end as NATS has it."""
    if not pattern or pattern == ">":
        return sorted(names)
    glob = pattern.removesuffix(">") + "*" if pattern.endswith(">") else pattern
    return sorted(name for name in names if fnmatch.fnmatchcase(name, glob))


def _listed(name: str, found: list[Any]) -> dict[str, Any]:
    listed: dict[str, Any] = {name: found[:KEYS_MAX], "count": len(found)}
    return {**listed, "truncated": True} if len(found) > KEYS_MAX else listed


# -- objects --------------------------------------------------------------------------


async def _object_get(js: Any, params: NatsParams, call: ToolCall) -> dict[str, Any]:
    from nats.js.errors import NotFoundError

    name = _object_name(params, call)
    try:
        store = await js.object_store(params.bucket)
        info = await store.get_info(name)
        if (info.size or 0) > VALUE_BYTES_MAX:
            message = f"object {name!r} has {info.size:,} bytes; the limit is {VALUE_BYTES_MAX:,}"
            raise refuse(ErrorKind.LIMIT, message, code="NATS_OBJECT_SIZE")
        found = await store.get(name)
    except NotFoundError:
        return {"bucket": params.bucket, "name": name, "status": "not_found", "data": None}
    content = decode_value(found.data or b"", params.encoding)
    content["data"] = content.pop("value")
    return {**_object_facts(info), **content}


async def _object_put(js: Any, params: NatsParams, call: ToolCall) -> dict[str, Any]:
    from nats.js.api import ObjectMeta
    from nats.js.errors import NotFoundError

    name = _object_name(params, call)
    data = encode_value(params.value if params.data is None else params.data, params.encoding)
    try:
        store = await js.object_store(params.bucket)
    except NotFoundError:
        store = await js.create_object_store(params.bucket, ttl=_seconds(params.ttl))
    meta = ObjectMeta(name=name, description=params.desc)
    return _object_facts(await store.put(name, data, meta=meta))


async def _object_delete(js: Any, params: NatsParams, call: ToolCall) -> dict[str, Any]:
    from nats.js.errors import NotFoundError

    name = _object_name(params, call)
    where = {"bucket": params.bucket, "name": name}
    try:
        store = await js.object_store(params.bucket)
        await store.delete(name)
    except NotFoundError:
        return {**where, "status": "not_found", "deleted": False}
    return {**where, "deleted": True}


async def _object_list(js: Any, params: NatsParams, call: ToolCall) -> dict[str, Any]:
    from nats.js.errors import NotFoundError

    try:
        store = await js.object_store(params.bucket)
    except NotFoundError:
        return {"bucket": params.bucket, "status": "not_found", "objects": [], "count": 0}
    try:
        infos = {info.name: info for info in await store.list(ignore_deletes=True)}
    except NotFoundError:
        infos = {}
    names = _matching(list(infos), params.pattern)
    listed = _listed("objects", [_object_facts(infos[name]) for name in names])
    return {"bucket": params.bucket, **listed}


async def _object_info(js: Any, params: NatsParams, call: ToolCall) -> dict[str, Any]:
    from nats.js.errors import NotFoundError

    name = _object_name(params, call)
    try:
        store = await js.object_store(params.bucket)
        return _object_facts(await store.get_info(name))
    except NotFoundError:
        return {"bucket": params.bucket, "name": name, "status": "not_found"}


def _object_name(params: NatsParams, call: ToolCall) -> str:
    """Return the object's name.

    ``name`` is also how a task gets its label, so a label that nobody wrote is no name.
    """
    label = params.name if params.name not in (f"{call.step}_task", "") else None
    name = params.object or params.key or call.input.get("name") or label
    if name is None:
        raise _needs(params.operation, "object")
    return str(name)


def _object_facts(info: Any) -> dict[str, Any]:
    facts = {
        "bucket": info.bucket,
        "name": info.name,
        "size": info.size,
        "chunks": info.chunks,
        "digest": info.digest,
        "description": info.description,
    }
    return {name: value for name, value in facts.items() if value is not None}


# -- streams --------------------------------------------------------------------------


async def _js_publish(js: Any, params: NatsParams, call: ToolCall) -> dict[str, Any]:
    headers = {str(k): str(v) for k, v in (params.headers or {}).items()}
    if call.idempotency_key:
        # The stream drops a second message of the same id, so a retry publishes once.
        headers.setdefault("Nats-Msg-Id", call.idempotency_key)
    content = params.value if params.data is None else params.data
    data = b"" if content is None else encode_value(content, params.encoding)
    done = await js.publish(params.subject, data, stream=params.stream, headers=headers)
    return {
        "stream": done.stream,
        "subject": params.subject,
        "seq": done.seq,
        "duplicate": bool(done.duplicate),
    }


async def _js_consume(js: Any, params: NatsParams, call: ToolCall) -> dict[str, Any]:
    batch = max(1, min(params.batch, BATCH_MAX))
    wait = max(1, min(params.timeout_ms, WAIT_MS_MAX)) / 1000
    subject = params.subject or ""
    subscription = await js.pull_subscribe(subject, durable=params.consumer, stream=params.stream)
    try:
        found = await subscription.fetch(batch, timeout=wait)
    except TimeoutError:
        found = []
    finally:
        await subscription.unsubscribe()
    size = sum(len(message.data) for message in found)
    if size > VALUE_BYTES_MAX:
        message = (
            f"the messages have {size:,} bytes; the limit is {VALUE_BYTES_MAX:,}: lower 'batch'"
        )
        raise refuse(ErrorKind.LIMIT, message, code="NATS_BATCH_SIZE")
    if params.ack:
        await asyncio.gather(*(message.ack_sync(timeout=TIMEOUT_SECONDS) for message in found))
    return {
        "stream": params.stream,
        "consumer": params.consumer,
        "messages": [_consumed(message, params.encoding) for message in found],
        "count": len(found),
        "acked": len(found) if params.ack else 0,
    }


def _consumed(message: Any, encoding: str | None) -> dict[str, Any]:
    meta = message.metadata
    return {
        **_message(message.subject, message.data, message.headers, encoding),
        "seq": meta.sequence.stream,
        "delivered": meta.num_delivered,
        "timestamp": meta.timestamp.isoformat(),
    }


def _message(
    subject: Any, data: bytes | None, headers: Any, encoding: str | None
) -> dict[str, Any]:
    content = decode_value(data or b"", encoding)
    content["data"] = content.pop("value")
    return {"subject": subject, **content, "headers": dict(headers or {})}


async def _js_get_msg(js: Any, params: NatsParams, call: ToolCall) -> dict[str, Any]:
    from nats.js.errors import NotFoundError

    seq = params.seq
    if seq is None and params.last and not params.subject:
        seq = (await js.stream_info(params.stream)).state.last_seq
    if seq is None and not params.subject:
        raise _needs("js_get_msg", "seq", "subject", "last")
    wanted = {"seq": seq} if seq is not None else {"subject": params.subject}
    try:
        found = await js.get_msg(params.stream, **wanted)
    except NotFoundError as error:
        if error.err_code == STREAM_NOT_FOUND:
            raise
        return {"stream": params.stream, "status": "not_found", "data": None}
    return {
        "stream": params.stream,
        "seq": found.seq,
        **_message(found.subject, found.data, found.headers, params.encoding),
    }


async def _js_stream_info(js: Any, params: NatsParams, call: ToolCall) -> dict[str, Any]:
    info = await js.stream_info(params.stream)
    state = info.state
    return {
        "stream": info.config.name,
        "subjects": list(info.config.subjects or []),
        "messages": state.messages,
        "bytes": state.bytes,
        "first_seq": state.first_seq,
        "last_seq": state.last_seq,
        "consumer_count": state.consumer_count,
        "state": {"messages": state.messages, "bytes": state.bytes},
    }


Needs = tuple[tuple[str, ...], ...]
Perform = Callable[[Any, NatsParams, ToolCall], Awaitable[dict[str, Any]]]

_KEYED: Final[Needs] = (("bucket",), ("key",))
_NAMED: Final[Needs] = (("bucket",),)

_OPERATIONS: Final[dict[str, tuple[Needs, Perform]]] = {
    "kv_get": (_KEYED, _kv_get),
    "kv_put": ((*_KEYED, ("value",)), _kv_put),
    "kv_delete": (_KEYED, _kv_remove),
    "kv_keys": ((("bucket",),), _kv_keys),
    "kv_purge": (_KEYED, _kv_remove),
    "object_get": (_NAMED, _object_get),
    "object_put": ((*_NAMED, ("data", "value")), _object_put),
    "object_delete": (_NAMED, _object_delete),
    "object_list": ((("bucket",),), _object_list),
    "object_info": (_NAMED, _object_info),
    "js_publish": ((("subject",),), _js_publish),
    "js_consume": ((("stream",),), _js_consume),
    "js_get_msg": ((("stream",),), _js_get_msg),
    "js_stream_info": ((("stream",),), _js_stream_info),
}
"""What each operation needs, and what performs it."""

SPEC = ToolSpec(kind=KIND, factory=Nats)
