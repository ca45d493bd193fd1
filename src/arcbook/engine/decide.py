"""``decide``: what follows from an input. The engine's one way forward.

Deciding emits events, and every event is folded into the state the moment it is
emitted, so later parts of a decision see earlier ones. Templates are evaluated before
the emit that depends on them: a template that needs data which must be fetched first
leaves the state untouched, and the decision says what it needs.

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
)
from arcbook.outcome import ErrorInfo, ErrorKind

LOST_MAX: Final = 10
"""Deliveries of one command that may be lost before it fails."""

RETURNED_MAX: Final = 1000
"""Deliveries of one command that workers may give back; further ones count as lost."""


def decide(  # what a decision depends on, and nothing else
    state: State,
    plan: Plan,
    given: AnyInput,
    *,
    at: int,
    new_id: Callable[[], int],
    loaded: Loaded | None = None,
    limits: LoopLimits = LIMITS,
) -> Decision:
    """Take one input.

    Args:
        state: the execution; on return it is advanced by the decision's events.
        plan: the playbook it runs.
        given: what happened.
        at: the time, in microseconds since the epoch; not before earlier ones.
        new_id: yields ids for child executions.
        loaded: data of references that was fetched.
        limits: limits of loops.

    Returns:
        The events and what is to be done once they are stored.
    """
    turn = Turn(state, plan, at=at, new_id=new_id, loaded=loaded or {}, limits=limits)
    decision = turn.decision
    try:
        decision.accepted = _HANDLERS[type(given)](turn, given)
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
    """Fail an execution that cannot be gone on with, evaluating nothing of it.

    Args:
        state: the execution; on return it is advanced by the decision's events.
        plan: the playbook it runs.
        error: why.
        at: the time, in microseconds since the epoch.
        start: what began it, if that is what cannot be decided.
    """
    turn = Turn(state, plan, at=at, new_id=_no_id, loaded={}, limits=LIMITS)
    if state.seq == 0 and start is not None:
        starting.begin_nothing(turn, start)
    turn.decision.accepted = state.seq > 0 and not state.status.is_terminal
    if turn.decision.accepted:
        completion.abort(turn, error)
    return turn.decision


def _no_id() -> int:
    raise AssertionError("what is given up starts no child")


def _settle(turn: Turn) -> None:
    """Go on until nothing is left to do without a further input."""
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


def _start(turn: Turn, given: Start) -> bool:
    return starting.start(turn, given)


def _settle_only(turn: Turn, given: Settle) -> bool:
    state = turn.state
    if state.is_cancelling:
        _stop_all(turn)
    return state.seq > 0 and not state.status.is_terminal


def _current(turn: Turn, given: Report | Checkpointed | Lost) -> tuple[Run, Command] | None:
    """Return a command that is out with a worker, unless what came is stale."""
    command = turn.state.command(given.command_id)
    if command is None:
        return None
    if (command.generation, command.lost + 1) != (given.generation, given.attempt):
        return None
    if command.status is not CommandStatus.ISSUED:
        return None
    return turn.state.runs[f"{command.step}:{command.visit}"], command


def _report(turn: Turn, given: Report) -> bool:
    found = _current(turn, given)
    if found is None:
        return False
    run, command = found
    if turn.state.is_cancelling:
        turn.stopped(command.command_id)
        return True
    if given.fatal is not None:
        leaving.fail(turn, run, given.fatal)
        return True
    if run.loop is not None:
        loops.report(turn, run, command, given)
        if given.suspended is not None:
            waits.suspend(turn, run, command, given.suspended)
        return True
    if given.suspended is not None:
        waits.suspend(turn, run, command, given.suspended)
    elif given.done:
        leaving.leave(turn, run, given.done[0], given)
    return True


def _checkpointed(turn: Turn, given: Checkpointed) -> bool:
    found = _current(turn, given)
    if found is None or turn.state.is_cancelling:
        return False
    run, command = found
    if 0 < given.number <= command.recorded:
        return True  # it comes again: it is recorded, or something later is
    turn.emit(
        CommandCheckpointed(
            command_id=command.command_id,
            step=run.step,
            visit=run.visit,
            state=given.state,
            index=given.index,
            number=given.number,
        )
    )
    return True


def _lost(turn: Turn, given: Lost) -> bool:
    found = _current(turn, given)
    if found is None:
        return False
    run, command = found
    if turn.state.is_cancelling:
        turn.stopped(command.command_id)
        return True
    turn.emit(
        CommandLost(
            command_id=command.command_id,
            step=run.step,
            visit=run.visit,
            attempt=given.attempt,
            reason=given.reason,
            returned=given.returned,
        )
    )
    lost = command.lost - min(command.returned, RETURNED_MAX)
    if given.final or lost >= LOST_MAX:
        message = f"step {run.step!r} lost its worker {lost} times: {given.reason}"
        error = ErrorInfo(kind=ErrorKind.WORKER_LOST, message=message, code="WORKER_LOST")
        leaving.fail(turn, run, error)
    else:
        turn.decision.commands.append(command.command_id)
    return True


def _timer(turn: Turn, given: TimerFired) -> bool:
    kind, _, rest = given.timer_id.partition(":")
    if turn.state.is_cancelling or turn.state.due(given.timer_id) is None:
        return False
    if kind == "playbook":
        seconds = (turn.at - turn.state.started_at) / MICROSECONDS
        message = f"the playbook did not end within its time limit ({seconds:.1f} s)"
        error = ErrorInfo(kind=ErrorKind.TIMEOUT, message=message, code="PLAYBOOK_TIMEOUT")
        completion.abort(turn, error)
        return True
    if kind == "step":
        run = turn.state.runs[rest]
        seconds = (turn.at - run.entered_at) / MICROSECONDS
        message = f"step {run.step!r} did not end within its time limit ({seconds:.1f} s)"
        error = ErrorInfo(kind=ErrorKind.TIMEOUT, message=message, code="STEP_TIMEOUT")
        leaving.fail(turn, run, error)
        return True
    command_id, _, _ = rest.rpartition(":")
    command = turn.state.command(command_id)
    assert command is not None
    waits.due(turn, command)
    return True


def _cancel(turn: Turn, given: Cancel) -> bool:
    state = turn.state
    if state.status.is_terminal or state.is_cancelling or state.seq == 0:
        return False
    turn.emit(CancelRequested(reason=given.reason))
    _stop_all(turn)
    return True


def _stop_all(turn: Turn) -> None:
    """Have everything that goes on stopped; asking again does no harm."""
    for run in list(turn.state.runs.values()):
        for command in list(run.commands.values()):
            if command.status is CommandStatus.ISSUED:
                turn.decision.stop.append(command.command_id)
            else:
                waits.cancel(turn, command)


def _abort(turn: Turn, given: Abort) -> bool:
    if turn.state.status.is_terminal or turn.state.seq == 0:
        return False
    completion.abort(turn, given.error)
    return True


def _stopped(turn: Turn, given: Stopped) -> bool:
    command = turn.state.command(given.command_id)
    if command is None or not turn.state.is_cancelling:
        return False
    turn.stopped(given.command_id, confirmed=given.confirmed)
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
