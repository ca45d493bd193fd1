"""Requests and answers about the state of servers."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the server can work."""

    status: str
    database: str
    nats: str
    uptime_seconds: float
    version: str
    server_id: str
    #: The reasons why the server cannot work; empty if it can.
    problems: list[str] = []


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: str = "ok"


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts for the dashboard."""

    total: int
    successful: int
    failed: int
    cancelled: int
    running_executions: int
    total_playbooks: int
    total_workers: int


class Dashboard(msgspec.Struct, frozen=True, kw_only=True):
    """The answer with the dashboard's counts."""

    status: str
    stats: Stats


class ShardInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The shard of an execution."""

    execution_id: str
    shard_count: int
    shard_index: int
    source: str
    hash_function: str
    seed: int
    server_config: dict[str, int]


class ShardQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The execution whose shard to return."""

    execution_id: Annotated[str, Meta(description="The execution.")]
    shard_count: Annotated[
        int, Meta(ge=0, le=2**31, description="Total number of shards; at most 1,024.")
    ] = 64


class ServerView(msgspec.Struct, frozen=True, kw_only=True):
    """A server of the control plane."""

    server_id: str
    url: str
    version: str
    started_at: str | None


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """What a client must know before its first request."""

    service: str
    version: str
    runtime: str
    #: Whether requests need ``Authorization: Bearer <token>``.
    authentication: str
    api_base: str = "/api"


class SchemaReport(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the database schema matches this version."""

    status: str
    message: str
    valid: bool


class MachineView(msgspec.Struct, frozen=True, kw_only=True):
    """The machine that a server runs on."""

    #: The load average of the last minute, in percent of the processors.
    cpu_percent: float
    memory_percent: float
    total_memory_mb: float
    used_memory_mb: float
    available_memory_mb: float


class ProcessView(msgspec.Struct, frozen=True, kw_only=True):
    """The process of a server."""

    pid: int
    #: Percent of one processor since the start.
    cpu_percent: float
    memory_rss_mb: float
    memory_vms_mb: float
    num_threads: int
    start_time: str | None
    uptime_seconds: float


class SystemStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The resources that a server uses."""

    system: MachineView
    process: ProcessView
