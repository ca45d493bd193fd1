"""The rules that are checked when all executions have ended."""

from __future__ import annotations

import traceback
from collections import Counter
from itertools import takewhile

from arcbook.engine.state import State, Status
from arcbook.events.codec import decode
from arcbook.events.types import TERMINAL, CommandCompleted, PlaybookStarted, StepExit, StepResult
from arcbook.outcome import OK
from arcbook.owner.slots import encode_state, rebuild
from arcbook.schedules import ticks
from arcbook.store.api import Stored
from arcbook.testing.simulate.loops import silent
from arcbook.testing.simulate.story import Story
from arcbook.testing.simulate.world import Node, World


def ended_well(story: Story) -> None:
    """Record the rules that are broken at the end."""
    world = story.world
    for execution_id in story.started:
        if execution_id not in world.store.log:
            world.checks.fail("acknowledged", f"{execution_id} was started and is gone")
    for execution_id, state in world.checks.states.items():
        _ended(world, execution_id, state)
        _replayed(world, execution_id, state)
        _performed(world, execution_id)
        _drained(world, execution_id)
    if world.store.out:
        world.checks.fail("rows", f"in the end commands are out: {sorted(world.store.out)}")
    if busy := story.busy():
        world.checks.fail("busy", "; ".join(busy))
    for node in world.nodes:
        _goes_on(world, node)
    if story.schedule is not None:
        _ticked(story)
    _complained(world)


def _goes_on(world: World, node: Node) -> None:
    """Check that a running process still has all of its loops."""
    if ended := silent(node):
        world.checks.fail("silent", f"{node.process.name} goes on without {ended}")


def _complained(world: World) -> None:
    for complaint in world.loop.complaints:
        error = complaint.get("exception")
        text = f"{complaint.get('message')}: {error!r}"
        if error is not None:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            text += f" in {frame.name}, line {frame.lineno}"
            world.note("world", "".join(traceback.format_exception(error)))
        world.checks.fail("unhandled", text)


def _ended(world: World, execution_id: int, state: State) -> None:
    if not state.status.is_terminal:
        out = sorted(c for run in state.runs.values() for c in run.commands)
        reason = f"waits for {out}, timers {state.timers()}, tokens {sorted(state.waiting)}"
        world.checks.fail("stuck", f"{execution_id} does not end: {reason}")
    types = [row.type for row in world.store.log[execution_id]]
    if sum(kind in TERMINAL for kind in types) > 1:
        world.checks.fail("terminal", f"{execution_id} ended twice")
    if state.parent is not None:
        parent = world.checks.states.get(state.parent.execution_id)
        if parent is None:
            world.checks.fail("orphan", f"{execution_id} has a parent that is not stored")
    if execution_id in world.checks.cancelled and state.status is Status.COMPLETED:
        world.checks.fail("cancel", f"{execution_id} completed after its cancellation")


def _replayed(world: World, execution_id: int, state: State) -> None:
    store = world.store
    seq, snapshot = store.snapshots.get(execution_id, (0, None))
    rows = store.log[execution_id]
    row = store.rows.get(execution_id)
    if row is None:
        world.checks.fail("projection", f"{execution_id} has events and no row")
        return
    if [event.seq for event in rows] != list(range(1, len(rows) + 1)):
        world.checks.fail("sequence", f"{execution_id}: its events have gaps")
    rebuilt = rebuild(execution_id, Stored(row, snapshot, rows[seq:]))
    if encode_state(rebuilt) != encode_state(state):
        world.checks.fail("replay", f"{execution_id} is loaded as something else")


def _performed(world: World, execution_id: int) -> None:
    """Check that every success in the log was a call of its tool."""
    called = world.effects.called
    for row in world.store.log[execution_id]:
        event = decode(row.body)
        if isinstance(event, StepExit) and event.result is not None:
            performed = [(f"{execution_id}:{event.step}:{event.visit}", event.result)]
        elif isinstance(event, CommandCompleted) and event.rows < 0:
            key = f"{execution_id}:{event.step}:{event.visit}:i"
            performed = [
                (f"{key}{event.first + n}", result) for n, result in enumerate(event.results)
            ]
        else:
            continue
        for key, result in performed:
            _called(world, key, result, called)


def _drained(world: World, execution_id: int) -> None:
    """Check that a completed cursor processed every row of its queue once."""
    queues = world.answers.queues
    for row in world.store.log[execution_id]:
        event = decode(row.body)
        if not isinstance(event, StepExit) or event.loop is None or event.status != OK:
            continue
        loop = f"{execution_id}:{event.step}:{event.visit}"
        totals = queues.totals(loop)
        if totals and event.loop.total not in totals:
            world.checks.fail("rows", f"{loop} had {event.loop.total} of {queues.size(loop)} rows")


def _called(world: World, key: str, result: StepResult, called: set[str]) -> None:
    for label, value in result.tasks.items():
        is_answer = isinstance(value.data, dict) and set(value.data) == {"n"}
        if is_answer and f"{key}:{label}" not in called:
            world.checks.fail("effect", f"{key}:{label} has a result and was never called")


def _ticked(story: Story) -> None:
    """Check that the schedule ticked once for each due time, and at no other."""
    world, schedule = story.world, story.schedule
    assert schedule is not None
    starts: Counter[str] = Counter()
    for rows in world.store.log.values():
        event = decode(rows[0].body)
        if isinstance(event, PlaybookStarted) and "scheduled_at" in event.labels:
            starts[event.labels["scheduled_at"]] += 1
    twice = [moment for moment, count in starts.items() if count > 1]
    if twice:
        world.checks.fail("schedule", f"it ticked more than once for {twice}")
    due = _due(story)
    over = sorted(set(starts) - set(due))
    lacking = sorted(set(due) - set(starts)) if schedule.catch_up == "all" else []
    if over or lacking:
        world.checks.fail("schedule", f"it did not tick for {lacking}, and did for {over}")


def _due(story: Story) -> list[str]:
    import datetime as dt

    schedule, end = story.schedule, story.schedule_end
    assert schedule is not None
    moments = takewhile(lambda at: at < end, ticks(schedule, schedule.next_at - 1))
    return [dt.datetime.fromtimestamp(at / 1_000_000, dt.UTC).isoformat() for at in moments]
