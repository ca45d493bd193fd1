"""The tool kind ``container``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from arcbook.outcome import Outcome
from arcbook.tools.api import Deferred, Effects, ToolCall, ToolContext, declare, parse
from arcbook.tools.confinement import Confinement
from arcbook.tools.container.params import ALIASES, ContainerParams, container_job, deadline_of
from arcbook.tools.container.waiting import RESULT, Waiting
from arcbook.tools.spec import ToolSpec


def summary(config: Mapping[str, Any]) -> str:
    """Say which image a call runs."""
    command = config.get("command")
    words = [str(word) for word in command] if isinstance(command, list) else [str(command or "")]
    first = (" ".join(words).strip().splitlines() or [""])[0]
    return f"run image {config.get('image')}" + (f": {first}" if first else "")


KIND = declare(
    "container",
    ContainerParams,
    "Runs a container as a job and waits for its end, holding no worker meanwhile.",
    aliases=ALIASES,
    scripts=["command"],
    waits=True,
    # A call that is made again finds the job that it had started, by its name.
    effects=[Effects.KEYED],
    result=RESULT,
    summary=summary,
    example="""
    tool:
      kind: container
      image: python:3.12-slim
      command: ["python", "-c", "print(6 * 7)"]
      deadline: 600
      resources:
        limits: {memory: 256Mi, cpu: "1"}
    """,
)


class Container:
    """Runs containers as jobs."""

    def __init__(self) -> None:
        self._waiting = Waiting()

    async def run(self, call: ToolCall, context: ToolContext) -> Outcome | Deferred:
        params = parse(ContainerParams, call)
        if isinstance(params, Outcome):
            return params
        return await self._waiting.run(
            call,
            context.confinement,
            lambda: container_job(params, call),
            deadline_of(params, call),
        )

    async def stop(self, job: str, confinement: Confinement) -> bool:
        """Stop the job of a cancelled execution."""
        return await self._waiting.stop(job, confinement)

    async def close(self) -> None:
        await self._waiting.close()


SPEC = ToolSpec(kind=KIND, factory=Container)
