"""Waiting until something came, or for some time."""

from __future__ import annotations

import asyncio

from arcbook.bus.waiting import Waiting


async def test_all_who_wait_are_woken_at_once():
    waiting = Waiting()
    waiters = [asyncio.create_task(waiting.wait(60)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting.wake()

    async with asyncio.timeout(5):
        await asyncio.gather(*waiters)


async def test_who_is_not_woken_waits_no_longer_than_told():
    async with asyncio.timeout(5):
        await Waiting().wait(0.01)


async def test_who_gave_up_is_not_in_the_way_of_others():
    waiting = Waiting()
    gone, there = (asyncio.create_task(waiting.wait(60)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    waiting.wake()

    async with asyncio.timeout(5):
        await there


async def test_a_time_that_is_over_is_not_waited_for():
    async with asyncio.timeout(5):
        await Waiting().wait(-1)
