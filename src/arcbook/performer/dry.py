"""Dry runs: skip calls that would change something."""

from __future__ import annotations

from typing import Final

from arcbook.dsl.kinds import Effects
from arcbook.engine.pipeline import Call
from arcbook.outcome import Outcome, ok
from arcbook.performer.services import Services
from arcbook.wire.payload import CommandPayload

LEFT_OUT_MAX: Final = 10_000
"""Skipped calls that are listed at the end of a run."""


def skipped_outcome(services: Services, work: CommandPayload, request: Call) -> Outcome | None:
    """Return the outcome that replaces a call with effects; None if the call may run."""
    task = request.task
    kind = services.tools.kind(task.kind)
    if kind is None:
        return None  # the call itself reports the unknown kind
    effects = kind.effects_for(request.config, request.idempotency_key)
    if effects is Effects.NONE:
        return None
    summary = kind.summary(request.config) if kind.summary else f"call {task.kind}"
    data = {"dry_run": True, "kind": task.kind, "effects": effects.value, "would": summary}
    if len(services.left_out) < LEFT_OUT_MAX:
        place = {"step": work.step, "task": task.label}
        services.left_out.append(services.secrets.hide({**place, **data}))
    return ok(data, meta={"stdout": f"would {summary}\n"})
