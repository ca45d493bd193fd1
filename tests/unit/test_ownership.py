"""What a server makes of its place among the servers."""

from __future__ import annotations

from arcbook.server.ownership import ShardOwnership
from arcbook.store.api import ServerRow
from arcbook.store.memory import MemoryStore
from arcbook.testing.clock import FakeClock


async def test_a_server_that_joins_again_makes_none_of_its_ids_twice():
    clock = FakeClock()
    ownership = ShardOwnership(MemoryStore(clock), ServerRow(server_id="a", machine=0), clock)
    await ownership.join()
    before = {ownership.ids() for _ in range(5)}

    await ownership.join()

    assert not before & {ownership.ids() for _ in range(5)}
