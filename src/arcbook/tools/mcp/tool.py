"""``mcp``: its parameters, and what repeating a call does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from arcbook.outcome import Outcome
from arcbook.tools.api import Effects, Params, ToolCall, ToolContext, declare, parse, require
from arcbook.tools.spec import ToolSpec

METHODS: Final = (
    "tools/call",
    "tools/list",
    "resources/list",
    "resources/read",
    "resources/templates/list",
    "prompts/list",
    "prompts/get",
    "health",
)


class McpParams(Params, frozen=True, kw_only=True):
    """Parameters of ``mcp``."""

    endpoint: Annotated[
        str | None,
        Meta(description="Address of the server, where no credential has it as 'url'."),
    ] = None
    command: Annotated[
        str | None,
        Meta(
            description="Program that is the server, instead: it speaks over its stdin and stdout."
        ),
    ] = None
    args: Annotated[list[Any] | None, Meta(description="Arguments of the program.")] = None
    env: Annotated[dict[str, Any] | None, Meta(description="Environment of the program.")] = None
    cwd: Annotated[str | None, Meta(description="Folder of the program.")] = None
    server: Annotated[str | None, Meta(description="Name of the server, for messages.")] = None
    transport: Annotated[
        Literal["auto", "http", "sse"],
        Meta(
            description="How the server speaks: streamable HTTP, or the older form with events. "
            "By itself: HTTP, and events where the server does not know that."
        ),
    ] = "auto"
    method: Annotated[
        str, Meta(description="What to ask.", extra_json_schema={"enum": list(METHODS)})
    ] = "tools/call"
    tool: Annotated[str | None, Meta(description="Name of the tool to call.")] = None
    arguments: Annotated[
        dict[str, Any] | None, Meta(description="Arguments of the tool or prompt.")
    ] = None
    uri: Annotated[str | None, Meta(description="Resource to read.")] = None
    prompt: Annotated[str | None, Meta(description="Name of the prompt to get.")] = None
    params: Annotated[
        dict[str, Any] | None,
        Meta(description="Parameters as the protocol has them: name, arguments, uri."),
    ] = None
    headers: Annotated[dict[str, Any] | None, Meta(description="Headers of each request.")] = None
    effects: Annotated[
        Literal["none", "idempotent", "keyed", "once"],
        Meta(description="What calling the tool twice does; the server is not asked."),
    ] = "once"
    protocol_version: Annotated[
        str | None, Meta(description="Any date begins with the handshake of older servers.")
    ] = None
    client_name: Annotated[str, Meta(description="What the server is told of us.")] = "arcbook"
    client_version: Annotated[str, Meta(description="Likewise.")] = "0"
    request_id: Annotated[Any, Meta(description="Not needed: requests are numbered.")] = None
    capabilities: Annotated[Any, Meta(description="Not needed: there are none to declare.")] = None


def effects_of(config: Mapping[str, Any]) -> Effects:
    """Return what repeating a call does; only a tool's call does anything."""
    if config.get("method", "tools/call") != "tools/call":
        return Effects.NONE if config.get("method") in METHODS else Effects.ONCE
    written = config.get("effects", "once")
    return Effects(written) if written in tuple(Effects) else Effects.ONCE


def summary(config: Mapping[str, Any]) -> str:
    """Say which tool a call uses, of which server."""
    protocol_params = config.get("params") or {}
    name = config.get("tool") or (
        protocol_params.get("name") if isinstance(protocol_params, Mapping) else None
    )
    where = config.get("server") or config.get("endpoint") or config.get("command") or "a server"
    return f"call the tool {name} of {str(where).partition('?')[0]}"


KIND = declare(
    "mcp",
    McpParams,
    "Calls tools of a Model Context Protocol server, and reads what it offers.",
    aliases={
        "endpoint": ["url", "server_url", "base_url"],
        "method": ["action"],
        "tool": ["tool_name"],
    },
    takes_auth=True,
    effects=list(Effects),
    effects_of=effects_of,
    summary=summary,
    result={
        "status": "`ok`.",
        "server": "The server's name: as it is written, or as it says.",
        "endpoint": "Its address or program.",
        "method": "What was asked.",
        "tool": "The tool.",
        "uri": "The resource.",
        "prompt": "The prompt.",
        "arguments": "Its arguments.",
        "text": "The text of the answer, all parts of it.",
        "structured": "What the tool yields as data, if it does.",
        "result": "The answer as the protocol has it.",
        "initialize": "What the server says of itself: `protocolVersion`, `serverInfo`, `capabilities`.",
    },
    example="""
    tool:
      kind: mcp
      endpoint: https://mcp.example.com/mcp
      auth: assistant
      tool: search
      arguments: {query: "{{ workload.city }}"}
    """,
)


class Mcp:
    """Calls servers, each call in a session of its own."""

    async def run(self, call: ToolCall, context: ToolContext) -> Outcome:
        params = parse(McpParams, call)
        if isinstance(params, Outcome):
            return params
        require("mcp", KIND.name)
        from arcbook.tools.mcp.calling import perform  # heavy: the SDK

        return await perform(params, call, context)

    async def close(self) -> None:
        return None


SPEC = ToolSpec(kind=KIND, factory=Mcp)
