"""A server of the control plane: owned shards, drive loop, answers to workers, periodic work."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator
from typing import Any, Final, Self

from arcbook.blobs.api import Blobs
from arcbook.bus.api import Subscription
from arcbook.clock import Clock
from arcbook.engine.inputs import Abort, CalledBack, Cancel, Settle, Start
from arcbook.errors import UnavailableError
from arcbook.logs import events as logged
from arcbook.owner.commands import LEASE_SECONDS, CommandBook
from arcbook.owner.drive import Drive, ExecutionMissingError, LostOwnershipError
from arcbook.owner.plans import Planned, Plans
from arcbook.owner.pools import PoolRules
from arcbook.owner.trials import Rehearsal, Suspects
from arcbook.results.frames import loop_frames
from arcbook.results.store import ResultStore
from arcbook.server.credential_delivery import Credentials
from arcbook.server.guard import ServerBus
from arcbook.server.lateness import Lateness
from arcbook.server.ownership import ShardOwnership
from arcbook.server.relay import BusRelay
from arcbook.server.requests import Requests
from arcbook.server.scheduler import Scheduler
from arcbook.store.api import ClusterStore, LostServerError, ServerRow, StartKey, StoreError, Tick
from arcbook.supervision import Errands, Service
from arcbook.tools.registry import Registry
from arcbook.wire.protocol import ANY_SERVER, InputRequest, owner_subject, shard_subject

TICK_SECONDS: Final = 0.5
"""Time between two checks for expired leases and unclaimed commands."""

FORGET_SECONDS: Final = 60.0
"""Time between two removals of expired idempotency keys."""

LEAVE_SECONDS: Final = 5.0
"""Time limit for handing over the shards on shutdown."""

SCAN_BATCH: Final = 50
"""Executions resumed at once after a takeover."""

_RUN: Final = "/"
"""Separates a server's name from its process id in the record of trials."""

OWNER_TRIES: Final = 12
"""Attempts to reach the owner of an execution; ownership may be changing ..."""

OWNER_PAUSE_SECONDS: Final = 0.25
"""... and the pause between two attempts."""

log = logging.getLogger(__name__)


class OwnerAwayError(UnavailableError):
    """The server that owns an execution does not answer right now."""

    code = "owner_unavailable"


class Server:
    """One server of a control plane.

    Args:
        store: the store, opened.
        bus: the bus, connected; it authenticates the sender of each request.
        blobs: storage for values kept by reference.
        registry: the tool kinds; none of them runs here.
        credentials: decrypts credentials for workers.
        clock: the source of time.
        rules: the rules that choose a pool.
        lease_seconds: how long a command stays claimed without a heartbeat.
        server_id: the server's name; random by default.
        rehearse: tries a decision in a separate process if it may have ended another server.
    """

    def __init__(  # noqa: PLR0913  # the parts of a server
        self,
        store: ClusterStore,
        bus: ServerBus,
        blobs: Blobs,
        registry: Registry,
        credentials: Credentials,
        clock: Clock,
        *,
        rules: PoolRules | None = None,
        lease_seconds: float = LEASE_SECONDS,
        server_id: str = "",
        url: str = "",
        version: str = "",
        rehearse: Rehearsal | None = None,
    ) -> None:
        self.server_id = server_id or f"server-{uuid.uuid4().hex[:12]}"
        self.store = store
        self.bus = bus
        self.blobs = blobs
        self.clock = clock
        self.registry = registry
        row = ServerRow(server_id=self.server_id, machine=0, version=version, url=url)
        self.ownership = ShardOwnership(store, row, clock)
        self.results = ResultStore(blobs, loop_reader=self._frames)
        self.plans = Plans(store, registry, self._new_id, clock)
        bus.call(self.server_id)
        self.relay = BusRelay(bus, self.server_id)
        self.owner = CommandBook(
            rules or PoolRules(), clock, self.relay, store, lease_seconds=lease_seconds
        )
        # A restarted server may reuse its name; trials of its earlier process are not its own.
        self._owner_name = f"{self.server_id}{_RUN}{uuid.uuid4().hex[:12]}"
        self.drive = Drive(
            store,
            self.plans,
            self.results,
            clock,
            self.owner,
            ledger=self.owner,
            ownership=self.ownership,
            suspects=Suspects(store, self._owner_name, clock, rehearse),
        )
        self.requests = Requests(
            self.drive,
            self.owner,
            self.ownership,
            store,
            bus,
            self.results,
            blobs,
            credentials,
            self.server_id,
        )
        self._served: dict[int, Subscription] = {}
        self._always: list[Subscription] = []
        #: The loops of the server; if one fails, the server fails.
        self.service = Service(f"server {self.server_id}")
        self.beating = Service("ownership")
        #: How late its loop is; measured where a process serves.
        self.lateness = Lateness()
        self._errands = Errands(f"server {self.server_id}")

    def _new_id(self) -> int:
        return self.ownership.ids()

    def _frames(self, execution_id: int, step: str, visit: str) -> AsyncIterator[Any]:
        return loop_frames(self.store, execution_id, step, int(visit))

    # -- lifetime ---------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        answer = self.requests.answer
        self._always = [
            await self.bus.serve(ANY_SERVER, answer),
            await self.bus.serve(owner_subject(self.server_id), answer),
        ]
        self.ownership.on_change(self._gained, self._lost)
        service = self.service
        await service.start()
        service.on_failure(self._fail)
        service.loop("drive", self._drive)
        service.loop("relay", self.relay.run)
        await self.ownership.join()
        await self.beating.start()
        self.beating.loop("heartbeats", self.ownership.run)
        service.watch(self.beating)
        service.loop("ticks", self._tick)
        service.loop("scheduler", Scheduler(self).run)
        service.loop("keys", self._forget_keys)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Hand over the shards and stop."""
        await self.beating.stop()
        await self._leave()
        await self._errands.finish()
        for subscription in self._always:
            await subscription.stop()
        await self.service.stop()
        self.drive.close()

    def _fail(self, cause: BaseException) -> None:
        """Stop deciding, and release the shards so that other servers take over at once."""
        reason = f"server {self.server_id} stops because one of its loops failed: {cause}"
        self.drive.end(LostOwnershipError(reason))
        self._errands.start(self._leave())

    async def _leave(self) -> None:
        await self.beating.stop()
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self.ownership.leave()
        except (StoreError, TimeoutError) as error:
            log.warning(logged.SERVER_KEEPS, {"server": self.server_id, "reason": error})

    @property
    def ailment(self) -> str:
        """Why the server cannot work; empty if it can."""
        if self.service.failed.is_set():
            return f"a loop of the server failed, restart the server: {self.service.cause}"
        if not self.service.is_running:
            return "the server is not running"
        return ""

    # -- shards -----------------------------------------------------------------------

    async def _gained(self, shards: frozenset[int]) -> None:
        """Load the commands of new shards, serve the shards, resume their executions."""
        after = ""
        while page := await self.store.commands(shards, after=after):
            for row in page:
                self.owner.add(row)
            after = page[-1].command_id
        waiting = await self.store.unfinished(shards)
        await self._suspect(waiting)
        for shard in shards - self._served.keys():
            subject = shard_subject(shard)
            self._served[shard] = await self.bus.serve(subject, self.requests.answer)
        self.service.task("scan", self._take_over(shards, waiting))

    async def _suspect(self, execution_ids: list[int]) -> None:
        """Watch executions taken over: deciding one may have ended their previous owner."""
        alive = {server.server_id for server in await self.store.servers()}
        names = {
            trial.owner
            for trial in await self.store.trials()
            if trial.owner == self._owner_name
            or (
                (server_id := trial.owner.rpartition(_RUN)[0]) in alive
                and server_id != self.server_id
            )
        }
        await self.drive.suspects.watch(execution_ids, names)

    async def _take_over(self, shards: frozenset[int], waiting: list[int]) -> None:
        """Resume the unfinished executions of some shards."""
        self.relay.take_over(self.owner.held_in(shards))
        if waiting:
            log.info(logged.SERVER_TAKES_OVER, {"server": self.server_id, "count": len(waiting)})
        for at in range(0, len(waiting), SCAN_BATCH):
            settled = [
                self.drive.ask(execution_id, Settle())
                for execution_id in waiting[at : at + SCAN_BATCH]
            ]
            await asyncio.gather(*settled, return_exceptions=True)
        unpublished = [
            out
            for outs in self.owner.pending.values()
            for out in outs.values()
            if not out.publishes
        ]
        self.owner.publish(unpublished)

    async def _lost(self, shards: frozenset[int]) -> None:
        """Stop serving shards and forget their executions, after pending commits are done."""
        await self.drive.quiet()
        self.drive.forget(self.ownership.owns)
        self.owner.drop(shards)
        for shard in shards:
            served = self._served.pop(shard, None)
            if served is not None:
                # In the background: an answer in progress may wait for the release of this shard.
                self._errands.start(served.stop())

    async def _drive(self) -> None:
        """Run the drive loop; after a store failure, reload from the store once it is back."""
        while True:
            try:
                await self.drive.run()
            except StoreError as error:
                log.warning(logged.STORE_FAILED, {"reason": error})
                self.drive.refuse(error)
                await self.ownership.suspend()

    # -- periodic work ----------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for execution_id, received in self.owner.expire():
                self.drive.submit(execution_id, received)
            self.owner.publish(self.owner.unclaimed(self.relay.patience_us))

    async def _forget_keys(self) -> None:
        while True:
            await asyncio.sleep(FORGET_SECONDS)
            with contextlib.suppress(StoreError):
                await self.store.forget_keys(self.clock.now_us())

    # -- executions -------------------------------------------------------------------

    async def start(
        self,
        planned: Planned,
        payload: dict[str, Any],
        *,
        tick: Tick | None = None,
        key: StartKey | None = None,
        **facts: Any,
    ) -> int:
        """Start an execution on this server; return its id once the start is durable.

        Raises:
            LostServerError: this server owns no shard right now.
            LostOwnershipError: the shard moved to another server, or the tick or key
                already belongs to another execution.
        """
        start = Start(
            path=planned.entry.path,
            version=planned.entry.version,
            catalog_id=planned.entry.catalog_id,
            payload=payload,
            **facts,
        )
        if self.service.failed.is_set():
            raise LostServerError(f"server {self.server_id}: {self.ailment}")
        execution_id = await self.ownership.new_id()
        await self.drive.begin(planned, start, execution_id, tick, key)
        return execution_id

    async def give(self, execution_id: int, received: Cancel | Abort | CalledBack) -> bool:
        """Pass an input to the owner of an execution; return whether it changed anything.

        Raises:
            ExecutionMissingError: the execution does not exist.
            OwnerAwayError: the owner does not answer.
        """
        request = InputRequest(execution_id=execution_id, given=received)
        for _ in range(OWNER_TRIES):
            answer = await self.requests.give(request)
            if answer.missing:
                raise ExecutionMissingError(f"there is no execution {execution_id}")
            if answer.accepted is not None:
                return answer.accepted
            await asyncio.sleep(OWNER_PAUSE_SECONDS)
        raise OwnerAwayError(f"the owner of execution {execution_id} does not answer; try again")

    async def cancel(self, execution_id: int, reason: str) -> bool:
        """Cancel an execution on whichever server owns it; return whether it was running.

        Raises:
            ExecutionMissingError: the execution does not exist.
            OwnerAwayError: the owner does not answer.
        """
        return await self.give(execution_id, Cancel(reason=reason))

    def on_events(self, listener: Any) -> None:
        """Call a function with the events of each commit."""
        self.drive.listeners.add(listener)
