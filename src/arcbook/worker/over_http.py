"""A worker's side of the bus over HTTP, where only a server's API can be reached.

Requests go to the server, which hands on what others own. Messages and notices are waited
for by calls that stand open. A message is acknowledged by the server already: what this
worker then does not claim is told again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self, TypeVar

import aiohttp
import msgspec

from arcbook.bus.api import (
    PULL_MAX,
    BusError,
    Delivery,
    Listener,
    NobodyError,
    RequestTimeoutError,
    Subscription,
)
from arcbook.bus.handling import hand_over
from arcbook.connecting import reason_of
from arcbook.supervision import Service, cancelled
from arcbook.wire.protocol import (
    ANY_SERVER,
    DOOR_MESSAGES,
    DOOR_NOTICES,
    DOOR_REQUESTS,
    DOOR_WAIT_SECONDS_MAX,
    ENCODER,
    NOBODY,
    DoorAnswer,
    DoorListen,
    DoorMessages,
    DoorNotices,
    DoorPull,
    DoorRequest,
    control_subject,
)

PAYLOAD_BYTES: Final = 1024 * 1024
"""Bytes of one request or answer; what is longer goes in parts."""

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of one answer of the API."""

CONNECT_SECONDS: Final = 10.0

SPARE_SECONDS: Final = 10.0
"""Time that an answer may take beyond the time that was asked for."""

AWAY_SECONDS: Final = 1.0
"""Pause while the server is away."""

Answer = TypeVar("Answer")


class HttpDelivery(NamedTuple):
    """A message; it does not come again."""

    body: bytes
    deliveries: int = 1


class HttpBus:
    """The bus, by way of a server's API.

    Args:
        url: where the API is.
        token: the token of a worker, or the internal one.
    """

    payload_max = PAYLOAD_BYTES

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._session: aiohttp.ClientSession | None = None
        self.service = Service("bus over HTTP")

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        # A worker's calls that wait must not keep its reports from going out.
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(
            headers=self._headers, timeout=timeout, connector=connector
        )
        try:
            await self.request(ANY_SERVER, b"", CONNECT_SECONDS)
        except BaseException:
            await self._session.close()
            raise
        await self.service.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.service.stop()
        if self._session is not None:
            await self._session.close()

    async def request(self, subject: str, body: bytes, seconds: float) -> bytes:
        """Ask whoever serves a subject, and return the answer.

        Raises:
            NobodyError: nobody serves it.
            RequestTimeoutError: there was no answer in time.
            BusError: the server cannot be reached, or refuses.
        """
        wanted = DoorRequest(subject=subject, body=body)
        return (await self._post(DOOR_REQUESTS, wanted, DoorAnswer, seconds)).body

    async def pull(self, pools: Sequence[str], limit: int, seconds: float) -> list[Delivery]:
        """Return messages of some pools; wait for the first one, but no longer than told.

        Raises:
            BusError: the server cannot be reached, or refuses.
        """
        seconds = min(seconds, DOOR_WAIT_SECONDS_MAX)
        wanted = DoorPull(pools=list(pools), limit=min(limit, PULL_MAX), seconds=seconds)
        found = await self._post(DOOR_MESSAGES, wanted, DoorMessages, seconds + SPARE_SECONDS)
        return [HttpDelivery(body) for body in found.messages]

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing: the server did."""

    async def give_back(self, deliveries: Sequence[Delivery], seconds: float = 0.0) -> None:
        """Do nothing: what is not claimed is told again."""

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        """Do nothing: they are acknowledged."""

    async def listen(self, subject: str, listener: Listener) -> Subscription:
        """Be told what a worker is told.

        Raises:
            ValueError: the subject is not that of a worker.
        """
        worker = subject.removeprefix(control_subject(""))
        if worker == subject:
            raise ValueError(f"only workers are told something over HTTP, not {subject!r}")
        return _Listening(self.service.task("notices", self._hear(worker, listener)))

    async def _hear(self, worker: str, listener: Listener) -> None:
        wanted = DoorListen(worker_id=worker, seconds=DOOR_WAIT_SECONDS_MAX)
        seconds = DOOR_WAIT_SECONDS_MAX + SPARE_SECONDS
        while True:
            try:
                found = await self._post(DOOR_NOTICES, wanted, DoorNotices, seconds)
            except BusError:
                await asyncio.sleep(AWAY_SECONDS)
                continue
            for body in found.notices:
                hand_over(listener, body)

    async def _post(self, path: str, wanted: Any, kind: type[Answer], seconds: float) -> Answer:
        assert self._session is not None
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.post(self.url + path, data=ENCODER.encode(wanted)) as response,
            ):
                status, body = response.status, await _read(response)
        except TimeoutError:
            raise RequestTimeoutError(f"{self.url} does not answer") from None
        except (aiohttp.ClientError, OSError) as error:
            raise BusError(f"no server answers at {self.url}: {reason_of(error)}") from None
        try:
            if status == 200:
                return msgspec.json.decode(body, type=kind)
            refused = msgspec.json.decode(body, type=_Refused)
        except msgspec.DecodeError:
            raise BusError(f"{self.url} is no server: it answered {status}") from None
        if refused.code == NOBODY:
            raise NobodyError(refused.error)
        raise BusError(f"{self.url} refuses: {refused.error}")


class _Refused(msgspec.Struct):
    error: str = ""
    code: str = ""


class _Listening:
    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    async def stop(self) -> None:
        await cancelled([self._task])


async def _read(response: aiohttp.ClientResponse) -> bytes:
    found = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        found += chunk
        if len(found) > ANSWER_BYTES_MAX:
            raise BusError(f"an answer is longer than {ANSWER_BYTES_MAX:,} bytes")
    return bytes(found)
