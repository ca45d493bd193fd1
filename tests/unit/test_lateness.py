"""A loop that is held up is told of, by how much."""

from __future__ import annotations

import asyncio

import pytest

from arcbook.server.lateness import LOOK_SECONDS, Lateness
from arcbook.testing.clock import VirtualLoop


@pytest.mark.parametrize("held", [0.0, 0.3])
def test_a_loop_tells_by_how_much_it_was_late(held):
    loop, told = VirtualLoop(), []

    def hold_up():
        loop.passed += held

    async def run():
        lateness = Lateness()
        lateness.on_look(told.append)
        running = loop.create_task(lateness.run())
        loop.call_later(LOOK_SECONDS / 2, hold_up)
        await asyncio.sleep(10 * LOOK_SECONDS)
        running.cancel()

    try:
        loop.run_until_complete(run())
    finally:
        loop.close()

    late = held - LOOK_SECONDS / 2 if held else 0.0
    assert told[0] == pytest.approx(late, abs=1e-6)
    assert max(told[1:]) == pytest.approx(0.0, abs=1e-6)
