"""No execution stops the others: what is too much for one decision is done in several."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arcbook.clock import SystemClock
from arcbook.dsl.kinds import Kind, KindTable
from arcbook.dsl.load import load_playbook
from arcbook.engine.inputs import Report, Settle, Start
from arcbook.engine.pipeline import IterationResult
from arcbook.engine.plan import Plan
from arcbook.engine.state import CommandStatus, Status
from arcbook.engine.turn import LIMITS
from arcbook.events.types import StepExit, StepResult, Value
from arcbook.outcome import OK
from arcbook.owner import plans, slots
from arcbook.store.memory import MemoryStore
from arcbook.testing.generate import KIND, random_playbook
from arcbook.testing.local import Bench
from arcbook.testing.machine import Machine

KINDS = KindTable({KIND: Kind(name=KIND, open=True)})
thorough = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def plan_of(text: str) -> Plan:
    loaded = load_playbook(text, KINDS)
    assert loaded.playbook is not None, [d.message for d in loaded.errors]
    return Plan(loaded.playbook, KINDS)


def fan(size: int) -> str:
    arcs = [{"step": f"b{i}"} for i in range(size)]
    steps: list[dict[str, Any]] = [
        {"step": "start", "next": {"spec": {"mode": "inclusive"}, "arcs": arcs}},
        *(
            {"step": f"b{i}", "tool": {"kind": KIND}, "next": {"arcs": [{"step": "end"}]}}
            for i in range(size)
        ),
        {"step": "end", "tool": {"kind": KIND}},
    ]
    document = {
        "apiVersion": "noetl.io/v2",
        "kind": "Playbook",
        "metadata": {"name": "p", "path": "p"},
        "workflow": steps,
    }
    return orjson.dumps(document).decode()


def finished(plan: Plan, events_max: int) -> Machine:
    """Run a playbook in which every command does well, one at a time, to its end."""
    machine = Machine(plan, limits=LIMITS._replace(events_max=events_max))
    machine.give(Start(path="p", payload={}))
    while not machine.state.status.is_terminal:
        command = next(
            command
            for run in machine.state.runs.values()
            for command in run.commands.values()
            if command.status is CommandStatus.ISSUED
        )
        result = StepResult(tasks={"t": Value({"n": 1})}, last="t")
        done = [IterationResult(result=result, status=OK)] * command.count
        machine.give(Report(command_id=command.command_id, done=done, first=command.first))
    return machine


@thorough
@given(st.integers(0, 2**32 - 1))
def test_how_much_one_decision_does_changes_nothing_that_comes_out(seed):
    plan = plan_of(random_playbook(random.Random(seed)))
    whole, parts = finished(plan, 10_000), finished(plan, 1)

    assert parts.state.status == whole.state.status
    assert parts.state.result == whole.state.result
    assert parts.state.visits == whole.state.visits
    assert parts.state.ctx == whole.state.ctx
    left = [
        [e.event.step for e in m.events if isinstance(e.event, StepExit)] for m in (whole, parts)
    ]
    assert sorted(left[0]) == sorted(left[1])


def test_a_decision_with_too_much_to_do_says_that_there_is_more():
    machine = Machine(plan_of(fan(1_000)), limits=LIMITS)
    decision = machine.decide_once(Start(path="p", payload={}))
    while decision.more:
        assert len(decision.events) <= LIMITS.events_max + 1
        decision = machine.decide_once(Settle())

    assert len(machine.state.runs) == 1  # the first step, which leads to all others
    (command,) = next(iter(machine.state.runs.values())).commands.values()
    done = [IterationResult(result=StepResult(), status=OK)]
    decision = machine.decide_once(Report(command_id=command.command_id, done=done))
    turns = 1
    while decision.more:
        assert len(decision.events) <= LIMITS.events_max + 1
        decision = machine.decide_once(Settle())
        turns += 1

    assert turns >= 4
    assert len(machine.state.runs) == 1_000


@pytest.mark.slow
async def test_the_loop_goes_on_while_thousands_of_branches_start_and_end():
    bench = Bench(SystemClock(), {KIND: lambda _: asyncio.sleep(0)})
    plan = await bench.register(fan(5_000))
    late: list[float] = []

    async def beat() -> None:
        while True:
            before = time.perf_counter()
            used = time.process_time()
            await asyncio.sleep(0.005)
            if time.process_time() - used > 0.004:  # it was us, and not another program
                late.append(min(time.process_time() - used, time.perf_counter() - before))

    gc.disable()  # going through all that the test process holds is no work of the loop
    try:
        async with bench.runtime:
            began = time.process_time()
            beating = asyncio.create_task(beat())
            state = await bench.runtime.run(plan, {})
            beating.cancel()
            whole = time.process_time() - began
    finally:
        gc.enable()

    assert state.status is Status.COMPLETED
    # Taking 5,000 arcs is one event and cannot be parted; all the rest can.
    assert max(late) < 0.2 * whole


async def test_the_plan_of_one_execution_keeps_no_other_waiting(monkeypatch):
    """It is made beside the loop, and inputs of others are taken meanwhile."""
    store, began, go_on = MemoryStore(), threading.Event(), threading.Event()
    bench = Bench(SystemClock(), {KIND: lambda _: asyncio.sleep(3600)}, store=store)
    async with bench.runtime:
        plan = await bench.register(fan(600))
        large = bench.ids()
        await bench.runtime.start(plan, {}, execution_id=large)
    inner = plans.planned_of

    def slowly(entry: Any, *args: Any) -> Any:
        if len(entry.content) > plans.THREAD_BYTES:
            began.set()
            go_on.wait(10)
        return inner(entry, *args)

    monkeypatch.setattr(plans, "planned_of", slowly)
    bench = Bench(SystemClock(), {KIND: lambda _: {"n": 1}}, store=store)
    async with bench.runtime:
        waiting = bench.runtime.drive.ask(large, Settle())
        await asyncio.to_thread(began.wait, 10)
        state = await bench.runtime.run(await bench.register(fan(3)), {})
        assert not waiting.done()
        go_on.set()

        assert state.status is Status.COMPLETED
        assert await waiting


async def test_a_plan_that_cannot_be_made_is_said_each_time_it_is_asked_for(monkeypatch):
    bench = Bench(SystemClock(), {KIND: lambda _: {"n": 1}})
    entry = (await bench.register(fan(600))).entry
    found = plans.Plans(bench.store, KINDS, bench.ids, SystemClock())

    def refused(entry: Any, *_: Any) -> Any:
        raise plans.InvalidPlaybookError(entry.path, load_playbook("[]", KINDS))

    monkeypatch.setattr(plans, "planned_of", refused)
    for _ in range(3):
        with pytest.raises(plans.InvalidPlaybookError):
            await found.find(catalog_id=entry.catalog_id)


async def test_plans_are_kept_by_the_size_of_their_documents(monkeypatch):
    monkeypatch.setattr(plans, "PLANS_BYTES_MAX", 10_000)
    bench = Bench(SystemClock(), {KIND: lambda _: {"n": 1}})
    for number in range(40):
        await bench.register(fan(10).replace('"p"', f'"p{number}"'))
    kept = [planned.entry for planned in bench.plans._by_id.values()]

    assert 1 < len(kept) < 40
    assert sum(len(entry.content) for entry in kept) <= 10_000


async def test_a_state_with_many_steps_is_saved_seldom_and_one_with_few_after_so_many_events(
    monkeypatch,
):
    monkeypatch.setattr(slots, "SNAPSHOT_EVENTS", 20)
    monkeypatch.setattr(slots, "FINAL_SNAPSHOT_EVENTS", 10**9)
    saved: list[int] = []

    class Counting(MemoryStore):
        async def commit(self, changes: Any) -> None:
            saved.extend(len(c.snapshot) for c in changes if c.snapshot is not None)
            await super().commit(changes)

    def bytes_saved(size: int) -> int:
        saved.clear()
        plan_text = fan(size)

        async def work() -> None:
            bench = Bench(SystemClock(), {KIND: lambda _: {"n": 1}}, store=Counting())
            async with bench.runtime:
                await bench.runtime.run(await bench.register(plan_text), {})

        asyncio.run(work())
        return sum(saved)

    few, many = await asyncio.to_thread(lambda: (bytes_saved(200), bytes_saved(800)))

    assert few > 0
    assert many < 6 * few
