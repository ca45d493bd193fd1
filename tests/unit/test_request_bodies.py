"""Bodies that went beside the bus are kept for as long as somebody may read them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from arcbook.blobs.memory import MemoryBlobs
from arcbook.server.system import Housekeeping
from arcbook.store.memory import MemoryStore
from arcbook.supervision import Service
from arcbook.testing.clock import START_US, FakeClock
from arcbook.wire.protocol import HOUR_US, WIRE, WIRE_HOURS, wire_before, wire_key


def test_a_body_is_kept_for_hours_and_no_day():
    made = [wire_key(START_US + minutes * 60_000_000, "f" * 32) for minutes in range(0, 1440, 7)]

    assert made == sorted(made)
    assert all(key.startswith(WIRE) for key in made)
    for minutes, key in zip(range(0, 1440, 7), made, strict=True):
        at = START_US + minutes * 60_000_000
        assert not key < wire_before(at + WIRE_HOURS * HOUR_US)
        assert key < wire_before(at + (WIRE_HOURS + 1) * HOUR_US)


async def test_a_server_deletes_bodies_that_nobody_waits_for():
    clock, blobs, service = FakeClock(), MemoryBlobs(), Service("server")
    old, new = wire_key(clock.now_us(), "old"), wire_key(clock.now_us() + 3 * HOUR_US, "new")
    for key in (old, new, "7/step/1"):
        await blobs.put(key, b"x")
    clock.advance(3 * 3600)
    deleted = []
    delete = blobs.delete

    async def told(prefix: str, *, before: str = "") -> int:
        deleted.append(await delete(prefix, before=before))
        looked.set()
        return deleted[-1]

    looked = asyncio.Event()
    cast("Any", blobs).delete = told
    server = SimpleNamespace(clock=clock, blobs=blobs, store=MemoryStore(), service=service)
    await service.start()
    async with Housekeeping(cast("Any", server), ""):
        await looked.wait()
        assert service.is_running
    assert service.is_running
    await service.stop()

    assert deleted == [1]
    assert sorted(blobs._blobs) == ["7/step/1", new]
