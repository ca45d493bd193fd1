"""A worker's way to the control plane: requests over the bus, and what they bring."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, TypeVar

import msgspec

from arcbook.blobs.api import BlobMissingError
from arcbook.bus.api import BusError, NobodyError, RequestTimeoutError, WorkerBus
from arcbook.clock import Clock, SystemClock
from arcbook.errors import UnavailableError
from arcbook.logs import events as logged
from arcbook.results.refs import make_ref
from arcbook.results.store import ResultMissingError
from arcbook.secrets.api import Credential, CredentialError
from arcbook.secrets.delivery import Letterbox
from arcbook.secrets.envelope import SealError
from arcbook.shards import shard_of
from arcbook.store.api import CatalogEntry
from arcbook.wire.protocol import (
    ANY_SERVER,
    CHUNK_BYTES,
    ELSEWHERE,
    FAULT,
    OVERHEAD_BYTES,
    BlobGet,
    BlobKept,
    BlobPart,
    BlobPut,
    CredentialAnswer,
    CredentialRequest,
    LoopAnswer,
    LoopRequest,
    PlaybookAnswer,
    PlaybookRequest,
    Request,
    owner_subject,
    pack,
    shard_subject,
    unpack,
    wire_key,
)

ANSWER_SECONDS: Final = 10.0
"""Time that a server has to answer."""

OWNER_SECONDS: Final = 2.0
"""Time that a server has to answer as the owner it was; then whoever owns it is asked."""

PATIENCE_SECONDS: Final = 60.0
"""Time for which something that a command needs is asked for again and again."""

OUTAGE_SECONDS: Final = 24 * 3600.0
"""Time for which the values of results are written and read again and again: what a tool
has done is not lost because the control plane was away."""

PAUSES: Final = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Pauses between tries, in seconds; the last one repeats."""

log = logging.getLogger(__name__)


def random_name() -> str:
    """Return a name that nobody else makes."""
    return uuid.uuid4().hex


Answer = TypeVar("Answer")

_CLOCK: Final = SystemClock()


class ControlError(UnavailableError):
    """The control plane does not answer, or not with what was asked for."""

    code = "control_plane"


class Control:
    """Asks servers.

    Args:
        bus: the bus, connected.
        worker: who asks.
        clock: says when requests were made that are too large for the bus.
        new_name: yields names of those; never one twice.
    """

    def __init__(
        self,
        bus: WorkerBus,
        worker: str = "",
        *,
        clock: Clock = _CLOCK,
        new_name: Callable[[], str] = random_name,
    ) -> None:
        self._clock = clock
        self._bus = bus
        self._worker = worker
        self._new_name = new_name

    async def once(
        self,
        subject: str,
        request: Request,
        kind: type[Answer],
        seconds: float = ANSWER_SECONDS,
    ) -> Answer:
        """Ask once.

        Raises:
            BusError: there was no answer.
            ControlError: the answer is a refusal.
        """
        body = pack(request)
        if len(body) > self._bus.payload_max - OVERHEAD_BYTES:
            key = wire_key(self._clock.now_us(), self._new_name())
            await RemoteBlobs(self).put(key, body)
            body = ELSEWHERE + key.encode()
        answer = await self._bus.request(subject, body, seconds)
        return await self._read(answer, kind)

    async def exchange(
        self, subject: str, request: Request, kind: type[Answer], data: bytes = b""
    ) -> tuple[Answer, bytes]:
        """Ask once, with bytes; return the answer and the bytes that came with it.

        Raises:
            BusError: there was no answer.
            ControlError: the answer is a refusal.
        """
        answer = await self._bus.request(subject, pack(request, data), ANSWER_SECONDS)
        if answer[:1] == FAULT:
            raise ControlError(answer[1:].decode())
        head, more = unpack(answer)
        return msgspec.json.decode(head, type=kind), more

    async def _read(self, answer: bytes, kind: type[Answer]) -> Answer:
        if answer[:1] == ELSEWHERE:
            answer = await RemoteBlobs(self).get(answer[1:].decode())
        if answer[:1] == FAULT:
            raise ControlError(answer[1:].decode())
        return msgspec.json.decode(unpack(answer)[0], type=kind)

    async def owner(
        self, execution_id: int, server: str, request: Request, kind: type[Answer]
    ) -> Answer:
        """Ask the server that owns an execution: where it was, else whoever has its shard.

        What is asked may be asked twice: one that does not answer in time may have done it.

        Raises:
            BusError: nobody answered.
        """
        if server:
            try:
                return await self.once(owner_subject(server), request, kind, OWNER_SECONDS)
            except (NobodyError, RequestTimeoutError) as error:
                log.info(logged.OWNER_UNANSWERED, {"server": server, "reason": error})
        shard = shard_subject(shard_of(execution_id))
        return await self.once(shard, request, kind, OWNER_SECONDS)

    async def any(self, request: Request, kind: type[Answer]) -> Answer:
        """Ask any server, again and again.

        Raises:
            ControlError: none answered in good time.
        """
        found: Answer = await self.patiently(lambda: self.once(ANY_SERVER, request, kind))
        return found

    async def patiently(self, ask: Any, seconds: float = PATIENCE_SECONDS) -> Any:
        """Ask again and again, for so many seconds.

        Raises:
            ControlError: there was no answer in good time.
        """
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + seconds
        tries = 0
        while True:
            try:
                return await ask()
            except (BusError, ControlError) as error:
                if loop.time() > give_up_at:
                    raise ControlError(f"no server answered: {error}") from error
                await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
                tries += 1

    # -- what commands need -----------------------------------------------------------

    async def playbook(self, catalog_id: int) -> CatalogEntry | None:
        """Return a version of a document."""
        answer = await self.any(PlaybookRequest(catalog_id=catalog_id), PlaybookAnswer)
        return answer.entry

    async def credential(self, alias: str, execution_id: int) -> Credential:
        """Return a credential, opened.

        Raises:
            CredentialError: there is none, or it cannot be opened.
        """
        letterbox = Letterbox()
        request = CredentialRequest(
            alias=alias, execution_id=execution_id, worker=self._worker, public=letterbox.public
        )
        try:
            subject = shard_subject(shard_of(execution_id))
            answer = await self.patiently(lambda: self.once(subject, request, CredentialAnswer))
        except ControlError as error:
            raise CredentialError(alias, f"cannot be had: {error}", retryable=True) from None
        if answer.sealed is None:
            raise CredentialError(alias, answer.error)
        try:
            text = letterbox.open(answer.sealed, request.bound)
            return msgspec.json.decode(text, type=Credential)
        except (SealError, msgspec.DecodeError) as error:
            raise CredentialError(alias, f"came damaged: {error}") from None

    async def frames(
        self, execution_id: int, step: str, visit: str
    ) -> AsyncIterator[tuple[int, list[Any], None]]:
        """Yield the data of a loop's iterations, as one frame."""
        ref = make_ref(execution_id, step, visit)
        request = LoopRequest(ref=ref)
        answer = await self.patiently(
            lambda: self.once(ANY_SERVER, request, LoopAnswer), OUTAGE_SECONDS
        )
        if answer.missing:
            raise ResultMissingError(answer.missing)
        yield 0, answer.values, None


class RemoteBlobs:
    """The blob store of the control plane, part by part."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def put(self, key: str, data: bytes) -> None:
        """Write a blob."""
        await self._control.patiently(lambda: self._put(key, data), OUTAGE_SECONDS)

    async def _put(self, key: str, data: bytes) -> None:
        """Write all parts, by way of one server: it puts them together."""
        subject = ANY_SERVER
        parts = max(1, -(-len(data) // CHUNK_BYTES))
        for part in range(parts):
            chunk = data[part * CHUNK_BYTES : (part + 1) * CHUNK_BYTES]
            request = BlobPut(key=key, part=part, parts=parts)
            kept, _ = await self._control.exchange(subject, request, BlobKept, chunk)
            subject = owner_subject(kept.server)

    async def get(self, key: str) -> bytes:
        """Return a blob.

        Raises:
            BlobMissingError: there is none.
        """
        first, data = await self._get(key, 0)
        chunks = [data]
        for part in range(1, first.parts):
            _, more = await self._get(key, part)
            chunks.append(more)
        return b"".join(chunks)

    async def _get(self, key: str, part: int) -> tuple[BlobPart, bytes]:
        request = BlobGet(key=key, part=part)
        found: tuple[BlobPart, bytes] = await self._control.patiently(
            lambda: self._control.exchange(ANY_SERVER, request, BlobPart), OUTAGE_SECONDS
        )
        if found[0].missing:
            raise BlobMissingError(key)
        return found

    async def delete(self, prefix: str, *, before: str = "") -> int:
        """Delete nothing: what is kept is the control plane's to purge."""
        return 0
