"""Start executions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from arcbook.dsl.diagnostics import did_you_mean
from arcbook.dsl.names import OWN
from arcbook.events.types import Parent
from arcbook.given import UnknownInputError, check_inputs
from arcbook.owner.plans import Planned
from arcbook.owner.pools import is_system
from arcbook.secrets.taint import shown
from arcbook.server.http.errors import REFUSALS, ApiError, invalid, refusal_of
from arcbook.server.http.route import ENCODER, Call, Route, an_id
from arcbook.server.http.routes.catalog import a_version
from arcbook.store.api import StartKey
from arcbook.wire.http.common import identity
from arcbook.wire.http.execute import (
    BatchItem,
    BatchRequest,
    BatchStarted,
    DedupKey,
    ExecuteRequest,
    Started,
)

KEY_CHARACTERS_MAX: Final = 512

FIELDS_SHOWN_MAX: Final = 10
"""Maximum fields of a request that the answer names as ignored."""

FIELD_CHARACTERS_MAX: Final = 60

TRACE_LABEL: Final = "trace"
TRACE_CHARACTERS_MAX: Final = 1000


async def execute(call: Call) -> Started:
    """Start an execution; the answer is sent when the start is durable."""
    request: ExecuteRequest = call.body
    key = call.header("idempotency-key") or call.header("x-idempotency-key")
    started = await _start(call, request, key)
    if not (ignored := call.unknown_fields()):
        return started
    return msgspec.structs.replace(started, warnings=[*_ignored(ignored), *started.warnings])


def _ignored(fields: list[str]) -> list[str]:
    """Return warnings about fields of a request that mean nothing."""
    known = ExecuteRequest.__struct_fields__
    return [
        f"the request's field {name[:FIELD_CHARACTERS_MAX]!r} is ignored: "
        + (did_you_mean(name, known) or "values of the workload go below 'workload'")
        for name in fields[:FIELDS_SHOWN_MAX]
    ]


async def _start(call: Call, request: ExecuteRequest, header_key: str = "") -> Started:
    planned = await _planned(call, request)
    warnings = known_values(planned, request.values(), allow=request.allow, strict=request.strict)
    dedup = _dedup(request, header_key)
    if dedup is None:
        started = await _begin(call, planned, request)
        return Started(execution_id=str(started), warnings=warnings)

    async def begin(key: StartKey) -> int:
        return await _begin(call, planned, request, key)

    seconds = dedup.window_secs if request.dedup is not None else None
    path = planned.entry.path
    execution_id, was_there = await call.context.dedup.once(path, dedup.key, seconds, begin)
    if was_there:
        return Started(execution_id=str(execution_id), status="duplicate", commands_generated=0)
    return Started(execution_id=str(execution_id), warnings=warnings)


def known_values(
    planned: Planned, values: dict[str, Any], *, allow: Iterable[str] = (), strict: bool = False
) -> list[str]:
    """Return warnings about values of a request that its playbook cannot read.

    Raises:
        ApiError: there are such values, and the playbook declares its workload.
    """
    playbook, content = planned.plan.playbook, planned.entry.content
    paths = [(key,) for key in values]
    try:
        unused = check_inputs(playbook, content, paths, allow=allow, strict=strict)
    except UnknownInputError as error:
        sentences = "; ".join(error.sentences)
        raise invalid(shown(f"{sentences} ('allow': [NAME] lets one pass)")) from None
    warnings: list[str] = shown(unused)
    return warnings


def _dedup(request: ExecuteRequest, header_key: str) -> DedupKey | None:
    if request.dedup is not None:
        return request.dedup
    key = request.idempotency_key or header_key
    if len(key) > KEY_CHARACTERS_MAX:
        raise invalid(f"an idempotency key has at most {KEY_CHARACTERS_MAX} characters")
    return DedupKey(key=key) if key else None


async def _planned(call: Call, request: ExecuteRequest) -> Planned:
    plans = call.context.server.plans
    if request.catalog_id is not None:
        number = identity(request.catalog_id)
        if number is None:
            raise invalid(f"catalog_id must be a number, not {str(request.catalog_id)[:40]!r}")
        return await plans.find(catalog_id=number)
    if not request.path:
        raise invalid("set 'path' or 'catalog_id' to choose the playbook")
    return await plans.find(request.path, a_version(request.version))


async def _begin(
    call: Call, planned: Planned, request: ExecuteRequest, key: StartKey | None = None
) -> int:
    if request.execution_pool and is_system(planned.entry.path):
        raise invalid("playbooks system/* run on their own pool; leave out 'execution_pool'")
    parent = None
    if request.parent_execution_id is not None:
        parent = Parent(execution_id=an_id(request.parent_execution_id, "parent_execution_id"))
    values = request.values()
    if reserved := sorted((OWN & values.keys()) - planned.plan.playbook.workload.keys()):
        raise invalid(f"{reserved[0]!r} is reserved by the engine and cannot be set by a request")
    step = request.entry_step
    if step is not None and step not in planned.plan.by_name:
        near = did_you_mean(step, planned.plan.by_name)
        raise invalid(
            f"the playbook has no step {step[:100]!r} to begin at" + (near and f": {near}")
        )
    labels = {} if request.trace is None else {TRACE_LABEL: _trace(request.trace)}
    return await call.context.server.start(
        planned,
        values,
        parent=parent,
        pool=request.execution_pool or None,
        entry=step,
        strict=request.strict,
        labels=labels | call.caller.labels,
        key=key,
    )


def _trace(trace: Any) -> str:
    text = trace if isinstance(trace, str) else ENCODER.encode(trace).decode()
    return text[:TRACE_CHARACTERS_MAX]


async def execute_batch(call: Call) -> BatchStarted:
    """Start many executions."""
    request: BatchRequest = call.body
    items = await asyncio.gather(*(_item(call, n, w) for n, w in enumerate(request.executions)))
    counts = [item.status for item in items]
    return BatchStarted(
        count=len(items),
        started=counts.count("started"),
        duplicates=counts.count("duplicate"),
        failed=counts.count("error"),
        results=items,
    )


async def _item(call: Call, index: int, request: ExecuteRequest) -> BatchItem:
    try:
        started = await _start(call, request)
    except ApiError as error:
        return BatchItem(index=index, status="error", error=error.message)
    except REFUSALS as error:
        return BatchItem(index=index, status="error", error=refusal_of(error).message)
    return BatchItem(
        index=index,
        status=started.status,
        execution_id=started.execution_id,
        commands_generated=started.commands_generated,
    )


REQUEST: Final[dict[str, Any]] = {"path": "examples/hello", "workload": {"name": "world"}}
STARTED: Final[dict[str, Any]] = {
    "execution_id": "383401759197892608",
    "status": "started",
    "commands_generated": 1,
}

ROUTES: Final = [
    Route(
        method="POST",
        path="/api/execute",
        handler=execute,
        tag="execute",
        summary="Start an execution",
        description=(
            "Answers when the start is durable. `payload`, `workload` and `context` are synonyms: "
            "their values override the playbook's workload. If the playbook declares a workload, a "
            "value for a name that it neither declares nor mentions is refused with 422, unless "
            "`allow` lists the name; otherwise such a name adds to `warnings`. With an idempotency "
            "key (`Idempotency-Key`, `idempotency_key` or `dedup`), a repeated request for the "
            "same path within the window returns the first execution, from any server."
        ),
        body=ExecuteRequest,
        body_example=REQUEST,
        answer=Started,
        answer_example=STARTED,
        scope="operator",
        refusals=(400, 404, 413, 422),
        headers={"Idempotency-Key": "The same key for every attempt of one request."},
    ),
    Route(
        method="POST",
        path="/api/execute/batch",
        handler=execute_batch,
        tag="execute",
        summary="Start up to 1,000 executions",
        description="An invalid request does not stop the others.",
        body=BatchRequest,
        body_example={"executions": [REQUEST, {"path": "examples/missing"}]},
        answer=BatchStarted,
        answer_example={
            "count": 2,
            "started": 1,
            "duplicates": 0,
            "failed": 1,
            "results": [
                {"index": 0, "error": None, **STARTED},
                {
                    "index": 1,
                    "status": "error",
                    "execution_id": None,
                    "commands_generated": 0,
                    "error": "there is no playbook 'examples/missing' in the catalog",
                },
            ],
        },
        scope="operator",
        refusals=(400, 413, 422),
    ),
]
