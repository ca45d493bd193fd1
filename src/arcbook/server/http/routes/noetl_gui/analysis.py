"""A summary of an execution in words, for NoETL's web page."""

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
"""Events read by one analysis."""

LOOK_AT_TRIES: Final = "fix the cause of the failed attempts: each is in the events, with its error"

SLOW_PART: Final = 0.5
"""The share of an execution's time from which a step is reported as slow ..."""

SLOW_SECONDS: Final = 10.0
"""... if it also took at least this long."""


async def analyze_in_words(call: Call) -> ExecutionAnalysis:
    """Summarize an execution: what failed, what was slow, and what to do about it."""
    request: AnalyzeRequest = call.body
    execution_id = call.id()
    row = await call.context.reader.row(execution_id)
    state = await call.context.reader.state(execution_id)
    events_max = min(request.max_events, EVENTS_MAX)
    progress, count = await looked_at(call, execution_id, events_max)
    report = analysis(row, progress, count, events_max)
    findings = list(_findings(report))
    sample = DetailQuery(events=min(request.event_sample_size, SAMPLE_MAX))
    return ExecutionAnalysis(
        execution_id=report.execution_id,
        path=report.path,
        status=report.status,
        generated_at=moment(call.context.server.clock.now_us()),
        summary=_summary(report),
        findings=findings,
        recommendations=list(_recommendations(report, findings)),
        steps=report.steps,
        playbook=await _playbook(call, state, has_content=request.include_playbook_content),
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


def _summary(report: Analysis) -> AnalysisSummary:
    by_name = {step.step: step for step in report.steps}
    return AnalysisSummary(
        event_count=report.event_count,
        is_partial=report.is_partial,
        duration_seconds=report.duration_seconds,
        step_count=len(report.steps),
        failed_steps=report.failed,
        retry_attempts=sum(step.retries for step in report.steps),
        warning_count=len(report.warnings),
        slowest_nodes=[
            SlowNode(
                node_name=step.step,
                status=step.status,
                duration_seconds=step.duration_seconds or 0.0,
                visits=step.visits,
                retries=step.retries,
            )
            for step in (by_name[name] for name in report.slowest)
        ],
    )


def _findings(report: Analysis) -> Iterator[Finding]:
    """Yield the findings, most severe first."""
    failed = [step for step in report.steps if step.status == "failed"]
    for step in failed:
        title = f"step {step.step!r} failed"
        yield Finding(
            severity="error", title=title, detail=step.error or "", evidence=_evidence(step)
        )
    if report.error and not any((step.error or "") in report.error for step in failed):
        yield Finding(
            severity="error", title="the execution failed", detail=report.error, evidence=[]
        )
    for step in report.steps:
        if step.retries:
            title = f"step {step.step!r} was retried"
            detail = f"attempts that were not the last of their call: {step.retries}"
            yield Finding(severity="warning", title=title, detail=detail, evidence=_evidence(step))
    for warning in report.warnings:
        yield Finding(severity="warning", title="warning", detail=warning, evidence=[])
    total = report.duration_seconds or 0.0
    for step in report.steps:
        seconds = step.duration_seconds or 0.0
        if seconds >= SLOW_SECONDS and seconds >= SLOW_PART * total > 0:
            title = f"step {step.step!r} took most of the time"
            detail = f"{seconds:.1f} of {total:.1f} seconds"
            yield Finding(severity="info", title=title, detail=detail, evidence=_evidence(step))
    if report.is_partial:
        detail = f"only the first {report.event_count:,} events were read"
        yield Finding(severity="info", title="incomplete analysis", detail=detail, evidence=[])


def _evidence(step: StepReport) -> list[str]:
    evidence = [f"status: {step.status}", f"visits: {step.visits}", f"retries: {step.retries}"]
    if step.duration_seconds is not None:
        evidence.append(f"duration: {step.duration_seconds:.3f} s")
    return evidence


def _recommendations(report: Analysis, findings: list[Finding]) -> Iterator[str]:
    if report.failed:
        yield f"fix step {report.failed[0]!r}, and run again from there (retry-from)"
    if any(step.retries for step in report.steps):
        yield LOOK_AT_TRIES
    if report.warnings:
        yield "validate the playbook to see where each warning comes from"
    if any(finding.title.endswith("took most of the time") for finding in findings):
        yield "check whether the slowest step can be a loop with concurrent iterations"


FINDING: Final[dict[str, Any]] = {
    "severity": "warning",
    "title": "step 'start' was retried",
    "detail": "attempts that were not the last of their call: 1",
    "evidence": ["status: done", "visits: 1", "retries: 1", "duration: 1.900 s"],
}

ROUTES: Final = [
    Route(
        method="POST",
        path="/api/executions/{execution_id}/analyze",
        handler=analyze_in_words,
        tag="gui",
        summary="A summary of an execution in words",
        description=(
            "What failed, what was slow, and what to do about it, derived from the events by "
            "rules. GET of the same path returns the numbers alone."
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
