"""Waits: what suspends a command, and what resumes it.

Each kind of wait has one handler, which says what begins with the wait, what happens when
it has lasted too long, and what a cancellation has to stop.
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
"""How the message begins that tells of a child's failure."""

DEPTH_MAX: Final = 32
"""Executions that may stand above one that is started."""

CHILDREN_MAX: Final = 100_000
"""Executions that one may start."""


class WaitHandler(NamedTuple):
    """What the engine does for one kind of wait."""

    #: Called once the command is suspended.
    begin: Callable[[Turn, Command, Suspension], None]
    #: Called when the time of the wait has come.
    due: Callable[[Turn, Command], None]
    #: Called when the visit, or the execution, is stopped.
    cancel: Callable[[Turn, Wait], None]


def suspend(turn: Turn, run: Run, command: Command, given: Suspension) -> None:
    """Record that a command waits, and begin what it waits for."""
    due_at = None if given.seconds is None else turn.at + int(given.seconds * MICROSECONDS)
    child_id = turn.new_id() if given.kind is WaitKind.CHILD else 0
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
    HANDLERS[given.kind].begin(turn, command, given)


def due(turn: Turn, command: Command) -> None:
    """Resume a command whose wait has lasted as long as it may."""
    assert command.wait is not None
    HANDLERS[command.wait.kind].due(turn, command)


def cancel(turn: Turn, command: Command) -> None:
    """Have stopped what a command waits for, if it waits."""
    if command.wait is not None:
        HANDLERS[command.wait.kind].cancel(turn, command.wait)


def resume(turn: Turn, command: Command, outcome: Outcome | None, key: str = "") -> None:
    """Record that a command goes on, and issue it again."""
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


def _nothing(turn: Turn, *_: Any) -> None:
    """Do nothing: whatever ends the wait comes by itself, or is no longer wanted."""


def _too_late(turn: Turn, command: Command) -> None:
    message = f"what step {command.step!r} waits for did not come in time"
    resume(turn, command, failed(ErrorKind.TIMEOUT, message, code="WAIT_TIMEOUT", retryable=True))


# -- timers ---------------------------------------------------------------------------


def _pause_over(turn: Turn, command: Command) -> None:
    resume(turn, command, None)


# -- children -------------------------------------------------------------------------


def _start_child(turn: Turn, command: Command, given: Suspension) -> None:
    assert command.wait is not None
    depth = 1 + (turn.state.parent.depth if turn.state.parent else 0)
    if (refusal := _child_refusal(turn, depth, given.path)) is not None:
        resume(turn, command, refusal)
        return
    parent = Parent(
        execution_id=turn.state.execution_id,
        command_id="" if given.detached else command.command_id,
        return_step=given.key,
        depth=depth,
    )
    turn.decision.children.append(
        StartChild(
            execution_id=command.wait.child_id,
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
            "execution_id": str(command.wait.child_id),
            "path": given.path,
            "async": True,
        }
        resume(turn, command, ok(data))


def _child_too_late(turn: Turn, command: Command) -> None:
    assert command.wait is not None
    _cancel_child(turn, command.wait)
    _too_late(turn, command)


def _cancel_child(turn: Turn, wait: Wait) -> None:
    turn.decision.cancel_children.append(wait.child_id)


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


def child_ended(turn: Turn, given: ChildEnded) -> bool:
    """Resume the command that waits for a child; return whether there is one."""
    command = turn.state.command(given.command_id)
    if command is None or command.wait is None or command.wait.child_id != given.child_id:
        return False
    if turn.state.is_cancelling:
        turn.stopped(command.command_id)
    else:
        resume(turn, command, child_outcome(given))
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


# -- callbacks ------------------------------------------------------------------------


def called_back(turn: Turn, given: CalledBack) -> bool:
    """Resume the command that a callback is for; return whether it waits for it."""
    command = turn.state.command(given.command_id)
    if command is None or command.wait is None or command.wait.kind is not WaitKind.CALLBACK:
        return False
    is_late = given.generation >= 0 and given.generation != command.generation
    if is_late or turn.state.is_cancelling:
        return False
    resume(turn, command, given.outcome, given.key)
    return True


HANDLERS: Final[dict[WaitKind, WaitHandler]] = {
    WaitKind.TIMER: WaitHandler(begin=_nothing, due=_pause_over, cancel=_nothing),
    WaitKind.CHILD: WaitHandler(begin=_start_child, due=_child_too_late, cancel=_cancel_child),
    WaitKind.CALLBACK: WaitHandler(begin=_nothing, due=_too_late, cancel=_nothing),
}
"""One handler for each kind of wait."""
