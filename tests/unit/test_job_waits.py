"""Steps that wait for jobs: looks, callbacks, and what a cancellation does."""

from __future__ import annotations

import asyncio

import pytest
from playbooks import playbook

from arcbook.dsl.kinds import Kind
from arcbook.engine.inputs import CalledBack
from arcbook.events.types import CommandSuspended, WaitKind
from arcbook.outcome import ErrorKind, failed, ok
from arcbook.testing.clock import run_virtually
from arcbook.testing.local import bench
from arcbook.tools.api import Deferred, job_key

ONE = playbook("- {step: start, tool: {kind: job, image: '{{ workload.image }}'}}")

RETRIED = playbook("""
- step: start
  tool:
    kind: job
    spec: {policy: {rules: [
      {when: "{{ output.status == 'error' }}", then: {do: retry, attempts: 2, delay: 0}}]}}
""")

LOOPED = playbook("""
- step: start
  loop: {in: [1, 2, 3], iterator: n}
  tool: {kind: job, number: "{{ iter.n }}"}
""")


class FakeJobs:
    """A tool whose jobs end after some looks."""

    def __init__(self, looks=2, *, stops=True, ends=None):
        self.looks = looks
        self.calls = []
        self.stopped = []
        self._stops = stops
        self._ends = list(ends or [])

    def run(self, call, context):
        self.calls.append(call)
        if call.reported is not None:
            return call.reported
        looks = sum(bool(one.job) for one in self.calls)
        if call.job and looks >= self.looks:
            return self._ends.pop(0) if self._ends else ok({"job": call.job})
        name = f"n{call.idempotency_key}-{call.attempt}"
        return Deferred(kind=WaitKind.JOB, key=job_key("job", name), timeout_seconds=10)

    async def stop(self, job, confinement):
        self.stopped.append(job)
        if isinstance(self._stops, Exception):
            raise self._stops
        return self._stops

    async def close(self):
        pass


async def _run(tool, text=ONE, act=None):
    async with bench({}) as made:
        made.registry.add("job", tool, Kind(name="job", open=True))
        planned = await made.register(text)
        parked = asyncio.Event()
        made.runtime.drive.listeners.add(
            lambda _, events, __: parked.set() if _suspended(events) else None
        )
        execution_id = made.ids()
        ended = made.runtime.ended(execution_id)
        await made.runtime.start(planned, {"image": "x"}, execution_id=execution_id)
        if act is not None:
            await parked.wait()
            await act(made, execution_id)
        state = await ended
        return state, [recorded.event for recorded in made.events[execution_id]]


def _suspended(events):
    return any(isinstance(recorded.event, CommandSuspended) for recorded in events)


def test_a_job_is_looked_at_until_it_has_ended_by_the_call_that_started_it():
    tool = FakeJobs(looks=3)
    state, _ = run_virtually(_run(tool))

    first, *looks = tool.calls
    assert first.job == ""
    assert [call.job for call in looks] == [f"n{first.idempotency_key}-1"] * 3
    assert {(call.idempotency_key, call.attempt) for call in looks} == {(first.idempotency_key, 1)}
    assert [call.config for call in tool.calls] == [{"image": "x"}] * 4
    assert state.status == "COMPLETED"
    assert state.result == {"job": f"n{first.idempotency_key}-1"}


def test_a_retry_starts_a_job_of_its_own():
    bad = failed(ErrorKind.PROCESS, "no")
    tool = FakeJobs(looks=1, ends=[bad, ok({"fine": True})])
    state, _ = run_virtually(_run(tool, RETRIED))

    started = [call for call in tool.calls if not call.job]
    assert [call.attempt for call in started] == [1, 2]
    assert state.result == {"fine": True}


def test_each_iteration_of_a_loop_waits_for_its_own_job():
    tool = FakeJobs(looks=1)
    state, _ = run_virtually(_run(tool, LOOPED))

    assert state.status == "COMPLETED"
    assert len({call.job for call in tool.calls if call.job}) == 3


def test_a_callback_brings_the_end_of_the_job_to_its_tool():
    async def call_back(made, execution_id):
        state = made.runtime.drive.slots[execution_id].state
        command = state.runs["start:1"].commands[f"{execution_id}:start:1"]
        given = CalledBack(
            command_id=command.command_id, generation=command.generation, outcome=ok({"end": 1})
        )
        assert await made.runtime.drive.ask(execution_id, given)
        assert not await made.runtime.drive.ask(execution_id, given)

    tool = FakeJobs(looks=99)
    state, _ = run_virtually(_run(tool, act=call_back))

    assert [bool(call.job) for call in tool.calls] == [False, True]
    assert state.result == {"end": 1}


async def _cancel(made, execution_id):
    assert await made.runtime.cancel(execution_id, "enough")


@pytest.mark.parametrize("text", [ONE, LOOPED], ids=["one job", "jobs of a loop"])
def test_a_cancellation_stops_jobs_and_the_log_has_the_receipt(text):
    tool = FakeJobs(looks=99)
    state, events = run_virtually(_run(tool, text, act=_cancel))

    receipts = [event for event in events if event.type == "command.cancelled"]
    assert state.status == "CANCELLED"
    assert set(tool.stopped) == {f"n{call.idempotency_key}-1" for call in tool.calls}
    assert len(receipts) == len(tool.stopped)
    assert all(event.confirmed for event in receipts)
    assert events[-1].unconfirmed == []


@pytest.mark.parametrize("answer", [False, OSError("the peer is away")], ids=["no", "an error"])
def test_a_job_that_may_go_on_after_a_cancellation_is_named(answer):
    tool = FakeJobs(looks=99, stops=answer)
    state, events = run_virtually(_run(tool, act=_cancel))

    assert state.status == "CANCELLED"
    assert len(tool.stopped) == 1
    assert events[-1].unconfirmed == [f"{state.execution_id}:start:1"]


def test_a_job_that_begins_while_its_execution_is_cancelled_is_stopped():
    began, go_on = asyncio.Event(), asyncio.Event()

    class Slow(FakeJobs):
        async def run(self, call, context):
            began.set()
            while not go_on.is_set():
                try:
                    await go_on.wait()
                except asyncio.CancelledError:  # its job is started all the same
                    go_on.set()
            return FakeJobs.run(self, call, context)

    async def scenario():
        async with bench({}) as made:
            tool = Slow(looks=99)
            made.registry.add("job", tool, Kind(name="job", open=True))
            planned = await made.register(ONE)
            running = asyncio.create_task(made.runtime.run(planned, {"image": "x"}))
            await began.wait()
            execution_id = next(iter(made.events))
            await made.runtime.cancel(execution_id, "enough")
            return tool, await running

    tool, state = run_virtually(scenario())
    assert state.status == "CANCELLED"
    assert len(tool.stopped) == 1
