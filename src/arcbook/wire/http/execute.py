"""Requests and answers about starting executions."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from arcbook.wire.http.common import Id, PoolName

Values = dict[str, Any]

Allowed = Annotated[
    list[Annotated[str, Meta(max_length=512)]],
    Meta(max_length=100, description="Names of workload values to accept although undeclared."),
]


class DedupKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that is the same for all attempts of a request."""

    key: Annotated[str, Meta(min_length=1, max_length=512)]
    window_secs: Annotated[float, Meta(gt=0, le=86400)] = 300


class ExecuteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A playbook to start: by path and version, or by its catalog id."""

    path: str | None = None
    catalog_id: Id | None = None
    version: Id | None = None
    payload: Annotated[
        Values | None, Meta(description="Values that override the workload's defaults.")
    ] = None
    workload: Annotated[Values | None, Meta(description="The same as payload.")] = None
    context: Annotated[Values | None, Meta(description="The same as payload.")] = None
    parent_execution_id: Id | None = None
    execution_pool: PoolName | None = None
    strict: Annotated[bool, Meta(description="Treat a name without a value as an error.")] = False
    allow: Allowed = []
    entry_step: Annotated[str | None, Meta(description="The step to begin at.")] = None
    trace: Any = None
    dedup: DedupKey | None = None
    idempotency_key: str | None = None
    resource_kind: str | None = None
    resource_type: str | None = None

    def values(self) -> Values:
        """Return the workload values of the request, whichever field holds them."""
        return {**(self.context or {}), **(self.workload or {}), **(self.payload or {})}


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """An execution whose start is durable."""

    execution_id: str
    #: ``started``, or ``duplicate`` if the key already belongs to an execution.
    status: str = "started"
    commands_generated: int = 1
    #: Values in the request that the playbook cannot read, and fields that mean nothing.
    warnings: list[str] = []


class BatchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Playbooks to start together."""

    executions: Annotated[list[ExecuteRequest], Meta(min_length=1, max_length=1000)]


class BatchItem(msgspec.Struct, frozen=True, kw_only=True):
    """The result for one request of a batch."""

    index: int
    #: ``started``, ``duplicate`` or ``error``.
    status: str
    execution_id: str | None = None
    commands_generated: int = 0
    error: str | None = None


class BatchStarted(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a batch. An invalid request does not affect the others."""

    count: int
    started: int
    duplicates: int
    failed: int
    results: list[BatchItem]
