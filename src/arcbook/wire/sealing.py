"""Sealed requests and answers on an untrusted bus, protected against replay.

A request is sealed with its session's key, and bound to the session's ticket, its subject,
its number and the server's *epoch* for the session: a random text that the server created at
the session's first request. So one server accepts a request once, however often it is sent:
it answers an unknown epoch, or a repeated number, with the current epoch. No clock is
involved. An answer is bound to its request.
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
"""... of a worker's greeting and the server's welcome ..."""

UNKNOWN: Final = b"-"
"""... and of the answer to a request of an unknown session, followed by the reason."""

WINDOW: Final = 4096
"""How far a request of a session may arrive out of order; later ones are refused."""

REQUESTS_MAX: Final = 2**24
"""Maximum number of requests in a session; then the asker opens a new one."""

TRIES_MAX: Final = 5
"""Maximum number of attempts until a server accepts a request."""

EPOCHS_MAX: Final = 1024
"""Maximum number of subjects whose servers an asker remembers."""

EPOCH_BYTES: Final = 8

_HEADER: Final = struct.Struct(">cHQ8s")
_ANSWER: Final = b"="
_AGAIN: Final = b"?"


class Again(msgspec.Struct, frozen=True):
    """The answer to a request with another epoch or a repeated number."""

    server: str
    epoch: bytes


_AGAINS: Final = msgspec.json.Decoder(Again)


class Frame(NamedTuple):
    """A received, sealed request."""

    ticket: bytes
    number: int
    epoch: bytes
    #: The data that it is bound to, besides its subject.
    head: bytes
    sealed: bytes


def framed(body: bytes) -> Frame | None:
    """Parse a sealed request; return None if the body is not one."""
    if len(body) < _HEADER.size or body[:1] != SEALED:
        return None
    _, size, number, epoch = _HEADER.unpack_from(body)
    end = _HEADER.size + size
    if size > TICKET_BYTES_MAX or len(body) <= end:
        return None
    return Frame(body[_HEADER.size : end], number, epoch, body[:end], body[end:])


def opened(cipher: Cipher, frame: Frame, subject: str) -> bytes:
    """Decrypt a request.

    Raises:
        SealError: it was sealed in another session or for another subject.
    """
    return cipher.open(frame.sealed, frame.head + subject.encode())


def answered(cipher: Cipher, frame: Frame, body: bytes) -> bytes:
    """Seal the answer to a request."""
    return SEALED + cipher.seal(_ANSWER + body, _bound(frame.sealed))


def sent_again(cipher: Cipher, frame: Frame, server: str, epoch: bytes) -> bytes:
    """Seal the answer that asks for a request to be sent again."""
    reply = _AGAIN + msgspec.json.encode(Again(server, epoch))
    return SEALED + cipher.seal(reply, _bound(frame.sealed))


def _bound(sealed: bytes) -> bytes:
    """Return the data that an answer is bound to: the unique code of its request."""
    return b"answer" + sealed[-TAG_BYTES:]


class Window:
    """The numbers of a session's accepted requests."""

    __slots__ = ("_highest", "_seen")

    def __init__(self) -> None:
        self._highest = 0
        self._seen = 0

    def take(self, number: int) -> bool:
        """Accept a number; return False if it was accepted before or is too old."""
        ahead = number - self._highest
        if ahead > 0:
            shifted = self._seen << ahead if ahead < WINDOW else 0
            self._seen = (shifted | 1) & _MASK
            self._highest = number
            return number <= REQUESTS_MAX
        bit = 1 << -ahead
        if -ahead >= WINDOW or number < 1 or self._seen & bit:
            return False
        self._seen |= bit
        return True


_MASK: Final = (1 << WINDOW) - 1


class Session:
    """The requester's side of a session: its key and the servers' epochs."""

    __slots__ = ("_cipher", "_epochs", "_number", "_ticket", "notices")

    def __init__(self, ticket: bytes, key: bytes, notices: Cipher | None = None) -> None:
        self._ticket = ticket
        self._cipher = Cipher(key)
        #: Decrypts notices to the worker.
        self.notices = notices
        self._number = 0
        self._epochs: OrderedDict[str, bytes] = OrderedDict()

    @property
    def is_spent(self) -> bool:
        """Whether the session has used up its requests."""
        return self._number >= REQUESTS_MAX

    def seal(self, subject: str, body: bytes) -> bytes:
        """Seal a request."""
        self._number += 1
        epoch = self._epochs.get(subject, bytes(EPOCH_BYTES))
        head = _HEADER.pack(SEALED, len(self._ticket), self._number, epoch) + self._ticket
        return head + self._cipher.seal(body, head + subject.encode())

    def open(self, request: bytes, answer: bytes) -> bytes | Again:
        """Decrypt the answer to a request.

        Raises:
            SealError: no server sealed it, or it answers another request.
        """
        text = self._cipher.open(answer[1:], _bound(request))
        return text[1:] if text[:1] == _ANSWER else _AGAINS.decode(text[1:])

    def learn(self, subject: str, again: Again) -> None:
        """Remember the server and the epoch for a subject."""
        for known in (subject, owner_subject(again.server)):
            self._epochs[known] = again.epoch
            self._epochs.move_to_end(known)
        while len(self._epochs) > EPOCHS_MAX:
            self._epochs.popitem(last=False)


class Asker:
    """Sends requests to servers within a session.

    Args:
        bus: the connected bus.
        enter: opens a session.
    """

    def __init__(self, bus: WorkerBus, enter: Callable[[float], Awaitable[Session]]) -> None:
        self._bus = bus
        self._enter = enter
        self.session: Session | None = None
        self._entering = asyncio.Lock()
        #: The preferred server for requests that any server can answer.
        self._home = ""

    async def request(self, subject: str, body: bytes, seconds: float) -> bytes:
        """Send a request to a subject, and return the answer.

        Raises:
            NobodyError: no process serves the subject.
            RequestTimeoutError: there was no answer in time.
            BusError: the bus cannot be reached, or no server accepts the request.
        """
        reason = "it kept asking for the request again"
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
                # This answer is not authenticated; believing it only costs a new session.
                reason = answer[1:300].decode(errors="replace")
                self.session = None if self.session is session else self.session
                continue
            opened_answer = _read(session, request, answer)
            if isinstance(opened_answer, bytes):
                return opened_answer
            session.learn(to, opened_answer)
            to = owner_subject(opened_answer.server)
            if subject == ANY_SERVER:
                self._home = to
        raise BusError(f"{subject} does not accept the request: {reason}")

    async def _present(self, seconds: float) -> Session:
        """Return the session; open one if needed, shared by concurrent requests."""
        async with self._entering:
            if self.session is None or self.session.is_spent:
                self.session = await self._enter(seconds)
            return self.session


def _read(session: Session, request: bytes, answer: bytes) -> bytes | Again:
    try:
        return session.open(request, answer)
    except (SealError, msgspec.DecodeError):
        raise BusError("an answer on the bus does not come from a server of this cluster") from None


def new_epoch() -> bytes:
    """Return a new, unique epoch."""
    return secrets.token_bytes(EPOCH_BYTES)
