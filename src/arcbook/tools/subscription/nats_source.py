"""Messages of a durable JetStream consumer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any, Final

from arcbook.outcome import ErrorKind
from arcbook.tools.nats_pool import refuse
from arcbook.tools.subscription.sources import (
    MESSAGES_BYTES_MAX,
    Disposition,
    Message,
    content_of,
    lower,
)

ACK_PREFIX: Final = "$JS.ACK."
"""Begins every subject by which a message is settled."""

CONFIRM_SECONDS: Final = 5.0
"""How long the server may take to confirm a disposition."""


class NatsSource:
    """One consumer, over an open connection."""

    def __init__(self, client: Any, stream: str, consumer: str) -> None:
        self._client = client
        self._stream = stream
        self._consumer = consumer

    async def poll(self, batch: int, seconds: float) -> list[Message]:
        js = self._client.jetstream(timeout=CONFIRM_SECONDS)
        await js.consumer_info(self._stream, self._consumer)  # else a missing one is only silent
        subscription = await js.pull_subscribe_bind(consumer=self._consumer, stream=self._stream)
        try:
            messages = await subscription.fetch(batch, timeout=seconds)
        except TimeoutError:
            messages = []
        finally:
            await subscription.unsubscribe()
        size = sum(len(message.data) for message in messages)
        if size > MESSAGES_BYTES_MAX:
            text = f"the messages have {size:,} bytes; the limit is {MESSAGES_BYTES_MAX:,}: lower 'batch'"
            raise refuse(ErrorKind.LIMIT, text, code="BATCH_SIZE")
        return [_message(message) for message in messages]

    async def settle(
        self, disposition: Disposition, ack_ids: Sequence[str], delay_seconds: float
    ) -> list[str]:
        bodies = {
            Disposition.ACK: b"+ACK",
            Disposition.NACK: b"-NAK" + _delay(delay_seconds),
            Disposition.TERM: b"+TERM",
        }
        settled = await asyncio.gather(*(self._settle(i, bodies[disposition]) for i in ack_ids))
        return [ack_id for ack_id, done in zip(ack_ids, settled, strict=True) if done]

    async def _settle(self, ack_id: str, body: bytes) -> bool:
        import nats.errors

        try:
            await self._client.request(ack_id, body, timeout=CONFIRM_SECONDS)
        except (TimeoutError, nats.errors.NoRespondersError):
            return False
        return True

    def check(self, ack_ids: Sequence[str]) -> None:
        for ack_id in ack_ids:
            if not ack_id.startswith(ACK_PREFIX) or any(c in ack_id for c in " \t\r\n*>"):
                text = f"{ack_id[:80]!r} is not an 'ack_id' of a message of NATS"
                raise refuse(ErrorKind.CONFIG, text, code="ACK_ID")


def _delay(seconds: float) -> bytes:
    return b" " + json.dumps({"delay": int(seconds * 1e9)}).encode() if seconds else b""


def _message(message: Any) -> Message:
    meta = message.metadata
    return Message(
        id=str(meta.sequence.stream),
        data=content_of(message.data),
        headers=lower(message.headers),
        metadata={
            "subject": message.subject,
            "stream": meta.stream,
            "consumer": meta.consumer,
            "sequence": meta.sequence.stream,
            "delivered": meta.num_delivered,
            "pending": meta.num_pending,
            "timestamp": meta.timestamp.isoformat(),
        },
        ack_id=message.reply,
    )
