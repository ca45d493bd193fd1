"""Requests of a worker to the control plane, and the answers it needs."""

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
from arcbook.secrets.delivery import AnswerKey
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
"""Time limit for the answer of a server."""

OWNER_SECONDS: Final = 2.0
"""Time limit for the last known owner; after that, the current owner is asked."""

PATIENCE_SECONDS: Final = 60.0
"""How long requests for the needs of a command are repeated."""

OUTAGE_SECONDS: Final = 24 * 3600.0
"""How long writes and reads of results are repeated, so that a completed tool call is not lost
to an outage of the control plane."""

PAUSES: Final = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Pauses between attempts, in seconds; the last one repeats."""

log = logging.getLogger(__name__)


def random_name() -> str:
    """Return a unique random name."""
    return uuid.uuid4().hex


Answer = TypeVar("Answer")

_CLOCK: Final = SystemClock()


class ControlError(UnavailableError):
    """The control plane is unreachable, or refused the request."""

    code = "control_plane"


class Control:
    """Sends requests to servers.

    Args:
        bus: the bus, connected.
        worker: the name of the worker.
        clock: dates requests too large for the bus.
        new_name: returns unique names for such requests.
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
        """Send a request once.

        Raises:
            BusError: no server answered.
            ControlError: the server refused the request.
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
        """Send a request with attached bytes once; return the answer and its attached bytes.

        Raises:
            BusError: no server answered.
            ControlError: the server refused the request.
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
        """Ask the owner of an execution: first its last known owner, then that of its shard.

        The request may be handled twice: a server that timed out may still have handled it.

        Raises:
            BusError: no server answered.
        """
        if server:
            try:
                return await self.once(owner_subject(server), request, kind, OWNER_SECONDS)
            except (NobodyError, RequestTimeoutError) as error:
                log.info(logged.OWNER_UNANSWERED, {"server": server, "reason": error})
        shard = shard_subject(shard_of(execution_id))
        return await self.once(shard, request, kind, OWNER_SECONDS)

    async def any(self, request: Request, kind: type[Answer]) -> Answer:
        """Ask any server, repeatedly.

        Raises:
            ControlError: no server answered in time.
        """
        answer: Answer = await self.patiently(lambda: self.once(ANY_SERVER, request, kind))
        return answer

    async def patiently(self, ask: Any, seconds: float = PATIENCE_SECONDS) -> Any:
        """Repeat a request for up to ``seconds``.

        Raises:
            ControlError: there was no successful answer in time.
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

    # -- data that commands need ------------------------------------------------------

    async def playbook(self, catalog_id: int) -> CatalogEntry | None:
        """Return one version of a document; None if it does not exist."""
        answer = await self.any(PlaybookRequest(catalog_id=catalog_id), PlaybookAnswer)
        return answer.entry

    async def credential(self, alias: str, execution_id: int) -> Credential:
        """Return a credential, decrypted.

        Raises:
            CredentialError: it does not exist, or cannot be decrypted or delivered.
        """
        answer_key = AnswerKey()
        request = CredentialRequest(
            alias=alias, execution_id=execution_id, worker=self._worker, public=answer_key.public
        )
        try:
            subject = shard_subject(shard_of(execution_id))
            answer = await self.patiently(lambda: self.once(subject, request, CredentialAnswer))
        except ControlError as error:
            raise CredentialError(alias, f"cannot be fetched: {error}", retryable=True) from None
        if answer.sealed is None:
            raise CredentialError(alias, answer.error)
        try:
            text = answer_key.open(answer.sealed, request.bound)
            return msgspec.json.decode(text, type=Credential)
        except (SealError, msgspec.DecodeError) as error:
            raise CredentialError(alias, f"arrived damaged: {error}") from None

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
    """The blob store of the control plane, accessed in parts."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def put(self, key: str, data: bytes) -> None:
        """Write a blob."""
        await self._control.patiently(lambda: self._put(key, data), OUTAGE_SECONDS)

    async def _put(self, key: str, data: bytes) -> None:
        """Write all parts through one server, which joins them."""
        subject = ANY_SERVER
        parts = max(1, -(-len(data) // CHUNK_BYTES))
        for part in range(parts):
            chunk = data[part * CHUNK_BYTES : (part + 1) * CHUNK_BYTES]
            request = BlobPut(key=key, part=part, parts=parts)
            stored, _ = await self._control.exchange(subject, request, BlobKept, chunk)
            subject = owner_subject(stored.server)

    async def get(self, key: str) -> bytes:
        """Return a blob.

        Raises:
            BlobMissingError: it does not exist.
        """
        first, data = await self._get(key, 0)
        chunks = [data]
        for part in range(1, first.parts):
            _, more = await self._get(key, part)
            chunks.append(more)
        return b"".join(chunks)

    async def _get(self, key: str, part: int) -> tuple[BlobPart, bytes]:
        request = BlobGet(key=key, part=part)
        answer: tuple[BlobPart, bytes] = await self._control.patiently(
            lambda: self._control.exchange(ANY_SERVER, request, BlobPart), OUTAGE_SECONDS
        )
        if answer[0].missing:
            raise BlobMissingError(key)
        return answer

    async def delete(self, prefix: str, *, before: str = "") -> int:
        """Delete nothing: retention is up to the control plane."""
        return 0
