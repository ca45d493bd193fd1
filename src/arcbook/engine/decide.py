"""``decide``: what follows from an input. The engine's one way forward.

Deciding emits events, and every event is folded into the state the moment it is
emitted, so later parts of a decision see earlier ones. Templates are evaluated before
the emit that depends on them: a template that needs data which must be fetched first
leaves the state untouched, and the decision says what it needs.

The engine is split by subject: :mod:`starting`, :mod:`firing`, :mod:`leaving`,
:mod:`loops`, :mod:`completion`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from arcbook.engine import completion, firing, leaving, loops, starting
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
    StartChild,
    Stopped,
    Suspension,
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
    CommandResumed,
    CommandSuspended,
    Parent,
    Wait,
)
from arcbook.outcome import ErrorInfo, ErrorKind, Outcome, failed, ok

LOST_MAX: Final = 10
"""Deliveries of one command that may be lost before it fails."""

CHILD: Final = "child playbook "
"""How the message begins that tells of a child's failure."""

DEPTH_MAX: Final = 32
"""Executions that may stand above one that is started."""

CHILDREN_MAX: Final = 100_000
"""Executions that one may start."""

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
            _suspend(turn, run, command, given.suspended)
        return True
    if given.suspended is not None:
        _suspend(turn, run, command, given.suspended)
    elif given.done:
        leaving.leave(turn, run, given.done[0], given)
    return True


def _suspend(turn: Turn, run: Run, command: Command, given: Suspension) -> None:
    due_at = None if given.seconds is None else turn.at + int(given.seconds * MICROSECONDS)
    child_id = turn.new_id() if given.kind == "child" else 0
    wait = Wait(kind=given.kind, due_at=due_at, child_id=child_id, path=given.path, key=given.key)
    turn.emit(
        CommandSuspended(
            command_id=command.command_id,
            step=run.step,
            visit=run.visit,
            wait=wait,
            state=given.state,
            index=given.index,
        )
    )
    if given.kind != "child":
        return
    depth = 1 + (turn.state.parent.depth if turn.state.parent else 0)
    if (refusal := _child_refusal(turn, depth, given.path)) is not None:
        _resume(turn, command, refusal)
        return
    parent = Parent(
        execution_id=turn.state.execution_id,
        command_id="" if given.detached else command.command_id,
        return_step=given.key,
        depth=depth,
    )
    turn.decision.children.append(
        StartChild(
            execution_id=child_id,
            path=given.path,
            version=given.version,
            catalog_id=given.catalog_id,
            payload=given.payload,
            parent=parent,
            pool=turn.state.pool,
        )
    )
    if given.detached:
        data = {
            "status": "started",
            "execution_id": str(child_id),
            "path": given.path,
            "async": True,
        }
        _resume(turn, command, ok(data))


def _child_refusal(turn: Turn, depth: int, path: str) -> Outcome | None:
    """Return why a child is not started: one that starts itself would never stop."""
    if depth > DEPTH_MAX:
        message = (
            f"playbook {path!r} would stand {depth} executions below the first; the limit is "
            f"{DEPTH_MAX}: does a playbook call itself?"
        )
        return failed(ErrorKind.LIMIT, message, code="CHILD_DEPTH")
    if turn.state.children > CHILDREN_MAX:
        message = f"one execution starts at most {CHILDREN_MAX:,} others"
        return failed(ErrorKind.LIMIT, message, code="CHILD_COUNT")
    return None


def _resume(turn: Turn, command: Command, outcome: Outcome | None, key: str = "") -> None:
    turn.emit(
        CommandResumed(
            command_id=command.command_id,
            step=command.step,
            visit=command.visit,
            outcome=outcome,
            key=key,
        )
    )
    turn.decision.commands.append(command.command_id)


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
    assert command.wait is not None
    if command.wait.kind == "timer":
        _resume(turn, command, None)
        return True
    if command.wait.kind == "child":
        turn.decision.cancel_children.append(command.wait.child_id)
    message = f"what step {command.step!r} waits for did not come in time"
    _resume(turn, command, failed(ErrorKind.TIMEOUT, message, code="WAIT_TIMEOUT", retryable=True))
    return True


def _child(turn: Turn, given: ChildEnded) -> bool:
    command = turn.state.command(given.command_id)
    if command is None or command.wait is None or command.wait.child_id != given.child_id:
        return False
    if turn.state.is_cancelling:
        turn.stopped(command.command_id)
    else:
        _resume(turn, command, child_outcome(given))
    return True


def child_outcome(given: ChildEnded) -> Outcome:
    """Return a child's end as the outcome of the task that called it."""
    facts: dict[str, Any] = {
        "status": given.status,
        "execution_id": str(given.child_id),
    }
    if given.status == "COMPLETED":
        fields = given.result if isinstance(given.result, dict) else {}
        return ok({"path": given.path, **fields, **facts, "result": given.result})
    cause = _shortened(given.error.message) if given.error else given.status.lower()
    kind = ErrorKind.CANCELLED if given.status == "CANCELLED" else ErrorKind.CHILD_FAILED
    message = f"{CHILD}{given.path} ({given.child_id}): {cause}"
    return failed(kind, message, code="CHILD_" + given.status, data=facts)


def _shortened(cause: str) -> str:
    """Return why a child failed; of those below it only the last one, which has the reason."""
    before, child, reason = cause.rpartition(CHILD)
    return f"... {child}{reason}" if CHILD in before else cause


def _called_back(turn: Turn, given: CalledBack) -> bool:
    command = turn.state.command(given.command_id)
    if command is None or command.wait is None or command.wait.kind != "callback":
        return False
    is_late = given.generation >= 0 and given.generation != command.generation
    if is_late or turn.state.is_cancelling:
        return False
    _resume(turn, command, given.outcome, given.key)
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
            elif command.wait is not None and command.wait.kind == "child":
                turn.decision.cancel_children.append(command.wait.child_id)


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
    CalledBack: _called_back,
    Cancel: _cancel,
    Checkpointed: _checkpointed,
    ChildEnded: _child,
    Lost: _lost,
    Report: _report,
    Settle: _settle_only,
    Start: _start,
    Stopped: _stopped,
    TimerFired: _timer,
}
