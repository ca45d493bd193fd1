"""What a step waits for, come from outside."""

from __future__ import annotations

from typing import Any, Final

from arcbook.engine.inputs import CalledBack
from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.server.http.route import Call

GOOD: Final = frozenset({"completed", "complete", "success", "succeeded", "done", "ok"})
"""Words by which a caller says that it went well."""


def outcome_of(status: str, result: Any, error: Any) -> Outcome:
    """Return what a callback says as the outcome of the step's call."""
    if status.lower() in GOOD and not error:
        return ok(result)
    message = str(error) if error else f"the callback said {status[:40]!r}"
    return failed(ErrorKind.PROCESS, message, code="CALLBACK", data=result)


async def call_back(call: Call, execution_id: int, step: str, outcome: Outcome) -> bool:
    """Hand a callback to the step that waits for it; return whether one did.

    Raises:
        ExecutionMissingError: there is no such execution.
        OwnerAwayError: its owner does not answer.
    """
    state = await call.context.reading.state(execution_id)
    waiting = [
        command
        for run in state.runs.values()
        if run.step == step
        for command in run.commands.values()
        if command.wait is not None and command.wait.kind == "callback"
    ]
    if not waiting:
        return False
    first = waiting[0]
    given = CalledBack(command_id=first.command_id, generation=first.generation, outcome=outcome)
    return await call.context.server.give(execution_id, given)
