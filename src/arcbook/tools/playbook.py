"""``playbook``: runs another playbook and waits for its result, holding no worker."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from arcbook.dsl.kinds import shape
from arcbook.dsl.paths import catalog_path
from arcbook.events.types import WaitKind
from arcbook.outcome import Outcome
from arcbook.tools.api import Deferred, Effects, Params, ToolCall, ToolContext, declare, parse
from arcbook.tools.spec import ToolSpec


class PlaybookParams(Params, frozen=True, kw_only=True):
    """Parameters of ``playbook``."""

    path: Annotated[str | None, Meta(description="Path of the playbook in the catalog.")] = None
    catalog_id: Annotated[int | str | None, Meta(description="One version of it, by its id.")] = (
        None
    )
    version: Annotated[
        int | str | None, Meta(description="One version of it; else the latest.")
    ] = None
    payload: Annotated[
        dict[str, Any] | None,
        Meta(description="Workload of the child, where 'input' is not given."),
    ] = None
    return_step: Annotated[
        str | None, Meta(description="Wait for the child; its result is that of this step.")
    ] = None
    return_result: Annotated[
        bool | None, Meta(description="Whether to wait; false starts the child and goes on.")
    ] = None
    result_step: Annotated[str | None, Meta(description="The same as return_step.")] = None
    poll_interval: Annotated[float | int | None, Meta(description="Not needed: nothing polls.")] = (
        None
    )


KIND = declare(
    "playbook",
    PlaybookParams,
    "Runs another playbook; its result is the task's.",
    aliases={"return_step": ["return"]},
    any_of=[("path", "catalog_id")],
    waits=True,
    # A call starts one child, however often it is performed; what the child does is its own.
    effects=[Effects.NONE],
    names=["playbooks"],
    result=shape(
        {
            "path": "Path of the child's playbook.",
            "status": "How it ended, or `started` where it is not waited for.",
            "execution_id": "The child's id.",
            "async": "`true` where it is not waited for.",
            "result": "The child's result; its fields, where it has some, stand beside these.",
        },
        is_open=True,
    ),
    example="""
    tool:
      kind: playbook
      path: reports/daily
      input: {day: "{{ workload.day }}"}
    """,
)


class Playbook:
    """Asks the engine for a child execution."""

    def run(self, call: ToolCall, context: ToolContext) -> Outcome | Deferred:
        params = parse(PlaybookParams, call)
        if isinstance(params, Outcome):
            return params
        latest = params.version in (None, "", "latest")
        return Deferred(
            kind=WaitKind.CHILD,
            path=catalog_path(params.path or ""),
            catalog_id=None if params.catalog_id is None else int(params.catalog_id),
            version=None if latest else int(params.version or 0),
            payload=call.input or params.payload or {},
            timeout_seconds=call.timeout_seconds,
            detached=params.return_result is False and not params.return_step,
            key=params.return_step or params.result_step or "",
        )

    async def close(self) -> None:
        return None


SPEC = ToolSpec(kind=KIND, factory=Playbook)
