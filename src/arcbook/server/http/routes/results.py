"""Values by reference, and the variables of executions."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from arcbook.dsl.model import OutputSpec
from arcbook.secrets.taint import shown
from arcbook.server.http.errors import invalid, not_found
from arcbook.server.http.route import Call, Route
from arcbook.wire.http.common import moment
from arcbook.wire.http.results import KeptResult, PutResult, ResolveQuery, Variable


async def resolve(call: Call) -> Any:
    """Return the value of a reference."""
    return shown(await call.context.server.results.load_ref(call.query.ref))


async def put(call: Call) -> KeptResult:
    """Store a value for an execution."""
    execution_id = call.id()
    request: PutResult = call.body
    if not request.name:
        raise invalid("set 'name' to name the result")
    if request.scope not in ("step", "execution", "workflow", "permanent"):
        raise invalid(
            f"scope must be step, execution, workflow or permanent, not {request.scope[:40]!r}"
        )
    await call.context.reader.row(execution_id)
    server = call.context.server
    ref = await server.results.keep(
        execution_id,
        request.source_step or request.name,
        f"{request.name}-{server.ownership.ids()}",
        msgspec.json.encode(request.data),
        request.data,
        OutputSpec(),
    )
    return KeptResult(
        ref=ref.ref, store=ref.store, scope="execution", bytes=ref.bytes, sha256=ref.sha256
    )


async def variables(call: Call) -> list[Variable]:
    """List the variables of an execution."""
    state = await call.context.reader.state(call.id())
    started = moment(state.started_at)
    return [_variable(name, value, started) for name, value in state.ctx.items()]


async def variable(call: Call) -> Variable:
    """Return one variable of an execution."""
    state = await call.context.reader.state(call.id())
    name = call.param("name")
    if name not in state.ctx:
        raise not_found(f"variable {name[:100]!r} in execution {state.execution_id}")
    return _variable(name, state.ctx[name], moment(state.started_at))


def _variable(name: str, value: Any, created_at: str | None) -> Variable:
    return Variable(
        var_name=name, var_type="user_defined", var_value=shown(value), created_at=created_at
    )


VARIABLE: Final[dict[str, Any]] = {
    "var_name": "page",
    "var_type": "user_defined",
    "var_value": 3,
    "source_step": None,
    "created_at": "2026-01-05T10:00:00Z",
    "accessed_at": None,
    "access_count": 0,
}

ROUTES: Final = [
    Route(
        method="GET",
        path="/api/result/resolve",
        handler=resolve,
        tag="results",
        summary="The value of a reference",
        description="The body is the value itself.",
        query=ResolveQuery,
        answer=Any,
        answer_example=[{"id": 1}],
        refusals=(400, 404, 422),
    ),
    Route(
        method="PUT",
        path="/api/result/{execution_id}",
        handler=put,
        tag="results",
        summary="Store a value for an execution",
        description="`store`, `ttl`, `correlation` and `compress` are accepted but have no effect.",
        body=PutResult,
        body_example={"name": "rows", "data": [{"id": 1}], "source_step": "load"},
        answer=KeptResult,
        answer_example={
            "ref": "noetl://execution/383401759197892608/result/load/rows-383401759197892700",
            "store": "kv",
            "scope": "execution",
            "bytes": 10,
            "sha256": "5c4b...",
            "expires_at": None,
        },
        scope="operator",
        limit="result_bytes_max",
        refusals=(400, 404, 413, 422),
    ),
    Route(
        method="GET",
        path="/api/vars/{execution_id}",
        handler=variables,
        tag="variables",
        summary="The variables of an execution",
        description="The values that its playbook has `set`. Only the playbook writes variables.",
        answer=list[Variable],
        answer_example=[VARIABLE],
        refusals=(400, 404),
    ),
    Route(
        method="GET",
        path="/api/vars/{execution_id}/{name}",
        handler=variable,
        tag="variables",
        summary="One variable of an execution",
        answer=Variable,
        answer_example=VARIABLE,
        refusals=(400, 404),
    ),
]
