"""A world that ends, however it ends, leaves nothing that another test would hear of."""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import warnings
from contextlib import contextmanager

import pytest

from arcbook.bus.handling import Handling
from arcbook.testing.clock import DeadlockError, run_virtually
from arcbook.testing.exhaust import Setting
from arcbook.testing.exhaust.choices import Choices
from arcbook.testing.exhaust.interleavings import _Search
from arcbook.testing.simulate import loop as loops
from arcbook.testing.simulate import scenario_of, simulate
from arcbook.testing.simulate.loop import sim_loop
from arcbook.testing.simulate.run import tell
from arcbook.testing.simulate.story import Story
from arcbook.testing.simulate.world import World


@contextmanager
def nothing_is_left(monkeypatch):
    """Fail if something is complained of when what the block leaves is collected."""
    heard = []
    monkeypatch.setattr(sys, "unraisablehook", heard.append)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.collect()
        heard.clear()
        yield
        gc.collect()
    assert [str(one.exc_value) for one in heard] == []


class Ends(Story):
    """A story that ends in some way right after it has started something."""

    def __init__(self, world, how):
        super().__init__(world)
        self._how = how

    async def tell(self):
        await self._register()
        for server in (True, False):
            await self.world.add(server=server)
        self.world.main.run(self._start(0))
        self._how(self.world)


def raises(_):
    raise ValueError("this world is at its end")


def a_check_fails(world):
    world.checks.fail("planted", "as it was told")


def processes_die(world):
    for node in world.nodes:
        node.process.run(asyncio.sleep(1))
        world.crash(node.process)
    raise ValueError("and the world with them")


@pytest.mark.parametrize(
    ("how", "rule"),
    [
        (raises, "raised"),
        (a_check_fails, "planted"),
        (processes_die, "raised"),
        (lambda _: None, ""),
    ],
)
def test_a_world_that_ends_right_after_a_start_leaves_no_coroutine(how, rule, monkeypatch):
    with nothing_is_left(monkeypatch):
        world = World(scenario_of(3))
        tell(Ends(world, how))
        broken = world.checks.broken
        del world

    assert (broken.rule if broken else "") == rule


@pytest.mark.parametrize("steps", [1, 10, 100, 200])
def test_a_world_that_is_given_up_leaves_no_coroutine(steps, monkeypatch):
    monkeypatch.setattr(loops, "STEPS_MAX", steps)
    with nothing_is_left(monkeypatch):
        ran = simulate(scenario_of(0))

    assert ran.rule == "raised"


@pytest.mark.parametrize("steps", [1, 50, 100])
def test_a_small_world_that_is_given_up_leaves_no_coroutine(steps, monkeypatch):
    monkeypatch.setattr(loops, "STEPS_MAX", steps)
    with nothing_is_left(monkeypatch), pytest.raises(Exception, match="has not ended"):
        _Search(Setting("one step", {"total": 1, "crash": 1})).run(Choices())


@pytest.mark.slow
def test_worlds_that_go_on_to_their_end_leave_no_coroutine(monkeypatch):
    with nothing_is_left(monkeypatch):
        for seed in range(30):
            simulate(scenario_of(seed))


def test_a_request_that_is_stopped_before_its_first_step_leaves_no_coroutine(monkeypatch):
    async def work():
        Handling("subject").start(asyncio.sleep(1))

    with nothing_is_left(monkeypatch):
        run_virtually(work())


def test_a_loop_that_stands_still_leaves_no_coroutine(monkeypatch):
    async def waits():
        loop = asyncio.get_running_loop()
        begun = loop.create_task(asyncio.sleep(0))
        await begun
        await loop.create_future()

    with nothing_is_left(monkeypatch):
        with pytest.raises(DeadlockError):
            sim_loop(random.Random(0)).run(waits())
        with pytest.raises(DeadlockError):
            run_virtually(waits())


def test_a_loop_whose_end_is_an_interrupt_leaves_no_coroutine(monkeypatch):
    async def interrupted():
        asyncio.get_running_loop().create_task(asyncio.sleep(5))
        raise KeyboardInterrupt

    with nothing_is_left(monkeypatch):
        with pytest.raises(KeyboardInterrupt):
            sim_loop(random.Random(0)).run(interrupted())
        with pytest.raises(KeyboardInterrupt):
            run_virtually(interrupted())


def test_a_task_that_swallows_every_cancellation_ends_with_its_world(monkeypatch):
    swallowed = []

    async def stubborn():
        while True:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                swallowed.append(1)

    async def work():
        asyncio.get_running_loop().create_task(stubborn())
        await asyncio.sleep(0)

    with nothing_is_left(monkeypatch):
        sim_loop(random.Random(0)).run(work())

    assert swallowed


def test_garbage_is_collected_again_after_a_run():
    assert gc.isenabled()
    simulate(scenario_of(0))

    assert gc.isenabled()
