"""``task_sequence``: a list of tasks in one, which is the same as a step's list of tasks.

The language puts the tasks in its place (:mod:`arcbook.dsl.upgrade`), so nothing is ever
performed here.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from arcbook.outcome import ErrorKind, Outcome, failed
from arcbook.tools.api import Effects, Params, ToolCall, ToolContext, declare
from arcbook.tools.spec import ToolSpec


class TaskSequenceParams(Params, frozen=True, kw_only=True):
    """Parameters of ``task_sequence``."""

    tasks: Annotated[
        list[Any], Meta(description="The tasks; the same as a list of tasks below 'tool'.")
    ]


KIND = declare(
    "task_sequence",
    TaskSequenceParams,
    "Runs tasks in turn.",
    effects=[Effects.NONE],
    example="""
    tool:
      kind: task_sequence
      tasks:
        - fetch: {kind: http, url: https://api.example.com/users}
        - count: {kind: python, input: {users: "{{ fetch.data }}"}, code: result = len(users)}
    """,
)


class TaskSequence:
    """Stands for the kind where the language could not put its tasks in its place."""

    def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        message = "'task_sequence' must be the only tool of its step"
        return failed(ErrorKind.CONFIG, message, code="CONFIG")

    async def close(self) -> None:
        return None


SPEC = ToolSpec(kind=KIND, factory=TaskSequence)
