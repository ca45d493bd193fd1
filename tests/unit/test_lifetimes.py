"""What is in memory for an execution goes when the execution does."""

from __future__ import annotations

import random

import pytest

from arcbook.clock import SystemClock
from arcbook.dsl.kinds import Kind, KindTable
from arcbook.dsl.load import load_playbook
from arcbook.engine.decide import LOST_MAX, RETURNED_MAX
from arcbook.engine.inputs import Lost, Report, Settle, Start
from arcbook.engine.plan import Plan
from arcbook.engine.state import Status
from arcbook.owner.timers import HEAP_SPARE, Timers
from arcbook.testing.clock import FakeClock, run_virtually
from arcbook.testing.local import Bench
from arcbook.testing.machine import Machine

KINDS = KindTable({"work": Kind(name="work", open=True)})
PLAYBOOK = """
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: p, path: p}
workflow:
- step: start
  spec: {timeout: 3600}
  tool: {kind: work}
"""


def plan() -> Plan:
    loaded = load_playbook(PLAYBOOK, KINDS)
    assert loaded.playbook is not None
    return Plan(loaded.playbook, KINDS)


async def test_timers_and_slots_of_ended_executions_go():
    bench = Bench(SystemClock(), {"work": lambda _: 1})
    planned = await bench.register(PLAYBOOK)
    async with bench.runtime as runtime:
        drive = runtime.drive
        for _ in range(200):
            state = await runtime.run(planned, {})
            assert state.status is Status.COMPLETED
        assert len(drive._timers) == 0
        assert len(drive._timers._heap) <= HEAP_SPARE
        assert not drive.slots

        # What comes for one of them now loads it, and leaves nothing behind.
        late = Report(command_id=f"{state.execution_id}:start:1", done=[])
        assert not await drive.ask(state.execution_id, late)
        await drive.ask(state.execution_id, Settle())
        assert not drive.slots
        assert len(drive._timers) == 0


def test_timers_fire_once_when_they_are_due_and_not_when_they_were_replaced_or_ended():
    fired: list[tuple[int, str]] = []

    clock = FakeClock()

    async def by_hand() -> None:
        timers = Timers(clock, lambda i, name: fired.append((i, name)))
        now = clock.now_us()
        timers.put(1, {"a": now + 1_000_000, "b": now + 2_000_000})
        timers.put(2, {"c": now + 1_500_000})
        timers.put(3, {"d": now + 1_600_000})
        timers.put(1, {"a": now + 3_000_000, "b": now + 2_000_000})
        timers.put(1, {"a": now + 3_000_000, "b": now + 2_000_000})
        timers.put(2, {})
        timers.keep(lambda i: i != 3)
        assert len(timers) == 2
        clock.advance(2.5)
        timers._fire_due()
        assert fired == [(1, "b")]
        clock.advance(1)
        timers._fire_due()
        assert fired == [(1, "b"), (1, "a")]
        assert len(timers) == 0
        timers.close()

    run_virtually(by_hand())


def test_the_heap_of_timers_does_not_grow_with_those_that_went():
    async def work() -> None:
        rng = random.Random(7)
        clock = FakeClock()
        timers = Timers(clock, lambda *_: None)
        live: dict[int, dict[str, int]] = {}
        for _ in range(20_000):
            execution_id = rng.randrange(50)
            due = {
                str(n): clock.now_us() + rng.randrange(1, 10**9) for n in range(rng.randrange(4))
            }
            live[execution_id] = due
            timers.put(execution_id, due)
            assert len(timers._heap) <= HEAP_SPARE + 2 * len(timers) + 4
        assert len(timers) == sum(map(len, live.values()))
        timers.close()

    run_virtually(work())


@pytest.mark.parametrize("returned", [True, False])
def test_commands_that_workers_gave_back_are_not_lost(returned):
    machine = Machine(plan())
    (command_id,) = machine.give(Start(path="p", payload={})).commands
    for attempt in range(1, 3 * LOST_MAX):
        if machine.state.status.is_terminal:
            break
        machine.give(Lost(command_id=command_id, attempt=attempt, returned=returned))

    assert machine.state.status is (Status.RUNNING if returned else Status.FAILED)


def test_giving_back_has_an_end():
    machine = Machine(plan())
    (command_id,) = machine.give(Start(path="p", payload={})).commands
    attempt = 0
    while not machine.state.status.is_terminal:
        attempt += 1
        machine.give(Lost(command_id=command_id, attempt=attempt, returned=True))

    assert attempt == RETURNED_MAX + LOST_MAX
