"""Publishing: all messages are sent at once, and their receipts awaited together."""

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
"""Time for the server to take a batch."""

BATCH_MAX: Final = 1000
"""Messages that are on their way at once."""

TRIES: Final = 3
"""Attempts to publish when the stream is gone and is made again."""

LOST_FILES: Final = "no such file or directory"
"""End of what a server says whose stream was made while the files of an old one went."""


class Outgoing(NamedTuple):
    """A message as it is sent."""

    subject: str
    message_id: str
    body: bytes


class StreamGoneError(BusError):
    """No stream takes a subject."""

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
        """Return when the server has all messages.

        Raises:
            StreamGoneError: no stream takes one of them.
            BusError: it does not have all of them.
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
            raise BusError(f"NATS did not take messages in {PUBLISH_SECONDS:g} s") from None
        finally:
            for receipt in receipts:
                self._replies.drop(receipt)
        if batch.error is not None:
            raise batch.error


class _Batch:
    """Counts the receipts of messages that were sent together."""

    def __init__(self, missing: int) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.error: BusError | None = None
        self._missing = missing

    def got(self, msg: Msg | None) -> None:
        self._missing -= 1
        if msg is None:
            self.error = BusError("the connection was cut while publishing")
        elif is_nobody(msg):
            self.error = StreamGoneError("no stream takes the messages")
        else:
            self._read(msg.data)
        if not self._missing and not self.done.done():
            self.done.set_result(None)

    def _read(self, data: bytes) -> None:
        if b'"error"' not in data:
            return
        error = orjson.loads(data).get("error") or {}
        said = error.get("description", "no reason")
        kind = StreamBrokenError if said.endswith(LOST_FILES) else BusError
        self.error = kind(f"NATS refused a message: {said}")
