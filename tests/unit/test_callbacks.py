"""Steps that wait for the outside world, and what comes for them."""

from __future__ import annotations

import asyncio

from playbooks import playbook

from arcbook.engine.inputs import CalledBack
from arcbook.events.types import CommandSuspended, WaitKind
from arcbook.outcome import ok
from arcbook.testing.clock import run_virtually
from arcbook.testing.local import bench
from arcbook.tools.api import Deferred

ASK_TWICE = playbook("""
- step: start
  tool:
    - {name: first, kind: ask}
    - {name: second, kind: ask}
""")


class Waits:
    """The waits of an execution, as they come."""

    def __init__(self, made):
        self._drive = made.runtime.drive
        self._drive.listeners.add(self._listen)
        self._found = asyncio.Queue()

    def _listen(self, execution_id, events, state):
        for recorded in events:
            if isinstance(recorded.event, CommandSuspended):
                command = state.command(recorded.event.command_id)
                self._found.put_nowait((execution_id, command.command_id, command.generation))

    async def next(self):
        return await self._found.get()

    async def call_back(self, wait, data, *, generation=None):
        execution_id, command_id, own = wait
        given = CalledBack(
            command_id=command_id,
            generation=own if generation is None else generation,
            outcome=ok(data),
        )
        return await self._drive.ask(execution_id, given)


async def _asked_twice(answer):
    async with bench({"ask": lambda _: Deferred(kind=WaitKind.CALLBACK)}) as made:
        waits = Waits(made)
        planned = await made.register(ASK_TWICE)
        running = asyncio.create_task(made.runtime.run(planned, {}))
        taken = await answer(waits)
        state = await running
        tasks = state.results["start"].tasks
        return taken, {label: value.data for label, value in tasks.items()}


def test_each_wait_gets_what_came_for_it():
    async def answer(waits):
        one = await waits.call_back(await waits.next(), "one")
        two = await waits.call_back(await waits.next(), "two")
        return [one, two]

    taken, found = run_virtually(_asked_twice(answer))

    assert taken == [True, True]
    assert found == {"first": "one", "second": "two"}


def test_what_came_for_an_earlier_wait_is_not_taken_for_the_next_one():
    async def answer(waits):
        first = await waits.next()
        await waits.call_back(first, "one")
        second = await waits.next()
        late = await waits.call_back(first, "one again")
        return [late, await waits.call_back(second, "two")]

    taken, found = run_virtually(_asked_twice(answer))

    assert taken == [False, True]
    assert found == {"first": "one", "second": "two"}


def test_who_does_not_know_for_which_wait_it_is_is_heard_all_the_same():
    async def answer(waits):
        await waits.call_back(await waits.next(), "one", generation=-1)
        return await waits.call_back(await waits.next(), "two", generation=-1)

    taken, found = run_virtually(_asked_twice(answer))

    assert taken
    assert found == {"first": "one", "second": "two"}
