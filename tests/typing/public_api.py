"""What type checkers of users know of the public API; mypy checks this file strictly."""

from __future__ import annotations

from pathlib import Path
from typing import Any, assert_type

import arcbook
from arcbook.outcome import Outcome, ok
from arcbook.tools.api import Effects, Params, Tool, ToolCall, ToolContext, declare
from arcbook.tools.spec import ToolSpec


def runs() -> None:
    """A run has an execution as its value."""
    execution = arcbook.run("hello.yaml", {"who": "Ada"})
    assert_type(execution, arcbook.Execution)
    assert_type(execution.execution_id, int)
    assert_type(execution.result, Any)
    arcbook.run(Path("hello.yaml"))
    arcbook.run(3)  # type: ignore[arg-type]  # a playbook is a path, a text or a mapping


async def waits() -> None:
    """The same in a running loop."""
    assert_type(await arcbook.run_async({"kind": "Playbook"}), arcbook.Execution)


class Parameters(Params, frozen=True, kw_only=True):
    """Parameters of a kind of a user."""

    text: str


class Shout:
    """A tool of a user."""

    def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        return ok(call.config["text"].upper())

    async def close(self) -> None:
        return None


TOOL: Tool = Shout()
SPEC = ToolSpec(kind=declare("shout", Parameters, "Shouts.", effects=[Effects.NONE]), factory=Shout)
