"""The analysis of an execution for NoETL's GUI."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from arcbook.wire.http.executions import DetailEvent, StepReport


class AnalyzeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The events to analyze, and those to return."""

    max_events: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Events to analyze; at most 50,000.")
    ] = 50_000
    event_sample_size: Annotated[
        int, Meta(ge=0, le=10_000, description="Newest events to return; at most 2,000.")
    ] = 50
    include_playbook_content: bool = False


class SlowNode(msgspec.Struct, frozen=True, kw_only=True):
    """A step and the duration of its latest visit."""

    node_name: str
    status: str
    duration_seconds: float
    visits: int
    retries: int


class AnalysisSummary(msgspec.Struct, frozen=True, kw_only=True):
    """An execution in numbers."""

    event_count: int
    #: Whether only the first events were analyzed.
    is_partial: bool
    duration_seconds: float | None
    step_count: int
    failed_steps: list[str]
    retry_attempts: int
    warning_count: int
    slowest_nodes: list[SlowNode]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A finding about an execution."""

    #: ``error``, ``warning`` or ``info``.
    severity: str
    title: str
    detail: str
    evidence: list[str]


class AnalyzedPlaybook(msgspec.Struct, frozen=True, kw_only=True):
    """The playbook of an execution."""

    path: str
    version: int
    catalog_id: str
    #: Only if requested.
    content: str | None = None


class ExecutionAnalysis(msgspec.Struct, frozen=True, kw_only=True):
    """The analysis of an execution: durations, failures and findings."""

    execution_id: str
    path: str
    status: str
    generated_at: str | None
    summary: AnalysisSummary
    findings: list[Finding]
    recommendations: list[str]
    steps: list[StepReport]
    #: Absent if it was deleted.
    playbook: AnalyzedPlaybook | None
    event_sample: list[DetailEvent]
