"""``agent``: its parameters, and how its answer becomes an outcome."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib import resources
from typing import Annotated, Any, Final, Literal

from msgspec import Meta
from msgspec.structs import replace

from arcbook.dsl.paths import catalog_path
from arcbook.events.types import WaitKind
from arcbook.outcome import ErrorKind, Outcome, failed
from arcbook.tools.api import Deferred, Effects, Params, ToolCall, ToolContext, declare, parse
from arcbook.tools.python import Python
from arcbook.tools.spec import ToolSpec

MILLION: Final = 1_000_000


class AgentParams(Params, frozen=True, kw_only=True):
    """Parameters of ``agent``."""

    framework: Annotated[
        Literal["custom", "langchain", "noetl"],
        Meta(description="What the agent is: a runnable of LangChain, an object, or a playbook."),
    ] = "custom"
    entrypoint: Annotated[
        str, Meta(description="Where it is: `module:attribute`, or the path of a playbook.")
    ]
    entrypoint_mode: Annotated[
        Literal["auto", "factory", "callable"],
        Meta(
            description="Whether the attribute makes the agent or is it. By itself: classes make it."
        ),
    ] = "auto"
    entrypoint_args: Annotated[
        dict[str, Any] | None, Meta(description="Arguments of the factory.")
    ] = None
    payload: Annotated[
        Any, Meta(description="What the agent is given, where 'input' is not written.")
    ] = None
    input_arg: Annotated[
        str | None, Meta(description="Name of the argument that takes it; the first one by itself.")
    ] = None
    invoke_method: Annotated[
        str | None,
        Meta(description="Method to call; else the first that the agent has of the usual."),
    ] = None
    invoke_kwargs: Annotated[
        dict[str, Any] | None, Meta(description="Further arguments of the method.")
    ] = None
    prices: Annotated[
        dict[str, float] | None,
        Meta(
            description="Price of a million tokens, `input` and `output`: then there is a `cost`."
        ),
    ] = None
    env: Annotated[dict[str, Any] | None, Meta(description="Environment variables.")] = None


def summary(config: Mapping[str, Any]) -> str:
    """Say which agent a call asks."""
    return f"ask the agent {config.get('entrypoint')}"


KIND = declare(
    "agent",
    AgentParams,
    "Asks an agent: a runnable of LangChain, an object of one's own, or a playbook.",
    aliases={"invoke_method": ["method"]},
    waits=True,
    takes_auth=True,
    effects=[Effects.KEYED],
    summary=summary,
    result={
        "status": "`ok`.",
        "framework": "What the agent is.",
        "entrypoint": "Where it is.",
        "data": "What it yields, as plain data.",
        "usage": "Tokens that its messages say they cost: `input_tokens`, `output_tokens`, `total_tokens`.",
        "cost": "What they cost, where `prices` are given.",
    },
    example="""
    tool:
      kind: agent
      framework: langchain
      entrypoint: my_agents.weather:agent
      payload: {question: "Will it rain in Oslo?"}
    """,
)


@lru_cache
def _code() -> str:
    """Return what runs beside the agent."""
    source = resources.files("arcbook.tools.agent").joinpath("inside.py").read_text("utf-8")
    return source.replace("from __future__ import annotations\n", "", 1)


class Agent:
    """Asks agents in processes that run code of users."""

    def __init__(self) -> None:
        self._python = Python()

    async def run(self, call: ToolCall, context: ToolContext) -> Outcome | Deferred:
        params = parse(AgentParams, call)
        if isinstance(params, Outcome):
            return params
        arguments = call.input or params.payload
        if params.framework == "noetl":
            payload = arguments if isinstance(arguments, dict) else {"input": arguments}
            path = catalog_path(params.entrypoint)
            seconds = call.timeout_seconds
            return Deferred(
                kind=WaitKind.CHILD, path=path, payload=payload, timeout_seconds=seconds
            )
        if params.entrypoint.count(":") != 1:
            message = f"'entrypoint' is module:attribute, not {params.entrypoint!r}"
            return failed(ErrorKind.CONFIG, f"tool kind 'agent': {message}", code="CONFIG")
        asked = {
            "framework": params.framework,
            "entrypoint": params.entrypoint,
            "mode": params.entrypoint_mode,
            "arguments": params.entrypoint_args or {},
            "payload": arguments,
            "input_arg": params.input_arg or "",
            "method": params.invoke_method or "",
            "options": params.invoke_kwargs or {},
            "folders": _folders(context),
        }
        config = {"code": _code(), "env": params.env}
        sent = replace(call, kind="python", config=config, input={"asked": asked}, auth=None)
        return _finished(await self._python.run(sent, context), params)

    async def close(self) -> None:
        await self._python.close()


def _folders(context: ToolContext) -> list[str]:
    """Return where modules of agents may be, beside those that are installed."""
    confinement = context.confinement
    if confinement.is_open:
        return [context.folder] if context.folder else []
    return [context.workspace, *(confinement.folders or ())]


def _finished(outcome: Outcome, params: AgentParams) -> Outcome:
    """Return what the agent yielded; what it says is an error is one."""
    if not outcome.is_ok:
        return outcome
    facts = {"framework": params.framework, "entrypoint": params.entrypoint}
    data = {"status": "ok", **facts, **outcome.data}
    if params.prices:
        used = data["usage"]
        data["cost"] = sum(
            used.get(f"{name}_tokens", 0) * price / MILLION for name, price in params.prices.items()
        )
    answer = data["data"]
    if isinstance(answer, dict) and answer.get("status") == "error":
        reason = answer.get("error") or answer.get("message") or "it does not say why"
        error = failed(
            ErrorKind.PROCESS,
            f"the agent {params.entrypoint} failed: {reason}",
            code="AGENT_ERROR",
            data={**data, "status": "error"},
        )
        return replace(error, meta=outcome.meta)
    return replace(outcome, data=data)


SPEC = ToolSpec(kind=KIND, factory=Agent)
