"""``artifact``: reads a result that is kept by reference."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from arcbook.outcome import ErrorKind, Outcome, failed
from arcbook.tools.api import Effects, Params, ToolCall, ToolContext, declare, parse
from arcbook.tools.result_fetch import FETCHED, fetch


class ArtifactParams(Params, frozen=True, kw_only=True):
    """Parameters of ``artifact``."""

    action: Annotated[str, Meta(description="What to do: get.")] = "get"
    result_ref: Annotated[
        Any, Meta(description="The reference: `{{ step._ref }}`. It may also stand in 'input'.")
    ] = None


KIND = declare(
    "artifact",
    ArtifactParams,
    "Reads a result that is kept by reference.",
    aliases={"result_ref": ["ref", "uri"]},
    choices={"action": ["get", "put"]},
    result=FETCHED,
    effects=[Effects.NONE],
    example="""
    tool:
      kind: artifact
      result_ref: "{{ report._ref }}"
    """,
)


class Artifact:
    """Reads results."""

    async def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        params = parse(ArtifactParams, call)
        if isinstance(params, Outcome):
            return params
        if params.action.lower() == "get":
            return await fetch(params.result_ref, call, context)
        if params.action.lower() == "put":
            message = "'action: put' does nothing here: a step's result is kept by itself"
        else:
            message = f"there is no action {params.action!r}: write 'action: get'"
        return failed(ErrorKind.CONFIG, f"artifact: {message}", code="CONFIG")

    async def close(self) -> None:
        return None


TOOL = Artifact
