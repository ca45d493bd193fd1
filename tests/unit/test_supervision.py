"""A loop that ends is noticed, and takes what depends on it along."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from arcbook.supervision import Errands, LoopEndedError, Service


async def forever():
    await asyncio.get_running_loop().create_future()


async def raises():
    raise ValueError("broken")


async def ends():
    return None


@pytest.mark.parametrize(("work", "cause"), [(raises, ValueError), (ends, LoopEndedError)])
async def test_a_loop_that_ends_fails_its_service_and_ends_the_others(work, cause, caplog):
    service, told, ended = Service("parts"), [], asyncio.Event()

    async def other():
        try:
            await forever()
        finally:
            ended.set()

    await service.start()
    service.on_failure(told.append)
    service.loop("other", other)
    await asyncio.sleep(0)
    service.loop("bad", work)
    await asyncio.wait_for(service.failed.wait(), 5)

    assert isinstance(service.cause, cause)
    assert told == [service.cause]
    assert ended.is_set()
    assert not service.is_running
    assert "parts ends" in caplog.text
    await service.stop()


async def test_a_loop_that_somebody_cancels_fails_its_service():
    service = Service("parts")
    await service.start()
    service.loop("drive", forever)
    await asyncio.sleep(0)
    (task,) = [one for one in asyncio.all_tasks() if one.get_name() == "parts: drive"]
    task.cancel()
    await asyncio.wait_for(service.failed.wait(), 5)

    assert "'drive' was cancelled" in str(service.cause)
    await service.stop()


async def test_stopping_ends_all_loops_and_is_no_failure_however_often():
    service, ended = Service("parts"), []

    async def loop(name):
        try:
            await forever()
        finally:
            ended.append(name)

    await service.start()
    for name in "ab":
        service.loop(name, partial(loop, name))
    await asyncio.sleep(0)
    await service.stop()
    await service.stop()

    assert sorted(ended) == ["a", "b"]
    assert not service.failed.is_set()


async def test_a_loop_that_swallows_its_cancellation_ends_all_the_same():
    service, swallowed = Service("parts"), []

    async def loop():
        try:
            await forever()
        except asyncio.CancelledError:
            swallowed.append(1)
        await forever()

    await service.start()
    service.loop("stubborn", loop)
    await asyncio.sleep(0)
    await asyncio.wait_for(service.stop(), 5)

    assert swallowed


async def test_a_service_that_watches_another_ends_with_it():
    one, other = Service("one"), Service("other")
    await one.start()
    await other.start()
    one.watch(other)
    other.loop("bad", raises)
    await asyncio.wait_for(one.failed.wait(), 5)

    assert one.cause is other.cause
    await one.stop()
    await other.stop()


async def test_a_task_may_come_to_its_end_and_its_error_is_the_services():
    service = Service("parts")
    await service.start()
    await service.task("short", ends())
    assert service.is_running

    service.task("bad", raises())
    await asyncio.wait_for(service.failed.wait(), 5)
    await service.stop()


async def test_nothing_is_added_to_a_service_that_has_ended():
    service = Service("parts")
    await service.start()
    await service.stop()

    with pytest.raises(LoopEndedError):
        service.loop("late", forever)


async def test_an_error_of_an_errand_is_logged_and_the_others_go_on(caplog):
    errands, done = Errands("letters"), []

    async def goes_on():
        await asyncio.sleep(0)
        done.append(1)

    errands.start(raises())
    errands.start(goes_on())
    await errands.finish()

    assert done == [1]
    assert "letters failed" in caplog.text
    assert "broken" in caplog.text


async def test_errands_that_take_too_long_are_stopped():
    errands, ended = Errands("letters"), []

    async def long():
        try:
            await forever()
        finally:
            ended.append(1)

    errands.start(long())
    await asyncio.sleep(0)
    await errands.finish(0.01)

    assert ended == [1]
