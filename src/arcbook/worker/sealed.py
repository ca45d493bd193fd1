"""A worker's bus, on which it can tell servers from everybody else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, Self

import msgspec

from arcbook.bus.api import BusError, Listener, Subscription, WorkerBus
from arcbook.logs import events as logged
from arcbook.secrets.envelope import SealError
from arcbook.secrets.sessions import Cipher, Entering, Welcome, WorkerToken
from arcbook.wire.protocol import ANY_SERVER, control_subject
from arcbook.wire.sealing import GREETING, Asker, Session

log = logging.getLogger(__name__)

_WELCOMES: Final = msgspec.json.Decoder(Welcome)


class EntryRefusedError(BusError):
    """The servers do not let this worker in."""

    code = "entry_refused"


class SealedBus:
    """A bus for one worker: its requests are sealed, and only servers are listened to.

    Args:
        bus: the bus, connected.
        token: returns the worker's token, as it is now.
        worker: its name.
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
        """Bytes that one message may have."""
        return self._bus.payload_max

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Leave the bus to whoever connected it."""

    async def request(self, subject: str, body: bytes, seconds: float) -> bytes:
        """Ask whoever serves a subject, and return the answer, which comes from a server.

        Raises:
            NobodyError: nobody serves it.
            RequestTimeoutError: there was no answer in time.
            BusError: the bus cannot be reached, or no server lets us in.
        """
        return await self._asker.request(subject, body, seconds)

    async def _entered(self, seconds: float) -> Session:
        """Enter: prove the token, and have a session.

        Raises:
            BusError: no server answered, or none that knows the token.
        """
        entering = Entering(self._token(), self._worker, self._pools)
        body = GREETING + msgspec.json.encode(entering.greeting)
        answer = await self._bus.request(ANY_SERVER, body, seconds)
        if answer[:1] != GREETING:
            raise EntryRefusedError("the servers speak another protocol: use the same version")
        try:
            welcome = _WELCOMES.decode(answer[1:])
            if welcome.refused:
                self._tell(welcome.refused)
                raise EntryRefusedError(welcome.refused)
            granted = entering.granted(welcome)
        except (SealError, msgspec.DecodeError):
            raise EntryRefusedError("whoever answers on the bus has not got our token") from None
        self._refused = ""
        return Session(granted.ticket, granted.key, Cipher(granted.notices))

    def _tell(self, reason: str) -> None:
        """Say why we are not let in, once."""
        if reason != self._refused:
            log.warning(logged.WORKER_NOT_LET_IN, {"reason": reason[:300]})
        self._refused = reason

    async def listen(self, subject: str, listener: Listener) -> Subscription:
        """Be told what servers tell this worker; what others say is dropped."""
        if subject != control_subject(self._worker):
            raise ValueError(f"a worker listens to what it is told itself, not to {subject!r}")

        def told(body: bytes) -> None:
            session = self._asker.session
            if session is None or session.notices is None:
                return
            try:
                text = session.notices.open(body, subject.encode())
            except SealError:
                log.warning(logged.MESSAGE_FORGED)
                return
            listener(text)

        return await self._bus.listen(subject, told)
