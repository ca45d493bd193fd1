"""The payload of a command: what its worker needs, with the names its templates read."""

from __future__ import annotations

from typing import Any

import msgspec

from arcbook.engine.plan import Plan, PlanStep
from arcbook.engine.scope import Context
from arcbook.engine.state import Command, State
from arcbook.events.types import LoopStart
from arcbook.outcome import Outcome


class CommandPayload(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A command and the names its templates read; the playbook is not included."""

    command_id: str
    step: str
    visit: int
    context: Context
    generation: int = 0
    attempt: int = 1
    first: int = -1
    count: int = 1
    loop: LoopStart | None = None
    saved: Any = None
    resumed_with: Outcome | None = None
    #: The job to stop, instead of performing the command.
    stops: str = ""
    pool: str | None = None


def payload_of(state: State, plan: Plan, command: Command) -> CommandPayload:
    """Build the payload of a command."""
    step = plan.by_name[command.step]
    run = state.runs[f"{command.step}:{command.visit}"]
    came_from = run.came_from[-1] if run.came_from else ""
    return CommandPayload(
        command_id=command.command_id,
        step=command.step,
        visit=command.visit,
        context=context_of(state, step, run.locals, came_from),
        generation=command.generation,
        attempt=command.lost + 1,
        first=command.first,
        count=command.count,
        loop=run.loop.start if run.loop is not None else None,
        saved=command.saved,
        resumed_with=command.resumed_with,
        stops=command.stops,
        pool=run.pool,
    )


def context_of(state: State, step: PlanStep, local: dict[str, Any], came_from: str) -> Context:
    """Return only the names that a step's templates read."""
    if step.reads_everything:
        return Context(
            execution_id=state.execution_id,
            path=state.path,
            version=state.version,
            catalog_id=state.catalog_id,
            workload=state.workload,
            payload=state.payload,
            ctx=dict(state.ctx),
            steps=dict(state.results),
            locals=local,
            came_from=came_from,
            strict=state.strict,
        )
    names = step.reads
    ctx, results, workload = state.ctx, state.results, state.workload
    steps = {name: results[name] for name in names if name in results}
    if step.reads_previous and came_from in results:
        steps[came_from] = results[came_from]
    return Context(
        execution_id=state.execution_id,
        path=state.path,
        version=state.version,
        catalog_id=state.catalog_id,
        workload=workload
        if step.reads_workload
        else {name: workload[name] for name in names if name in workload},
        payload=state.payload if step.reads_payload else {},
        ctx={name: ctx[name] for name in names if name in ctx},
        steps=steps,
        locals=local,
        came_from=came_from,
        strict=state.strict,
    )
