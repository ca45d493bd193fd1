"""The tool kind ``subscription``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from msgspec import Meta

from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.secrets.minting import MINTED
from arcbook.tools.api import (
    Credential,
    Effects,
    Params,
    ToolCall,
    ToolContext,
    declare,
    parse,
    require,
)
from arcbook.tools.confinement import OutsideError
from arcbook.tools.nats import TYPES as NATS_TYPES
from arcbook.tools.nats import keep_within
from arcbook.tools.nats_pool import NatsPool, Refusal, identity_of, refuse, translated
from arcbook.tools.spec import ToolSpec
from arcbook.tools.subscription.sources import Disposition, Message, Source

TIMEOUT_SECONDS: Final = 30.0
"""How long a call may take where the task says nothing."""

BATCH_MAX: Final = 1000
"""Messages of one poll, and ids of one settlement."""

WAIT_MS_MAX: Final = 5000
"""How long a poll waits for the first message."""

DELAY_MS_MAX: Final = 24 * 3600 * 1000
"""Longest delay of a message that is to be delivered again."""

T = TypeVar("T")
Ack = Literal["on_success", "auto", "manual", "defer", "none"]
_AT_ONCE: Final = ("on_success", "auto")
_SUBSCRIPTION: Final = re.compile(r"projects/[\w.:-]+/subscriptions/[\w.~+%-]+")
_DISPOSITIONS: Final = {
    "ack": Disposition.ACK,
    "nack": Disposition.NACK,
    "nak": Disposition.NACK,
    "term": Disposition.TERM,
}


class SubscriptionParams(Params, frozen=True, kw_only=True):
    """Parameters of ``subscription``."""

    source: Annotated[
        Literal["nats", "pubsub", "kafka"], Meta(description="The broker: `nats` or `pubsub`.")
    ]
    operation: Annotated[
        Literal["poll", "ack", "nack", "nak", "term"],
        Meta(description="Take messages, or settle those of an earlier poll."),
    ] = "poll"
    batch: Annotated[int, Meta(description="Messages to take, at most 1000.", ge=1)] = 100
    timeout_ms: Annotated[
        int, Meta(description="How long to wait for the first message, at most 5000.", ge=1)
    ] = 1000
    ack: Annotated[
        Ack | bool,
        Meta(
            description="`on_success` acknowledges what was taken at once; `manual` and `defer` leave "
            "that to a later task; `none` leaves the messages."
        ),
    ] = "on_success"
    ack_ids: Annotated[
        list[str] | None, Meta(description="The messages to settle, by their `ack_id`.")
    ] = None
    nack_delay_ms: Annotated[
        int, Meta(description="Time before messages that are not done come again.", ge=0)
    ] = 0
    stream: Annotated[str | None, Meta(description="NATS: the stream.")] = None
    consumer: Annotated[str | None, Meta(description="NATS: a durable consumer that exists.")] = (
        None
    )
    url: Annotated[str | None, Meta(description="NATS: address, where no credential has it.")] = (
        None
    )
    user: Annotated[str | None, Meta(description="NATS: user.")] = None
    password: Annotated[str | None, Meta(description="NATS: password.")] = None
    token: Annotated[str | None, Meta(description="Token, where no credential has it.")] = None
    subscription: Annotated[
        str | None,
        Meta(description="Pub/Sub: full name, `projects/PROJECT/subscriptions/NAME`."),
    ] = None
    endpoint: Annotated[
        str | None, Meta(description="Pub/Sub: address of the API, such as an emulator's.")
    ] = None


def effects_of(config: Mapping[str, Any]) -> Effects:
    """Return what repeating a call does."""
    if config.get("operation") not in (None, "poll"):
        return Effects.IDEMPOTENT
    # What is acknowledged does not come a second time.
    return Effects.ONCE if _mode(config.get("ack", True)) in _AT_ONCE else Effects.IDEMPOTENT


def summary(config: Mapping[str, Any]) -> str:
    """Say what a call takes or settles, and where."""
    place = config.get("subscription") or config.get("stream") or ""
    operation = str(config.get("operation") or "poll")
    count = len(config.get("ack_ids") or ()) if operation != "poll" else config.get("batch", 100)
    return f"{operation} {count} messages of {config.get('source')} {place}".strip()


_COMMON: Final = {
    "status": "`success`, or `partial` where the broker did not confirm everything.",
    "source": "The broker.",
    "operation": "The operation.",
    "count": "How many messages were taken or settled.",
    "ack_ids": "The ids of the messages that were taken; of those that were settled.",
}

KIND = declare(
    "subscription",
    SubscriptionParams,
    "Takes a bounded number of messages from a broker, and settles them.",
    takes_auth=True,
    result_by="operation",
    results={
        "poll": {
            **_COMMON,
            "messages": "The messages: `id`, `data`, `headers`, `attributes`, `metadata`, `ack_id`.",
            "acked": "How many are acknowledged.",
            "ack_mode": "How they are acknowledged.",
            "metrics": "`waited_ms`: how long the poll took.",
        },
        **dict.fromkeys(_DISPOSITIONS, _COMMON),
    },
    effects=[Effects.IDEMPOTENT, Effects.ONCE],
    effects_of=effects_of,
    summary=summary,
    example="""
    tool:
      kind: subscription
      source: nats
      auth: bus
      stream: ORDERS
      consumer: billing
      batch: 50
      ack: manual
    """,
)


class Subscription:
    """Takes and settles messages."""

    def __init__(self) -> None:
        self._pool = NatsPool()

    async def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        params = parse(SubscriptionParams, call)
        if isinstance(params, Outcome):
            return params
        seconds = TIMEOUT_SECONDS if call.timeout_seconds is None else call.timeout_seconds
        try:
            work = _work(params)
            async with asyncio.timeout(seconds):
                data = await self._with_source(params, call, context, work)
        except Refusal as refusal:
            return refusal.outcome
        except TimeoutError:
            text = f"subscription: {params.operation} got no answer within {seconds:g} seconds"
            return failed(ErrorKind.TIMEOUT, text, code="TIMEOUT", retryable=True)
        return ok({"source": params.source, "operation": params.operation, **data})

    async def _with_source(
        self,
        params: SubscriptionParams,
        call: ToolCall,
        context: ToolContext,
        work: Callable[[Source], Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        if params.source == "nats":
            return await self._with_nats(params, call, context, work)
        if params.source == "pubsub":
            return await work(await _pubsub(params, call, context))
        raise _config(
            "Kafka is not read by this kind: bridge the topic to NATS or Pub/Sub, or read it in a "
            "task of kind 'python' with 'dependencies: [aiokafka]'"
        )

    async def _with_nats(
        self,
        params: SubscriptionParams,
        call: ToolCall,
        context: ToolContext,
        work: Callable[[Source], Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        require("nats", "nats")
        from arcbook.tools.subscription.nats_source import NatsSource

        stream, consumer = params.stream, params.consumer
        if not (stream and consumer):
            raise _config("source 'nats' needs 'stream' and 'consumer'")
        identity = identity_of(_settings(call, params, ("url", "user", "password", "token")))
        if identity is None:
            raise _config("no address: name a credential with 'auth', or write 'url'")
        if isinstance(call.auth, Credential) and call.auth.type.lower() not in NATS_TYPES:
            raise _config(f"credential {call.auth.name!r} is of type {call.auth.type!r}, not nats")
        try:
            keep_within(identity, context)
        except OutsideError as error:
            raise _config(f"tls: {error}") from None

        async def on(client: Any) -> dict[str, Any]:
            return await work(NatsSource(client, stream, consumer))

        with translated(lambda: self._pool.complaint(identity)):
            return await self._pool.use(identity, on, context.confinement.egress)

    async def close(self) -> None:
        await self._pool.close()


def _settings(call: ToolCall, params: SubscriptionParams, names: tuple[str, ...]) -> dict[str, Any]:
    """Return what the task says over what its credential says."""
    auth = call.auth.data if isinstance(call.auth, Credential) else call.auth
    base = dict(auth) if isinstance(auth, Mapping) else {}
    own = {name: getattr(params, name) for name in names}
    return {**base, **{name: value for name, value in own.items() if value}}


async def _pubsub(params: SubscriptionParams, call: ToolCall, context: ToolContext) -> Source:
    from arcbook.tools.subscription.pubsub_source import ENDPOINT, PubsubSource

    name = params.subscription or ""
    if not _SUBSCRIPTION.fullmatch(name):
        raise _config("source 'pubsub' needs 'subscription: projects/PROJECT/subscriptions/NAME'")
    settings = _settings(call, params, ("token", "endpoint"))
    if isinstance(call.auth, Credential) and call.auth.type.lower() in MINTED:
        minted = await context.token(call.auth)
        settings = {**minted.data, **settings}
    token = str(settings.get("token") or settings.get("access_token") or "")
    endpoint = str(settings.get("endpoint") or ENDPOINT)
    if not endpoint.startswith(("https://", "http://")):
        raise _config("'endpoint' begins with https:// or http://")
    if not token and endpoint == ENDPOINT:
        raise _config("no token: name a credential of type google_service_account with 'auth'")
    return PubsubSource(name, endpoint, token, context.confinement.egress)


def _work(params: SubscriptionParams) -> Callable[[Source], Awaitable[dict[str, Any]]]:
    """Return what a call does with its source.

    Raises:
        Refusal: a parameter is missing or out of its range.
    """
    if params.operation == "poll":
        if params.batch > BATCH_MAX or params.timeout_ms > WAIT_MS_MAX:
            raise _config(f"'batch' is at most {BATCH_MAX}, 'timeout_ms' at most {WAIT_MS_MAX}")
        return lambda source: _poll(source, params)
    if not params.ack_ids:
        raise _config(f"{params.operation} needs 'ack_ids'")
    if len(params.ack_ids) > BATCH_MAX or params.nack_delay_ms > DELAY_MS_MAX:
        raise _config(f"'ack_ids' are at most {BATCH_MAX}, 'nack_delay_ms' at most {DELAY_MS_MAX}")
    return lambda source: _settle(source, params)


async def _poll(source: Source, params: SubscriptionParams) -> dict[str, Any]:
    began = asyncio.get_running_loop().time()
    messages = await source.poll(params.batch, params.timeout_ms / 1000)
    waited_ms = round((asyncio.get_running_loop().time() - began) * 1000, 1)
    mode = _mode(params.ack)
    ack_ids = [message.ack_id for message in messages]
    acked = ack_ids
    if mode in _AT_ONCE and ack_ids:
        acked = await source.settle(Disposition.ACK, ack_ids, 0.0)
    elif mode not in _AT_ONCE:
        acked = []
    is_partial = mode in _AT_ONCE and len(acked) < len(ack_ids)
    return {
        "status": "partial" if is_partial else "success",
        "count": len(messages),
        "messages": [_fields(message) for message in messages],
        "acked": len(acked),
        "ack_mode": mode,
        "ack_ids": ack_ids,
        "metrics": {"waited_ms": waited_ms},
    }


def _fields(message: Message) -> dict[str, Any]:
    return {name: getattr(message, name) for name in message.__struct_fields__}


async def _settle(source: Source, params: SubscriptionParams) -> dict[str, Any]:
    ack_ids = params.ack_ids or []
    source.check(ack_ids)
    disposition = _DISPOSITIONS[params.operation]
    settled = await source.settle(disposition, ack_ids, params.nack_delay_ms / 1000)
    return {
        "status": "success" if len(settled) == len(ack_ids) else "partial",
        "count": len(settled),
        "ack_ids": settled,
    }


def _mode(ack: Any) -> str:
    """Return how messages are acknowledged; booleans are the two plain ways."""
    if isinstance(ack, bool):
        return "on_success" if ack else "none"
    return str(ack)


def _config(message: str) -> Refusal:
    return refuse(ErrorKind.CONFIG, f"subscription: {message}", code="CONFIG")


SPEC = ToolSpec(kind=KIND, factory=Subscription)
