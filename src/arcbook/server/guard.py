"""A server's bus, which authenticates the sender of each request.

Access to the bus alone grants nothing: each request is opened with the key of a session whose
token was proved, or is refused before any other code sees it.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, Protocol, Self

import msgspec

from arcbook.bus.api import Bus, Listener, Message, Subscription, WorkerBus
from arcbook.clock import Clock
from arcbook.logs import events as logged
from arcbook.owner.pools import SYSTEM
from arcbook.secrets.envelope import SealError
from arcbook.secrets.sessions import (
    BUILT_IN,
    POOLS_MAX,
    WORKER,
    Cipher,
    Greeting,
    Root,
    Ticket,
    Welcome,
    decoded,
    qualified,
)
from arcbook.server.http.token_book import TokenBook
from arcbook.store.access import TokenRow, Tokens
from arcbook.store.api import StoreError
from arcbook.wire.protocol import control_subject
from arcbook.wire.sealing import (
    GREETING,
    UNKNOWN,
    Asker,
    Frame,
    Session,
    Window,
    answered,
    framed,
    new_epoch,
    opened,
    sent_again,
)

SESSIONS_MAX: Final = 10_000
"""Sessions that one server remembers; an evicted one gets a new epoch."""

GREETING_BYTES_MAX: Final = 16_384
"""Maximum size of a greeting in bytes."""

CHECK_US: Final = 5_000_000
"""Time after which the token of a session is checked again."""

NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,200}")
"""The valid names of workers."""

POOL: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

REFUSED: Final = (
    "the servers do not know its token: set ARCBOOK_WORKER_TOKEN to a token of scope 'worker', or "
    "ARCBOOK_INTERNAL_TOKEN to the servers' own"
)

log = logging.getLogger(__name__)

KnowingHandler = Callable[[bytes, Ticket], Awaitable[bytes]]
"""Answers a request, given the session it came in."""


class ServerBus(WorkerBus, Protocol):
    """Port: the bus as a server uses it: senders of requests and of notices are authenticated."""

    def call(self, server_id: str) -> None:
        """Set the name of the server."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish messages in one batch; the bus has them when this returns.

        Raises:
            BusError: some were not accepted. Publishing again is safe.
        """

    async def waiting(self, pools: Sequence[str]) -> dict[str, int]:
        """Return how many messages of each pool wait to be pulled."""

    async def serve(self, subject: str, handler: KnowingHandler) -> Subscription:
        """Answer the requests of a subject, concurrently."""

    async def tell(self, subject: str, body: bytes) -> None:
        """Send a notice to a worker that is listening now."""


_GREETINGS: Final = msgspec.json.Decoder(Greeting)


class _KnownSession:
    """A session as this server knows it."""

    __slots__ = ("checked_us", "cipher", "epoch", "ticket", "window")

    def __init__(self, ticket: Ticket, cipher: Cipher) -> None:
        self.ticket = ticket
        self.cipher = cipher
        self.epoch = new_epoch()
        self.window = Window()
        self.checked_us = 0


class GuardedBus:
    """A connection to the bus of one server.

    Args:
        bus: the bus, connected.
        root: the keys of the cluster's bus.
        tokens: the API tokens, including those of workers.
        clock: the source of time.
    """

    def __init__(self, bus: Bus, root: Root, tokens: Tokens, clock: Clock) -> None:
        self.plain = bus
        self._root = root
        self._book = TokenBook(tokens, clock)
        self._clock = clock
        self._server_id = ""
        self._asker = Asker(bus, self._own_session)
        self._sessions: OrderedDict[bytes, _KnownSession] = OrderedDict()
        self._notices: OrderedDict[str, Cipher] = OrderedDict()
        self.publish = bus.publish
        self.pull = bus.pull
        self.acknowledge = bus.acknowledge
        self.give_back = bus.give_back
        self.extend = bus.extend
        self.waiting = bus.waiting

    @property
    def payload_max(self) -> int:
        """Maximum size of one message in bytes."""
        return self.plain.payload_max

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Leave the bus open: its creator closes it."""

    def call(self, server_id: str) -> None:
        """Set the name of the server."""
        self._server_id = server_id

    def worker_token(self, token_id: str) -> str:
        """Return the text of a new worker token."""
        return self._root.worker_token(token_id)

    # -- requests to other servers ----------------------------------------------------

    async def _own_session(self, _seconds: float) -> Session:
        ticket = self._root.own_ticket(self._server_id)
        return Session(ticket, self._root.session_key(ticket))

    async def request(self, subject: str, body: bytes, seconds: float) -> bytes:
        """Send a request to another server.

        Raises:
            NobodyError: no server serves the subject.
            RequestTimeoutError: there was no answer in time.
            BusError: the bus is unreachable, or no server of this cluster answers.
        """
        return await self._asker.request(subject, body, seconds)

    async def tell(self, subject: str, body: bytes) -> None:
        """Send a notice that only this worker can read and only a server can write."""
        worker = subject.removeprefix(control_subject(""))
        cipher = self._notices.get(worker)
        if cipher is None:
            cipher = self._notices[worker] = Cipher(self._root.notices_key(worker))
        self._notices.move_to_end(worker)
        while len(self._notices) > SESSIONS_MAX:
            self._notices.popitem(last=False)
        await self.plain.tell(subject, cipher.seal(body, subject.encode()))

    async def listen(self, subject: str, listener: Listener) -> Subscription:
        """Receive messages of the bus as they are, still sealed."""
        return await self.plain.listen(subject, listener)

    # -- requests from workers and servers --------------------------------------------

    async def serve(self, subject: str, handler: KnowingHandler) -> Subscription:
        """Answer the requests of a subject from authenticated senders."""
        return await self.plain.serve(subject, partial(self.answer, subject, handler))

    async def answer(self, subject: str, handler: KnowingHandler, body: bytes) -> bytes:
        """Answer a request from the bus if its sender is authenticated; otherwise refuse it."""
        if body[:1] == GREETING:
            return GREETING + msgspec.json.encode(await self._welcome(body[1:]))
        frame = framed(body)
        if frame is None:
            return UNKNOWN + b"requests must be sealed: use the same version of Arcbook everywhere"
        try:
            session, text = self._opened(frame, subject)
            if not await self._is_good(session):
                return UNKNOWN + REFUSED.encode()
        except (SealError, msgspec.DecodeError):
            return UNKNOWN + b"the session is unknown: enter again"
        except StoreError as error:
            return UNKNOWN + f"tokens cannot be looked up: {error}".encode()
        if frame.epoch != session.epoch or not session.window.take(frame.number):
            return sent_again(session.cipher, frame, self._server_id, session.epoch)
        return answered(session.cipher, frame, await handler(text, session.ticket))

    def _opened(self, frame: Frame, subject: str) -> tuple[_KnownSession, bytes]:
        """Return the session of a request, and its content.

        Raises:
            SealError: the ticket is not a session's, or the request does not match the ticket.
            DecodeError: the ticket is malformed.
        """
        session = self._sessions.get(frame.ticket)
        if session is not None:
            self._sessions.move_to_end(frame.ticket)
            return session, opened(session.cipher, frame, subject)
        cipher = Cipher(self._root.session_key(frame.ticket))
        text = opened(cipher, frame, subject)
        # Remember it only now: its sender has proved to hold the key of this ticket.
        session = self._sessions[frame.ticket] = _KnownSession(decoded(frame.ticket), cipher)
        while len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)
        return session, text

    async def _is_good(self, session: _KnownSession) -> bool:
        """Return whether the token of a session is still valid."""
        ticket = session.ticket
        if ticket.token_id in ("", BUILT_IN):
            return True
        now = self._clock.monotonic_us()
        if session.checked_us and now - session.checked_us < CHECK_US:
            return True
        if await self._row(ticket.token_id, ticket.salt) is None:
            self._sessions.pop(msgspec.json.encode(ticket), None)
            return False
        session.checked_us = now
        return True

    async def _row(self, token_id: str, salt: bytes) -> TokenRow | None:
        """Return the stored token of a worker if it is valid now."""
        row = await self._book.find(self._root.worker_token(token_id, salt))
        return row if row is not None and row.scope == WORKER else None

    # -- entry of workers -------------------------------------------------------------

    async def _welcome(self, body: bytes) -> Welcome:
        try:
            if len(body) > GREETING_BYTES_MAX:
                return Welcome(refused=f"a greeting has at most {GREETING_BYTES_MAX:,} bytes")
            greeting = _GREETINGS.decode(body)
            if not greeting.is_proved(self._root.verifier(greeting.token_id, greeting.salt)):
                return _refused(greeting, REFUSED)
            row = None
            if greeting.token_id not in ("", BUILT_IN):
                row = await self._row(greeting.token_id, greeting.salt)
                if row is None:
                    return _refused(greeting, REFUSED)
            reason = _unfit(greeting)
            if reason:
                return _refused(greeting, reason)
            return self._root.grant(greeting, row.tenant if row is not None else "")
        except (SealError, msgspec.DecodeError, StoreError) as error:
            return Welcome(refused=f"the greeting could not be handled: {error}")


def _unfit(greeting: Greeting) -> str:
    """Return why a worker may not use its name or its pools; empty if it may."""
    if NAME.fullmatch(greeting.worker) is None:
        return "a worker's name has at most 200 letters, digits, '.', '-' and '_'"
    if qualified(greeting.token_id, greeting.worker) != greeting.worker:
        return f"with this token its name must begin with '{greeting.token_id}.'"
    pools = greeting.pools
    if SYSTEM in pools and greeting.token_id not in ("", BUILT_IN):
        return f"the pool {SYSTEM!r} requires the servers' own token"
    if not 1 <= len(pools) <= POOLS_MAX or not all(POOL.fullmatch(pool) for pool in pools):
        return f"a worker has 1 to {POOLS_MAX} pools, each of letters, digits, '-' and '_'"
    return ""


def _refused(greeting: Greeting, reason: str) -> Welcome:
    log.warning(logged.WORKER_REFUSED, {"worker": greeting.worker[:200], "reason": reason})
    return Welcome(refused=reason)
