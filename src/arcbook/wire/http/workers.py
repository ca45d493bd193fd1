"""Workers and their pools on the wire."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from arcbook.wire.http.common import Count, PoolName


class RegisterWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that enters the registry."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    kind: str = "worker_pool"
    component_type: str | None = None
    uri: str | None = None
    status: str = "ready"
    labels: Any = None
    capabilities: Any = None
    capacity: Count | None = None
    runtime: Any = None
    hostname: str | None = None
    pools: list[PoolName] | None = None
    version: str | None = None
    pid: Count | None = None


class WorkerName(msgspec.Struct, frozen=True, kw_only=True):
    """Which worker is meant."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    kind: str = "worker_pool"


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A worker that is there."""

    name: str
    kind: str
    status: str
    pools: list[str]
    capacity: int
    #: Commands that it holds.
    held: int
    #: Kinds of tools that it has.
    capabilities: list[str]
    hostname: str | None
    pid: int | None
    version: str | None
    created_at: str | None
    last_heartbeat: str | None


class WorkersQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which workers a list holds."""

    kind: Annotated[str, Meta(description="`worker_pool`; others are not kept.")] = ""
    status: Annotated[str, Meta(description="`ready` or `draining`.")] = ""
    name: Annotated[str, Meta(description="The name of one worker.")] = ""


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for a pool, and who works for it."""

    pool: str
    pending: int
    claimed: int
    workers: int
    capacity: int
