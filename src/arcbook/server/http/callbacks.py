"""What a step waits for, come from outside."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from arcbook.engine.inputs import CalledBack
from arcbook.events.codec import decode
from arcbook.events.types import CommandResumed, WaitKind
from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.server.http.route import Call
from arcbook.store.api import all_events

RESUMED: Final = "command.resumed"

GOOD: Final = frozenset({"completed", "complete", "success", "succeeded", "done", "ok"})
"""Words by which a caller says that it went well."""


def is_good(status: str) -> bool:
    """Return whether a status says that it went well."""
    return status.lower() in GOOD


def outcome_of(status: str, result: Any, error: Any) -> Outcome:
    """Return what a callback says as the outcome of the step's call."""
    if is_good(status) and not error:
        return ok(result)
    message = str(error) if error else f"the callback said {status[:40]!r}"
    return failed(ErrorKind.PROCESS, message, code="CALLBACK", data=result)


async def call_back(
    call: Call, execution_id: int, step: str, outcome: Outcome, key: str = ""
) -> bool:
    """Hand a callback to the step that waits for it; return whether one did.

    One that comes again with its key changes nothing, even if the step waits once more.

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
        if command.wait is not None and command.wait.kind is WaitKind.CALLBACK
    ]
    # Looked for after the state was read: what comes twice at once is for the same command,
    # and only the first of them is taken.
    if not waiting or (key and await _came(call, execution_id, step, key)):
        return False
    first = waiting[0]
    given = CalledBack(
        command_id=first.command_id, generation=first.generation, outcome=outcome, key=key
    )
    return await call.context.server.give(execution_id, given)


async def _came(call: Call, execution_id: int, step: str, key: str) -> bool:
    """Return whether a step went on with a callback of this key."""
    holding = b'"key":' + msgspec.json.encode(key)
    wanted: dict[str, Any] = {"types": [RESUMED], "step": step, "holding": holding}
    async for row in all_events(call.context.store, execution_id, **wanted):
        event = decode(row.body)
        if isinstance(event, CommandResumed) and event.key == key:
            return True  # else the text is in what a callback brought
    return False
