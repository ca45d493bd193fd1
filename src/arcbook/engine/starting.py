"""Start an execution: render its workload once and place the first token."""

from __future__ import annotations

import graphlib
from typing import Any

from arcbook.engine import completion
from arcbook.engine.inputs import Start
from arcbook.engine.numbers import time_limit
from arcbook.engine.pipeline import template_failure
from arcbook.engine.scope import Context
from arcbook.engine.turn import MICROSECONDS, Turn, missing_warnings
from arcbook.events.types import PlaybookStarted
from arcbook.template.access import MISSING
from arcbook.template.errors import TemplateError
from arcbook.template.names import roots
from arcbook.template.render import Template, compile_value


def start(turn: Turn, received: Start) -> bool:
    """Start the execution unless it has started."""
    state = turn.state
    if state.seq:
        return False
    error = None
    warnings: list[str] = []
    due_at = None
    workload = {**turn.plan.playbook.workload, **received.payload}
    turn.context = Context(
        execution_id=state.execution_id,
        path=received.path,
        version=received.version,
        catalog_id=received.catalog_id,
        workload=workload,
        payload=received.payload,
    )
    try:
        workload, warnings = _workload(turn, received)
        due_at = _due_at(turn)
    except TemplateError as failure:
        error = template_failure(failure, "workload").error
    turn.emit(
        PlaybookStarted(
            path=received.path,
            version=received.version,
            catalog_id=received.catalog_id,
            workload=workload,
            payload=received.payload,
            parent=received.parent,
            entry="" if error else received.entry or turn.plan.playbook.entry,
            due_at=due_at,
            pool=received.pool,
            labels=received.labels,
            ctx=received.ctx,
            results=received.results,
            strict=received.strict,
            warnings=warnings,
        )
    )
    turn.context = None
    if error is not None:
        completion.abort(turn, error)
    return True


def start_empty(turn: Turn, received: Start) -> None:
    """Record the start of an execution whose input cannot be processed, without reading it."""
    turn.emit(
        PlaybookStarted(
            path=received.path,
            version=received.version,
            catalog_id=received.catalog_id,
            parent=received.parent,
            entry="",
            labels=received.labels,
        )
    )


def _due_at(turn: Turn) -> int | None:
    timeout = turn.plan.timeout
    if timeout is None:
        return None
    seconds = time_limit(timeout, turn.scope())
    return None if seconds is None else turn.at + int(seconds * MICROSECONDS)


def _workload(turn: Turn, received: Start) -> tuple[dict[str, Any], list[str]]:
    """Return the workload with its default values rendered, and warnings.

    Values from the request are data and are not rendered. A default may read other keys of
    the workload in any order; a key that depends on itself has no value there.
    """
    defaults, payload = turn.plan.playbook.workload, received.payload
    compiled = {k: compile_value(v) for k, v in defaults.items() if k not in payload}
    templated = {k: t for k, t in compiled.items() if not t.is_literal}
    if not templated:
        return turn.context.workload, []
    values = {**defaults, **payload}
    for key in templated:
        values[key] = MISSING
    turn.context.workload = values
    scope = turn.scope()
    for key in _in_order(templated):
        values[key] = templated[key].render(scope)
    values = {k: (None if v is MISSING else v) for k, v in values.items()}
    return values, missing_warnings(scope, "workload", strict=received.strict)


def _in_order(templates: dict[str, Template]) -> list[str]:
    """Return the keys in dependency order; in the given order if there is a cycle."""
    reads: dict[str, set[str]] = {}
    for key, template in templates.items():
        keys = {n[1] for n in template.names if n[0] == "workload" and len(n) > 1}
        reads[key] = (set(templates) & (roots(template.names) | keys)) - {key}
    try:
        return list(graphlib.TopologicalSorter(reads).static_order())
    except graphlib.CycleError:
        return list(templates)
