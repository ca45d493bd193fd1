"""The course of a run: starts, a phase with faults, a calm phase, and the final checks."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from arcbook.dsl.load import load_playbook
from arcbook.ids import IdGenerator
from arcbook.owner.drive import ExecutionMissingError, LostOwnershipError
from arcbook.owner.plans import Plans
from arcbook.server.core import OwnerAwayError, Server
from arcbook.store.api import LostServerError, ScheduleRow, StoreError
from arcbook.testing.clock import START_US
from arcbook.testing.simulate.flow import routes_of
from arcbook.testing.simulate.loops import raise_in, silent
from arcbook.testing.simulate.world import Node, World

CALM_SECONDS_MAX: Final = 240.0
"""Time limit for the next commit in the calm phase ..."""

END_SECONDS_MAX: Final = 20_000.0
"""... and for the end of all executions, including retries, loops and children."""

IDLE_SECONDS_MAX: Final = 60.0
"""Time limit for the workers to learn of it."""

TURN_SECONDS: Final = 0.25
"""Interval between two chances for faults."""

HANGING_SHARE: Final = 0.7
"""Probability that a cancellation targets a tool that hangs forever."""

TRIES_MAX: Final = 200
"""Attempts of a start or a cancellation, half a second apart."""

STALL_SECONDS: Final = (2.7, 5.0, 12.0, 40.0)
"""How long a hanging server stands still: about as long as its lease, or longer."""

SCHEDULE: Final = "every-so-often"

_REFUSALS = (
    ExecutionMissingError,
    LostOwnershipError,
    LostServerError,
    OwnerAwayError,
    StoreError,
)


class Story:
    """The course of one run."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.scenario = world.scenario
        self.faults = world.faults
        #: Executions with an acknowledged start.
        self.started: list[int] = []
        self._left = 0
        self.schedule: ScheduleRow | None = None
        #: The first due time at which the schedule no longer ticked.
        self.schedule_end = 0

    async def tell(self) -> None:
        """Run it."""
        world, scenario = self.world, self.scenario
        await self._register()
        for _ in range(scenario.servers):
            await world.add(server=True)
        for _ in range(scenario.workers):
            await world.add(server=False)
        if scenario.schedule:
            await self._schedule()
        self.faults.on = True
        for number in range(scenario.executions):
            self._left += 1
            world.main.run(self._start(number))
        await self._storm()
        await self._calm()

    async def _register(self) -> None:
        world = self.world
        plans = Plans(world.store, world.registry, IdGenerator(world.main, 1023), world.main)
        for text in self.scenario.playbooks.values():
            loaded = load_playbook(text, world.registry)
            assert loaded.playbook is not None, loaded.errors
            world.checks.routes[loaded.path] = routes_of(loaded.playbook)
            await plans.register(text, loaded)

    # -- inputs -----------------------------------------------------------------------

    async def _start(self, number: int) -> None:
        """Start an execution; if that fails, nobody knows, and it is tried again."""
        faults = self.faults
        await asyncio.sleep(faults.rng.random() * self.scenario.storm * 0.5 if number else 0.0)
        path = next(iter(self.scenario.playbooks))
        for _ in range(TRIES_MAX):
            nodes = self.world.alive(servers=True)
            if nodes:
                node = nodes[int(faults.rng.random() * len(nodes))]
                with contextlib.suppress(*_REFUSALS):
                    started = await self.world.ask(self._start_on(node, path), node, 15.0)
                    if started is not None:
                        self._note_started(started)
                        break
            await asyncio.sleep(0.5)
        self._left -= 1
        self.world.moved.set()

    async def _start_on(self, node: Node, path: str) -> int:
        server = node.part
        assert isinstance(server, Server)
        return await server.start(await server.plans.find(path), {})

    def _note_started(self, execution_id: int) -> None:
        self.started.append(execution_id)
        if execution_id not in self.world.checks.states:
            self.world.checks.fail("acknowledged", f"{execution_id} is started and not stored")

    async def _cancel(self, execution_id: int) -> None:
        self.world.note("world", f"! cancels {execution_id}")
        for _ in range(TRIES_MAX):
            nodes = self.world.alive(servers=True)
            if nodes:
                node = nodes[int(self.faults.rng.random() * len(nodes))]
                server = node.part
                assert isinstance(server, Server)
                with contextlib.suppress(*_REFUSALS):
                    work = server.cancel(execution_id, "the world wants it")
                    if await self.world.ask(work, node, 15.0) is not None:
                        return
            await asyncio.sleep(0.5)

    async def _schedule(self) -> None:
        seconds = 1 + int(self.faults.rng.random() * 3)
        passed = self.world.main.now_us() - START_US
        row = ScheduleRow(
            name=SCHEDULE,
            path=list(self.scenario.playbooks)[-1],
            every_seconds=seconds,
            catch_up=self.scenario.schedule,
            created_at=START_US,
            next_at=START_US + (passed // (seconds * 1_000_000) + 1) * seconds * 1_000_000,
        )
        self.schedule = row
        await self.world.store.put_schedule(row)

    # -- faults -----------------------------------------------------------------------

    async def _storm(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self.scenario.storm
        while loop.time() < until and self.world.checks.broken is None:
            await asyncio.sleep(TURN_SECONDS)
            self._turn()

    def _turn(self) -> None:
        world, faults, rng = self.world, self.faults, self.faults.rng
        nodes = [n for n in world.nodes if n.process.alive and not n.process.halted]
        some = nodes[int(rng.random() * len(nodes))] if nodes else None
        if faults.strikes("cancel", "cancel"):
            self._cancel_some()
        if faults.strikes("wipe", "stream wiped"):
            world.note("bus", "! is wiped")
            world.exchange.wipe()
        if faults.strikes("bus", "bus away") and world.exchange.reachable:
            world.main.run(self._away(rng.random() * 3))
        if some is None:
            return
        if faults.strikes("pause", f"{some.process.name} pauses"):
            world.freeze(some.process, rng.choice([0.5, 2.0, 4.0, 8.0]))
        if faults.strikes("jump", f"clock of {some.process.name} jumps"):
            some.process.off_us += int((rng.random() - 0.5) * 40_000_000)
            world.note(some.process.name, f"! its clock is {some.process.off_us / 1e6:+.1f} s off")
        if faults.strikes("restart", f"{some.process.name} restarts") and (
            some.up and not some.leaving
        ):
            world.main.run(world.restart(some))
        if faults.strikes("crash", f"{some.process.name} dies"):
            world.crash(some.process)
        self._turn_on(some)

    def _turn_on(self, some: Node) -> None:
        """Have happen to a process what befalls few of them."""
        world, faults = self.world, self.faults
        if faults.strikes("raise", f"a loop of {some.process.name} raises"):
            raise_in(world, some)
        if some.is_server and faults.strikes("stall", f"{some.process.name} stands still"):
            world.freeze(some.process, faults.rng.choice(STALL_SECONDS))

    def _cancel_some(self) -> None:
        """Cancel one execution; rather one that hangs for good, which nothing else ends."""
        world, rng = self.world, self.faults.rng
        running = [i for i, s in world.checks.states.items() if not s.status.is_terminal]
        hanging = world.effects.hanging()
        if hanging and rng.random() < HANGING_SHARE:
            running = hanging
        if running:
            world.main.run(self._cancel(running[int(rng.random() * len(running))]))

    async def _away(self, seconds: float) -> None:
        self.world.note("bus", f"! is away for {seconds:.1f} s")
        self.world.exchange.reachable = False
        await asyncio.sleep(seconds)
        self.world.exchange.reachable = True

    # -- calm -------------------------------------------------------------------------

    async def _calm(self) -> None:
        """Let nothing go wrong any more, and wait until everything has ended."""
        world = self.world
        self.faults.on = False
        world.note("world", "calm")
        world.effects.calm.set()
        for node in world.nodes:
            node.process.off_us = 0
        for execution_id in world.effects.hanging():
            world.main.run(self._cancel(execution_id))
        await self._end_schedule()
        loop = asyncio.get_running_loop()
        end = loop.time() + END_SECONDS_MAX
        until = loop.time() + CALM_SECONDS_MAX
        while self._goes_on() and loop.time() < min(until, end) and world.checks.broken is None:
            world.moved.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5.0):
                    await world.moved.wait()
                    until = loop.time() + CALM_SECONDS_MAX
        until = loop.time() + IDLE_SECONDS_MAX
        while (
            (self.busy() or self._is_ending())
            and loop.time() < until
            and world.checks.broken is None
        ):
            await asyncio.sleep(0.5)

    async def _end_schedule(self) -> None:
        """Have the schedule tick no more; ticks that began count."""
        if self.scenario.schedule:
            await asyncio.sleep(3.0)
            row = self.world.store.ticking[SCHEDULE]
            await self.world.store.delete_schedule(SCHEDULE)
            self.schedule_end = row.next_at

    def _is_ending(self) -> bool:
        """Whether a process has lost a loop, and may not know yet."""
        return any(silent(node) for node in self.world.nodes)

    def _goes_on(self) -> bool:
        states = self.world.checks.states.values()
        return self._left > 0 or any(not state.status.is_terminal for state in states)

    def busy(self) -> list[str]:
        """Return workers that hold something, and tools that run."""
        world = self.world
        holders = [
            f"{node.process.name} holds {sorted(node.part.held)}"
            for node in world.alive(servers=False)
            if not isinstance(node.part, Server) and node.part.held
        ]
        return holders + [f"a tool of {i} runs" for i in world.effects.running()]
