"""Calls that a dry run leaves out: those that would change something."""

from __future__ import annotations

from typing import Final

from arcbook.dsl.kinds import Effects
from arcbook.engine.pipeline import Call
from arcbook.outcome import Outcome, ok
from arcbook.performer.services import Services
from arcbook.wire.payload import CommandPayload

LEFT_OUT_MAX: Final = 10_000
"""Calls left out that are listed at the end of a run."""


def left_out(services: Services, work: CommandPayload, request: Call) -> Outcome | None:
    """Return what stands in the place of a call with effects; nothing for other calls."""
    task = request.task
    kind = services.tools.kind(task.kind)
    if kind is None:
        return None  # the call fails, and says so
    effects = kind.effects_for(request.config, request.idempotency_key)
    if effects is Effects.NONE:
        return None
    would = kind.summary(request.config) if kind.summary else f"call {task.kind}"
    data = {"dry_run": True, "kind": task.kind, "effects": effects.value, "would": would}
    if len(services.left_out) < LEFT_OUT_MAX:
        place = {"step": work.step, "task": task.label}
        services.left_out.append(services.secrets.hide({**place, **data}))
    return ok(data, meta={"stdout": f"would {would}\n"})
