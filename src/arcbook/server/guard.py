"""A server's bus, on which it knows who asks.

Whoever can publish on the bus can do nothing: each request is opened by the key of a session
that a token was proved for, or is refused here, before anything else sees it.
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
"""Sessions that one server remembers; one that it forgets gets a new epoch."""

GREETING_BYTES_MAX: Final = 16_384
"""Bytes of a greeting."""

CHECK_US: Final = 5_000_000
"""Time after which it is asked again whether a session's token is still good."""

NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,200}")
"""What a worker may be called."""

POOL: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

REFUSED: Final = (
    "the servers do not know its token: give it ARCBOOK_WORKER_TOKEN of the scope 'worker', or "
    "the servers' own ARCBOOK_INTERNAL_TOKEN"
)

log = logging.getLogger(__name__)

KnowingHandler = Callable[[bytes, Ticket], Awaitable[bytes]]
"""Answers a request; it is told in whose session it came."""


class ServerBus(WorkerBus, Protocol):
    """The bus as a server uses it: who asks is known, and what is told is believed."""

    def call(self, server_id: str) -> None:
        """Take a name: that of the server."""

    async def publish(self, messages: Sequence[Message]) -> None:
        """Hand messages to the bus, all of them at once; it has them when this returns.

        Raises:
            BusError: it does not have all of them. Publishing again is safe.
        """

    async def waiting(self, pools: Sequence[str]) -> dict[str, int]:
        """Return how many messages of each pool wait to be pulled."""

    async def serve(self, subject: str, handler: KnowingHandler) -> Subscription:
        """Answer the requests of a subject, as many at once as arrive."""

    async def tell(self, subject: str, body: bytes) -> None:
        """Send a notice to a worker that listens now."""


_GREETINGS: Final = msgspec.json.Decoder(Greeting)


class _Heard:
    """A session as one server heard it."""

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
        tokens: the API tokens, among which workers' are.
        clock: the time.
    """

    def __init__(self, bus: Bus, root: Root, tokens: Tokens, clock: Clock) -> None:
        self.plain = bus
        self._root = root
        self._book = TokenBook(tokens, clock)
        self._clock = clock
        self._server_id = ""
        self._asker = Asker(bus, self._own_session)
        self._heard: OrderedDict[bytes, _Heard] = OrderedDict()
        self._notices: OrderedDict[str, Cipher] = OrderedDict()
        self.publish = bus.publish
        self.pull = bus.pull
        self.acknowledge = bus.acknowledge
        self.give_back = bus.give_back
        self.extend = bus.extend
        self.waiting = bus.waiting

    @property
    def payload_max(self) -> int:
        """Bytes that one message may have."""
        return self.plain.payload_max

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Leave the bus to whoever connected it."""

    def call(self, server_id: str) -> None:
        """Take a name: that of the server."""
        self._server_id = server_id

    def worker_token(self, token_id: str) -> str:
        """Return a new text of a worker's token."""
        return self._root.worker_token(token_id)

    # -- asking other servers ---------------------------------------------------------

    async def _own_session(self, _seconds: float) -> Session:
        ticket = self._root.own_ticket(self._server_id)
        return Session(ticket, self._root.session_key(ticket))

    async def request(self, subject: str, body: bytes, seconds: float) -> bytes:
        """Ask another server.

        Raises:
            NobodyError: nobody serves the subject.
            RequestTimeoutError: there was no answer in time.
            BusError: the bus cannot be reached, or no server of this cluster answers.
        """
        return await self._asker.request(subject, body, seconds)

    async def tell(self, subject: str, body: bytes) -> None:
        """Tell a worker something that only it can read, and only a server can write."""
        worker = subject.removeprefix(control_subject(""))
        cipher = self._notices.get(worker)
        if cipher is None:
            cipher = self._notices[worker] = Cipher(self._root.notices_key(worker))
        self._notices.move_to_end(worker)
        while len(self._notices) > SESSIONS_MAX:
            self._notices.popitem(last=False)
        await self.plain.tell(subject, cipher.seal(body, subject.encode()))

    async def listen(self, subject: str, listener: Listener) -> Subscription:
        """Hear what is told on the bus, as it is."""
        return await self.plain.listen(subject, listener)

    # -- being asked ------------------------------------------------------------------

    async def serve(self, subject: str, handler: KnowingHandler) -> Subscription:
        """Answer the requests of a subject whose asker is known."""
        return await self.plain.serve(subject, partial(self.answer, subject, handler))

    async def answer(self, subject: str, handler: KnowingHandler, body: bytes) -> bytes:
        """Answer a request as it came over the bus; only a known asker's is handled."""
        if body[:1] == GREETING:
            return GREETING + msgspec.json.encode(await self._welcome(body[1:]))
        frame = framed(body)
        if frame is None:
            return UNKNOWN + b"requests are sealed here: use the same version of Arcbook for all"
        try:
            heard, text = self._opened(frame, subject)
            if not await self._is_good(heard):
                return UNKNOWN + REFUSED.encode()
        except (SealError, msgspec.DecodeError):
            return UNKNOWN + b"the session is not known: enter anew"
        except StoreError as error:
            return UNKNOWN + f"tokens cannot be looked up: {error}".encode()
        if frame.epoch != heard.epoch or not heard.window.take(frame.number):
            return sent_again(heard.cipher, frame, self._server_id, heard.epoch)
        return answered(heard.cipher, frame, await handler(text, heard.ticket))

    def _opened(self, frame: Frame, subject: str) -> tuple[_Heard, bytes]:
        """Return the session of a request, and what is in it.

        Raises:
            SealError: the ticket is not of a session's, or the request not of the ticket's.
            DecodeError: the ticket is none.
        """
        heard = self._heard.get(frame.ticket)
        if heard is not None:
            self._heard.move_to_end(frame.ticket)
            return heard, opened(heard.cipher, frame, subject)
        cipher = Cipher(self._root.session_key(frame.ticket))
        text = opened(cipher, frame, subject)
        # Only now: what opens was made by whoever has the key of this ticket.
        heard = self._heard[frame.ticket] = _Heard(decoded(frame.ticket), cipher)
        while len(self._heard) > SESSIONS_MAX:
            self._heard.popitem(last=False)
        return heard, text

    async def _is_good(self, heard: _Heard) -> bool:
        """Return whether the token of a session is still good."""
        ticket = heard.ticket
        if ticket.token_id in ("", BUILT_IN):
            return True
        now = self._clock.monotonic_us()
        if heard.checked_us and now - heard.checked_us < CHECK_US:
            return True
        if await self._row(ticket.token_id, ticket.salt) is None:
            self._heard.pop(msgspec.json.encode(ticket), None)
            return False
        heard.checked_us = now
        return True

    async def _row(self, token_id: str, salt: bytes) -> TokenRow | None:
        """Return a worker's token of the store, if it is good now."""
        row = await self._book.find(self._root.worker_token(token_id, salt))
        return row if row is not None and row.scope == WORKER else None

    # -- letting workers in -----------------------------------------------------------

    async def _welcome(self, body: bytes) -> Welcome:
        try:
            if len(body) > GREETING_BYTES_MAX:
                return Welcome(refused="a greeting is longer than that")
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
            return Welcome(refused=f"the greeting cannot be answered: {error}")


def _unfit(greeting: Greeting) -> str:
    """Return why a worker cannot be called that, or perform for these pools."""
    if NAME.fullmatch(greeting.worker) is None:
        return "a worker's name has letters, digits, '.', '-' and '_', at most 200"
    if qualified(greeting.token_id, greeting.worker) != greeting.worker:
        return f"with this token its name begins with '{greeting.token_id}.'"
    pools = greeting.pools
    if SYSTEM in pools and greeting.token_id not in ("", BUILT_IN):
        return f"the pool {SYSTEM!r} is for workers with the servers' own token"
    if not 1 <= len(pools) <= POOLS_MAX or not all(POOL.fullmatch(pool) for pool in pools):
        return f"a worker has 1 to {POOLS_MAX} pools, each of letters, digits, '-' and '_'"
    return ""


def _refused(greeting: Greeting, reason: str) -> Welcome:
    log.warning(logged.WORKER_REFUSED, {"worker": greeting.worker[:200], "reason": reason})
    return Welcome(refused=reason)
