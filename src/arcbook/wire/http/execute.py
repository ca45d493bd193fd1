"""Starting executions, on the wire."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from arcbook.wire.http.common import Id, PoolName

Values = dict[str, Any]

Allowed = Annotated[
    list[Annotated[str, Meta(max_length=512)]],
    Meta(max_length=100, description="Names of values that the playbook need not know."),
]


class DedupKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that is the same for every try of one request."""

    key: Annotated[str, Meta(min_length=1, max_length=512)]
    window_secs: Annotated[float, Meta(gt=0, le=86400)] = 300


class ExecuteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A playbook to be started: by path and version, or by its catalog id."""

    path: str | None = None
    catalog_id: Id | None = None
    version: Id | None = None
    payload: Annotated[Values | None, Meta(description="Values laid over the workload.")] = None
    workload: Annotated[Values | None, Meta(description="The same as payload.")] = None
    context: Annotated[Values | None, Meta(description="The same as payload.")] = None
    parent_execution_id: Id | None = None
    execution_pool: PoolName | None = None
    strict: Annotated[bool, Meta(description="A name without a value is an error.")] = False
    allow: Allowed = []
    entry_step: Annotated[str | None, Meta(description="Begin at this step.")] = None
    trace: Any = None
    dedup: DedupKey | None = None
    idempotency_key: str | None = None
    resource_kind: str | None = None
    resource_type: str | None = None

    def values(self) -> Values:
        """Return the values of the request, by whichever name they came."""
        return {**(self.context or {}), **(self.workload or {}), **(self.payload or {})}


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """An execution that was started, durably."""

    execution_id: str
    #: ``started``, or ``duplicate`` where a key stood for an execution already.
    status: str = "started"
    commands_generated: int = 1
    #: Values of the request that nothing in the playbook can read.
    warnings: list[str] = []


class BatchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Playbooks to be started together."""

    executions: Annotated[list[ExecuteRequest], Meta(min_length=1, max_length=1000)]


class BatchItem(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one request of a batch."""

    index: int
    #: ``started``, ``duplicate`` or ``error``.
    status: str
    execution_id: str | None = None
    commands_generated: int = 0
    error: str | None = None


class BatchStarted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch. One bad request does not stop the others."""

    count: int
    started: int
    duplicates: int
    failed: int
    results: list[BatchItem]
