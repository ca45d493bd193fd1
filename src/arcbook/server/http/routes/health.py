"""Health and metrics of the server."""

from __future__ import annotations

import asyncio
from importlib import metadata
from typing import Any, Final

from starlette.responses import Response

from arcbook.server.http.errors import ApiError
from arcbook.server.http.metrics import CONTENT_TYPE
from arcbook.server.http.route import ENCODER, Call, Route, an_id
from arcbook.shards import SHARDS, shard_of
from arcbook.store.api import StoreError
from arcbook.wire.http.common import moment
from arcbook.wire.http.system import Alive, Health, ServerView, ShardInfo, ShardQuery

STORE_SECONDS: Final = 2.0
"""Time limit for the store during a health check."""

SHARD_COUNT_MAX: Final = 1024

VERSION: Final = metadata.version("arcbook")


async def alive(_: Call) -> Any:
    """Answer while the process is running."""
    return Alive()


async def health(call: Call) -> Response:
    """Check whether the server can work: write, decide, own shards."""
    server = call.context.server
    is_connected = await _is_written(call)
    problems = [] if is_connected else ["the store cannot be written"]
    problems += [server.ailment] if server.ailment else []
    if is_connected and not server.ownership.is_leased:
        problems.append("the server owns no shard: its lease is lost and could not be renewed")
    health = Health(
        status="unhealthy" if problems else "ok",
        database="connected" if is_connected else "disconnected",
        nats="disconnected" if server.relay.is_down else "connected",
        uptime_seconds=round(call.context.uptime_seconds(), 3),
        version=VERSION,
        server_id=server.server_id,
        problems=problems,
    )
    status = 503 if problems else 200
    return Response(ENCODER.encode(health), status, media_type="application/json")


async def _is_written(call: Call) -> bool:
    """Return whether the store accepts writes; reads may work for long after it stops."""
    context = call.context
    try:
        async with asyncio.timeout(STORE_SECONDS):
            await context.probe.written()
    except (StoreError, TimeoutError):
        return False
    return True


async def metrics(call: Call) -> Response:
    """Return the metrics."""
    return Response(await call.context.metrics.text(), media_type=CONTENT_TYPE)


async def shard_info(call: Call) -> ShardInfo:
    """Return the shard of an execution."""
    count = call.query.shard_count
    if not 1 <= count <= SHARD_COUNT_MAX:
        raise ApiError(400, f"shard_count must be 1 to {SHARD_COUNT_MAX}, not {count}")
    execution_id = an_id(call.query.execution_id, "execution_id")
    return ShardInfo(
        execution_id=str(execution_id),
        shard_count=count,
        shard_index=shard_of(execution_id, count),
        source="arcbook",
        hash_function="XxHash64",
        seed=0,
        server_config={
            "shard_count": SHARDS,
            "shards_owned": len(call.context.server.ownership.shards),
        },
    )


async def servers(call: Call) -> list[ServerView]:
    """List the live servers."""
    return [
        ServerView(
            server_id=row.server_id,
            url=row.url,
            version=row.version,
            started_at=moment(row.started_at),
        )
        for row in await call.context.store.servers()
    ]


ROUTES: Final = [
    Route(
        method="GET",
        path="/health",
        handler=alive,
        tag="system",
        summary="Whether the process is running",
        answer=Alive,
        answer_example={"status": "ok"},
        scope="open",
    ),
    Route(
        method="GET",
        path="/api/health",
        handler=health,
        tag="system",
        summary="Whether the server can work",
        description=(
            "503 with the problems while the store cannot be written, a loop of the server has "
            "ended, or its lease is lost."
        ),
        answer=Health,
        answer_example={
            "status": "ok",
            "database": "connected",
            "nats": "connected",
            "uptime_seconds": 12.5,
            "version": "0.1.0",
            "server_id": "server-1",
            "problems": [],
        },
        scope="open",
    ),
    Route(
        method="GET",
        path="/metrics",
        handler=metrics,
        tag="system",
        summary="Metrics for Prometheus",
        description="Every series with known labels is exported from the start, at 0.",
        answer=str,
        answer_example="arcbook_workers 2.0\n",
        media_type="text/plain",
    ),
    Route(
        method="GET",
        path="/api/runtime/shard-info",
        handler=shard_info,
        tag="system",
        summary="The shard of an execution",
        query=ShardQuery,
        answer=ShardInfo,
        answer_example={
            "execution_id": "383401759197892608",
            "shard_count": 64,
            "shard_index": 7,
            "source": "arcbook",
            "hash_function": "XxHash64",
            "seed": 0,
            "server_config": {"shard_count": 64, "shards_owned": 64},
        },
        refusals=(400,),
    ),
    Route(
        method="GET",
        path="/api/runtime/servers",
        handler=servers,
        tag="system",
        summary="List live servers",
        answer=list[ServerView],
        answer_example=[
            {
                "server_id": "server-1",
                "url": "http://10.0.0.5:8082",
                "version": "0.1.0",
                "started_at": "2026-01-05T10:00:00Z",
            }
        ],
    ),
]
