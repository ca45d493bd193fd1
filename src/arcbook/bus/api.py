"""The port to the bus.

The bus carries only hints and requests. Messages may be lost, duplicated or late, and its
streams may be wiped at any moment; the store is the source of truth.

It carries three things. *Messages* to pools of workers ("there is a command") wait until a
worker pulls them, and are redelivered unless acknowledged in time. *Requests* are answered
by the process that serves their subject. *Notices* reach current listeners at most once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Protocol, Self

from arcbook.errors import UnavailableError
from arcbook.supervision import Service

ACK_SECONDS: Final = 30.0
"""Time after which a pulled message is redelivered unless acknowledged."""

DELIVERIES_MAX: Final = 10
"""Deliveries of one message before it becomes a dead letter."""

DUPLICATE_SECONDS: Final = 120.0
"""Time within which a second message with the same id is dropped."""

PULL_MAX: Final = 256
"""Maximum number of messages in one pull."""


class BusError(UnavailableError):
    """The bus cannot be reached or refuses an operation."""

    code = "bus_unavailable"


class NobodyError(BusError):
    """No process serves the subject of a request."""

    code = "nobody_answers"


class RequestTimeoutError(BusError):
    """A request was not answered in time. It may still have been carried out."""

    code = "request_timeout"


class Message(NamedTuple):
    """A message to a pool of workers."""

    pool: str
    execution_id: int
    #: Deduplication id: a second message with it is dropped within the window.
    message_id: str
    body: bytes


class Delivery(Protocol):
    """A pulled message."""

    @property
    def body(self) -> bytes:
        """The body of the message."""

    @property
    def deliveries(self) -> int:
        """The number of deliveries of the message, including this one."""


class Subscription(Protocol):
    """A subject that is served or listened to."""

    async def stop(self) -> None:
        """Stop serving or listening, after handling what has already arrived."""


Handler = Callable[[bytes], Awaitable[bytes]]
"""Answers a request. If it raises, the requester sees a timeout."""

Listener = Callable[[bytes], None]


class WorkerBus(Protocol):
    """A worker's view of a connection to the bus."""

    @property
    def payload_max(self) -> int:
        """Maximum size in bytes of one message, request, answer or notice."""

    async def __aenter__(self) -> Self:
        """Connect, and create missing streams.

        Raises:
            BusError: The bus cannot be reached, lacks JetStream or refuses the credentials.
        """

    async def __aexit__(self, *exc: object) -> None:
        """Flush pending output and disconnect."""

    async def pull(self, pools: Sequence[str], limit: int, seconds: float) -> list[Delivery]:
        """Return messages of some pools, waiting up to ``seconds`` for the first one.

        Raises:
            BusError: The bus cannot be reached.
        """

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge messages, so that they are not redelivered."""

    async def give_back(self, deliveries: Sequence[Delivery], seconds: float = 0.0) -> None:
        """Return messages for redelivery to any worker after a delay."""

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        """Restart the time in which messages must be acknowledged."""

    async def request(self, subject: str, body: bytes, seconds: float) -> bytes:
        """Send a request to a subject and return the answer.

        Raises:
            NobodyError: No process serves the subject.
            RequestTimeoutError: There was no answer in time.
            BusError: The bus cannot be reached.
        """

    async def listen(self, subject: str, listener: Listener) -> Subscription:
        """Call a listener with the notices of a subject; a final ``.*`` matches all below it."""


class Connection(WorkerBus, Protocol):
    """A worker's connection to the bus, as its opener sees it."""

    @property
    def service(self) -> Service:
        """The connection's background service; its failure must end the user's service too."""


class Bus(Connection, Protocol):
    """A connection to the bus."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish a batch of messages and wait until the bus has accepted them.

        Raises:
            BusError: Not all were accepted. Publishing them again is safe.
        """

    async def waiting(self, pools: Sequence[str]) -> dict[str, int]:
        """Return the number of messages waiting in each pool."""

    async def serve(self, subject: str, handler: Handler) -> Subscription:
        """Answer the requests of a subject, concurrently."""

    async def tell(self, subject: str, body: bytes) -> None:
        """Send a notice to the current listeners."""
