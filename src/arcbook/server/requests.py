"""Answers to workers: claims, reports, heartbeats, and the data they need."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

import msgspec

from arcbook.blobs.api import BlobMissingError, Blobs
from arcbook.bus.api import BusError
from arcbook.dsl.load import InvalidPlaybookError
from arcbook.engine.inputs import Checkpointed, Report, Stopped
from arcbook.engine.state import CommandStatus
from arcbook.logs import events as logged
from arcbook.owner.boundary import reason_of
from arcbook.owner.commands import CommandBook
from arcbook.owner.drive import Drive, ExecutionMissingError, LostOwnershipError
from arcbook.owner.plans import PlaybookMissingError
from arcbook.owner.ports import WorkerCapacity
from arcbook.results.refs import InvalidRefError
from arcbook.results.store import ResultMissingError, ResultStore
from arcbook.secrets.api import CredentialError
from arcbook.secrets.envelope import SealError
from arcbook.secrets.sessions import Ticket
from arcbook.server.credential_delivery import CredentialGuard, Credentials, WithheldError
from arcbook.server.guard import ServerBus
from arcbook.server.parts import Downloads, Uploads
from arcbook.server.permission import ForbiddenError, execution_of, permitted
from arcbook.shards import shard_of
from arcbook.store.api import Claim as ClaimRow
from arcbook.store.api import ClusterStore, StoreError
from arcbook.wire.payload import CommandPayload, payload_of
from arcbook.wire.protocol import (
    CHUNK_BYTES,
    ELSEWHERE,
    FAULT,
    OVERHEAD_BYTES,
    PLAIN,
    PROTOCOL,
    REQUESTS,
    WIRE,
    BlobGet,
    BlobKept,
    BlobPart,
    BlobPut,
    Claimed,
    ClaimRequest,
    CommandNotice,
    CredentialAnswer,
    CredentialRequest,
    Done,
    GiveBackRequest,
    HeartbeatAnswer,
    HeartbeatRequest,
    Held,
    InputRequest,
    InputTaken,
    LoopAnswer,
    LoopRequest,
    PlaybookAnswer,
    PlaybookRequest,
    Registered,
    RegisterRequest,
    Reported,
    ReportRequest,
    Request,
    pack,
    shard_subject,
    unpack,
    wire_key,
)

FORWARD_SECONDS: Final = 1.5
"""Time limit for the answer of another server to a forwarded request; shorter than the worker's
own limit, so that it still gets an answer for the rest."""

_REFUSALS: Final = (
    LostOwnershipError,
    InvalidPlaybookError,
    PlaybookMissingError,
    StoreError,
)

GivenReport = tuple[int, Report | Checkpointed | Stopped]
"""An execution id, and a worker's report about one of its commands."""

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class ShardCheck(Protocol):
    """Port: tells which executions this server owns."""

    def owns(self, execution_id: int) -> bool:
        """Return whether this server owns an execution."""


class Requests:
    """Answers requests of workers, and requests that other servers forward."""

    def __init__(  # the parts that answers come from
        self,
        drive: Drive,
        owner: CommandBook,
        ownership: ShardCheck,
        store: ClusterStore,
        bus: ServerBus,
        results: ResultStore,
        blobs: Blobs,
        credentials: Credentials,
        server_id: str,
    ) -> None:
        self._drive = drive
        self._owner = owner
        self._ownership = ownership
        self._store = store
        self._bus = bus
        self._results = results
        self._blobs = blobs
        self._credential_guard = CredentialGuard(drive, owner, store, credentials)
        self._server_id = server_id
        self._uploads = Uploads()
        self._downloads = Downloads()
        self._handlers: dict[type, Callable[[Any, bytes], Awaitable[Any]]] = {
            HeartbeatRequest: self._heartbeat,
            BlobGet: self._blob_get,
            BlobPut: self._blob_put,
            ClaimRequest: self._claim,
            CredentialRequest: self.credential,
            GiveBackRequest: self._give_back,
            InputRequest: self.give,
            LoopRequest: self._loop,
            PlaybookRequest: self._playbook,
            RegisterRequest: self._register,
            ReportRequest: self._report,
        }

    async def answer(self, body: bytes, asker: Ticket) -> bytes:
        """Answer one request of an authenticated sender."""
        try:
            return await self._answer(body, asker)
        except ForbiddenError as error:
            log.warning(logged.REQUEST_REFUSED, {"reason": error})
            return FAULT + f"refused: {error}".encode()
        except (ValueError, BlobMissingError, OverflowError, RecursionError) as error:
            return FAULT + f"the request is malformed: {reason_of(error)}".encode()
        except (StoreError, BusError) as error:
            return FAULT + str(error).encode()

    async def _answer(self, body: bytes, asker: Ticket) -> bytes:
        if body[:1] == ELSEWHERE:
            body = await self._blobs.get(_wire_key(body[1:]))
        head, data = unpack(body)
        request = permitted(REQUESTS.decode(head), asker)
        if asker.tenant:
            await self._check_tenant(request, asker)
        answer = await self._handlers[type(request)](request, data)
        packed = answer if isinstance(answer, bytes) else pack(answer)
        if len(packed) <= self._bus.payload_max - OVERHEAD_BYTES:
            return packed
        key = wire_key(self._drive.clock.now_us(), uuid.uuid4().hex)
        await self._blobs.put(key, packed)
        return ELSEWHERE + key.encode()

    async def _check_tenant(self, request: Any, asker: Ticket) -> None:
        """Keep a tenant's worker away from the data of other tenants' executions.

        Raises:
            ForbiddenError: the execution belongs to another tenant, or does not exist.
        """
        execution_id = execution_of(request)
        if execution_id is None:
            return
        row = await self._store.execution(execution_id)
        if row is None or row.labels.get("tenant") != asker.tenant:
            raise ForbiddenError(
                f"worker {asker.name} belongs to tenant {asker.tenant!r}, but execution "
                f"{execution_id} does not"
            )

    # -- executions -------------------------------------------------------------------

    async def claim(self, request: ClaimRequest) -> list[Claimed]:
        """Claim commands for a worker, whichever server owns them; return one answer for each."""
        claims: list[Claimed] = await self._claim(request, b"")
        return claims

    async def _claim(self, request: ClaimRequest, _: bytes) -> Any:
        if request.protocol != PROTOCOL:
            # Its messages go back to the bus, for a worker of this version.
            log.warning(
                logged.CLAIMS_REFUSED, {"reason": _other_version(request.worker, request.protocol)}
            )
            return [_LATER] * len(request.commands)

        pools = frozenset(request.pools) if request.pools else None
        capacity = WorkerCapacity(request.worker, pools, tenant=request.tenant)

        async def answer_own(notices: Sequence[CommandNotice]) -> list[Claimed]:
            decisions = [
                self._drive.ask(
                    c.execution_id,
                    ClaimRow(c.command_id, c.generation, c.attempt, request.worker),
                    capacity,
                )
                for c in notices
            ]
            worker = request.worker
            return [
                await self._claimed(c, a, worker) for c, a in zip(notices, decisions, strict=True)
            ]

        return await self._each(request, "commands", answer_own, list[Claimed], _LATER)

    async def _claimed(
        self, notice: CommandNotice, decision: Awaitable[bool], worker: str
    ) -> Claimed:
        try:
            if await decision:
                work = self._work(notice.execution_id, notice.command_id)
                return self._claimed_work(work) if work else _FAILED
        except ExecutionMissingError:
            return _FAILED
        except _REFUSALS:
            return _LATER
        # The answer to its first claim may have been lost together with the server that sent it.
        is_its_own = self._owner.extend(
            notice.execution_id, notice.command_id, notice.generation, worker
        )
        slot = self._drive.slots.get(notice.execution_id)
        is_its_own = is_its_own and slot is not None and not slot.state.is_cancelling
        work = self._work(notice.execution_id, notice.command_id) if is_its_own else None
        if work is not None and work.attempt == notice.attempt:
            return self._claimed_work(work)
        out = self._owner.outstanding.get(notice.execution_id, {}).get(notice.command_id)
        if out is not None and out.row.worker:
            return Claimed(outcome="already_claimed")
        return _FAILED

    def _claimed_work(self, work: CommandPayload) -> Claimed:
        return Claimed(outcome="claimed", work=work, server=self._server_id)

    def _work(self, execution_id: int, command_id: str) -> CommandPayload | None:
        """Return a command's payload for its worker; None if the command has ended."""
        slot = self._drive.slots.get(execution_id)
        command = slot.state.command(command_id) if slot is not None else None
        if slot is None or command is None or command.status is not CommandStatus.ISSUED:
            return None
        return payload_of(slot.state, slot.plan, command)

    async def _report(self, request: ReportRequest, _: bytes) -> Any:
        pools = frozenset(request.pools)
        capacity = WorkerCapacity(request.worker, pools, request.room, tenant=request.tenant)

        async def answer_own(reports: Sequence[GivenReport]) -> list[bool | None]:
            decisions = [self._drive.ask(i, reported, capacity) for i, reported in reports]
            return [await self._reported(decision) for decision in decisions]

        parts = [(i, r) for i, r in request.reports]
        mine, others = self._split([i for i, _ in parts])
        accepted: list[bool | None] = [None] * len(parts)
        for n, is_accepted in zip(mine, await answer_own([parts[n] for n in mine]), strict=True):
            accepted[n] = is_accepted
        works = [w for e, c in capacity.handed_over if (w := self._work(e, c)) is not None]
        if not request.forwarded:
            works += await self._forward_reports(request, others, accepted)
        return Reported(accepted=accepted, works=works)

    async def _reported(self, decision: Awaitable[bool]) -> bool | None:
        try:
            return await decision
        except ExecutionMissingError:
            return False
        except _REFUSALS:
            return None

    async def _forward_reports(
        self, request: ReportRequest, others: list[int], accepted: list[bool | None]
    ) -> list[CommandPayload]:
        """Forward reports to the servers that own their executions."""
        works: list[CommandPayload] = []

        def part(numbers: list[int]) -> Request:
            reports = [request.reports[n] for n in numbers]
            return msgspec.structs.replace(request, reports=reports, forwarded=True, room=0)

        shards = _by_shard(others, lambda n: request.reports[n][0])
        for numbers, answer in await self._hand_on(shards, part, Reported):
            if answer is not None:
                works += answer.works
                for n, is_accepted in zip(numbers, answer.accepted, strict=True):
                    accepted[n] = is_accepted
        return works

    async def _heartbeat(self, request: HeartbeatRequest, _: bytes) -> HeartbeatAnswer:
        lost: list[str] = []
        others: list[Held] = []
        for command in request.held:
            if not self._ownership.owns(command.execution_id):
                others.append(command)
            elif not self._owner.extend(
                command.execution_id, command.command_id, command.generation, request.worker
            ):
                lost.append(command.command_id)
        if not request.forwarded:

            def part(commands: list[Held]) -> Request:
                return HeartbeatRequest(worker=request.worker, held=commands, forwarded=True)

            shards = _by_shard(others, lambda h: h.execution_id)
            for _held, answer in await self._hand_on(shards, part, HeartbeatAnswer):
                lost += answer.gone if answer is not None else []
        return HeartbeatAnswer(gone=lost, server="" if others else self._server_id)

    async def _give_back(self, request: GiveBackRequest, _: bytes) -> Done:
        others: list[Held] = []
        count = len(request.held)
        log.info(logged.COMMANDS_RETURNED, {"worker": request.worker, "count": count})
        for command in request.held:
            if self._ownership.owns(command.execution_id):
                lost = self._owner.returned(
                    command.execution_id, command.command_id, request.worker
                )
                if lost is not None:
                    self._drive.submit(command.execution_id, lost)
            else:
                others.append(command)
        if not request.forwarded:

            def part(commands: list[Held]) -> Request:
                return GiveBackRequest(worker=request.worker, held=commands, forwarded=True)

            await self._hand_on(_by_shard(others, lambda h: h.execution_id), part, Done)
        return Done()

    async def give(self, request: InputRequest, _: bytes = b"") -> InputTaken:
        """Apply an input at the owner of its execution, here or on another server."""
        if self._ownership.owns(request.execution_id):
            try:
                accepted = await self._drive.ask(request.execution_id, request.given)
            except ExecutionMissingError:
                return InputTaken(missing=True)
            except _REFUSALS:
                return InputTaken()
            return InputTaken(accepted=accepted)
        if request.forwarded:
            return InputTaken()
        handed = msgspec.structs.replace(request, forwarded=True)
        answer = await self._ask_owner(shard_of(request.execution_id), handed, InputTaken)
        return answer or InputTaken()

    # -- forwarding -------------------------------------------------------------------

    async def _each(
        self,
        request: Any,
        field: str,
        answer_own: Callable[[Sequence[Any]], Awaitable[list[Answer]]],
        kind: type[list[Answer]],
        unknown: Answer,
    ) -> list[Answer]:
        """Answer for the items of this server's shards; ask the owners of the others."""
        items = getattr(request, field)
        mine, others = self._split([item.execution_id for item in items])
        answers: list[Answer] = [unknown] * len(items)
        for n, own in zip(mine, await answer_own([items[n] for n in mine]), strict=True):
            answers[n] = own
        if request.forwarded:
            return answers

        def part(numbers: list[int]) -> Any:
            changes = {field: [items[n] for n in numbers], "forwarded": True}
            return msgspec.structs.replace(request, **changes)

        shards = _by_shard(others, lambda n: items[n].execution_id)
        for numbers, answered in await self._hand_on(shards, part, kind):
            for n, answer in zip(numbers, answered or [], strict=False):
                answers[n] = answer
        return answers

    def _split(self, execution_ids: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return the indexes of the executions that this server owns, and of the others."""
        mine: list[int] = []
        others: list[int] = []
        for n, execution_id in enumerate(execution_ids):
            (mine if self._ownership.owns(execution_id) else others).append(n)
        return mine, others

    async def _hand_on(
        self,
        shards: dict[int, list[Item]],
        part: Callable[[list[Item]], Request],
        kind: type[Answer],
    ) -> list[tuple[list[Item], Answer | None]]:
        """Ask the owners of several shards concurrently, so that none delays the others."""
        requests = (self._ask_owner(shard, part(items), kind) for shard, items in shards.items())
        return list(zip(shards.values(), await asyncio.gather(*requests), strict=True))

    async def _ask_owner(self, shard: int, request: Request, kind: type[Answer]) -> Answer | None:
        """Ask the owner of a shard; return None if it does not answer in time."""
        try:
            body = await self._bus.request(shard_subject(shard), pack(request), FORWARD_SECONDS)
            if body[:1] == ELSEWHERE:
                body = await self._blobs.get(body[1:].decode())
        except (BusError, BlobMissingError, StoreError) as error:
            log.info(logged.SHARD_UNANSWERED, {"shard": shard, "reason": error})
            return None
        return msgspec.json.decode(unpack(body)[0], type=kind) if body[:1] == PLAIN else None

    # -- what workers need ------------------------------------------------------------

    async def _register(self, request: RegisterRequest, _: bytes) -> Registered:
        if request.leaving:
            await self._store.delete_worker(request.row.worker_id)
        elif request.protocol != PROTOCOL:
            refused = _other_version(request.row.worker_id, request.protocol)
            log.warning(logged.WORKER_UNFIT, {"reason": refused})
            return Registered(refused=refused)
        else:
            await self._store.put_worker(request.row)
        return Registered()

    async def _playbook(self, request: PlaybookRequest, _: bytes) -> PlaybookAnswer:
        return PlaybookAnswer(entry=await self._store.entry("", catalog_id=request.catalog_id))

    async def credential(self, request: CredentialRequest, _: bytes = b"") -> CredentialAnswer:
        """Return a credential, checked by the owner of the execution.

        Raises:
            BusError: no server can decide this right now; try again.
        """
        if self._ownership.owns(request.execution_id):
            try:
                return CredentialAnswer(sealed=await self._credential_guard.sealed(request))
            except WithheldError as error:
                return CredentialAnswer(error=error.reason, is_refused=True)
            except CredentialError as error:
                return CredentialAnswer(error=error.reason)
            except SealError as error:
                return CredentialAnswer(error=f"cannot be delivered: {error}")
            except LostOwnershipError:
                pass
        elif not request.forwarded:
            handed = msgspec.structs.replace(request, forwarded=True)
            shard = shard_of(request.execution_id)
            answer = await self._ask_owner(shard, handed, CredentialAnswer)
            if answer is not None:
                return answer
        raise BusError(f"the owner of execution {request.execution_id} is changing; try again")

    async def _loop(self, request: LoopRequest, _: bytes) -> LoopAnswer:
        try:
            return LoopAnswer(values=await self._results.load_ref(request.ref))
        except (ResultMissingError, InvalidRefError) as error:
            return LoopAnswer(missing=str(error))

    async def _blob_put(self, request: BlobPut, data: bytes) -> BlobKept:
        stored = BlobKept(server=self._server_id)
        if request.parts == 1:
            await self._blobs.put(request.key, data)
            return stored
        blob = self._uploads.add(request.key, request.part, request.parts, data)
        if blob is not None:
            await self._blobs.put(request.key, blob)
        return stored

    async def _blob_get(self, request: BlobGet, _: bytes) -> bytes:
        blob = self._downloads.take(request.key)
        if blob is None:
            try:
                blob = await self._blobs.get(request.key)
            except BlobMissingError:
                return pack(BlobPart(missing=True))
        parts = max(1, -(-len(blob) // CHUNK_BYTES))
        if request.part + 1 < parts:
            self._downloads.keep(request.key, blob)
        start = request.part * CHUNK_BYTES
        return pack(BlobPart(parts=parts), blob[start : start + CHUNK_BYTES])


_FAILED: Final = Claimed(outcome="failed")
_LATER: Final = Claimed(outcome="retry_later")


def _other_version(worker: str, protocol: int) -> str:
    return (
        f"worker {worker} speaks protocol {protocol}, this server {PROTOCOL}: "
        "use the same version of Arcbook for both"
    )


def _by_shard(items: Sequence[Item], execution_of: Callable[[Item], int]) -> dict[int, list[Item]]:
    by_shard: dict[int, list[Item]] = defaultdict(list)
    for item in items:
        by_shard[shard_of(execution_of(item))].append(item)
    return by_shard


def _wire_key(name: bytes) -> str:
    """Return the blob key of a request that was too large for the bus.

    Raises:
        ValueError: the name is not such a key.
    """
    key = name.decode()
    if not key.startswith(WIRE):
        raise ValueError("a blob key outside the area of large requests")
    return key
