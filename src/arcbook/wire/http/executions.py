"""Executions and their events on the wire."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from arcbook.wire.http.common import ID_MAX
from arcbook.wire.http.execute import Allowed, Values


class ExecutionsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which executions a list holds, newest first."""

    status: Annotated[str, Meta(description="RUNNING, COMPLETED, FAILED or CANCELLED.")] = ""
    path: Annotated[str, Meta(description="Part of the playbook's path.")] = ""
    catalog_id: Annotated[str, Meta(description="The version of the playbook.")] = ""
    parent_execution_id: Annotated[str, Meta(description="Children of an execution.")] = ""
    tenant: Annotated[str, Meta(description="Whose executions.")] = ""
    organization: Annotated[str, Meta(description="Whose executions.")] = ""
    before: Annotated[str, Meta(description="The last id of the page before.")] = ""
    limit: Annotated[int, Meta(ge=1, le=1000, description="Rows of a page.")] = 100
    offset: Annotated[int, Meta(ge=0, le=5000, description="Prefer before.")] = 0
    page: Annotated[
        Annotated[int, Meta(ge=1, le=5000)] | None,
        Meta(description="Number of the page; prefer before."),
    ] = None
    page_size: Annotated[
        Annotated[int, Meta(ge=1, le=200)] | None,
        Meta(description="Rows of a page, where pages have numbers."),
    ] = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """An execution at a glance."""

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
    #: Percent; of a running execution by the steps of its playbook that are done.
    progress: int
    event_count: int
    current_step: str | None
    parent_execution_id: str | None
    error: str | None
    tenant: str | None = None
    organization: str | None = None
    labels: dict[str, str] = {}


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event, in the older server's fields and whole."""

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
    """An event of an execution's detail, with what NoETL's web page looks for."""

    node_id: str
    catalog_id: str | None
    parent_execution_id: str | None
    #: When it happened.
    timestamp: str | None
    #: Milliseconds that it took, of an event that ends something.
    duration: float | None = None
    #: Why something failed, in words; `data` has all that is known of it.
    error: str | None = None
    #: The same as `data`.
    context: Any = None


class Pagination(msgspec.Struct, frozen=True, kw_only=True):
    """Which part of the events a page holds, the newest first."""

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
    #: Where the result is, if it is too large to stand here.
    result_ref: str | None = None
    #: In order; the newest first where a page of them was asked for.
    events: list[DetailEvent]
    #: Where a page was asked for.
    pagination: Pagination | None = None


Number = Annotated[int, Meta(ge=0, le=2**53)]
"""The number of an event, as browsers can hold it."""


class DetailQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How much of an execution is told."""

    events: Annotated[
        int, Meta(ge=0, le=2000, description="The newest events, where no page is asked for.")
    ] = 500
    page: Annotated[
        Annotated[int, Meta(ge=1, le=2**31)] | None,
        Meta(description="Number of a page of events, the newest first."),
    ] = None
    page_size: Annotated[
        Annotated[int, Meta(ge=10, le=500)] | None, Meta(description="Events of a page; 100.")
    ] = None
    since_event_id: Annotated[
        Number | None, Meta(description="Only events after this one, the newest first.")
    ] = None
    event_type: Annotated[
        str, Meta(description="Only events of these types, with commas between.")
    ] = ""

    @property
    def is_page(self) -> bool:
        """Whether a page of events is asked for."""
        return not (self.page is self.page_size is self.since_event_id is None)


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an execution is, in steps that were entered."""

    total: int
    completed: int
    running: int
    failed_steps: int


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """How an execution stands, in the fields of both older servers."""

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
    """Which events are wanted."""

    after: Annotated[
        int, Meta(ge=0, le=ID_MAX, description="The last number of the page before.")
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=1000, description="Events of a page.")] = 200
    event_type: Annotated[
        str, Meta(description="Only events of these types, with commas between.")
    ] = ""
    step: Annotated[str, Meta(description="Only events of this step.")] = ""
    stream: Annotated[bool, Meta(description="As server-sent events, until the end.")] = False


class EventsPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events, in order."""

    execution_id: str
    events: list[EventView]
    #: What to ask for the next page with; nothing after the last one.
    next_after: int | None
    status: str


class CancelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Why an execution is to be stopped, and whether what it started is, too."""

    reason: str = "cancelled through the API"
    cascade: Annotated[
        bool, Meta(description="Also those that it started and does not wait for.")
    ] = True


class Cancelled(msgspec.Struct, frozen=True, kw_only=True):
    """What a cancellation did."""

    execution_id: str
    #: ``cancelled`` or ``already_completed``.
    status: str
    cancelled_executions: list[str]
    message: str


class CancellationCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an execution is to be stopped."""

    execution_id: str
    is_cancelled: bool
    status: str


class FinalizeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How an execution that cannot end by itself is to end."""

    status: str = "FAILED"
    error: str | None = None
    reason: str | None = None


class Finalized(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it."""

    execution_id: str
    #: ``finalized`` or ``already_completed``.
    status: str
    message: str


class RerunRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An execution to be started once more, with values laid over the old ones."""

    workload: Values | None = None
    payload: Values | None = None
    allow: Allowed = []
    resource_kind: str | None = None
    latest: bool = False


class RetryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The step from which an execution is to run again."""

    step: str
    latest: Annotated[bool, Meta(description="With the playbook's latest version.")] = False


class Retried(msgspec.Struct, frozen=True, kw_only=True):
    """The new execution."""

    execution_id: str
    status: str
    retry_of: str
    step: str | None = None
    commands_generated: int = 1


class CleanupRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Executions that run for too long are to be cancelled."""

    older_than_minutes: Annotated[float, Meta(ge=0, le=5_256_000)] = 5
    dry_run: bool = False


class CleanedUp(msgspec.Struct, frozen=True, kw_only=True):
    """Those that were, or would be."""

    cancelled_count: int
    execution_ids: list[str]
    message: str


class StepReport(msgspec.Struct, frozen=True, kw_only=True):
    """What one step did."""

    step: str
    status: str
    visits: int
    retries: int
    duration_seconds: float | None
    error: str | None
    warnings: list[str]


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """Where an execution's time went, and what went wrong."""

    execution_id: str
    path: str
    status: str
    duration_seconds: float | None
    event_count: int
    #: Whether only the first events were looked at.
    is_partial: bool
    steps: list[StepReport]
    slowest: list[str]
    failed: list[str]
    error: str | None
    warnings: list[str]


class ResultView(msgspec.Struct, frozen=True, kw_only=True):
    """What an execution, or a step of it, yielded."""

    execution_id: str
    status: str
    step: str | None
    result: Any


class ResultQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Whose result is wanted."""

    step: Annotated[str, Meta(description="A step; the playbook's own result by default.")] = ""


class StateQuery(msgspec.Struct, frozen=True, kw_only=True):
    """After which event a state is wanted."""

    seq: Annotated[
        Annotated[int, Meta(ge=1, le=2**31)] | None,
        Meta(description="The last event that counts."),
    ] = None


class ReplayQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Of which execution, and after which event, a state is wanted."""

    execution_id: Annotated[str, Meta(description="The execution.")]
    as_of_event_id: Annotated[str, Meta(description="The last event that counts.")] = ""
    as_of_position: Annotated[str, Meta(description="The same.")] = ""


class ReplayedState(msgspec.Struct, frozen=True, kw_only=True):
    """An execution as it was after an event."""

    execution_id: str
    #: The last event that counts.
    seq: int
    state: StatusView
    workload: Values
    ctx: Values
    #: How often each step was entered.
    visits: dict[str, int]
    result: Any = None
