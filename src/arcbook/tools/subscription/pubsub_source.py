"""Messages of a Pub/Sub subscription, over its REST API."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final

import aiohttp
import msgspec

from arcbook.egress import Egress, EgressError
from arcbook.http_client import BodyTooLargeError, read_body, reason_of
from arcbook.outcome import ErrorKind
from arcbook.tools.nats_pool import Refusal, refuse
from arcbook.tools.subscription.sources import (
    MESSAGES_BYTES_MAX,
    Disposition,
    Message,
    content_of,
    lower,
)

ENDPOINT: Final = "https://pubsub.googleapis.com"

ANSWER_SECONDS: Final = 10.0
"""How long Pub/Sub may take to answer, beyond what a poll waits."""

DELAY_SECONDS_MAX: Final = 600
"""Longest delay of a message that Pub/Sub delivers again."""


class _PulledMessage(msgspec.Struct, rename="camel"):
    message_id: str = ""
    data: str = ""
    attributes: dict[str, str] = {}
    publish_time: str = ""
    ordering_key: str = ""


class _Received(msgspec.Struct, rename="camel"):
    ack_id: str
    message: _PulledMessage = msgspec.field(default_factory=_PulledMessage)
    delivery_attempt: int = 0


class _Pulled(msgspec.Struct, rename="camel"):
    received_messages: list[_Received] = []


class PubsubSource:
    """One subscription.

    Args:
        subscription: Its full name, ``projects/P/subscriptions/S``.
        endpoint: The address of the API.
        token: An access token; empty for an emulator.
        egress: Where calls may connect to.
    """

    def __init__(self, subscription: str, endpoint: str, token: str, egress: Egress) -> None:
        self._url = f"{endpoint.rstrip('/')}/v1/{subscription}"
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._egress = egress

    async def poll(self, batch: int, seconds: float) -> list[Message]:
        try:
            body = await self._post("pull", {"maxMessages": batch}, seconds)
        except TimeoutError:
            return []  # Pub/Sub holds an empty pull open for longer than anyone waits
        try:
            pulled = msgspec.json.decode(body, type=_Pulled)
            return [_message(received) for received in pulled.received_messages]
        except (msgspec.DecodeError, binascii.Error) as error:
            text = f"the answer is not that of Pub/Sub: {error}"
            raise refuse(ErrorKind.PARSE, text, code="ANSWER") from None

    async def settle(
        self, disposition: Disposition, ack_ids: Sequence[str], delay_seconds: float
    ) -> list[str]:
        ids = {"ackIds": list(ack_ids)}
        try:
            # There is no term: Pub/Sub's own dead-letter policy counts deliveries.
            if disposition is Disposition.NACK:
                delay = min(round(delay_seconds), DELAY_SECONDS_MAX)
                await self._post("modifyAckDeadline", {**ids, "ackDeadlineSeconds": delay}, 0)
            else:
                await self._post("acknowledge", ids, 0)
        except TimeoutError:
            text = "Pub/Sub does not answer"
            raise refuse(ErrorKind.TIMEOUT, text, code="TIMEOUT", retryable=True) from None
        return list(ack_ids)

    def check(self, ack_ids: Sequence[str]) -> None:
        if "" in ack_ids:
            raise refuse(ErrorKind.CONFIG, "an 'ack_id' is empty", code="ACK_ID")

    async def _post(self, method: str, body: dict[str, Any], seconds: float) -> bytes:
        """Send a request.

        Raises:
            TimeoutError: there is no answer in time.
            Refusal: it is refused, or Pub/Sub is out of reach.
        """
        wait = seconds or ANSWER_SECONDS
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=ANSWER_SECONDS)
        try:
            async with (
                asyncio.timeout(wait),
                aiohttp.ClientSession(
                    timeout=timeout, connector=self._egress.connector()
                ) as session,
                session.post(
                    f"{self._url}:{method}",
                    json=body,
                    headers=self._headers,
                    allow_redirects=False,  # the token is for this host only
                ) as response,
            ):
                answer = await read_body(response, MESSAGES_BYTES_MAX)
        except BodyTooLargeError as error:
            text = f"the messages cannot be used: {error}; lower 'batch'"
            raise refuse(ErrorKind.LIMIT, text, code="BATCH_SIZE") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise _unreachable(error) from None
        if response.status != 200:
            raise _refused(response.status, answer)
        return answer


def _message(received: _Received) -> Message:
    message = received.message
    return Message(
        id=message.message_id,
        data=content_of(base64.b64decode(message.data, validate=True)),
        headers=lower(message.attributes),
        attributes=message.attributes,
        metadata={
            "publish_time": message.publish_time,
            "ordering_key": message.ordering_key,
            "delivery_attempt": received.delivery_attempt,
        },
        ack_id=received.ack_id,
    )


def _unreachable(error: Exception) -> Refusal:
    cause = getattr(error, "os_error", None)
    if isinstance(cause, EgressError):
        return refuse(ErrorKind.CONFIG, str(cause), code="EGRESS")
    if isinstance(error, (aiohttp.InvalidURL, ValueError)):
        return refuse(ErrorKind.CONFIG, "'endpoint' is not an address", code="CONFIG")
    text = f"Pub/Sub cannot be reached: {reason_of(error)}"
    return refuse(ErrorKind.CONNECTION, text, code="CONNECTION", retryable=True)


def _refused(status: int, body: bytes) -> Refusal:
    """Return what a refusal of Pub/Sub means."""
    try:
        text = str(msgspec.json.decode(body)["error"]["message"])[:500]
    except (msgspec.DecodeError, KeyError, TypeError):
        text = f"HTTP {status}"
    kinds = {401: ErrorKind.AUTH, 403: ErrorKind.AUTH, 404: ErrorKind.NOT_FOUND}
    if status in kinds:
        return refuse(kinds[status], text, code=f"HTTP_{status}")
    if status == 429:
        return refuse(ErrorKind.RATE_LIMIT, text, code="HTTP_429", retryable=True)
    if status >= 500:
        return refuse(ErrorKind.SERVER_ERROR, text, code=f"HTTP_{status}", retryable=True)
    return refuse(ErrorKind.CLIENT_ERROR, text, code=f"HTTP_{status}")
