"""Requests and answers on a bus that nobody can trust: sealed, bound, and never taken twice.

A request is sealed by its session's key, and bound to the session's ticket, its subject, its
number and the server's *epoch* for the session: a text that the server made when it first
heard the session. So a request is good at one server, once, however often it is sent: an
unknown epoch is answered by the right one, and a number that came before likewise. No clock
takes part. An answer is bound to the request that it is an answer to.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import msgspec

from arcbook.bus.api import BusError, NobodyError, WorkerBus
from arcbook.secrets.envelope import SealError
from arcbook.secrets.sessions import TAG_BYTES, TICKET_BYTES_MAX, Cipher
from arcbook.wire.protocol import ANY_SERVER, owner_subject

SEALED: Final = b"~"
"""First byte of a sealed request or answer ..."""

GREETING: Final = b"+"
"""... of a worker's greeting and the welcome ..."""

UNKNOWN: Final = b"-"
"""... and of the answer to a request of a session that is not known, which says why."""

WINDOW: Final = 4096
"""Requests of a session that may overtake each other; what is further behind is refused."""

REQUESTS_MAX: Final = 2**24
"""Requests of one session; then the asker enters anew."""

TRIES_MAX: Final = 5
"""Times that one request is sent until it reaches a server that takes it."""

EPOCHS_MAX: Final = 1024
"""Subjects whose servers an asker remembers."""

EPOCH_BYTES: Final = 8

_HEADER: Final = struct.Struct(">cHQ8s")
_ANSWER: Final = b"="
_AGAIN: Final = b"?"


class Again(msgspec.Struct, frozen=True):
    """What a server says to a request that is not for its epoch, or came before."""

    server: str
    epoch: bytes


_AGAINS: Final = msgspec.json.Decoder(Again)


class Frame(NamedTuple):
    """A sealed request, as it came."""

    ticket: bytes
    number: int
    epoch: bytes
    #: What it is bound to, besides its subject.
    head: bytes
    sealed: bytes


def framed(body: bytes) -> Frame | None:
    """Return a sealed request; nothing if it is none."""
    if len(body) < _HEADER.size or body[:1] != SEALED:
        return None
    _, size, number, epoch = _HEADER.unpack_from(body)
    end = _HEADER.size + size
    if size > TICKET_BYTES_MAX or len(body) <= end:
        return None
    return Frame(body[_HEADER.size : end], number, epoch, body[:end], body[end:])


def opened(cipher: Cipher, frame: Frame, subject: str) -> bytes:
    """Return what is in a request.

    Raises:
        SealError: it was not sealed in its session, or for another subject.
    """
    return cipher.open(frame.sealed, frame.head + subject.encode())


def answered(cipher: Cipher, frame: Frame, body: bytes) -> bytes:
    """Return the answer to a request, sealed."""
    return SEALED + cipher.seal(_ANSWER + body, _bound(frame.sealed))


def sent_again(cipher: Cipher, frame: Frame, server: str, epoch: bytes) -> bytes:
    """Return the answer to a request that has to be sent anew."""
    said = _AGAIN + msgspec.json.encode(Again(server, epoch))
    return SEALED + cipher.seal(said, _bound(frame.sealed))


def _bound(sealed: bytes) -> bytes:
    """Return what an answer is bound to: the code that no other request of the session has."""
    return b"answer" + sealed[-TAG_BYTES:]


class Window:
    """Which requests of a session were taken."""

    __slots__ = ("_highest", "_seen")

    def __init__(self) -> None:
        self._highest = 0
        self._seen = 0

    def take(self, number: int) -> bool:
        """Take a request; false if it was taken before, or is too far behind."""
        ahead = number - self._highest
        if ahead > 0:
            kept = self._seen << ahead if ahead < WINDOW else 0
            self._seen = (kept | 1) & _MASK
            self._highest = number
            return number <= REQUESTS_MAX
        bit = 1 << -ahead
        if -ahead >= WINDOW or number < 1 or self._seen & bit:
            return False
        self._seen |= bit
        return True


_MASK: Final = (1 << WINDOW) - 1


class Session:
    """A session of whoever asks: its key, and what the servers made for it."""

    __slots__ = ("_cipher", "_epochs", "_number", "_ticket", "notices")

    def __init__(self, ticket: bytes, key: bytes, notices: Cipher | None = None) -> None:
        self._ticket = ticket
        self._cipher = Cipher(key)
        #: Opens what a worker is told without having asked.
        self.notices = notices
        self._number = 0
        self._epochs: OrderedDict[str, bytes] = OrderedDict()

    @property
    def is_spent(self) -> bool:
        """Whether it has had all its requests."""
        return self._number >= REQUESTS_MAX

    def seal(self, subject: str, body: bytes) -> bytes:
        """Return a request, sealed."""
        self._number += 1
        epoch = self._epochs.get(subject, bytes(EPOCH_BYTES))
        head = _HEADER.pack(SEALED, len(self._ticket), self._number, epoch) + self._ticket
        return head + self._cipher.seal(body, head + subject.encode())

    def open(self, request: bytes, answer: bytes) -> bytes | Again:
        """Return what answers a request.

        Raises:
            SealError: no server wrote that, or it answers something else.
        """
        text = self._cipher.open(answer[1:], _bound(request))
        return text[1:] if text[:1] == _ANSWER else _AGAINS.decode(text[1:])

    def learn(self, subject: str, again: Again) -> None:
        """Remember who answers a subject."""
        for known in (subject, owner_subject(again.server)):
            self._epochs[known] = again.epoch
            self._epochs.move_to_end(known)
        while len(self._epochs) > EPOCHS_MAX:
            self._epochs.popitem(last=False)


class Asker:
    """Asks servers within a session.

    Args:
        bus: the bus, connected.
        enter: opens a session.
    """

    def __init__(self, bus: WorkerBus, enter: Callable[[float], Awaitable[Session]]) -> None:
        self._bus = bus
        self._enter = enter
        self.session: Session | None = None
        self._entering = asyncio.Lock()
        #: The server that is asked where any will do.
        self._home = ""

    async def request(self, subject: str, body: bytes, seconds: float) -> bytes:
        """Ask whoever serves a subject, and return the answer.

        Raises:
            NobodyError: nobody serves it.
            RequestTimeoutError: there was no answer in time.
            BusError: the bus cannot be reached, or no server answers that is to be believed.
        """
        said = "it wants it sent again and again"
        to = subject
        for _ in range(TRIES_MAX):
            session = await self._present(seconds)
            if to == ANY_SERVER and self._home:
                to = self._home
            request = session.seal(to, body)
            try:
                answer = await self._bus.request(to, request, seconds)
            except BusError as error:
                if to != self._home:
                    raise
                self._home = ""
                if subject != ANY_SERVER or not isinstance(error, NobodyError):
                    raise
                to = subject
                continue
            if answer[:1] == UNKNOWN:
                # Anybody can say so: it costs us no more than an entry.
                said = answer[1:300].decode(errors="replace")
                self.session = None if self.session is session else self.session
                continue
            found = _read(session, request, answer)
            if isinstance(found, bytes):
                return found
            session.learn(to, found)
            to = owner_subject(found.server)
            if subject == ANY_SERVER:
                self._home = to
        raise BusError(f"{subject} does not take the request: {said}")

    async def _present(self, seconds: float) -> Session:
        """Return the session; enter, once for all that ask at the same time."""
        async with self._entering:
            if self.session is None or self.session.is_spent:
                self.session = await self._enter(seconds)
            return self.session


def _read(session: Session, request: bytes, answer: bytes) -> bytes | Again:
    try:
        return session.open(request, answer)
    except (SealError, msgspec.DecodeError):
        raise BusError("somebody who is no server of this cluster answers on the bus") from None


def new_epoch() -> bytes:
    """Return an epoch that never was."""
    return secrets.token_bytes(EPOCH_BYTES)
