"""Publish messages in batches: send them all, then wait for all receipts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson
from nats.aio.msg import Msg

from arcbook.bus.api import BusError
from arcbook.bus.nats.link import NatsLink
from arcbook.bus.nats.replies import Replies, is_nobody

PUBLISH_SECONDS: Final = 5.0
"""Time limit for the server to accept a batch."""

BATCH_MAX: Final = 1000
"""Maximum number of unconfirmed messages."""

TRIES: Final = 3
"""Attempts to publish when the stream must be created again."""

LOST_FILES: Final = "no such file or directory"
"""End of the server's error if it deleted the files of a stream that was just recreated."""


class Outgoing(NamedTuple):
    """A message to send."""

    subject: str
    message_id: str
    body: bytes


class StreamGoneError(BusError):
    """No stream accepts a subject."""

    code = "stream_missing"


class StreamBrokenError(BusError):
    """The stream has lost its files."""

    code = "stream_broken"


class Publisher:
    """Publishes to streams."""

    def __init__(self, link: NatsLink, replies: Replies) -> None:
        self._link = link
        self._replies = replies

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish messages, and wait until the server has accepted all of them.

        Raises:
            StreamGoneError: no stream accepts one of them.
            BusError: not all were accepted.
        """
        for start in range(0, len(messages), BATCH_MAX):
            await self._publish(messages[start : start + BATCH_MAX])

    async def _publish(self, messages: Sequence[Outgoing]) -> None:
        batch = _Batch(len(messages))
        receipts = [self._replies.expect(batch.got) for _ in messages]
        client = self._link.client
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                with self._link.translated():
                    for message, receipt in zip(messages, receipts, strict=True):
                        await client.publish(
                            message.subject,
                            message.body,
                            reply=receipt,
                            headers={"Nats-Msg-Id": message.message_id},
                        )
                await batch.done
        except TimeoutError:
            raise BusError(f"NATS did not accept messages within {PUBLISH_SECONDS:g} s") from None
        finally:
            for receipt in receipts:
                self._replies.drop(receipt)
        if batch.error is not None:
            raise batch.error


class _Batch:
    """Counts the receipts of a batch."""

    def __init__(self, missing: int) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.error: BusError | None = None
        self._missing = missing

    def got(self, msg: Msg | None) -> None:
        self._missing -= 1
        if msg is None:
            self.error = BusError("the connection was lost while publishing")
        elif is_nobody(msg):
            self.error = StreamGoneError("no stream accepts the messages")
        else:
            self._read(msg.data)
        if not self._missing and not self.done.done():
            self.done.set_result(None)

    def _read(self, data: bytes) -> None:
        if b'"error"' not in data:
            return
        error = orjson.loads(data).get("error") or {}
        reason = error.get("description", "no reason")
        kind = StreamBrokenError if reason.endswith(LOST_FILES) else BusError
        self.error = kind(f"NATS refused a message: {reason}")
