"""Executions and events in the format of the API, with secrets redacted."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from arcbook.engine.state import Run, State
from arcbook.secrets.taint import shown
from arcbook.store.api import EventRow, ExecutionRow
from arcbook.wire.http.common import human, id_text, moment, seconds_between
from arcbook.wire.http.executions import EventView, Progress, StatusView, Summary

_STATUS: Final = {
    "playbook.started": "STARTED",
    "playbook.completed": "COMPLETED",
    "playbook.failed": "FAILED",
    "playbook.cancelled": "CANCELLED",
    "step.enter": "RUNNING",
    "step.skipped": "SKIPPED",
    "command.issued": "RUNNING",
    "command.completed": "COMPLETED",
    "command.suspended": "WAITING",
    "command.lost": "FAILED",
    "command.cancelled": "CANCELLED",
    "join.closed": "COMPLETED",
    "token.placed": "COMPLETED",
}
"""Statuses of event types; types that are absent mean that the execution is running."""

_IDENTITIES: Final = frozenset({"catalog_id", "child_id", "execution_id"})


def summary(row: ExecutionRow) -> Summary:
    """Return the summary of an execution."""
    return Summary(**summary_fields(row))


def summary_fields(row: ExecutionRow) -> dict[str, Any]:
    """Return the fields of an execution's summary."""
    started, ended = moment(row.started_at), moment(row.ended_at)
    seconds = seconds_between(row.started_at, row.ended_at)
    return {
        "execution_id": str(row.execution_id),
        "catalog_id": id_text(row.catalog_id),
        "path": row.path,
        "version": row.version,
        "status": row.status,
        "started_at": started,
        "completed_at": ended,
        "start_time": started,
        "end_time": ended,
        "duration_seconds": seconds,
        "duration_human": human(seconds),
        "progress": 100 if row.ended_at else 0,
        "event_count": row.seq,
        "current_step": row.current or None,
        "parent_execution_id": id_text(row.parent_execution_id),
        "error": str(shown(row.error)) if row.error else None,
        "tenant": row.tenant or None,
        "organization": row.organization or None,
        "labels": row.labels,
    }


def event(execution_id: int, row: EventRow) -> EventView:
    """Return an event in the format of the API."""
    return EventView(**event_fields(execution_id, row))


def event_fields(execution_id: int, row: EventRow) -> dict[str, Any]:
    """Return the fields of an event in the format of the API."""
    body = _with_texts(shown(msgspec.json.decode(row.body)))
    status = _STATUS.get(row.type, "RUNNING")
    if row.type == "step.exit":
        status = "FAILED" if body.get("status") == "error" else "COMPLETED"
    return {
        "event_id": str(row.seq),
        "seq": row.seq,
        "execution_id": str(execution_id),
        "event_type": row.type,
        "name": row.type,
        "node_name": row.step,
        "status": status,
        "created_at": moment(row.at),
        "result": body.get("result", body.get("loop")),
        "error": body.get("error"),
        "data": body,
    }


def _with_texts(body: dict[str, Any]) -> dict[str, Any]:
    """Return an event with ids as texts, since browsers cannot represent them as numbers."""
    for holder in (body, body.get("parent"), body.get("wait")):
        if isinstance(holder, dict):
            for name in _IDENTITIES & holder.keys():
                holder[name] = str(holder[name])
    return body


def percent(state: State, steps: int) -> int:
    """Return the progress of an execution, by the steps of its playbook.

    A running step counts as half, and a loop as its completed fraction.
    """
    if state.status.is_terminal:
        return 100
    running = {run.step: run for run in state.runs.values()}
    ended = {*state.visits, *state.skipped} - running.keys()
    parts = len(ended) + sum(_part(run) for run in running.values())
    return max(0, min(99, int(100 * parts / max(steps, len(ended) + len(running), 1))))


def _part(run: Run) -> float:
    total = run.loop.start.total if run.loop is not None else 0
    return run.loop.done / total if run.loop is not None and total > 0 else 0.5


def status(state: State) -> StatusView:
    """Return the status of an execution."""
    failed = list(dict.fromkeys(f.step for f in state.failures if not f.recovered))
    running = list(dict.fromkeys(run.step for run in state.runs.values()))
    open_or_bad = {*failed, *running}
    done = [step for step in state.visits if step not in open_or_bad]
    seconds = seconds_between(state.started_at, state.ended_at)
    return StatusView(
        execution_id=str(state.execution_id),
        status=str(state.status),
        current_step=running[0] if running else None,
        progress=Progress(
            total=len(state.visits),
            completed=len(done),
            running=len(running),
            failed_steps=len(failed),
        ),
        completed_steps=done,
        failed=state.status.name == "FAILED",
        completed=state.status.is_terminal,
        completion_inferred=False,
        is_cancelled=state.cancel_reason is not None or state.status.name == "CANCELLED",
        variables=shown(state.ctx),
        error=str(shown(state.error.message)) if state.error else None,
        start_time=moment(state.started_at),
        end_time=moment(state.ended_at),
        duration_seconds=seconds,
        duration_human=human(seconds),
    )
