"""The registry of workers, and the backlogs of their pools."""

from __future__ import annotations

from typing import Any, Final

from arcbook.server.http.errors import invalid, not_found
from arcbook.server.http.metrics import WORKER_SEEN_SECONDS
from arcbook.server.http.route import Call, Route
from arcbook.store.api import WorkerRow
from arcbook.wire.http.common import Done, moment
from arcbook.wire.http.workers import (
    PoolView,
    RegisterWorker,
    WorkerName,
    WorkersQuery,
    WorkerView,
)

KINDS: Final = frozenset({"worker_pool", "server_api", "broker"})

KIND: Final = "worker_pool"


async def register(call: Call) -> WorkerView:
    """Register a worker."""
    request: RegisterWorker = call.body
    kind = request.component_type or request.kind
    if kind not in KINDS:
        raise invalid(f"kind must be one of {', '.join(sorted(KINDS))}, not {kind[:40]!r}")
    row = WorkerRow(
        worker_id=request.name,
        pools=request.pools or ["shared"],
        capacity=request.capacity or 1,
        kinds=_texts(request.capabilities),
        version=request.version or "",
        host=request.hostname or "",
        pid=request.pid or 0,
        status="ready" if request.status == "active" else request.status,
    )
    await call.context.store.put_worker(row)
    return _view(await _known(call, request.name) or row)


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, (list, dict)) else []


async def _known(call: Call, name: str) -> WorkerRow | None:
    rows = await call.context.store.workers(WORKER_SEEN_SECONDS)
    return next((row for row in rows if row.worker_id == name), None)


async def heartbeat(call: Call) -> Done:
    """Record the heartbeat of a worker."""
    row = await _known(call, call.body.name)
    if row is None:
        raise not_found(f"worker {call.body.name[:100]!r}: register it")
    await call.context.store.put_worker(row)
    return Done(message=f"worker {row.worker_id!r} is registered")


async def deregister(call: Call) -> Done:
    """Remove a worker."""
    row = await _known(call, call.body.name)
    if row is None:
        raise not_found(f"worker {call.body.name[:100]!r}")
    await call.context.store.delete_worker(row.worker_id)
    return Done(message=f"worker {row.worker_id!r} is removed")


async def list_workers(call: Call) -> list[WorkerView]:
    """List the live workers."""
    query: WorkersQuery = call.query
    if query.kind not in ("", KIND):
        return []
    rows = await call.context.store.workers(WORKER_SEEN_SECONDS)
    views = [_view(row) for row in rows]
    return [w for w in views if query.status in ("", w.status) and query.name in ("", w.name)]


async def pools(call: Call) -> list[PoolView]:
    """Return the backlog of each pool."""
    backlog = await call.context.store.backlog()
    workers = await call.context.store.workers(WORKER_SEEN_SECONDS)
    names = sorted({*backlog, *(pool for row in workers for pool in row.pools)})
    views = []
    for name in names:
        pending, claimed = backlog.get(name, (0, 0))
        members = [row for row in workers if name in row.pools]
        capacity = sum(row.capacity for row in members)
        views.append(
            PoolView(
                pool=name,
                pending=pending,
                claimed=claimed,
                workers=len(members),
                capacity=capacity,
            )
        )
    return views


def _view(row: WorkerRow) -> WorkerView:
    return WorkerView(
        name=row.worker_id,
        kind=KIND,
        status=row.status,
        pools=row.pools,
        capacity=row.capacity,
        held=row.held,
        capabilities=row.kinds,
        hostname=row.host or None,
        pid=row.pid or None,
        version=row.version or None,
        created_at=moment(row.started_at),
        last_heartbeat=moment(row.seen_at),
    )


WORKER: Final[dict[str, Any]] = {
    "name": "worker-1",
    "kind": KIND,
    "status": "ready",
    "pools": ["shared"],
    "capacity": 64,
    "held": 2,
    "capabilities": ["http", "python"],
    "hostname": "node-1",
    "pid": 4711,
    "version": "0.1.0",
    "created_at": "2026-01-05T10:00:00Z",
    "last_heartbeat": "2026-01-05T10:00:04Z",
}

ROUTES: Final = [
    Route(
        method="POST",
        path="/api/worker/pool/register",
        handler=register,
        tag="workers",
        summary="Register a worker",
        body=RegisterWorker,
        body_example={"name": "worker-1", "kind": KIND, "pools": ["shared"], "capacity": 64},
        answer=WorkerView,
        answer_example=WORKER,
        scope="operator",
        refusals=(400, 413, 422),
    ),
    Route(
        method="POST",
        path="/api/worker/pool/heartbeat",
        handler=heartbeat,
        tag="workers",
        summary="Record the heartbeat of a worker",
        body=WorkerName,
        body_example={"name": "worker-1"},
        answer=Done,
        answer_example={"status": "ok", "message": "worker 'worker-1' is registered"},
        scope="operator",
        refusals=(400, 404, 413, 422),
    ),
    Route(
        method="DELETE",
        path="/api/worker/pool/deregister",
        handler=deregister,
        tag="workers",
        summary="Remove a worker",
        body=WorkerName,
        body_example={"name": "worker-1"},
        answer=Done,
        answer_example={"status": "ok", "message": "worker 'worker-1' is removed"},
        scope="operator",
        refusals=(400, 404, 413, 422),
    ),
    Route(
        method="GET",
        path="/api/worker/pools",
        handler=list_workers,
        tag="workers",
        summary="List live workers",
        query=WorkersQuery,
        answer=list[WorkerView],
        answer_example=[WORKER],
        refusals=(422,),
    ),
    Route(
        method="GET",
        path="/api/runtime/pools",
        handler=pools,
        tag="workers",
        summary="The backlog of each pool",
        answer=list[PoolView],
        answer_example=[
            {"pool": "shared", "pending": 3, "claimed": 2, "workers": 1, "capacity": 64}
        ],
    ),
]
