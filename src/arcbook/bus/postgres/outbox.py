"""The outgoing messages of a connection: while one statement runs, the next one is filled."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, NamedTuple

from arcbook.bus.api import BusError
from arcbook.bus.postgres.database import Database
from arcbook.supervision import Service

BATCH_MAX: Final = 200
"""Maximum number of messages in one statement."""

BATCH_BYTES: Final = 4 * 1024**2
"""Size in bytes from which a statement takes no further messages."""

WAITING_BYTES_MAX: Final = 128 * 1024**2
"""Maximum number of unsent bytes; beyond that, sending is refused."""


class _Sent(NamedTuple):
    """A request or an answer that is being sent."""

    kind: str
    receiver: str
    subject: str
    number: int
    body: bytes
    reached: asyncio.Future[bool]


class Outbox:
    """Sends requests and answers.

    Args:
        database: the connections.
        sender: name of this connection.
        service: runs the sending.
    """

    def __init__(self, database: Database, sender: str, service: Service) -> None:
        self._database = database
        self._sender = sender
        self._service = service
        self._waiting: deque[_Sent] = deque()
        self._waiting_bytes = 0
        self._sending: asyncio.Task[None] | None = None

    async def send(self, kind: str, receiver: str, subject: str, number: int, body: bytes) -> bool:
        """Send a message; return whether it has a receiver.

        Raises:
            BusError: the message cannot be sent.
        """
        if not self._service.is_running:
            raise BusError("the connection to PostgreSQL has ended")
        if self._waiting_bytes + len(body) > WAITING_BYTES_MAX:
            raise BusError("too many unsent messages for PostgreSQL: try again")
        self._waiting_bytes += len(body)
        reached: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        sent = _Sent(kind, receiver, subject, number, body, reached)
        self._waiting.append(sent)
        if self._sending is None or self._sending.done():
            self._sending = self._service.task("sending", self._send_all())
        return await sent.reached

    async def _send_all(self) -> None:
        while self._waiting:
            batch = self._batch()
            try:
                reached = await self._send(batch)
            except BusError as error:
                for sent in batch:
                    if not sent.reached.done():
                        sent.reached.set_exception(BusError(str(error)))
            else:
                for sent, was_reached in zip(batch, reached, strict=True):
                    if not sent.reached.done():
                        sent.reached.set_result(was_reached)

    def _batch(self) -> list[_Sent]:
        batch: list[_Sent] = []
        size = 0
        while self._waiting and len(batch) < BATCH_MAX and size < BATCH_BYTES:
            batch.append(self._waiting.popleft())
            size += len(batch[-1].body)
        self._waiting_bytes -= size
        return batch

    async def _send(self, batch: list[_Sent]) -> list[bool]:
        kinds, receivers, subjects, numbers, bodies, _ = zip(*batch, strict=True)
        ((reached,),) = await self._database.run(
            "select arcbook_bus.send_many($1, $2, $3, $4, $5, $6)",
            kinds,
            receivers,
            subjects,
            self._sender,
            numbers,
            bodies,
        )
        return list(reached)
