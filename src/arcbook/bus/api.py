"""The port to the bus.

The bus carries hints and requests, and nothing that must survive: a message may be lost,
doubled or late, and its streams may be wiped at any moment. What is true is in the store.

Three things travel on it. *Messages* to pools of workers ("there is a command") wait
until a worker pulls them, and come again if they are not acknowledged in time.
*Requests* are answered by whoever serves their subject. *Notices* reach those who listen
at that moment, at most once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, Protocol, Self

from arcbook.errors import UnavailableError
from arcbook.supervision import Service

ACK_SECONDS: Final = 30.0
"""Time after which a message that was pulled and not acknowledged comes again."""

DELIVERIES_MAX: Final = 10
"""Deliveries of one message; then it goes to the dead letters."""

DUPLICATE_SECONDS: Final = 120.0
"""Time within which a message of the same id is dropped."""

PULL_MAX: Final = 256
"""Messages of one pull."""


class BusError(UnavailableError):
    """The bus cannot be reached, or refuses what was asked."""

    code = "bus_unavailable"


class NobodyError(BusError):
    """Nobody serves the subject of a request."""

    code = "nobody_answers"


class RequestTimeoutError(BusError):
    """A request was not answered in time. It may have been carried out."""

    code = "request_timeout"


class Message(NamedTuple):
    """A message to a pool of workers."""

    pool: str
    execution_id: int
    #: Names the message: one of the same id within the window is a duplicate.
    message_id: str
    body: bytes


class Delivery(Protocol):
    """A message that was pulled."""

    @property
    def body(self) -> bytes:
        """What the message says."""

    @property
    def deliveries(self) -> int:
        """How often the message was delivered, this time included."""


class Subscription(Protocol):
    """Something that is served or listened to."""

    async def stop(self) -> None:
        """Serve or listen no more; what has arrived is still handled."""


Handler = Callable[[bytes], Awaitable[bytes]]
"""Answers a request. What it raises reaches the asker as a time-out."""

Listener = Callable[[bytes], None]


class WorkerBus(Protocol):
    """A connection to the bus, as far as workers need one."""

    @property
    def payload_max(self) -> int:
        """Bytes that one message, request, answer or notice may have."""

    async def __aenter__(self) -> Self:
        """Connect, and create what is missing; what is there and fits is left alone.

        Raises:
            BusError: it cannot be reached, lacks JetStream, or refuses the credentials.
        """

    async def __aexit__(self, *exc: object) -> None:
        """Send what is waiting to be sent, and disconnect."""

    async def pull(self, pools: Sequence[str], limit: int, seconds: float) -> list[Delivery]:
        """Return messages of some pools; wait for the first one, but no longer than told.

        Raises:
            BusError: the bus cannot be reached.
        """

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Have messages not come again."""

    async def give_back(self, deliveries: Sequence[Delivery], seconds: float = 0.0) -> None:
        """Have messages come again, to anyone, after a time."""

    async def extend(self, deliveries: Sequence[Delivery]) -> None:
        """Say that messages are being worked on; the time to acknowledge begins anew."""

    async def request(self, subject: str, body: bytes, seconds: float) -> bytes:
        """Ask whoever serves a subject, and return the answer.

        Raises:
            NobodyError: nobody serves it.
            RequestTimeoutError: there was no answer in time.
            BusError: the bus cannot be reached.
        """

    async def listen(self, subject: str, listener: Listener) -> Subscription:
        """Be told the notices of a subject. It may end in ``.*`` for all below it."""


class Connection(WorkerBus, Protocol):
    """A worker's connection to the bus, as whoever opened it has it."""

    @property
    def service(self) -> Service:
        """What goes on as long as the connection does; whoever uses it ends with it."""


class Bus(Connection, Protocol):
    """A connection to the bus."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Hand messages to the bus, all of them at once; it has them when this returns.

        Raises:
            BusError: it does not have all of them. Publishing again is safe.
        """

    async def waiting(self, pools: Sequence[str]) -> dict[str, int]:
        """Return how many messages of each pool wait to be pulled."""

    async def serve(self, subject: str, handler: Handler) -> Subscription:
        """Answer the requests of a subject, as many at once as arrive."""

    async def tell(self, subject: str, body: bytes) -> None:
        """Send a notice to those who listen now."""
