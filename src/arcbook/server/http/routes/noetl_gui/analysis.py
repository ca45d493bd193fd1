"""An execution summed up in words, as NoETL's web page shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from arcbook.engine.state import State
from arcbook.server.http import event_pages
from arcbook.server.http.route import Call, Route
from arcbook.server.http.routes.analyze import EVENTS_MAX, EXAMPLE, analysis, looked_at
from arcbook.server.http.routes.executions import DETAIL_EVENT
from arcbook.wire.http.common import moment
from arcbook.wire.http.executions import Analysis, DetailQuery, StepReport
from arcbook.wire.http.noetl_gui.analysis import (
    AnalysisSummary,
    AnalyzedPlaybook,
    AnalyzeRequest,
    ExecutionAnalysis,
    Finding,
    SlowNode,
)

SAMPLE_MAX: Final = 2000
"""Events that stand in an analysis."""

LOOK_AT_TRIES: Final = "look at what fails at first: each try is in the events, with its error"

SLOW_PART: Final = 0.5
"""A step that took so much of an execution's time is worth a look ..."""

SLOW_SECONDS: Final = 10.0
"""... where that was so long."""


async def analyze_in_words(call: Call) -> ExecutionAnalysis:
    """Sum an execution up: what went wrong, what took long, and what to do about it."""
    asked: AnalyzeRequest = call.body
    execution_id = call.id()
    row = await call.context.reading.row(execution_id)
    state = await call.context.reading.state(execution_id)
    events_max = min(asked.max_events, EVENTS_MAX)
    progress, seen = await looked_at(call, execution_id, events_max)
    found = analysis(row, progress, seen, events_max)
    findings = list(_findings(found))
    sample = DetailQuery(events=min(asked.event_sample_size, SAMPLE_MAX))
    return ExecutionAnalysis(
        execution_id=found.execution_id,
        path=found.path,
        status=found.status,
        generated_at=moment(call.context.server.clock.now_us()),
        summary=_summary(found),
        findings=findings,
        recommendations=list(_recommendations(found, findings)),
        steps=found.steps,
        playbook=await _playbook(call, state, has_content=asked.include_playbook_content),
        event_sample=await event_pages.newest(call.context.store, state, sample),
    )


async def _playbook(call: Call, state: State, *, has_content: bool) -> AnalyzedPlaybook | None:
    entry = await call.context.store.entry("", catalog_id=state.catalog_id)
    if entry is None:
        return None
    return AnalyzedPlaybook(
        path=entry.path,
        version=entry.version,
        catalog_id=str(entry.catalog_id),
        content=entry.content if has_content else None,
    )


def _summary(found: Analysis) -> AnalysisSummary:
    by_name = {step.step: step for step in found.steps}
    return AnalysisSummary(
        event_count=found.event_count,
        is_partial=found.is_partial,
        duration_seconds=found.duration_seconds,
        step_count=len(found.steps),
        failed_steps=found.failed,
        retry_attempts=sum(step.retries for step in found.steps),
        warning_count=len(found.warnings),
        slowest_nodes=[
            SlowNode(
                node_name=step.step,
                status=step.status,
                duration_seconds=step.duration_seconds or 0.0,
                visits=step.visits,
                retries=step.retries,
            )
            for step in (by_name[name] for name in found.slowest)
        ],
    )


def _findings(found: Analysis) -> Iterator[Finding]:
    """Yield what is worth knowing, the worst first."""
    failed = [step for step in found.steps if step.status == "failed"]
    for step in failed:
        title = f"step {step.step!r} failed"
        yield Finding(
            severity="error", title=title, detail=step.error or "", evidence=_evidence(step)
        )
    if found.error and not any((step.error or "") in found.error for step in failed):
        yield Finding(
            severity="error", title="the execution failed", detail=found.error, evidence=[]
        )
    for step in found.steps:
        if step.retries:
            title = f"step {step.step!r} was tried again"
            detail = f"tries that were not the last of their call: {step.retries}"
            yield Finding(severity="warning", title=title, detail=detail, evidence=_evidence(step))
    for warning in found.warnings:
        yield Finding(severity="warning", title="warning", detail=warning, evidence=[])
    whole = found.duration_seconds or 0.0
    for step in found.steps:
        took = step.duration_seconds or 0.0
        if took >= SLOW_SECONDS and took >= SLOW_PART * whole > 0:
            title = f"step {step.step!r} took most of the time"
            detail = f"{took:.1f} of {whole:.1f} seconds"
            yield Finding(severity="info", title=title, detail=detail, evidence=_evidence(step))
    if found.is_partial:
        detail = f"only the first {found.event_count:,} events were looked at"
        yield Finding(severity="info", title="there is more", detail=detail, evidence=[])


def _evidence(step: StepReport) -> list[str]:
    told = [f"status: {step.status}", f"visits: {step.visits}", f"retries: {step.retries}"]
    if step.duration_seconds is not None:
        told.append(f"duration: {step.duration_seconds:.3f} s")
    return told


def _recommendations(found: Analysis, findings: list[Finding]) -> Iterator[str]:
    if found.failed:
        yield f"mend step {found.failed[0]!r}, and run again from there (retry-from)"
    if any(step.retries for step in found.steps):
        yield LOOK_AT_TRIES
    if found.warnings:
        yield "validate the playbook: it says where each warning comes from"
    if any(one.title.endswith("took most of the time") for one in findings):
        yield "look whether the slowest step can be a loop whose iterations run at once"


FINDING: Final[dict[str, Any]] = {
    "severity": "warning",
    "title": "step 'start' was tried again",
    "detail": "tries that were not the last of their call: 1",
    "evidence": ["status: done", "visits: 1", "retries: 1", "duration: 1.900 s"],
}

ROUTES: Final = [
    Route(
        method="POST",
        path="/api/executions/{execution_id}/analyze",
        handler=analyze_in_words,
        tag="gui",
        summary="An execution summed up in words",
        description=(
            "What went wrong, what took long, and what to do about it, made from the events by "
            "rules. GET of the same path has the numbers alone."
        ),
        body=AnalyzeRequest,
        body_example={"max_events": 3000, "event_sample_size": 1},
        body_optional=True,
        answer=ExecutionAnalysis,
        answer_example={
            "execution_id": "383401759197892608",
            "path": "examples/hello",
            "status": "COMPLETED",
            "generated_at": "2026-01-05T10:01:00Z",
            "summary": {
                "event_count": 4,
                "is_partial": False,
                "duration_seconds": 2.0,
                "step_count": 1,
                "failed_steps": [],
                "retry_attempts": 1,
                "warning_count": 0,
                "slowest_nodes": [
                    {
                        "node_name": "start",
                        "status": "done",
                        "duration_seconds": 1.9,
                        "visits": 1,
                        "retries": 1,
                    }
                ],
            },
            "findings": [FINDING],
            "recommendations": [LOOK_AT_TRIES],
            "steps": EXAMPLE["steps"],
            "playbook": {
                "path": "examples/hello",
                "version": 1,
                "catalog_id": "383401759197892600",
                "content": None,
            },
            "event_sample": [DETAIL_EVENT],
        },
        refusals=(400, 404, 413, 422),
    ),
]
