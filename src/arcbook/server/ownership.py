"""The shards that this server owns: a lease in the store, kept alive by heartbeats."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Final

from arcbook.bus.api import BusError
from arcbook.clock import Clock
from arcbook.ids import IdGenerator
from arcbook.logs import events as logged
from arcbook.shards import id_within, shard_of
from arcbook.store.api import LostServerError, ServerRow, Servers, StoreError

LEASE_SECONDS: Final = 3.0
"""How long a server owns its shards without a heartbeat."""

BEAT_SECONDS: Final = 0.75
"""Time between two heartbeats."""

SAFETY_SECONDS: Final = 0.5
"""Time before the end of its lease at which a server stops acting as owner."""

SHARE_SECONDS: Final = 5.0
"""How long a start waits for this server's first shard."""

log = logging.getLogger(__name__)

Changed = Callable[[frozenset[int]], Awaitable[None]]


class ShardOwnership:
    """The shards of one server; tells the drive loop which executions it may write."""

    def __init__(self, servers: Servers, row: ServerRow, clock: Clock) -> None:
        self._servers = servers
        self._row = row
        self._clock = clock
        self._until = 0
        self.shards: frozenset[int] = frozenset()
        self.ids = IdGenerator(clock, row.machine)
        self._owning = asyncio.Event()
        self._changing = asyncio.Lock()
        self._gained: Changed = _nothing
        self._lost: Changed = _nothing

    @property
    def server_id(self) -> str:
        """The server's name."""
        return self._row.server_id

    @property
    def owner(self) -> str:
        """The owner recorded in commits: the server's name."""
        return self._row.server_id

    def on_change(self, gained: Changed, lost: Changed) -> None:
        """Set the callbacks for shards gained and lost."""
        self._gained, self._lost = gained, lost

    @property
    def is_leased(self) -> bool:
        """Whether the lease still holds."""
        return self._clock.monotonic_us() < self._until

    # -- owned shards -----------------------------------------------------------------

    def owns(self, execution_id: int) -> bool:
        """Return whether this server owns an execution: shard and lease are both held."""
        return self.may_own(execution_id) and self._clock.monotonic_us() < self._until

    def may_own(self, execution_id: int) -> bool:
        """Return whether an execution's shard was owned at the last heartbeat."""
        return shard_of(execution_id) in self.shards

    async def new_id(self) -> int:
        """Return an id for an execution that this server will own.

        A server that has just joined waits for its first shard.

        Raises:
            LostServerError: the server owns no shard right now.
        """
        if not self.shards:
            try:
                async with asyncio.timeout(SHARE_SECONDS):
                    await self._owning.wait()
            except TimeoutError:
                raise LostServerError(f"server {self.server_id} owns no shard; try again") from None
        return id_within(self.ids, self.shards)

    def child_ids(self, execution_id: int) -> Callable[[], int]:
        """Return a generator of ids in the same shard as an execution."""
        return partial(id_within, self.ids, frozenset({shard_of(execution_id)}))

    # -- the lease --------------------------------------------------------------------

    async def join(self) -> None:
        """Register the server and take free shards."""
        self._row = await self._servers.join(self._row, LEASE_SECONDS)
        self.ids.switch_machine(self._row.machine)
        await self.renew_lease()

    async def renew_lease(self) -> None:
        """Extend the lease, take free shards, release those beyond this server's share."""
        async with self._changing:
            await self._renew()

    async def _renew(self) -> None:
        began = self._clock.monotonic_us()
        lease = await self._servers.renew_lease(self.server_id, LEASE_SECONDS)
        self._until = began + int((LEASE_SECONDS - SAFETY_SECONDS) * 1_000_000)
        gained = lease.shards - self.shards
        share = lease.shards - lease.excess
        await self._let_go((self.shards - lease.shards) | lease.excess)
        if lease.excess:
            await self._servers.release(self.server_id, lease.excess)
        gained &= share
        if gained:
            await self._gained(gained)
            self.shards |= gained
            self._owning.set()

    async def _let_go(self, shards: Collection[int]) -> None:
        going = self.shards & frozenset(shards)
        if going:
            self.shards -= going
            if not self.shards:
                self._owning.clear()
            await self._lost(going)

    async def run(self) -> None:
        """Keep the lease alive until cancelled."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self._beat_or_join()
            except (StoreError, BusError, LostServerError) as error:
                log.warning(logged.SERVER_BEAT_FAILED, {"reason": error})

    async def _beat_or_join(self) -> None:
        try:
            await self.renew_lease()
        except LostServerError:
            log.warning(logged.SERVER_LEASE_LOST, {"server": self.server_id})
            await self.suspend()
            await self.join()

    async def suspend(self) -> None:
        """Stop owning anything until the next heartbeat, because memory may be stale."""
        async with self._changing:
            await self._let_go(self.shards)

    async def leave(self) -> None:
        """Release all shards and sign off; stop the heartbeats first."""
        await self.suspend()
        await self._servers.leave(self.server_id)


async def _nothing(_: frozenset[int]) -> None:
    return None
