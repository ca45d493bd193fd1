"""A worker's bus that authenticates servers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, Self

import msgspec

from arcbook.bus.api import BusError, Listener, Subscription, WorkerBus
from arcbook.logs import events as logged
from arcbook.secrets.envelope import SealError
from arcbook.secrets.sessions import Cipher, Handshake, Welcome, WorkerToken
from arcbook.wire.protocol import ANY_SERVER, control_subject
from arcbook.wire.sealing import GREETING, Asker, Session

log = logging.getLogger(__name__)

_WELCOMES: Final = msgspec.json.Decoder(Welcome)


class EntryRefusedError(BusError):
    """The servers refuse this worker."""

    code = "entry_refused"


class SealedBus:
    """The bus of one worker: requests are sealed, and only notices from servers are accepted.

    Args:
        bus: the bus, connected.
        token: returns the current token of the worker.
        worker: the worker's name.
        pools: the pools it performs commands of.
    """

    def __init__(
        self,
        bus: WorkerBus,
        token: Callable[[], WorkerToken],
        worker: str,
        pools: Sequence[str],
    ) -> None:
        self._bus = bus
        self._token = token
        self._worker = worker
        self._pools = list(pools)
        self._asker = Asker(bus, self._entered)
        self._refused = ""
        self.pull = bus.pull
        self.acknowledge = bus.acknowledge
        self.give_back = bus.give_back
        self.extend = bus.extend

    @property
    def payload_max(self) -> int:
        """Maximum size of one message in bytes."""
        return self._bus.payload_max

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Leave the bus open: its creator closes it."""

    async def request(self, subject: str, body: bytes, seconds: float) -> bytes:
        """Send a request and return the answer, which is proved to come from a server.

        Raises:
            NobodyError: no server serves the subject.
            RequestTimeoutError: there was no answer in time.
            BusError: the bus is unreachable, or the servers refuse this worker.
        """
        return await self._asker.request(subject, body, seconds)

    async def _entered(self, seconds: float) -> Session:
        """Prove the token and return a new session.

        Raises:
            BusError: no server answered, or none accepts the token.
        """
        handshake = Handshake(self._token(), self._worker, self._pools)
        body = GREETING + msgspec.json.encode(handshake.greeting)
        answer = await self._bus.request(ANY_SERVER, body, seconds)
        if answer[:1] != GREETING:
            raise EntryRefusedError("the servers speak another protocol; use the same version")
        try:
            welcome = _WELCOMES.decode(answer[1:])
            if welcome.refused:
                self._tell(welcome.refused)
                raise EntryRefusedError(welcome.refused)
            granted = handshake.granted(welcome)
        except (SealError, msgspec.DecodeError):
            raise EntryRefusedError("the responder on the bus does not know this token") from None
        self._refused = ""
        return Session(granted.ticket, granted.key, Cipher(granted.notices))

    def _tell(self, reason: str) -> None:
        """Log the reason of a refusal, once."""
        if reason != self._refused:
            log.warning(logged.WORKER_NOT_LET_IN, {"reason": reason[:300]})
        self._refused = reason

    async def listen(self, subject: str, listener: Listener) -> Subscription:
        """Receive notices from servers to this worker; drop forged ones."""
        if subject != control_subject(self._worker):
            raise ValueError(f"a worker receives only its own notices, not {subject!r}")

        def unseal(body: bytes) -> None:
            session = self._asker.session
            if session is None or session.notices is None:
                return
            try:
                text = session.notices.open(body, subject.encode())
            except SealError:
                log.warning(logged.MESSAGE_FORGED)
                return
            listener(text)

        return await self._bus.listen(subject, unseal)
