"""An execution summed up for NoETL's web page, on the wire."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from arcbook.wire.http.executions import DetailEvent, StepReport


class AnalyzeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How much of an execution is looked at, and told."""

    max_events: Annotated[
        int, Meta(ge=1, le=1_000_000, description="Events that are looked at; 50,000 at most.")
    ] = 50_000
    event_sample_size: Annotated[
        int, Meta(ge=0, le=10_000, description="The newest events; 2,000 at most.")
    ] = 50
    include_playbook_content: bool = False


class SlowNode(msgspec.Struct, frozen=True, kw_only=True):
    """A step, and how long its latest visit took."""

    node_name: str
    status: str
    duration_seconds: float
    visits: int
    retries: int


class AnalysisSummary(msgspec.Struct, frozen=True, kw_only=True):
    """An execution in numbers."""

    event_count: int
    #: Whether only the first events were looked at.
    is_partial: bool
    duration_seconds: float | None
    step_count: int
    failed_steps: list[str]
    retry_attempts: int
    warning_count: int
    slowest_nodes: list[SlowNode]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What is worth knowing of an execution."""

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
    #: Where it was asked for.
    content: str | None = None


class ExecutionAnalysis(msgspec.Struct, frozen=True, kw_only=True):
    """Where an execution's time went, and what went wrong, in words."""

    execution_id: str
    path: str
    status: str
    generated_at: str | None
    summary: AnalysisSummary
    findings: list[Finding]
    recommendations: list[str]
    steps: list[StepReport]
    #: Nothing where it is gone.
    playbook: AnalyzedPlaybook | None
    event_sample: list[DetailEvent]
