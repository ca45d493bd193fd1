"""Waits: what suspends a command, and what resumes it.

Each kind of wait has one handler: how the wait begins, what happens when it is due, and how
it is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from arcbook.engine.inputs import CalledBack, ChildEnded, StartChild, Suspension
from arcbook.engine.state import Command, Run
from arcbook.engine.turn import MICROSECONDS, Turn
from arcbook.events.types import CommandResumed, CommandSuspended, Parent, Wait, WaitKind
from arcbook.outcome import ErrorKind, Outcome, failed, ok

CHILD: Final = "child playbook "
"""Prefix of the message of a child's failure."""

DEPTH_MAX: Final = 32
"""Maximum depth of an execution below the first one."""

CHILDREN_MAX: Final = 100_000
"""Maximum children that one execution may start."""


class WaitHandler(NamedTuple):
    """The engine's behaviour for one kind of wait."""

    #: Called after the command is suspended.
    begin: Callable[[Turn, Command, Suspension], None]
    #: Called when the wait is due.
    due: Callable[[Turn, Command], None]
    #: Called when the visit or the execution is stopped.
    cancel: Callable[[Turn, Command], None]


def suspend(turn: Turn, run: Run, command: Command, suspension: Suspension) -> None:
    """Suspend a command and begin its wait."""
    due_at = (
        None if suspension.seconds is None else turn.at + int(suspension.seconds * MICROSECONDS)
    )
    child_id = turn.new_id() if suspension.kind is WaitKind.CHILD else 0
    wait = Wait(
        kind=suspension.kind,
        due_at=due_at,
        child_id=child_id,
        path=suspension.path,
        key=suspension.key,
    )
    turn.emit(
        CommandSuspended(
            command_id=command.command_id,
            step=run.step,
            visit=run.visit,
            wait=wait,
            state=suspension.state,
            index=suspension.index,
        )
    )
    HANDLERS[suspension.kind].begin(turn, command, suspension)


def due(turn: Turn, command: Command) -> None:
    """Resume a command whose wait is due."""
    assert command.wait is not None
    HANDLERS[command.wait.kind].due(turn, command)


def cancel(turn: Turn, command: Command) -> None:
    """Cancel a command's wait, if it has one."""
    if command.wait is not None:
        HANDLERS[command.wait.kind].cancel(turn, command)


def resume(
    turn: Turn, command: Command, outcome: Outcome | None, key: str = "", stops: str = ""
) -> None:
    """Record that a command resumes, and issue it again."""
    turn.emit(
        CommandResumed(
            command_id=command.command_id,
            step=command.step,
            visit=command.visit,
            outcome=outcome,
            key=key,
            stops=stops,
        )
    )
    turn.decision.commands.append(command.command_id)


def _no_op(turn: Turn, *_: Any) -> None:
    """No-op: there is nothing to start, and nothing to cancel."""


def _timed_out(turn: Turn, command: Command) -> None:
    message = f"what step {command.step!r} waits for did not come in time"
    resume(turn, command, failed(ErrorKind.TIMEOUT, message, code="WAIT_TIMEOUT", retryable=True))


# -- timers ---------------------------------------------------------------------------


def _pause_over(turn: Turn, command: Command) -> None:
    resume(turn, command, None)


# -- children -------------------------------------------------------------------------


def _start_child(turn: Turn, command: Command, suspension: Suspension) -> None:
    assert command.wait is not None
    depth = 1 + (turn.state.parent.depth if turn.state.parent else 0)
    if (refusal := _child_refusal(turn, depth, suspension.path)) is not None:
        resume(turn, command, refusal)
        return
    parent = Parent(
        execution_id=turn.state.execution_id,
        command_id="" if suspension.detached else command.command_id,
        return_step=suspension.key,
        depth=depth,
    )
    turn.decision.children.append(
        StartChild(
            execution_id=command.wait.child_id,
            path=suspension.path,
            version=suspension.version,
            catalog_id=suspension.catalog_id,
            payload=suspension.payload,
            parent=parent,
            pool=turn.state.pool,
        )
    )
    if suspension.detached:
        data = {
            "status": "started",
            "execution_id": str(command.wait.child_id),
            "path": suspension.path,
            "async": True,
        }
        resume(turn, command, ok(data))


def _child_timed_out(turn: Turn, command: Command) -> None:
    _cancel_child(turn, command)
    _timed_out(turn, command)


def _cancel_child(turn: Turn, command: Command) -> None:
    assert command.wait is not None
    turn.decision.cancel_children.append(command.wait.child_id)


def _child_refusal(turn: Turn, depth: int, path: str) -> Outcome | None:
    """Return why a child may not be started; the limits stop endless recursion."""
    if depth > DEPTH_MAX:
        message = (
            f"playbook {path!r} would run {depth} levels below the first execution; the limit is "
            f"{DEPTH_MAX}: does a playbook call itself?"
        )
        return failed(ErrorKind.LIMIT, message, code="CHILD_DEPTH")
    if turn.state.children > CHILDREN_MAX:
        message = f"an execution may start at most {CHILDREN_MAX:,} child executions"
        return failed(ErrorKind.LIMIT, message, code="CHILD_COUNT")
    return None


def child_ended(turn: Turn, received: ChildEnded) -> bool:
    """Resume the command that waits for a child; return whether it was waiting."""
    command = turn.state.command(received.command_id)
    if command is None or command.wait is None or command.wait.child_id != received.child_id:
        return False
    if turn.state.is_cancelling:
        turn.stopped(command.command_id)
    else:
        resume(turn, command, child_outcome(received))
    return True


def child_outcome(received: ChildEnded) -> Outcome:
    """Return the outcome, for the calling task, of a child that has ended."""
    facts: dict[str, Any] = {
        "status": received.status,
        "execution_id": str(received.child_id),
    }
    if received.status == "COMPLETED":
        fields = received.result if isinstance(received.result, dict) else {}
        return ok({"path": received.path, **fields, **facts, "result": received.result})
    cause = _shortened(received.error.message) if received.error else received.status.lower()
    kind = ErrorKind.CANCELLED if received.status == "CANCELLED" else ErrorKind.CHILD_FAILED
    message = f"{CHILD}{received.path} ({received.child_id}): {cause}"
    return failed(kind, message, code="CHILD_" + received.status, data=facts)


def _shortened(cause: str) -> str:
    """Return the cause of a child's failure with only the innermost child, which has the reason."""
    before, child, reason = cause.rpartition(CHILD)
    return f"... {child}{reason}" if CHILD in before else cause


# -- jobs -----------------------------------------------------------------------------


def _look_again(turn: Turn, command: Command) -> None:
    """Have the tool look whether its job has ended: a callback may be lost."""
    resume(turn, command, None)


def _stop_job(turn: Turn, command: Command) -> None:
    """Have a worker stop the job of a cancelled execution; its report confirms it."""
    if turn.state.is_cancelling and command.wait is not None:
        resume(turn, command, None, stops=command.wait.key)


# -- callbacks ------------------------------------------------------------------------

CALLED_BACK: Final = frozenset({WaitKind.CALLBACK, WaitKind.JOB})
"""The kinds of wait that a callback ends."""


def called_back(turn: Turn, received: CalledBack) -> bool:
    """Resume the command that a callback is for; return whether it was waiting for it."""
    command = turn.state.command(received.command_id)
    if command is None or command.wait is None or command.wait.kind not in CALLED_BACK:
        return False
    is_late = received.generation >= 0 and received.generation != command.generation
    if is_late or turn.state.is_cancelling:
        return False
    resume(turn, command, received.outcome, received.key)
    return True


HANDLERS: Final[dict[WaitKind, WaitHandler]] = {
    WaitKind.TIMER: WaitHandler(begin=_no_op, due=_pause_over, cancel=_no_op),
    WaitKind.CHILD: WaitHandler(begin=_start_child, due=_child_timed_out, cancel=_cancel_child),
    WaitKind.CALLBACK: WaitHandler(begin=_no_op, due=_timed_out, cancel=_no_op),
    WaitKind.JOB: WaitHandler(begin=_no_op, due=_look_again, cancel=_stop_job),
}
"""One handler for each kind of wait."""
