"""Admitting an execution: its workload, rendered once, and the first token."""

from __future__ import annotations

import graphlib
from typing import Any

from arcbook.engine import completion
from arcbook.engine.inputs import Start
from arcbook.engine.numbers import time_limit
from arcbook.engine.pipeline import template_failure
from arcbook.engine.scope import Context
from arcbook.engine.turn import MICROSECONDS, Turn, lacking
from arcbook.events.types import PlaybookStarted
from arcbook.template.access import MISSING
from arcbook.template.errors import TemplateError
from arcbook.template.names import roots
from arcbook.template.render import Template, compile_value


def start(turn: Turn, given: Start) -> bool:
    """Begin the execution, once."""
    state = turn.state
    if state.seq:
        return False
    error = None
    warnings: list[str] = []
    due_at = None
    workload = {**turn.plan.playbook.workload, **given.payload}
    turn.context = Context(
        execution_id=state.execution_id,
        path=given.path,
        version=given.version,
        catalog_id=given.catalog_id,
        workload=workload,
        payload=given.payload,
    )
    try:
        workload, warnings = _workload(turn, given)
        due_at = _due_at(turn)
    except TemplateError as fault:
        error = template_failure(fault, "workload").error
    turn.emit(
        PlaybookStarted(
            path=given.path,
            version=given.version,
            catalog_id=given.catalog_id,
            workload=workload,
            payload=given.payload,
            parent=given.parent,
            entry="" if error else given.entry or turn.plan.playbook.entry,
            due_at=due_at,
            pool=given.pool,
            labels=given.labels,
            ctx=given.ctx,
            results=given.results,
            strict=given.strict,
            warnings=warnings,
        )
    )
    turn.context = None
    if error is not None:
        completion.abort(turn, error)
    return True


def begin_nothing(turn: Turn, given: Start) -> None:
    """Record the start of an execution whose input cannot be taken; nothing of that is read."""
    turn.emit(
        PlaybookStarted(
            path=given.path,
            version=given.version,
            catalog_id=given.catalog_id,
            parent=given.parent,
            entry="",
            labels=given.labels,
        )
    )


def _due_at(turn: Turn) -> int | None:
    timeout = turn.plan.timeout
    if timeout is None:
        return None
    seconds = time_limit(timeout, turn.scope())
    return None if seconds is None else turn.at + int(seconds * MICROSECONDS)


def _workload(turn: Turn, given: Start) -> tuple[dict[str, Any], list[str]]:
    """Return the workload with its own templates rendered; the request's are data.

    A value may read other workload keys, in any order; one that reads itself, directly
    or in a circle, finds nothing there.
    """
    defaults, payload = turn.plan.playbook.workload, given.payload
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
    return values, lacking(scope, "workload", strict=given.strict)


def _in_order(templates: dict[str, Template]) -> list[str]:
    """Return keys such that what a value reads comes before it, as far as possible."""
    reads: dict[str, set[str]] = {}
    for key, template in templates.items():
        named = {n[1] for n in template.names if n[0] == "workload" and len(n) > 1}
        reads[key] = (set(templates) & (roots(template.names) | named)) - {key}
    try:
        return list(graphlib.TopologicalSorter(reads).static_order())
    except graphlib.CycleError:
        return list(templates)
