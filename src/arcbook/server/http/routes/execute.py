"""Starting executions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

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

TRACE_LABEL: Final = "trace"
TRACE_CHARACTERS_MAX: Final = 1000


async def execute(call: Call) -> Started:
    """Start an execution; the answer comes when the start is durable."""
    wanted: ExecuteRequest = call.body
    key = call.header("idempotency-key") or call.header("x-idempotency-key")
    return await _start(call, wanted, key)


async def _start(call: Call, wanted: ExecuteRequest, header_key: str = "") -> Started:
    planned = await _planned(call, wanted)
    warnings = known_values(planned, wanted.values(), allow=wanted.allow, strict=wanted.strict)
    dedup = _dedup(wanted, header_key)
    if dedup is None:
        started = await _begin(call, planned, wanted)
        return Started(execution_id=str(started), warnings=warnings)

    async def begin(key: StartKey) -> int:
        return await _begin(call, planned, wanted, key)

    seconds = dedup.window_secs if wanted.dedup is not None else None
    path = planned.entry.path
    found, was_there = await call.context.dedup.once(path, dedup.key, seconds, begin)
    if was_there:
        return Started(execution_id=str(found), status="duplicate", commands_generated=0)
    return Started(execution_id=str(found), warnings=warnings)


def known_values(
    planned: Planned, values: dict[str, Any], *, allow: Iterable[str] = (), strict: bool = False
) -> list[str]:
    """Return warnings about values of a request that nothing in its playbook can read.

    Raises:
        ApiError: there are some, and the playbook declares its workload.
    """
    playbook, content = planned.plan.playbook, planned.entry.content
    paths = [(key,) for key in values]
    try:
        found = check_inputs(playbook, content, paths, allow=allow, strict=strict)
    except UnknownInputError as error:
        sentences = "; ".join(error.sentences)
        raise invalid(shown(f"{sentences} ('allow': [NAME] lets one pass)")) from None
    warnings: list[str] = shown(found)
    return warnings


def _dedup(wanted: ExecuteRequest, header_key: str) -> DedupKey | None:
    if wanted.dedup is not None:
        return wanted.dedup
    key = wanted.idempotency_key or header_key
    if len(key) > KEY_CHARACTERS_MAX:
        raise invalid(f"an idempotency key has at most {KEY_CHARACTERS_MAX} characters")
    return DedupKey(key=key) if key else None


async def _planned(call: Call, wanted: ExecuteRequest) -> Planned:
    plans = call.context.server.plans
    if wanted.catalog_id is not None:
        number = identity(wanted.catalog_id)
        if number is None:
            raise invalid(f"catalog_id is a number, not {str(wanted.catalog_id)[:40]!r}")
        return await plans.find(catalog_id=number)
    if not wanted.path:
        raise invalid("say which playbook: path, or catalog_id")
    return await plans.find(wanted.path, a_version(wanted.version))


async def _begin(
    call: Call, planned: Planned, wanted: ExecuteRequest, key: StartKey | None = None
) -> int:
    if wanted.execution_pool and is_system(planned.entry.path):
        raise invalid("playbooks system/* run on their own pool: leave out 'execution_pool'")
    parent = None
    if wanted.parent_execution_id is not None:
        parent = Parent(execution_id=an_id(wanted.parent_execution_id, "parent_execution_id"))
    values = wanted.values()
    if taken := sorted((OWN & values.keys()) - planned.plan.playbook.workload.keys()):
        raise invalid(f"{taken[0]!r} is a name of the engine's own, and no value of a start")
    step = wanted.entry_step
    if step is not None and step not in planned.plan.by_name:
        near = did_you_mean(step, planned.plan.by_name)
        raise invalid(
            f"the playbook has no step {step[:100]!r} to begin at" + (near and f": {near}")
        )
    labels = {} if wanted.trace is None else {TRACE_LABEL: _trace(wanted.trace)}
    return await call.context.server.start(
        planned,
        values,
        parent=parent,
        pool=wanted.execution_pool or None,
        entry=step,
        strict=wanted.strict,
        labels=labels | call.caller.labels,
        key=key,
    )


def _trace(trace: Any) -> str:
    text = trace if isinstance(trace, str) else ENCODER.encode(trace).decode()
    return text[:TRACE_CHARACTERS_MAX]


async def execute_batch(call: Call) -> BatchStarted:
    """Start many executions together."""
    wanted: BatchRequest = call.body
    items = await asyncio.gather(*(_item(call, n, w) for n, w in enumerate(wanted.executions)))
    counts = [item.status for item in items]
    return BatchStarted(
        count=len(items),
        started=counts.count("started"),
        duplicates=counts.count("duplicate"),
        failed=counts.count("error"),
        results=items,
    )


async def _item(call: Call, index: int, wanted: ExecuteRequest) -> BatchItem:
    try:
        started = await _start(call, wanted)
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
            "Answers when the start is durable. `payload`, `workload` and `context` name the "
            "same values, which are laid over the playbook's workload. A value for a name that a "
            "playbook with a workload neither declares nor mentions is refused with 422, unless "
            "`allow` names it; where no workload is declared it is among the `warnings`. With an idempotency key "
            "(`Idempotency-Key`, `idempotency_key` or `dedup`) a repeated request for the same path "
            "within the window gets the execution of the first, from any server."
        ),
        body=ExecuteRequest,
        body_example=REQUEST,
        answer=Started,
        answer_example=STARTED,
        scope="operator",
        refusals=(400, 404, 413, 422),
        headers={"Idempotency-Key": "The same for every try of one request."},
    ),
    Route(
        method="POST",
        path="/api/execute/batch",
        handler=execute_batch,
        tag="execute",
        summary="Start up to 1,000 executions together",
        description="One bad request does not stop the others.",
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
