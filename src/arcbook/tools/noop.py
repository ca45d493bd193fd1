"""``noop``: does nothing; for steps that only route, and for policy rules."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from arcbook.dsl.kinds import shape
from arcbook.outcome import Outcome, ok
from arcbook.tools.api import Effects, Params, ToolCall, ToolContext, declare
from arcbook.tools.spec import ToolSpec


class NoopParams(Params, frozen=True, kw_only=True):
    """Parameters of ``noop``."""

    message: Annotated[str | None, Meta(description="Text to yield.")] = None
    result: Annotated[Any, Meta(description="Value to yield instead.")] = None


KIND = declare(
    "noop",
    NoopParams,
    "Does nothing, and yields what it is given.",
    echoes={
        "result": None,
        "message": shape({"status": "`ok`.", "message": "The text."}),
        "input": None,
    },
    effects=[Effects.NONE],
    example="""
    tool:
      kind: noop
      message: nothing to do
    """,
)


class Noop:
    """Yields what it is given."""

    def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        config = call.config
        if config.get("result") is not None:
            return ok(config["result"])
        if config.get("message") is not None:
            return ok({"status": "ok", "message": config["message"]})
        return ok(dict(call.input) or None)

    async def close(self) -> None:
        return None


SPEC = ToolSpec(kind=KIND, factory=Noop)
