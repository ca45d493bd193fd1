"""Which shards this server owns: a lease in the store, kept alive by heartbeats."""

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
"""Time before its lease ends at which a server stops acting as owner."""

SHARE_SECONDS: Final = 5.0
"""How long a start waits for its server to own something."""

log = logging.getLogger(__name__)

Changed = Callable[[frozenset[int]], Awaitable[None]]


class ShardOwnership:
    """The shards of one server; what the drive loop asks whether it may write."""

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
        """The server's name, as commits give it."""
        return self._row.server_id

    def on_change(self, gained: Changed, lost: Changed) -> None:
        """Set what is done with shards that come and go."""
        self._gained, self._lost = gained, lost

    @property
    def is_leased(self) -> bool:
        """Whether the lease holds, so that this server may own what is its share."""
        return self._clock.monotonic_us() < self._until

    # -- what is ours -----------------------------------------------------------------

    def owns(self, execution_id: int) -> bool:
        """Return whether this server owns an execution, as far as it can know."""
        return self.may_own(execution_id) and self._clock.monotonic_us() < self._until

    def may_own(self, execution_id: int) -> bool:
        """Return whether this server owned an execution by its last heartbeat."""
        return shard_of(execution_id) in self.shards

    async def new_id(self) -> int:
        """Return an id for an execution that this server will own.

        A server that has just come waits for its share.

        Raises:
            LostServerError: it owns nothing at present.
        """
        if not self.shards:
            try:
                async with asyncio.timeout(SHARE_SECONDS):
                    await self._owning.wait()
            except TimeoutError:
                raise LostServerError(f"server {self.server_id} owns no shard") from None
        return id_within(self.ids, self.shards)

    def child_ids(self, execution_id: int) -> Callable[[], int]:
        """Return what makes ids in an execution's own shard."""
        return partial(id_within, self.ids, frozenset({shard_of(execution_id)}))

    # -- the lease --------------------------------------------------------------------

    async def join(self) -> None:
        """Enter the servers, and take what is free."""
        self._row = await self._servers.join(self._row, LEASE_SECONDS)
        self.ids.switch_machine(self._row.machine)
        await self.beat()

    async def beat(self) -> None:
        """Extend the lease, take free shards, give up those beyond our share."""
        async with self._changing:
            await self._beat()

    async def _beat(self) -> None:
        began = self._clock.monotonic_us()
        standing = await self._servers.beat(self.server_id, LEASE_SECONDS)
        self._until = began + int((LEASE_SECONDS - SAFETY_SECONDS) * 1_000_000)
        gained = standing.shards - self.shards
        kept = standing.shards - standing.excess
        await self._let_go((self.shards - standing.shards) | standing.excess)
        if standing.excess:
            await self._servers.release(self.server_id, standing.excess)
        gained &= kept
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
            await self.beat()
        except LostServerError:
            log.warning(logged.SERVER_LEASE_LOST, {"server": self.server_id})
            await self.suspend()
            await self.join()

    async def suspend(self) -> None:
        """Let everything go until the next heartbeat: what is in memory cannot be trusted."""
        async with self._changing:
            await self._let_go(self.shards)

    async def leave(self) -> None:
        """Hand everything over; there must be no heartbeat any more."""
        await self.suspend()
        await self._servers.leave(self.server_id)


async def _nothing(_: frozenset[int]) -> None:
    return None
