"""Requests and answers about workers and pools."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from arcbook.wire.http.common import Count, PoolName


class RegisterWorker(msgspec.Struct, frozen=True, kw_only=True):
    """A worker to register."""

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
    """The name of a worker."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    kind: str = "worker_pool"


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """A registered worker."""

    name: str
    kind: str
    status: str
    pools: list[str]
    capacity: int
    #: Commands that it holds.
    held: int
    #: Tool kinds that it offers.
    capabilities: list[str]
    hostname: str | None
    pid: int | None
    version: str | None
    created_at: str | None
    last_heartbeat: str | None


class WorkersQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of a list of workers."""

    kind: Annotated[str, Meta(description="`worker_pool`; no other kind is stored.")] = ""
    status: Annotated[str, Meta(description="`ready` or `draining`.")] = ""
    name: Annotated[str, Meta(description="The name of one worker.")] = ""


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """The backlog and the workers of a pool."""

    pool: str
    pending: int
    claimed: int
    workers: int
    capacity: int
