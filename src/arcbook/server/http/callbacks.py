"""Callbacks to waiting steps."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from arcbook.engine.inputs import CalledBack
from arcbook.engine.waits import CALLED_BACK
from arcbook.events.codec import decode
from arcbook.events.types import CommandResumed, Wait, WaitKind
from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.server.http.route import Call
from arcbook.store.api import all_events

RESUMED: Final = "command.resumed"

GOOD: Final = frozenset({"completed", "complete", "success", "succeeded", "done", "ok"})
"""Statuses that mean success."""


def is_good(status: str) -> bool:
    """Return whether a status means success."""
    return status.lower() in GOOD


def outcome_of(status: str, result: Any, error: Any) -> Outcome:
    """Return a callback as the outcome of the step's call."""
    if is_good(status) and not error:
        return ok(result)
    message = str(error) if error else f"the callback reported {status[:40]!r}"
    return failed(ErrorKind.PROCESS, message, code="CALLBACK", data=result)


async def call_back(
    call: Call,
    execution_id: int,
    step: str,
    outcome: Outcome,
    key: str = "",
    job: JobEnd | None = None,
) -> bool:
    """Pass a callback to the step that waits for it; return whether one did.

    A repeated callback with the same key changes nothing, even if the step waits once more.
    Where the step waits for a job, only a callback for that job counts.

    Raises:
        ExecutionMissingError: the execution does not exist.
        OwnerAwayError: its owner does not answer.
    """
    state = await call.context.reader.state(execution_id)
    waiting = [
        command
        for run in state.runs.values()
        if run.step == step
        for command in run.commands.values()
        if command.wait is not None and _is_for(command.wait, job)
    ]
    # Read after the state: of two concurrent callbacks with this key, both are for the same
    # command, and only the first is accepted.
    if not waiting or (key and await _is_repeated(call, execution_id, step, key)):
        return False
    first = waiting[0]
    if job is not None and first.wait is not None and first.wait.kind is WaitKind.JOB:
        outcome = job.outcome
    called_back = CalledBack(
        command_id=first.command_id, generation=first.generation, outcome=outcome, key=key
    )
    return await call.context.server.give(execution_id, called_back)


class JobEnd(NamedTuple):
    """The end of a job, as a callback reports it."""

    #: The job's name and id, as far as the callback has them.
    name: str
    uid: str
    #: What its tool gets to read.
    outcome: Outcome


def _is_for(wait: Wait, job: JobEnd | None) -> bool:
    """Return whether a callback can end a wait."""
    if wait.kind not in CALLED_BACK:
        return False
    if wait.kind is not WaitKind.JOB or job is None:
        return True
    parts = wait.key.split("/")
    return all(name in parts for name in (job.name, job.uid) if name)


async def _is_repeated(call: Call, execution_id: int, step: str, key: str) -> bool:
    """Return whether a step has already resumed with a callback of this key."""
    holding = b'"key":' + msgspec.json.encode(key)
    filters: dict[str, Any] = {"types": [RESUMED], "step": step, "holding": holding}
    async for row in all_events(call.context.store, execution_id, **filters):
        event = decode(row.body)
        if isinstance(event, CommandResumed) and event.key == key:
            return True  # otherwise the text is part of a callback's data
    return False
