"""``decide``: turn an input into events and effects. Every change starts here.

Each event is folded into the state as soon as it is emitted, so later parts of a decision
see earlier ones. Templates are evaluated before the event that depends on them is emitted:
when one needs data that has not been fetched, the state is left untouched and the decision
names the missing references.

The engine is split by subject: :mod:`starting`, :mod:`firing`, :mod:`leaving`,
:mod:`loops`, :mod:`waits`, :mod:`completion`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from arcbook.engine import completion, firing, leaving, loops, starting, waits
from arcbook.engine.inputs import (
    Abort,
    AnyInput,
    CalledBack,
    Cancel,
    Checkpointed,
    ChildEnded,
    Decision,
    Lost,
    Report,
    Settle,
    Start,
    Stopped,
    TimerFired,
)
from arcbook.engine.plan import Plan
from arcbook.engine.state import Command, CommandStatus, Run, State
from arcbook.engine.turn import LIMITS, MICROSECONDS, LoopLimits, Turn
from arcbook.engine.views import Loaded, NeedsData
from arcbook.events.types import (
    CancelRequested,
    CommandCheckpointed,
    CommandLost,
    WaitKind,
)
from arcbook.outcome import ErrorInfo, ErrorKind

LOST_MAX: Final = 10
"""Lost deliveries after which a command fails."""

RETURNED_MAX: Final = 1000
"""Deliveries that workers may return per command; further ones count as lost."""


def decide(  # what a decision depends on, and nothing else
    state: State,
    plan: Plan,
    received: AnyInput,
    *,
    at: int,
    new_id: Callable[[], int],
    loaded: Loaded | None = None,
    limits: LoopLimits = LIMITS,
) -> Decision:
    """Decide what one input leads to.

    Args:
        state: the execution, changed in place by the decision's events.
        plan: the playbook it runs.
        received: the input.
        at: the time in microseconds since the epoch; must not go backwards.
        new_id: returns ids for child executions.
        loaded: fetched data, by reference.
        limits: limits on loops and decisions.

    Returns:
        The events, and the effects to carry out once they are stored.
    """
    turn = Turn(state, plan, at=at, new_id=new_id, loaded=loaded or {}, limits=limits)
    decision = turn.decision
    try:
        decision.accepted = _HANDLERS[type(received)](turn, received)
    except NeedsData as need:
        decision.needs, decision.again = [need.ref], True
        return decision
    try:
        if decision.accepted:
            _settle(turn)
    except NeedsData as need:
        decision.needs = [need.ref]
    return decision


def give_up(
    state: State, plan: Plan, error: ErrorInfo, *, at: int, start: Start | None = None
) -> Decision:
    """Fail an execution that cannot continue, without evaluating any template.

    Args:
        state: the execution, changed in place by the decision's events.
        plan: the playbook it runs.
        error: the reason.
        at: the time in microseconds since the epoch.
        start: the start input, if it is the input that cannot be decided.
    """
    turn = Turn(state, plan, at=at, new_id=_no_id, loaded={}, limits=LIMITS)
    if state.seq == 0 and start is not None:
        starting.start_empty(turn, start)
    turn.decision.accepted = state.seq > 0 and not state.status.is_terminal
    if turn.decision.accepted:
        completion.abort(turn, error)
    return turn.decision


def _no_id() -> int:
    raise AssertionError("an execution that is given up starts no child")


def _settle(turn: Turn) -> None:
    """Advance the execution until it needs a further input."""
    while not turn.state.status.is_terminal:
        if turn.state.is_cancelling:
            completion.cancelled(turn)
            return
        if turn.is_full:
            turn.decision.more = True
            return
        moved = firing.fire_ready(turn) or loops.advance(turn)
        if not moved and not completion.finish(turn):
            return


# -- inputs ---------------------------------------------------------------------------


def _start(turn: Turn, received: Start) -> bool:
    return starting.start(turn, received)


def _settle_only(turn: Turn, received: Settle) -> bool:
    state = turn.state
    if state.is_cancelling:
        _stop_all(turn)
    return state.seq > 0 and not state.status.is_terminal


def _current(turn: Turn, received: Report | Checkpointed | Lost) -> tuple[Run, Command] | None:
    """Return the issued command that the input is about; None if the input is stale."""
    command = turn.state.command(received.command_id)
    if command is None:
        return None
    if (command.generation, command.lost + 1) != (received.generation, received.attempt):
        return None
    if command.status is not CommandStatus.ISSUED:
        return None
    return turn.state.runs[f"{command.step}:{command.visit}"], command


def _report(turn: Turn, received: Report) -> bool:
    current = _current(turn, received)
    if current is None:
        return False
    run, command = current
    if turn.state.is_cancelling:
        _report_late(turn, run, command, received)
        return True
    if received.fatal is not None:
        leaving.fail(turn, run, received.fatal)
        return True
    if run.loop is not None:
        loops.report(turn, run, command, received)
        if received.suspended is not None:
            waits.suspend(turn, run, command, received.suspended)
        return True
    if received.suspended is not None:
        waits.suspend(turn, run, command, received.suspended)
    elif received.done:
        leaving.leave(turn, run, received.done[0], received)
    return True


def _report_late(turn: Turn, run: Run, command: Command, received: Report) -> None:
    """Take a report on a command of a cancelled execution: a job that it began is stopped."""
    waiting = received.suspended
    if waiting is None or waiting.kind is not WaitKind.JOB:
        is_fault = bool(command.stops) and received.fatal is not None
        turn.stopped(command.command_id, confirmed=not is_fault)
        return
    waits.suspend(turn, run, command, waiting)
    waits.cancel(turn, command)


def _checkpointed(turn: Turn, received: Checkpointed) -> bool:
    current = _current(turn, received)
    if current is None or turn.state.is_cancelling:
        return False
    run, command = current
    if 0 < received.number <= command.recorded:
        return True  # a duplicate: this checkpoint or a later one is recorded
    turn.emit(
        CommandCheckpointed(
            command_id=command.command_id,
            step=run.step,
            visit=run.visit,
            state=received.state,
            index=received.index,
            number=received.number,
        )
    )
    return True


def _lost(turn: Turn, received: Lost) -> bool:
    current = _current(turn, received)
    if current is None:
        return False
    run, command = current
    if turn.state.is_cancelling and not command.stops:
        turn.stopped(command.command_id)
        return True
    turn.emit(
        CommandLost(
            command_id=command.command_id,
            step=run.step,
            visit=run.visit,
            attempt=received.attempt,
            reason=received.reason,
            returned=received.returned,
        )
    )
    lost = command.lost - min(command.returned, RETURNED_MAX)
    is_last = received.final or lost >= LOST_MAX
    if is_last and command.stops:
        turn.stopped(command.command_id, confirmed=False)
    elif is_last:
        message = f"step {run.step!r} lost its worker {lost} times: {received.reason}"
        error = ErrorInfo(kind=ErrorKind.WORKER_LOST, message=message, code="WORKER_LOST")
        leaving.fail(turn, run, error)
    else:
        turn.decision.commands.append(command.command_id)
    return True


def _timer(turn: Turn, received: TimerFired) -> bool:
    kind, _, key = received.timer_id.partition(":")
    if turn.state.is_cancelling or turn.state.due(received.timer_id) is None:
        return False
    if kind == "playbook":
        seconds = (turn.at - turn.state.started_at) / MICROSECONDS
        message = f"the playbook did not end within its time limit ({seconds:.1f} s)"
        error = ErrorInfo(kind=ErrorKind.TIMEOUT, message=message, code="PLAYBOOK_TIMEOUT")
        completion.abort(turn, error)
        return True
    if kind == "step":
        run = turn.state.runs[key]
        seconds = (turn.at - run.entered_at) / MICROSECONDS
        message = f"step {run.step!r} did not end within its time limit ({seconds:.1f} s)"
        error = ErrorInfo(kind=ErrorKind.TIMEOUT, message=message, code="STEP_TIMEOUT")
        leaving.fail(turn, run, error)
        return True
    command_id, _, _ = key.rpartition(":")
    command = turn.state.command(command_id)
    assert command is not None
    waits.due(turn, command)
    return True


def _cancel(turn: Turn, received: Cancel) -> bool:
    state = turn.state
    if state.status.is_terminal or state.is_cancelling or state.seq == 0:
        return False
    turn.emit(CancelRequested(reason=received.reason))
    _stop_all(turn)
    return True


def _stop_all(turn: Turn) -> None:
    """Stop all commands and waits. Idempotent."""
    for run in list(turn.state.runs.values()):
        for command in list(run.commands.values()):
            if command.status is CommandStatus.SUSPENDED:
                waits.cancel(turn, command)
            elif not command.stops:
                turn.decision.stop.append(command.command_id)


def _abort(turn: Turn, received: Abort) -> bool:
    if turn.state.status.is_terminal or turn.state.seq == 0:
        return False
    completion.abort(turn, received.error)
    return True


def _stopped(turn: Turn, received: Stopped) -> bool:
    command = turn.state.command(received.command_id)
    if command is None or not turn.state.is_cancelling:
        return False
    turn.stopped(received.command_id, confirmed=received.confirmed)
    return True


_HANDLERS: Final[dict[type, Callable[[Turn, Any], bool]]] = {
    Abort: _abort,
    CalledBack: waits.called_back,
    Cancel: _cancel,
    Checkpointed: _checkpointed,
    ChildEnded: waits.child_ended,
    Lost: _lost,
    Report: _report,
    Settle: _settle_only,
    Start: _start,
    Stopped: _stopped,
    TimerFired: _timer,
}
