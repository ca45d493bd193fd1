"""A small world: the production runtime with few processes, whose faults are enumerated."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from arcbook.store.api import Change
from arcbook.testing.exhaust.choices import Choices
from arcbook.testing.exhaust.traces import TracedChecks
from arcbook.testing.simulate.faults import Faults
from arcbook.testing.simulate.loop import Process
from arcbook.testing.simulate.scenario import Scenario
from arcbook.testing.simulate.story import CALM_SECONDS_MAX, Story
from arcbook.testing.simulate.world import LEASE_SECONDS, World

SETTLING_SECONDS: Final = 1.0
"""Time that processes have to come up before anything begins."""

AFTER_SECONDS: Final = 0.1
"""Time after the end for which something may still go wrong."""

LATE_SECONDS: Final = 1e-6
"""How late a call is that comes after everything else that can happen now."""

PAUSE_SECONDS: Final = LEASE_SECONDS + 1.5
"""How long a process stands still whose leases end meanwhile."""

AT_PORTS: Final = ("crash", "pause", "late")
"""What may befall a process before and after each call of a port.

It dies; it stands still until its leases have ended; or everybody else goes on first.
"""


ASIDE: Final = frozenset({"put_worker", "renew_lease", "due_schedules", "unfinished", "servers"})
"""Calls that touch no command: to die at one is to die between two that do."""


class _Middle(random.Random):
    """Draws what lies in the middle: how long something takes is not what is enumerated."""

    def random(self) -> float:
        return 0.5


class EnumeratedFaults(Faults):
    """Has everything go wrong that a budget allows, in one course after the other.

    Args:
        scenario: the run.
        choices: the course.
        budget: how often each kind may happen in one course, and under ``total`` all of them.
        pause: lets a process stand still, by its name.
    """

    def __init__(
        self,
        scenario: Scenario,
        choices: Choices,
        budget: Mapping[str, int],
        pause: Callable[[str], None],
    ) -> None:
        super().__init__(scenario)
        self.rng = _Middle()
        self._choices = choices
        self._budget = budget
        self._pause = pause
        self._left = budget["total"]
        self._used: Counter[str] = Counter()
        self._delay = 0.0

    def strikes(self, kind: str, label: str) -> bool:
        """Return whether something goes wrong here."""
        if not self.on or not self._left:
            return False
        candidates = AT_PORTS if kind == "crash" else (kind,)
        if kind == "crash" and label.rpartition(" ")[2] in ASIDE:
            return False
        kinds = [one for one in candidates if self._used[one] < self._budget.get(one, 0)]
        if not kinds:
            return False
        taken = self._choices.choose(1 + len(kinds), label)
        if not taken:
            return False
        chosen = kinds[taken - 1]
        self._left -= 1
        self._used[chosen] += 1
        self.happened.append((len(self._choices.made), f"{chosen}: {label}"))
        if chosen in ("pause", "late"):
            self._delay = LATE_SECONDS
            if chosen == "pause":
                self._pause(label.partition(" ")[0])
            return False
        return True

    def delay(self) -> float:
        """Return how long a call takes: no time, unless it is to be late."""
        late, self._delay = self._delay, 0.0
        return late


class SmallWorld(World):
    """A world in which a process goes on until it waits, and then the first that can."""

    def __init__(
        self,
        scenario: Scenario,
        choices: Choices,
        budget: Mapping[str, int],
        *,
        trace: bool = False,
    ) -> None:
        super().__init__(scenario, trace=trace, checks=TracedChecks)
        self.faults = EnumeratedFaults(scenario, choices, budget, self._stand_still)
        self.loop.pick = self._until_it_waits
        self._last = self.main
        self.on_commit: Callable[[], None] = lambda: None

    def _until_it_waits(self, able: list[Process]) -> Process:
        if self._last not in able:
            self._last = able[0]
        return self._last

    def _stand_still(self, name: str) -> None:
        process = next(p for p in self.loop.processes if p.name == name)
        self.freeze(process, PAUSE_SECONDS)

    def committed(self, process: Process, changes: Sequence[Change]) -> None:
        """Take note of a commit."""
        super().committed(process, changes)
        self.on_commit()


class SmallStory(Story):
    """One execution, from its start to its end, with faults at any moment between."""

    def __init__(self, world: SmallWorld) -> None:
        super().__init__(world)
        world.on_commit = self._maybe_cancel

    async def tell(self) -> None:
        """Run it."""
        world = self.world
        await self._register()
        for _ in range(self.scenario.servers):
            await world.add(server=True)
        for _ in range(self.scenario.workers):
            await world.add(server=False)
        await asyncio.sleep(SETTLING_SECONDS)
        self.faults.on = True
        self._left += 1
        world.main.run(self._start(0))
        await self._end()
        await asyncio.sleep(AFTER_SECONDS)
        await self._calm()

    async def _end(self) -> None:
        """Wait until the execution has ended, or it is plain that it does not."""
        world, loop = self.world, asyncio.get_running_loop()
        until = loop.time() + CALM_SECONDS_MAX
        while self._goes_on() and loop.time() < until and world.checks.broken is None:
            world.moved.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5.0):
                    await world.moved.wait()

    def _maybe_cancel(self) -> None:
        if self.faults.strikes("cancel", "it is cancelled"):
            self.world.main.run(self._cancel(next(iter(self.world.checks.states))))


__all__ = ["SmallStory", "SmallWorld"]
