"""The worker's side of the bus over HTTP, for workers that reach only a server's API.

The server forwards requests to the owners of executions. The worker long-polls for messages and
notices. The server acknowledges messages at once; a command that this worker then does not claim
is announced again.
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
from arcbook.http_client import BodyTooLargeError, read_body, reason_of
from arcbook.supervision import Service, cancelled
from arcbook.wire.protocol import (
    ANY_SERVER,
    ENCODER,
    GATEWAY_MESSAGES,
    GATEWAY_NOTICES,
    GATEWAY_REQUESTS,
    GATEWAY_WAIT_SECONDS_MAX,
    NOBODY,
    GatewayAnswer,
    GatewayListen,
    GatewayMessages,
    GatewayNotices,
    GatewayPull,
    GatewayRequest,
    control_subject,
)

PAYLOAD_BYTES: Final = 1024 * 1024
"""Bytes of one request or answer; longer ones are sent in parts."""

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
"""Bytes of one answer of the API."""

CONNECT_SECONDS: Final = 10.0

SPARE_SECONDS: Final = 10.0
"""Time that an answer may take beyond the requested wait."""

AWAY_SECONDS: Final = 1.0
"""Pause while the server is unreachable."""

Answer = TypeVar("Answer")


class HttpDelivery(NamedTuple):
    """A message; it is not redelivered."""

    body: bytes
    deliveries: int = 1


class HttpBus:
    """The bus, through a server's API.

    Args:
        url: the base URL of the API.
        token: a worker token, or the internal token.
    """

    payload_max = PAYLOAD_BYTES

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._session: aiohttp.ClientSession | None = None
        self.service = Service("bus over HTTP")

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        # Without a connection limit, so that long polls do not delay reports.
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
        """Send a request to the server of a subject and return the answer.

        Raises:
            NobodyError: no server serves the subject.
            RequestTimeoutError: there was no answer in time.
            BusError: the server is unreachable, or refused the request.
        """
        request = GatewayRequest(subject=subject, body=body)
        return (await self._post(GATEWAY_REQUESTS, request, GatewayAnswer, seconds)).body

    async def pull(self, pools: Sequence[str], limit: int, seconds: float) -> list[Delivery]:
        """Return messages of some pools; wait up to ``seconds`` for the first one.

        Raises:
            BusError: the server is unreachable, or refused the request.
        """
        seconds = min(seconds, GATEWAY_WAIT_SECONDS_MAX)
        request = GatewayPull(pools=list(pools), limit=min(limit, PULL_MAX), seconds=seconds)
        answer = await self._post(
            GATEWAY_MESSAGES, request, GatewayMessages, seconds + SPARE_SECONDS
        )
        return [HttpDelivery(body) for body in answer.messages]

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """No-op: the server has already acknowledged them."""

    async def give_back(self, deliveries: Sequence[Delivery], seconds: float = 0.0) -> None:
        """No-op: an unclaimed command is announced again."""

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        """No-op: the server has already acknowledged them."""

    async def listen(self, subject: str, listener: Listener) -> Subscription:
        """Receive the notices of one worker.

        Raises:
            ValueError: the subject is not a worker's.
        """
        worker = subject.removeprefix(control_subject(""))
        if worker == subject:
            raise ValueError(f"over HTTP only notices to a worker can be received, not {subject!r}")
        return _Listening(self.service.task("notices", self._hear(worker, listener)))

    async def _hear(self, worker: str, listener: Listener) -> None:
        request = GatewayListen(worker_id=worker, seconds=GATEWAY_WAIT_SECONDS_MAX)
        seconds = GATEWAY_WAIT_SECONDS_MAX + SPARE_SECONDS
        while True:
            try:
                answer = await self._post(GATEWAY_NOTICES, request, GatewayNotices, seconds)
            except BusError:
                await asyncio.sleep(AWAY_SECONDS)
                continue
            for body in answer.notices:
                hand_over(listener, body)

    async def _post(self, path: str, request: Any, kind: type[Answer], seconds: float) -> Answer:
        assert self._session is not None
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.post(self.url + path, data=ENCODER.encode(request)) as response,
            ):
                status, body = response.status, await read_body(response, ANSWER_BYTES_MAX)
        except TimeoutError:
            raise RequestTimeoutError(f"{self.url} does not answer") from None
        except BodyTooLargeError as error:
            raise BusError(f"the answer of {self.url} cannot be used: {error}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise BusError(f"no server answers at {self.url}: {reason_of(error)}") from None
        try:
            if status == 200:
                return msgspec.json.decode(body, type=kind)
            refused = msgspec.json.decode(body, type=_Refused)
        except msgspec.DecodeError:
            raise BusError(f"{self.url} is not an Arcbook server: it answered {status}") from None
        if refused.code == NOBODY:
            raise NobodyError(refused.error)
        raise BusError(f"{self.url} refused the request: {refused.error}")


class _Refused(msgspec.Struct):
    error: str = ""
    code: str = ""


class _Listening:
    def __init__(self, task: asyncio.Task[None]) -> None:
        self._task = task

    async def stop(self) -> None:
        await cancelled([self._task])
