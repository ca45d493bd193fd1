"""Requests and answers about executions and their events."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from arcbook.wire.http.common import ID_MAX
from arcbook.wire.http.execute import Allowed, Values


class ExecutionsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of a list of executions, newest first."""

    status: Annotated[str, Meta(description="RUNNING, COMPLETED, FAILED or CANCELLED.")] = ""
    path: Annotated[str, Meta(description="Text that the playbook's path must contain.")] = ""
    catalog_id: Annotated[str, Meta(description="The version of the playbook.")] = ""
    parent_execution_id: Annotated[str, Meta(description="Only children of this execution.")] = ""
    tenant: Annotated[str, Meta(description="Only executions of this tenant.")] = ""
    organization: Annotated[str, Meta(description="The organization within the tenant.")] = ""
    before: Annotated[str, Meta(description="The last id of the previous page.")] = ""
    limit: Annotated[int, Meta(ge=1, le=1000, description="Rows per page.")] = 100
    offset: Annotated[int, Meta(ge=0, le=5000, description="Prefer before.")] = 0
    page: Annotated[
        Annotated[int, Meta(ge=1, le=5000)] | None,
        Meta(description="Number of the page; prefer `before`."),
    ] = None
    page_size: Annotated[
        Annotated[int, Meta(ge=1, le=200)] | None,
        Meta(description="Rows per page, with `page`."),
    ] = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The summary of an execution."""

    execution_id: str
    catalog_id: str | None
    path: str
    version: int
    status: str
    started_at: str | None
    completed_at: str | None
    start_time: str | None
    end_time: str | None
    duration_seconds: float | None
    duration_human: str | None
    #: Percent; for a running execution, the share of its playbook's steps that are done.
    progress: int
    event_count: int
    current_step: str | None
    parent_execution_id: str | None
    error: str | None
    tenant: str | None = None
    organization: str | None = None
    labels: dict[str, str] = {}


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event: in the fields of the older server, and complete in ``data``."""

    event_id: str
    seq: int
    execution_id: str
    event_type: str
    name: str
    node_name: str
    status: str
    created_at: str | None
    result: Any = None
    error: Any = None
    #: The event itself.
    data: Any = None


class DetailEvent(EventView, frozen=True, kw_only=True):
    """An event in the details of an execution, with the fields that NoETL's GUI reads."""

    node_id: str
    catalog_id: str | None
    parent_execution_id: str | None
    #: The time of the event.
    timestamp: str | None
    #: Duration in milliseconds, for an event that ends something.
    duration: float | None = None
    #: The error message; `data` has the complete error.
    error: str | None = None
    #: The same as `data`.
    context: Any = None


class Pagination(msgspec.Struct, frozen=True, kw_only=True):
    """The position of a page of events, newest first."""

    page: int
    page_size: int
    total_events: int
    total_pages: int
    has_next: bool
    has_prev: bool


class Detail(Summary, frozen=True, kw_only=True):
    """An execution with its input, its result and its newest events."""

    workload: Values
    result: Any = None
    #: The reference of the result, if it is too large for the answer.
    result_ref: str | None = None
    #: In order; a requested page is newest first.
    events: list[DetailEvent]
    #: Only if a page was requested.
    pagination: Pagination | None = None


Number = Annotated[int, Meta(ge=0, le=2**53)]
"""The number of an event; integers up to 2**53 are exact in browsers."""


class DetailQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an execution to return."""

    events: Annotated[
        int, Meta(ge=0, le=2000, description="Number of newest events, without `page`.")
    ] = 500
    page: Annotated[
        Annotated[int, Meta(ge=1, le=2**31)] | None,
        Meta(description="Number of a page of events, newest first."),
    ] = None
    page_size: Annotated[
        Annotated[int, Meta(ge=10, le=500)] | None,
        Meta(description="Events per page; 100 by default."),
    ] = None
    since_event_id: Annotated[
        Number | None, Meta(description="Only events after this one, newest first.")
    ] = None
    event_type: Annotated[
        str, Meta(description="Only events of these types, with commas between.")
    ] = ""

    @property
    def is_page(self) -> bool:
        """Whether a page of events is requested."""
        return not (self.page is self.page_size is self.since_event_id is None)


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of an execution, in entered steps."""

    total: int
    completed: int
    running: int
    failed_steps: int


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """The status of an execution, in the fields of both older servers."""

    execution_id: str
    status: str
    current_step: str | None
    progress: Progress
    completed_steps: list[str]
    failed: bool
    completed: bool
    completion_inferred: bool
    is_cancelled: bool
    variables: Values
    error: str | None
    start_time: str | None
    end_time: str | None
    duration_seconds: float | None
    duration_human: str | None


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of a page of events."""

    after: Annotated[
        int, Meta(ge=0, le=ID_MAX, description="The last number of the previous page.")
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=1000, description="Events per page.")] = 200
    event_type: Annotated[
        str, Meta(description="Only events of these types, with commas between.")
    ] = ""
    step: Annotated[str, Meta(description="Only events of this step.")] = ""
    stream: Annotated[
        bool, Meta(description="Stream server-sent events until the execution ends.")
    ] = False


class EventsPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events, in order."""

    execution_id: str
    events: list[EventView]
    #: The value of ``after`` for the next page; absent on the last one.
    next_after: int | None
    status: str


class CancelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The reason of a cancellation, and whether it includes started executions."""

    reason: str = "cancelled through the API"
    cascade: Annotated[
        bool, Meta(description="Also cancel executions that it started without waiting.")
    ] = True


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a cancellation."""

    execution_id: str
    #: ``cancelled`` or ``already_completed``.
    status: str
    cancelled_executions: list[str]
    message: str


class CancellationCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an execution is being cancelled."""

    execution_id: str
    is_cancelled: bool
    status: str


class FinalizeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The error with which to fail an execution that cannot end by itself."""

    status: str = "FAILED"
    error: str | None = None
    reason: str | None = None


class Finalized(msgspec.Struct, frozen=True, kw_only=True):
    """The result of finalizing an execution."""

    execution_id: str
    #: ``finalized`` or ``already_completed``.
    status: str
    message: str


class RerunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An execution to start again, with values that override the previous ones."""

    workload: Values | None = None
    payload: Values | None = None
    allow: Allowed = []
    resource_kind: str | None = None
    latest: bool = False


class RetryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The step from which to run an execution again."""

    step: str
    latest: Annotated[bool, Meta(description="Use the playbook's latest version.")] = False


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """The new execution."""

    execution_id: str
    status: str
    retry_of: str
    step: str | None = None
    commands_generated: int = 1


class CleanupRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Cancel executions that have been running for too long."""

    older_than_minutes: Annotated[float, Meta(ge=0, le=5_256_000)] = 5
    dry_run: bool = False


class CleanedUp(msgspec.Struct, frozen=True, kw_only=True):
    """The executions that were cancelled, or would be."""

    cancelled_count: int
    execution_ids: list[str]
    message: str


class StepReport(msgspec.Struct, frozen=True, kw_only=True):
    """The analysis of one step."""

    step: str
    status: str
    visits: int
    retries: int
    duration_seconds: float | None
    error: str | None
    warnings: list[str]


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """The time that an execution spent in its steps, and its failures."""

    execution_id: str
    path: str
    status: str
    duration_seconds: float | None
    event_count: int
    #: Whether only the first events were analyzed.
    is_partial: bool
    steps: list[StepReport]
    slowest: list[str]
    failed: list[str]
    error: str | None
    warnings: list[str]


class ResultView(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an execution or of a step."""

    execution_id: str
    status: str
    step: str | None
    result: Any


class ResultQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The step whose result to return."""

    step: Annotated[str, Meta(description="A step; by default the result of the execution.")] = ""


class StateQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The event after which to return the state."""

    seq: Annotated[
        Annotated[int, Meta(ge=1, le=2**31)] | None,
        Meta(description="The last event to apply."),
    ] = None


class ReplayQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The execution, and the event after which to return its state."""

    execution_id: Annotated[str, Meta(description="The execution.")]
    as_of_event_id: Annotated[str, Meta(description="The last event to apply.")] = ""
    as_of_position: Annotated[str, Meta(description="The same.")] = ""


class ReplayedState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an execution after an event."""

    execution_id: str
    #: The last applied event.
    seq: int
    state: StatusView
    workload: Values
    ctx: Values
    #: The number of visits of each step.
    visits: dict[str, int]
    result: Any = None
