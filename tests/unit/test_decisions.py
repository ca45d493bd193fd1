"""What one execution makes of inputs that are late, repeated, or meant for another delivery."""

from __future__ import annotations

from typing import Any

import pytest
from machines import CHAIN, FORK, ONE, SECOND, begun, entered, go_wrong, name, succeed, wait

from arcbook.engine.decide import LOST_MAX, RETURNED_MAX
from arcbook.engine.fold import write
from arcbook.engine.inputs import (
    Decision,
    Lost,
    Report,
    Start,
    TimerFired,
)
from arcbook.events.types import Parent, StepExit, WaitKind
from arcbook.outcome import ErrorInfo, ErrorKind
from arcbook.testing.machine import Machine

# -- starting -------------------------------------------------------------------------------


def test_what_a_start_says_is_what_the_execution_is():
    parent = Parent(execution_id=5, command_id="5:call:1", return_step="", depth=3)
    machine = begun(
        CHAIN,
        "workload: {a: 1, b: 2}\n",
        payload={"b": 3},
        version=4,
        catalog_id=6,
        parent=parent,
        pool="large",
        labels={"team": "x"},
        entry="end",
        ctx={"seen": 7},
    )
    state = machine.state

    assert entered(machine) == ["end"]
    assert state.workload == {"a": 1, "b": 3}
    assert state.payload == {"b": 3}
    assert (state.path, state.version, state.catalog_id) == ("p", 4, 6)
    assert state.parent == parent
    assert (state.pool, state.labels, state.ctx) == ("large", {"team": "x"}, {"seen": 7})
    assert [run.pool for run in state.runs.values()] == ["large"]


def test_an_execution_starts_once():
    machine = begun(ONE)
    decision = machine.give(Start(path="p", payload={}))

    assert not decision.accepted
    assert decision.events == []


# -- reports --------------------------------------------------------------------------------


def test_a_report_counts_once():
    machine = begun(CHAIN)
    first, second = succeed(machine, "start"), succeed(machine, "start")

    assert (first.accepted, second.accepted) == (True, False)
    assert entered(machine) == ["start", "end"]


@pytest.mark.parametrize(
    ("generation", "attempt", "accepted"),
    [(0, 2, True), (0, 1, False), (0, 3, False), (1, 2, False)],
)
def test_a_report_is_taken_only_from_the_delivery_that_is_current(generation, attempt, accepted):
    machine = begun(ONE)
    machine.give(Lost(command_id=name("start"), reason="gone"))

    decision = succeed(machine, "start", generation=generation, attempt=attempt)

    assert decision.accepted is accepted


def test_a_report_from_before_a_wait_is_not_taken_after_it():
    machine = begun(ONE)
    wait(machine, "start", WaitKind.TIMER, seconds=1)
    machine.at += SECOND
    [timer] = machine.state.timers()
    machine.give(TimerFired(timer_id=timer))

    assert not succeed(machine, "start", generation=0).accepted
    assert not succeed(machine, "start", generation=1).accepted
    assert succeed(machine, "start", generation=2).accepted
    assert machine.state.status == "COMPLETED"


def test_nothing_is_taken_from_a_worker_while_its_command_waits():
    machine = begun(ONE)
    wait(machine, "start", WaitKind.TIMER, seconds=1)

    assert not succeed(machine, "start", generation=1).accepted
    assert not machine.give(Lost(command_id=name("start"), generation=1)).accepted


def test_a_command_that_cannot_be_performed_fails_its_step():
    machine = begun(ONE)
    error = ErrorInfo(kind=ErrorKind.LIMIT, message="too large", code="BIG", where="steps.start")
    machine.give(Report(command_id=name("start"), fatal=error))

    assert machine.state.status == "FAILED"
    assert machine.state.error == ErrorInfo(
        kind=ErrorKind.LIMIT,
        message="step 'start' failed: too large",
        code="BIG",
        where="steps.start",
    )


def test_the_event_of_a_step_says_which_delivery_by_which_worker_ended_it():
    machine = begun(ONE)
    machine.give(Lost(command_id=name("start")))
    decision = succeed(machine, "start", attempt=2, worker="w7", started_at=9)

    left = decision.events[0].event
    assert isinstance(left, StepExit)
    assert (left.worker, left.attempt, left.started_at) == ("w7", 2, 9)


# -- lost workers ---------------------------------------------------------------------------


def lose(machine: Machine, attempt: int, **facts: Any) -> Decision:
    return machine.give(
        Lost(command_id=name("start"), attempt=attempt, reason="went away", **facts)
    )


def test_a_command_is_delivered_again_until_it_has_lost_ten_workers():
    machine = begun(ONE)
    for attempt in range(1, LOST_MAX):
        assert lose(machine, attempt).commands == [name("start")]
    decision = lose(machine, LOST_MAX)

    assert LOST_MAX == 10
    assert decision.commands == []
    assert machine.state.status == "FAILED"
    assert machine.state.error.code == "WORKER_LOST"
    assert "lost its worker 10 times: went away" in machine.state.error.message


def test_a_loss_that_is_final_fails_the_step_at_once():
    machine = begun(ONE)
    lose(machine, 1, final=True)

    assert machine.state.status == "FAILED"
    assert machine.state.error.code == "WORKER_LOST"


def test_a_loss_counts_once():
    machine = begun(ONE)

    assert lose(machine, 1).accepted
    assert not lose(machine, 1).accepted


def test_a_delivery_that_a_worker_returns_is_no_loss_up_to_a_limit():
    machine = begun(ONE)
    for attempt in range(1, RETURNED_MAX + 1):
        lose(machine, attempt, returned=True)
    for attempt in range(RETURNED_MAX + 1, RETURNED_MAX + LOST_MAX):
        assert lose(machine, attempt, returned=True).commands == [name("start")]
    lose(machine, RETURNED_MAX + LOST_MAX, returned=True)

    assert machine.state.status == "FAILED"


# -- timers ---------------------------------------------------------------------------------


def test_a_step_that_takes_too_long_fails_and_its_command_is_stopped():
    machine = begun("- {step: start, spec: {timeout: 3}, tool: {kind: work}}")
    [timer] = machine.state.timers()
    assert machine.state.timers()[timer] == machine.at + 3 * SECOND
    machine.at += 3 * SECOND
    decision = machine.give(TimerFired(timer_id=timer))

    assert decision.stop == [name("start")]
    assert machine.state.error.code == "STEP_TIMEOUT"
    assert "did not end within its time limit (3.0 s)" in machine.state.error.message


def test_the_time_of_a_step_begins_when_it_is_entered():
    machine = begun("""
        - {step: start, tool: {kind: work}, next: {arcs: [{step: end}]}}
        - {step: end, spec: {timeout: 3}, tool: {kind: work}}
        """)
    machine.at += 5 * SECOND
    succeed(machine, "start")
    [(timer, due)] = machine.state.timers().items()
    assert due == machine.at + 3 * SECOND
    machine.at = due
    machine.give(TimerFired(timer_id=timer))

    assert "time limit (3.0 s)" in machine.state.error.message


def test_a_timer_of_a_step_that_has_ended_changes_nothing():
    machine = begun("""
        - {step: start, spec: {timeout: 3}, tool: {kind: work}, next: {arcs: [{step: end}]}}
        - {step: end, tool: {kind: work}}
        """)
    [timer] = machine.state.timers()
    succeed(machine, "start")
    machine.at += 3 * SECOND
    decision = machine.give(TimerFired(timer_id=timer))

    assert not decision.accepted
    assert decision.events == []
    assert not machine.state.status.is_terminal


def test_a_timer_of_an_earlier_visit_does_not_end_the_next_one():
    machine = begun("""
        - step: start
          spec: {timeout: 3}
          tool: {kind: work}
          next: {arcs: [{step: start, when: "{{ output.data == 1 }}"}]}
        """)
    [timer] = machine.state.timers()
    machine.at += 2 * SECOND
    succeed(machine, "start", 1)
    machine.at += SECOND

    assert not machine.give(TimerFired(timer_id=timer)).accepted
    assert not machine.state.status.is_terminal


def test_an_execution_that_takes_too_long_fails_and_all_its_commands_are_stopped():
    machine = begun(FORK, "executor: {spec: {timeout: 60}}\n")
    succeed(machine, "start")
    wait(machine, "right", WaitKind.CHILD, path="other")
    [child] = [run.commands[name("right")].wait.child_id for run in machine.state.runs.values()
               if run.step == "right"]  # fmt: skip
    [timer] = [timer for timer in machine.state.timers() if timer.startswith("playbook")]
    machine.at += 60 * SECOND
    decision = machine.give(TimerFired(timer_id=timer))

    assert machine.state.error.code == "PLAYBOOK_TIMEOUT"
    assert "(60.0 s)" in machine.state.error.message
    assert decision.stop == [name("left")]
    assert decision.cancel_children == [child]


# -- ending ---------------------------------------------------------------------------------


def test_the_first_failure_is_the_execution_s_and_all_failed_steps_are_named():
    machine = begun(FORK)
    succeed(machine, "start")
    go_wrong(machine, "right", "no right", code="R", retryable=True, where="steps.right")
    assert not machine.state.status.is_terminal
    decision = go_wrong(machine, "left", "no left")

    failed = decision.events[-1].event
    assert failed.failed_steps == ["right", "left"]
    assert failed.error == ErrorInfo(
        kind=ErrorKind.UNKNOWN,
        message="step 'right' failed: no right",
        code="R",
        retryable=True,
        where="steps.right",
    )


# -- set ------------------------------------------------------------------------------------


def test_writing_below_a_name_copies_what_is_shared():
    shared = {"a": {"b": {"c": 1}}, "x": 5}
    ctx = dict(shared)
    write(ctx, [(["a", "b", "d"], 2), (["x", "y"], 3), (["new"], 4)])

    assert ctx == {"a": {"b": {"c": 1, "d": 2}}, "x": {"y": 3}, "new": 4}
    assert shared == {"a": {"b": {"c": 1}}, "x": 5}
