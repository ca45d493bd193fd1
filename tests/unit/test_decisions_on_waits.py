"""What one execution makes of callbacks, checkpoints, and settling while it is cancelled."""

from __future__ import annotations

from typing import Any

from machines import ONE, SECOND, begun, entered, name, succeed, wait

from arcbook.engine.decide import give_up
from arcbook.engine.inputs import (
    CalledBack,
    Cancel,
    Checkpointed,
    Decision,
    Lost,
    Report,
    Settle,
    Suspension,
    TimerFired,
)
from arcbook.engine.pipeline import IterationResult
from arcbook.events.codec import decode, encode
from arcbook.events.types import LoopResult, StepExit, StepResult, WaitKind
from arcbook.outcome import ErrorInfo, ErrorKind, ok
from arcbook.testing.machine import Machine


def call_back(machine: Machine, data: Any = 1, generation: int = 1) -> Decision:
    received = CalledBack(
        command_id=name("start"), generation=generation, outcome=ok(data), key="k"
    )
    return machine.give(received)


def place(machine: Machine, number: int, **facts: Any) -> Decision:
    return machine.give(
        Checkpointed(command_id=name("start"), state=f"place {number}", number=number, **facts)
    )


def test_a_callback_resumes_its_command_once():
    machine = begun(ONE)
    wait(machine, "start", WaitKind.CALLBACK, key="k")
    decision = call_back(machine, "data")

    assert decision.commands == [name("start")]
    assert machine.state.command(name("start")).resumed_with.data == "data"
    assert not call_back(machine, "again").accepted


def test_a_callback_is_not_taken_while_its_execution_is_cancelled():
    machine = begun("""
        - step: start
          tool: {kind: work}
          loop: {in: [1, 2], iterator: n, spec: {mode: parallel, max_in_flight: 2}}
        """)
    for run in machine.state.runs.values():
        (first, _) = run.commands.values()
    waiting = Suspension(kind=WaitKind.CALLBACK, state={}, key="k", index=0)
    machine.give(Report(command_id=first.command_id, suspended=waiting))
    machine.give(Cancel(reason="enough"))
    received = CalledBack(command_id=first.command_id, generation=1, outcome=ok(1))

    assert not machine.give(received).accepted


def test_a_wait_for_a_callback_that_does_not_come_in_time_is_a_failure():
    machine = begun(ONE)
    wait(machine, "start", WaitKind.CALLBACK, key="k", seconds=2)
    [(timer, due)] = machine.state.timers().items()
    assert due == machine.at + 2 * SECOND
    machine.at = due
    machine.give(TimerFired(timer_id=timer))

    assert machine.state.command(name("start")).resumed_with.error.code == "WAIT_TIMEOUT"


def test_the_outcome_of_one_wait_is_not_that_of_the_next():
    machine = begun(ONE)
    wait(machine, "start", WaitKind.CALLBACK, key="k")
    call_back(machine, "first")
    pause = Suspension(kind=WaitKind.TIMER, state={"place": 2}, seconds=1)
    machine.give(Report(command_id=name("start"), generation=2, suspended=pause))
    command = machine.state.command(name("start"))
    assert (command.resumed_with, command.saved) == (None, {"place": 2})
    machine.at += SECOND
    [timer] = machine.state.timers()
    machine.give(TimerFired(timer_id=timer))

    assert machine.state.command(name("start")).resumed_with is None


def test_a_step_that_takes_too_long_leaves_no_look_at_its_job_behind():
    machine = begun("- {step: start, spec: {timeout: 3}, tool: {kind: work}}")
    wait(machine, "start", WaitKind.JOB, key="job", seconds=60)
    [timer] = [timer for timer in machine.state.timers() if timer.startswith("step")]
    machine.at += 3 * SECOND
    decision = machine.give(TimerFired(timer_id=timer))

    assert machine.state.error.code == "STEP_TIMEOUT"
    assert decision.commands == []


# -- checkpoints ----------------------------------------------------------------------------


def test_a_checkpoint_is_recorded_once():
    machine = begun(ONE)

    assert len(place(machine, 1).events) == 1
    again = place(machine, 1)
    assert again.accepted
    assert again.events == []


def test_each_delivery_counts_its_checkpoints_from_one():
    machine = begun(ONE)
    place(machine, 1)
    place(machine, 2)
    machine.give(Lost(command_id=name("start")))

    assert len(place(machine, 1, attempt=2).events) == 1
    assert machine.state.command(name("start")).saved == "place 1"


def test_a_command_that_has_waited_counts_its_checkpoints_from_one():
    machine = begun(ONE)
    place(machine, 1)
    wait(machine, "start", WaitKind.CALLBACK, key="k")
    call_back(machine)

    assert len(place(machine, 1, generation=2).events) == 1


def test_no_checkpoint_is_recorded_while_its_execution_is_cancelled():
    machine = begun(ONE)
    machine.give(Cancel(reason="enough"))

    assert not place(machine, 1).accepted


# -- cancelling and strictness --------------------------------------------------------------


def test_settling_a_cancelled_execution_asks_again_for_its_commands_to_stop():
    machine = begun(ONE)
    machine.give(Cancel(reason="enough"))

    assert machine.give(Settle()).stop == [name("start")]


def test_a_cancelled_execution_waits_for_none_of_its_steps_that_have_not_begun():
    machine = begun("""
        - step: start
          tool: {kind: work}
          next: {spec: {mode: inclusive}, arcs: [{step: a}, {step: b}]}
        - {step: a, tool: {kind: work}, next: {arcs: [{step: join}]}}
        - {step: b, tool: {kind: work}, next: {arcs: [{step: join}]}}
        - {step: join, tool: {kind: work}}
        """)
    succeed(machine, "start")
    succeed(machine, "a")
    assert [*machine.state.waiting] == ["join"]
    machine.give(Cancel(reason="enough"))

    assert machine.state.waiting == {}


def test_a_strict_execution_takes_no_arc_if_a_name_has_no_value():
    machine = begun(
        """
        - step: start
          tool: {kind: work}
          next: {arcs: [{step: a, set: {ctx.x: "{{ nobody }}"}}]}
        - {step: a, tool: {kind: work}}
        """,
        strict=True,
    )
    machine.give(Report(command_id=name("start"), done=[IterationResult(result=StepResult())]))

    [left] = [e.event for e in machine.events if isinstance(e.event, StepExit)]
    assert machine.state.status == "FAILED"
    assert left.took == []
    assert entered(machine) == ["start"]


# -- the end --------------------------------------------------------------------------------


def test_an_execution_that_has_ended_or_not_begun_has_nothing_to_settle():
    ended = begun(ONE)
    succeed(ended, "start")

    assert not ended.give(Settle()).accepted
    assert not Machine(ended.plan).give(Settle()).accepted


def test_an_execution_that_is_given_up_fails_and_its_commands_are_stopped():
    machine = begun(ONE)
    error = ErrorInfo(kind=ErrorKind.LIMIT, message="too much")
    decision = give_up(machine.state, machine.plan, error, at=machine.at)

    assert decision.accepted
    assert decision.stop == [name("start")]
    assert (machine.state.status, machine.state.error) == ("FAILED", error)
    assert not give_up(machine.state, machine.plan, error, at=machine.at).accepted


def test_a_loop_recorded_by_an_earlier_release_has_the_status_of_its_step():
    loop = LoopResult(total=1, success=0, failed=1)
    found = decode(encode(StepExit(step="a", visit=1, status="error", loop=loop)))

    assert found.loop.status == "error"
    assert found.loop.failed == 1
