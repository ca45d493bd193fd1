"""What one execution makes of the ends of its children, of cancellations and of aborts."""

from __future__ import annotations

from typing import Any

import pytest
from machines import CHAIN, FORK, ONE, SECOND, begun, entered, name, succeed, types, wait

from arcbook.engine import waits
from arcbook.engine.inputs import (
    Abort,
    Cancel,
    ChildEnded,
    Decision,
    Lost,
    Report,
    Stopped,
    Suspension,
    TimerFired,
)
from arcbook.engine.waits import DEPTH_MAX
from arcbook.events.types import Parent, WaitKind
from arcbook.outcome import ErrorInfo, ErrorKind
from arcbook.testing.machine import EXECUTION_ID, Machine

# -- children -------------------------------------------------------------------------------


def calling(**facts: Any) -> tuple[Machine, Decision, int]:
    """Return an execution whose step waits for a child, with the decision and the child."""
    machine = begun(CHAIN, **facts)
    decision = wait(machine, "start", WaitKind.CHILD, path="other", version=3, payload={"a": 1})
    [child] = decision.children
    return machine, decision, child.execution_id


def ended(machine: Machine, child: int, status: str = "COMPLETED", **facts: Any) -> Decision:
    received = ChildEnded(
        command_id=name("start"), child_id=child, status=status, path="other", **facts
    )
    return machine.give(received)


def test_a_child_is_started_with_what_its_caller_gave_it():
    parent = Parent(execution_id=5, command_id="5:call:1", return_step="", depth=3)
    _, decision, _ = calling(parent=parent, pool="large")
    [child] = decision.children

    assert (child.path, child.version, child.payload) == ("other", 3, {"a": 1})
    assert child.pool == "large"
    assert child.parent == Parent(
        execution_id=EXECUTION_ID, command_id=name("start"), return_step="", depth=4
    )


@pytest.mark.parametrize(("depth", "starts"), [(DEPTH_MAX - 1, 1), (DEPTH_MAX, 0)])
def test_a_child_may_be_so_deep_and_no_deeper(depth, starts):
    parent = Parent(execution_id=5, command_id="5:call:1", return_step="", depth=depth)
    machine = begun(ONE, parent=parent)
    decision = wait(machine, "start", WaitKind.CHILD, path="other")

    assert len(decision.children) == starts


def test_a_child_that_nobody_waits_for_does_not_report_back():
    machine = begun(ONE)
    decision = wait(machine, "start", WaitKind.CHILD, path="other", detached=True)
    [child] = decision.children
    command = machine.state.command(name("start"))

    assert child.parent.command_id == ""
    assert decision.commands == [name("start")]
    assert command.resumed_with.data["execution_id"] == str(child.execution_id)
    assert command.resumed_with.data["async"] is True


def test_the_end_of_a_child_is_taken_once_and_only_from_the_child_that_is_waited_for():
    machine, _, child = calling()

    assert not ended(machine, child + 1).accepted
    decision = ended(machine, child, result={"n": 1, "status": "mine"})
    assert decision.commands == [name("start")]
    assert not ended(machine, child).accepted
    outcome = machine.state.command(name("start")).resumed_with
    assert outcome.status == "ok"
    assert outcome.data == {
        "path": "other",
        "n": 1,
        "status": "COMPLETED",
        "execution_id": str(child),
        "result": {"n": 1, "status": "mine"},
    }


@pytest.mark.parametrize(
    ("status", "kind"),
    [("FAILED", ErrorKind.CHILD_FAILED), ("CANCELLED", ErrorKind.CANCELLED)],
)
def test_a_child_that_did_not_complete_is_a_failure(status, kind):
    machine, _, child = calling()
    error = ErrorInfo(kind=ErrorKind.UNKNOWN, message="no luck") if status == "FAILED" else None
    ended(machine, child, status, error=error)

    outcome = machine.state.command(name("start")).resumed_with
    assert outcome.status == "error"
    assert (outcome.error.kind, outcome.error.code) == (kind, f"CHILD_{status}")
    assert ("no luck" if error else "cancelled") in outcome.error.message


def test_a_child_that_takes_too_long_is_cancelled_and_its_caller_goes_on_with_a_failure():
    machine = begun(ONE)
    child = wait(machine, "start", WaitKind.CHILD, path="other", seconds=4).children[0]
    [(timer, due)] = machine.state.timers().items()
    assert due == machine.at + 4 * SECOND
    machine.at = due
    decision = machine.give(TimerFired(timer_id=timer))

    assert decision.cancel_children == [child.execution_id]
    assert machine.state.command(name("start")).resumed_with.error.code == "WAIT_TIMEOUT"


# -- cancelling -----------------------------------------------------------------------------


def test_a_cancellation_stops_commands_cancels_children_and_starts_nothing_more():
    machine = begun(FORK)
    succeed(machine, "start")
    child = wait(machine, "right", WaitKind.CHILD, path="other").children[0].execution_id
    decision = machine.give(Cancel(reason="enough"))

    assert decision.stop == [name("left")]
    assert decision.cancel_children == [child]
    assert not machine.state.status.is_terminal
    machine.give(
        ChildEnded(command_id=name("right"), child_id=child, status="CANCELLED", path="other")
    )
    last = machine.give(Stopped(command_id=name("left"), confirmed=False))
    assert types(last) == ["command.cancelled", "playbook.cancelled"]
    assert machine.state.status == "CANCELLED"
    assert machine.state.cancel_reason == "enough"
    assert last.events[-1].event.unconfirmed == [name("left")]


def test_a_second_cancellation_and_one_after_the_end_change_nothing():
    machine = begun(ONE)
    machine.give(Cancel(reason="first"))
    assert not machine.give(Cancel(reason="second")).accepted
    machine.give(Stopped(command_id=name("start")))
    assert not machine.give(Cancel(reason="third")).accepted

    assert machine.state.cancel_reason == "first"


def test_a_step_that_ends_while_its_execution_is_cancelled_leads_nowhere():
    machine = begun(CHAIN)
    machine.give(Cancel(reason="enough"))
    succeed(machine, "start")

    assert machine.state.status == "CANCELLED"
    assert entered(machine) == ["start"]


def test_a_timer_does_not_fire_while_its_execution_is_cancelled():
    machine = begun("- {step: start, spec: {timeout: 3}, tool: {kind: work}}")
    [timer] = machine.state.timers()
    machine.give(Cancel(reason="enough"))
    machine.at += 3 * SECOND

    assert not machine.give(TimerFired(timer_id=timer)).accepted
    assert not machine.state.status.is_terminal


def test_a_worker_that_is_lost_while_its_execution_is_cancelled_has_stopped():
    machine = begun(ONE)
    machine.give(Cancel(reason="enough"))
    decision = machine.give(Lost(command_id=name("start")))

    assert decision.commands == []
    assert machine.state.status == "CANCELLED"


def test_an_abort_fails_the_execution_and_stops_its_commands():
    machine = begun(FORK)
    succeed(machine, "start")
    error = ErrorInfo(kind=ErrorKind.LIMIT, message="too much")
    decision = machine.give(Abort(error=error))

    assert machine.state.error == error
    assert sorted(decision.stop) == [name("left"), name("right")]
    assert not machine.give(Abort(error=error)).accepted


def test_an_execution_may_start_as_many_children_as_the_limit_and_no_more(monkeypatch):
    monkeypatch.setattr(waits, "CHILDREN_MAX", 2)
    machine = begun(ONE)
    started = []
    for generation in (0, 2, 4):
        child = Suspension(kind=WaitKind.CHILD, state={}, path="other", detached=True)
        decision = machine.give(
            Report(command_id=name("start"), generation=generation, suspended=child)
        )
        started.append(len(decision.children))

    assert started == [1, 1, 0]
    assert machine.state.command(name("start")).resumed_with.error.code == "CHILD_COUNT"
