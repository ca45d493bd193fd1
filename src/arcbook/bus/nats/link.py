"""A connection to NATS that always reconnects, and restores its subscriptions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final

import nats.errors
import nkeys
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from arcbook.bus.api import BusError
from arcbook.bus.nats.access import NatsAccess, printable, servers
from arcbook.logs import events as logged
from arcbook.supervision import Service, cancelled

START_SECONDS: Final = 5.0
"""Time limit for the first connection; reconnecting has no limit."""

RETRY_SECONDS: Final = 1
"""Pause between two connection attempts."""

PING_SECONDS: Final = 5
"""Interval of pings to the server; three unanswered ones close the connection."""

SETTLE_SECONDS: Final = 5.0
"""Time limit for the server to register a subscription."""

REFUSED: Final = ("authorization", "authentication", "certificate", "credentials", "tls")
"""Words in errors that retrying does not resolve."""

_log = logging.getLogger("arcbook.bus")

Heard = Callable[[Msg], Awaitable[None]]


class Subscribed:
    """A subscription that is restored with each new client."""

    def __init__(self, link: NatsLink, subject: str, queue: str, heard: Heard) -> None:
        self._link = link
        self._subject = subject
        self._queue = queue
        self._heard = heard
        self._made: Subscription | None = None

    async def make(self, client: Client) -> None:
        """Subscribe with a client."""
        self._made = await client.subscribe(self._subject, queue=self._queue, cb=self._heard)

    async def stop(self) -> None:
        """Unsubscribe; messages that have arrived are still handled."""
        self._link.forget(self)
        if self._made is not None and self._link.is_connected:
            subscription: Any = self._made
            with contextlib.suppress(nats.errors.Error):
                await subscription.drain()


class NatsLink:
    """A connection to NATS.

    Args:
        url: addresses, separated by commas.
        access: credentials and trusted certificates.
        service: runs the reconnecting.
        start_seconds: time limit for the first connection.
    """

    def __init__(
        self,
        url: str,
        access: NatsAccess,
        service: Service,
        start_seconds: float = START_SECONDS,
    ) -> None:
        self._urls = servers(url)
        self._access = access
        self._service = service
        self._start_seconds = start_seconds
        self._client = Client()
        self._subscribed: list[Subscribed] = []
        self._last_error: Exception | None = None
        self._refused: asyncio.Future[None] | None = None
        self._leaving = False
        self._coming_back: asyncio.Task[None] | None = None
        #: Called when the connection is lost, and when it is restored.
        self.on_cut: list[Callable[[], None]] = []
        self.on_back: list[Callable[[], None]] = []

    @property
    def client(self) -> Client:
        """The client of the current connection.

        Raises:
            BusError: there is no connection.
        """
        if not self._client.is_connected:
            raise BusError(f"NATS at {printable(self._urls)} cannot be reached{self._why()}")
        return self._client

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection."""
        return bool(self._client.is_connected)

    @property
    def is_open(self) -> bool:
        """Whether the server accepts connections without credentials."""
        info: dict[str, Any] = getattr(self._client, "_server_info", {})
        return not (info.get("auth_required") or info.get("tls_verify"))

    @property
    def payload_max(self) -> int:
        """Maximum size in bytes of a message that the server accepts."""
        return int(self._client.max_payload)

    async def start(self) -> None:
        """Connect.

        Raises:
            BusError: the server was not reached in time, or refused the connection.
        """
        self._refused = asyncio.get_running_loop().create_future()
        async with contextlib.AsyncExitStack() as started:
            started.push_async_callback(self.stop)
            connecting = asyncio.create_task(self._connect())
            started.push_async_callback(cancelled, [connecting])
            await asyncio.wait(
                {connecting, self._refused},
                timeout=self._start_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
            with self.translated():
                if connecting.done():
                    connecting.result()
                _ = self.client
            started.pop_all()
        self._refused = None

    async def _connect(self) -> None:
        client = Client()
        self._client = client
        await client.connect(
            self._urls,
            error_cb=self._failed,
            disconnected_cb=self._was_cut,
            reconnected_cb=self._is_back,
            closed_cb=self._was_closed,
            name="arcbook",
            connect_timeout=max(1, round(self._start_seconds)),
            reconnect_time_wait=RETRY_SECONDS,
            max_reconnect_attempts=-1,
            ping_interval=PING_SECONDS,
            **self._access.options(self._urls),
        )
        # The client connects without encryption if the server offers no TLS, despite its options.
        info: dict[str, Any] = getattr(client, "_server_info", {})
        if self._access.wants_tls(self._urls) and not info.get("tls_required"):
            await client.close()
            raise BusError(
                f"NATS at {printable(self._urls)} offers no TLS, but the URL requires it"
            )
        for subscribed in self._subscribed:
            await subscribed.make(client)

    def _why(self) -> str:
        return f": {self._last_error}" if self._last_error is not None else ""

    async def _failed(self, error: Exception) -> None:
        if self._refused is not None and self._refused.done():
            return  # errors after a refusal say less
        self._last_error = error
        refused = any(word in f"{type(error).__name__} {error}".lower() for word in REFUSED)
        if refused and self._refused is not None and not self._refused.done():
            self._refused.set_result(None)
        _log.debug(logged.BUS_SAID, {"bus": "NATS", "reason": error})

    async def _was_cut(self) -> None:
        if not self._leaving:
            _log.warning(logged.BUS_CUT, {"bus": "NATS"})
        for call in self.on_cut:
            call()

    async def _is_back(self) -> None:
        _log.warning(logged.BUS_BACK, {"bus": "NATS"})
        for call in self.on_back:
            call()

    async def _was_closed(self) -> None:
        """Start a new client: the old one gives up when the server closes with an error."""
        busy = self._coming_back is not None and not self._coming_back.done()
        if not (self._leaving or busy) and self._refused is None and self._service.is_running:
            self._coming_back = self._service.task("coming back", self._come_back())

    async def _come_back(self) -> None:
        while True:
            try:
                await self._connect()
            except (BusError, nats.errors.Error, OSError) as error:
                self._last_error = error
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await self._is_back()
                return

    async def stop(self) -> None:
        """Send pending output, and disconnect."""
        self._leaving = True
        if self._coming_back is not None:
            self._coming_back.cancel()
        with contextlib.suppress(nats.errors.Error, OSError):
            if self._client.is_connected:
                await self._client.flush(2)
        with contextlib.suppress(nats.errors.Error, OSError, AssertionError):
            await self._client.close()

    async def subscribe(self, subject: str, heard: Heard, queue: str = "") -> Subscribed:
        """Subscribe to a subject, on this and all later connections."""
        subscribed = Subscribed(self, subject, queue, heard)
        with self.translated():
            await subscribed.make(self.client)
            self._subscribed.append(subscribed)
            await self._settle()
        return subscribed

    async def _settle(self) -> None:
        """Wait until the server has received everything sent so far.

        The client's `flush` does not suffice: its ping overtakes pending output.
        """
        back: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def heard(_: Msg) -> None:
            if not back.done():
                back.set_result(None)

        inbox = self.client.new_inbox()
        probe = await self.client.subscribe(inbox, cb=heard, max_msgs=1)
        try:
            await self.client.publish(inbox)
            async with asyncio.timeout(SETTLE_SECONDS):
                await back
        finally:
            with contextlib.suppress(nats.errors.Error):
                await probe.unsubscribe()

    def forget(self, subscribed: Subscribed) -> None:
        """Stop restoring a subscription."""
        if subscribed in self._subscribed:
            self._subscribed.remove(subscribed)

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Convert errors of the client into BusErrors."""
        try:
            yield
        except (nkeys.NkeysError, ValueError):
            raise BusError("the credentials for NATS are malformed") from None
        except (nats.errors.Error, OSError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise BusError(f"NATS at {printable(self._urls)}: {reason}") from error
