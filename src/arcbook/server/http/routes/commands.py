"""Read single commands, and claim one for a worker."""

from __future__ import annotations

from typing import Any, Final, NamedTuple, NoReturn

import msgspec

from arcbook.engine.state import Command, CommandStatus
from arcbook.owner.plans import Planned
from arcbook.secrets.taint import shown
from arcbook.server.http.access import INTERNAL, a_worker
from arcbook.server.http.errors import ApiError, not_found
from arcbook.server.http.route import Call, Route, an_id
from arcbook.wire.http.commands import ClaimCommand, CommandView
from arcbook.wire.payload import CommandPayload, payload_of
from arcbook.wire.protocol import PROTOCOL, ClaimRequest, CommandNotice

RETRY_AFTER_SECONDS: Final = 2
"""Retry-After for a command that another worker holds."""


class _Outstanding(NamedTuple):
    command: Command
    work: CommandPayload
    planned: Planned


async def get(call: Call) -> CommandView:
    """Return an outstanding command."""
    out = await _out(call)
    return _view(out, out.work)


async def claim(call: Call) -> CommandView:
    """Claim a command for a worker."""
    out = await _out(call)
    context, command = out.work.context, out.command
    request = ClaimRequest(
        worker=a_worker(call.caller, call.body.worker_id),
        tenant=call.caller.tenant,
        commands=[
            CommandNotice(
                execution_id=context.execution_id,
                command_id=command.command_id,
                generation=command.generation,
                attempt=command.lost + 1,
            )
        ],
        protocol=PROTOCOL,
    )
    (claimed,) = await call.context.server.requests.claim(request)
    if claimed.work is None:
        _refuse(claimed.outcome, command.command_id)
    return _view(out, claimed.work)


def _refuse(outcome: str, command_id: str) -> NoReturn:
    if outcome == "retry_later":
        raise ApiError(503, f"the owner of command {command_id} is changing", "owner_changing")
    if outcome == "already_claimed":
        message = f"command {command_id} is already claimed by another worker"
        raise ApiError(409, message, "active_claim", retry_after=RETRY_AFTER_SECONDS)
    raise ApiError(409, f"command {command_id} can no longer be claimed", "already_terminal")


async def _out(call: Call) -> _Outstanding:
    """Return an outstanding command, with its payload.

    Raises:
        ApiError: the command is not outstanding, or its execution is being cancelled.
    """
    command_id = call.param("command_id")
    execution_id = an_id(command_id.partition(":")[0], "the execution of the command's id")
    state = await call.context.reader.state(execution_id)
    command = state.command(command_id)
    if state.is_cancelling or state.status.is_terminal:
        message = f"execution {execution_id} has ended or is being cancelled"
        raise ApiError(409, message, "already_terminal")
    if command is None:
        raise not_found(f"outstanding command {command_id[:200]!r}")
    if command.status is not CommandStatus.ISSUED:
        raise ApiError(409, f"command {command_id} is parked and cannot be claimed", "waiting")
    planned = await call.context.server.plans.find(state.path, catalog_id=state.catalog_id)
    return _Outstanding(command, payload_of(state, planned.plan, command), planned)


def _view(out: _Outstanding, work: CommandPayload) -> CommandView:
    tasks = out.planned.plan.by_name[work.step].tasks
    context: Any = shown(msgspec.to_builtins(work.context))
    context["execution_id"] = str(work.context.execution_id)
    context["catalog_id"] = str(work.context.catalog_id)
    return CommandView(
        event_id=work.command_id,
        execution_id=str(work.context.execution_id),
        node_id=work.step,
        node_name=work.step,
        action=tasks[0].kind if tasks else "noop",
        context=context,
        meta={
            "visit": work.visit,
            "generation": work.generation,
            "attempt": work.attempt,
            "first": work.first,
            "count": work.count,
            "pool": work.pool,
        },
    )


_EXAMPLE: Final = {
    "status": "ok",
    "event_id": "383401759197892608:load:1",
    "execution_id": "383401759197892608",
    "node_id": "load",
    "node_name": "load",
    "action": "http",
    "context": {"execution_id": "383401759197892608", "workload": {"day": "2026-01-05"}},
    "meta": {"visit": 1, "generation": 0, "attempt": 1, "first": -1, "count": 1, "pool": None},
}

ROUTES: Final = [
    Route(
        method="GET",
        path="/api/commands/{command_id}",
        handler=get,
        tag="internal",
        summary="An outstanding command",
        description="The id is `command_id` in events, or the execution's id, the step and the "
        "visit, separated by colons.",
        answer=CommandView,
        answer_example=_EXAMPLE,
        scope=INTERNAL,
        for_workers=True,
        refusals=(400, 404, 409),
    ),
    Route(
        method="POST",
        path="/api/commands/{command_id}/claim",
        handler=claim,
        tag="internal",
        summary="Claim a command for a worker",
        description="The worker must send heartbeats and its report to "
        "`/api/internal/worker/requests` before the lease ends, or the command goes to another "
        "worker.",
        body=ClaimCommand,
        body_example={"worker_id": "outpost-1"},
        answer=CommandView,
        answer_example=_EXAMPLE,
        scope=INTERNAL,
        for_workers=True,
        refusals=(400, 404, 409, 413, 422),
    ),
]
