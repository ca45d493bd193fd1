"""One call of a server: handshake, request, and what failures of either mean."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import httpx2
import pydantic
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import Implementation

from arcbook.egress import EgressError
from arcbook.outcome import ErrorKind, Outcome, failed, ok
from arcbook.tools.api import Credential, CredentialError, ToolCall, ToolContext
from arcbook.tools.http_auth import AuthError, grant_of
from arcbook.tools.mcp.link import (
    Seen,
    TooMuchError,
    Where,
    over_events,
    over_http,
    over_program,
)
from arcbook.tools.mcp.tool import METHODS, McpParams

TIMEOUT_SECONDS: Final = 60.0
"""How long a call may take where the task says nothing."""

CLOSE_SECONDS: Final = 2.0
"""How long a server has to take leave."""

PAGES_MAX: Final = 100
"""Pages of one list."""

OLDER: Final = frozenset({400, 404, 405, 406})
"""Answers of servers that do not know streamable HTTP."""

_KINDS: Final[dict[int, ErrorKind]] = {
    -32700: ErrorKind.PARSE,
    -32601: ErrorKind.NOT_FOUND,
    -32602: ErrorKind.CONFIG,
    -32002: ErrorKind.NOT_FOUND,
}

_FAULTS: Final = (
    MCPError,
    httpx2.HTTPError,
    OSError,
    pydantic.ValidationError,
    ExceptionGroup,
)


class ConfigError(ValueError):
    """A call cannot be made as it is written."""


async def perform(params: McpParams, call: ToolCall, context: ToolContext) -> Outcome:
    """Perform one call."""
    seconds = TIMEOUT_SECONDS if call.timeout_seconds is None else call.timeout_seconds
    try:
        where = await _where(params, call, context)
        ask = _question(params, call)
    except (ConfigError, AuthError) as error:
        return failed(ErrorKind.CONFIG, f"tool kind 'mcp': {error}", code="CONFIG")
    except CredentialError as error:
        return failed(ErrorKind.AUTH, str(error), code="CREDENTIAL", retryable=error.retryable)
    exchange = Seen()
    try:
        async with asyncio.timeout(seconds):
            return await _asked(params, where, exchange, context, ask, seconds)
    except TimeoutError:
        message = f"{where.address} did not answer {params.method} within {seconds:g} seconds"
        return failed(ErrorKind.TIMEOUT, message, code="TIMEOUT", retryable=True)
    except _FAULTS as error:
        return _failure(error, where, exchange)


Ask = Callable[[Client], Awaitable[dict[str, Any]]]


async def _asked(  # what a call consists of
    params: McpParams,
    where: Where,
    exchange: Seen,
    context: ToolContext,
    ask: Ask,
    seconds: float,
) -> Outcome:
    """Ask over the transport that the server speaks."""
    egress = context.confinement.egress
    if where.command:
        link = over_program(where, exchange, context.confinement)
        return await _over(link, params, where, ask)
    events = params.transport == "sse" or (
        params.transport == "auto" and where.endpoint.rstrip("/").endswith("/sse")
    )
    if events:
        return await _over(over_events(where, exchange, egress, seconds), params, where, ask)
    try:
        return await _over(over_http(where, exchange, egress, seconds), params, where, ask)
    except (MCPError, httpx2.HTTPError, ExceptionGroup):
        if params.transport != "auto" or exchange.status not in OLDER:
            raise
        before = exchange.status
    try:
        return await _over(over_events(where, exchange, egress, seconds), params, where, ask)
    except (httpx2.HTTPError, ExceptionGroup):
        exchange.status = before  # it does not speak by events either
        raise


async def _over(
    link: AbstractAsyncContextManager[Any], params: McpParams, where: Where, ask: Ask
) -> Outcome:
    client = Client(
        link,
        client_info=Implementation(name=params.client_name, version=params.client_version),
        mode="legacy" if params.protocol_version else "auto",
        cache=None,
    )
    answer: dict[str, Any] | None = None
    try:
        async with client:
            answer = await ask(client)
            answer["initialize"] = {
                "protocolVersion": client.protocol_version,
                "serverInfo": _plain(client.server_info),
                "capabilities": _plain(client.server_capabilities),
            }
    except (httpx2.HTTPError, OSError, ExceptionGroup):
        if answer is None:
            raise  # else only the leave-taking failed
    info = answer["initialize"].get("serverInfo") or {}
    data = {
        "status": "ok",
        "server": params.server or info.get("name"),
        "endpoint": where.address,
        "method": params.method,
        **answer,
    }
    return _finished(data)


def _finished(data: dict[str, Any]) -> Outcome:
    """Return an answer as an outcome: what the tool says is an error is one."""
    result = data["result"]
    if not result.get("isError"):
        return ok(data)
    message = f"the tool {data.get('tool')} of {data['endpoint']} failed: {data['text']}"
    return failed(
        ErrorKind.SERVER_ERROR, message, code="MCP_TOOL_ERROR", data={**data, "status": "error"}
    )


# -- what is asked ------------------------------------------------------------------------


def _question(params: McpParams, call: ToolCall) -> Ask:
    """Return what asks the server.

    Raises:
        ConfigError: something is missing.
    """
    protocol_params = params.params or {}
    arguments = params.arguments or protocol_params.get("arguments") or {}
    method = {"ping": "health", "initialize": "health"}.get(params.method, params.method)
    if method not in METHODS:
        raise ConfigError(f"'method' must be one of {', '.join(METHODS)}, not {params.method!r}")
    if method == "tools/call":
        tool = params.tool or protocol_params.get("name")
        if not tool:
            raise ConfigError("'tools/call' needs 'tool': the tool's name")
        return _calling(str(tool), arguments, call.idempotency_key)
    if method == "resources/read":
        uri = params.uri or protocol_params.get("uri")
        if not uri:
            raise ConfigError("'resources/read' needs 'uri'")
        return lambda client: _read(client, str(uri))
    if method == "prompts/get":
        prompt = params.prompt or protocol_params.get("name")
        if not prompt:
            raise ConfigError("'prompts/get' needs 'prompt': the prompt's name")
        texts = {str(name): str(value) for name, value in arguments.items()}
        return lambda client: _prompt(client, str(prompt), texts)
    return _health if method == "health" else _listing(method)


def _calling(tool: str, arguments: dict[str, Any], key: str) -> Ask:
    async def ask(client: Client) -> dict[str, Any]:
        meta: Any = {"idempotencyKey": key} if key else None
        result = _plain(await client.call_tool(tool, arguments, meta=meta))
        answer = {"tool": tool, "arguments": arguments, "result": result}
        answer["text"] = _text(result.get("content"))
        if "structuredContent" in result:
            answer["structured"] = result["structuredContent"]
        return answer

    return ask


async def _read(client: Client, uri: str) -> dict[str, Any]:
    result = _plain(await client.read_resource(uri))
    return {"uri": uri, "text": _text(result.get("contents")), "result": result}


async def _prompt(client: Client, name: str, arguments: dict[str, str]) -> dict[str, Any]:
    result = _plain(await client.get_prompt(name, arguments))
    contents = [message.get("content") for message in result.get("messages", ())]
    return {"prompt": name, "text": _text(contents), "result": result}


async def _health(client: Client) -> dict[str, Any]:
    return {"text": "", "result": {}}  # the handshake is the answer


def _listing(method: str) -> Ask:
    """Return what asks for all pages of a list."""

    async def ask(client: Client) -> dict[str, Any]:
        fetch, field = {
            "tools/list": (client.list_tools, "tools"),
            "resources/list": (client.list_resources, "resources"),
            "resources/templates/list": (client.list_resource_templates, "resourceTemplates"),
            "prompts/list": (client.list_prompts, "prompts"),
        }[method]
        items: list[Any] = []
        cursor = None
        for _ in range(PAGES_MAX):
            page = _plain(await fetch(cursor=cursor))
            items += page.get(field, [])
            cursor = page.get("nextCursor")
            if not cursor:
                break
        names = [str(one.get("name") or one.get("uri")) for one in items]
        return {"text": "\n".join(names), "result": {field: items}}

    return ask


def _text(contents: Any) -> str:
    parts = [c.get("text") for c in contents or () if isinstance(c, dict)]
    return "\n".join(part for part in parts if isinstance(part, str))


def _plain(model: Any) -> dict[str, Any]:
    if model is None:
        return {}
    dumped: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dumped


# -- where it is --------------------------------------------------------------------------


async def _where(params: McpParams, call: ToolCall, context: ToolContext) -> Where:
    """Return the server that a call means.

    Raises:
        ConfigError: it does not say which.
        AuthError: its credential cannot be applied.
        CredentialError: the credential cannot be had.
    """
    if params.command:
        if not context.confinement.is_open:
            raise ConfigError("a worker starts no servers: name one that is there by 'endpoint'")
        return Where(
            command=params.command,
            args=[str(arg) for arg in params.args or ()],
            env={str(name): str(value) for name, value in (params.env or {}).items()},
            cwd=params.cwd,
        )
    auth, stored = call.auth, call.auth.data if isinstance(call.auth, Credential) else {}
    names = ("endpoint", "url", "server_url", "base_url")
    endpoint = params.endpoint or next((str(stored[n]) for n in names if stored.get(n)), "")
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigError("write 'endpoint': http://HOST/PATH, or 'command': a program")
    grant = await grant_of(auth, context)
    headers = {str(name): str(value) for name, value in (params.headers or {}).items()}
    return Where(endpoint=endpoint, headers=headers | grant.headers, query=grant.query)


# -- failures -----------------------------------------------------------------------------


def _failure(error: BaseException, where: Where, exchange: Seen) -> Outcome:
    """Return the outcome of a call that got no answer."""
    causes = list(_leaves(error))
    cause = next((c for c in causes if isinstance(c, EgressError)), causes[0])
    message = f"{where.address}: {_sentence(cause)}"
    if exchange.errors:
        message += f"\n{exchange.errors}"
    if isinstance(cause, EgressError):
        return failed(ErrorKind.CONFIG, message, code="EGRESS")
    if isinstance(cause, TooMuchError):
        return failed(ErrorKind.LIMIT, message, code="RESPONSE_TOO_LARGE")
    if exchange.status in (401, 403):
        message = f"{where.address} refuses the credential: HTTP {exchange.status}"
        return failed(
            ErrorKind.AUTH, message, code=f"HTTP_{exchange.status}", http_status=exchange.status
        )
    if exchange.status >= 400:
        again = exchange.status == 429 or exchange.status >= 500
        kind = ErrorKind.SERVER_ERROR if again else ErrorKind.CLIENT_ERROR
        message = f"{where.address} answered HTTP {exchange.status}"
        code = f"HTTP_{exchange.status}"
        return failed(kind, message, code=code, retryable=again, http_status=exchange.status)
    if isinstance(cause, MCPError) and "closed" not in cause.message.lower():
        kind = _KINDS.get(cause.code, ErrorKind.SERVER_ERROR)
        return failed(kind, message, code=f"MCP_{cause.code}", details=cause.data)
    if isinstance(cause, pydantic.ValidationError):
        message = f"{where.address} answered what is not in the protocol"
        return failed(ErrorKind.PARSE, message, code="PROTOCOL")
    if isinstance(cause, FileNotFoundError):
        return failed(ErrorKind.CONFIG, f"there is no program {where.command!r}", code="CONFIG")
    reached = isinstance(cause, httpx2.ConnectError) or not isinstance(
        cause, (httpx2.HTTPError, MCPError)
    )
    code = "CONNECT" if reached else "DISCONNECTED"
    return failed(ErrorKind.CONNECTION, message, code=code, retryable=True)


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in _leaves(one)]
    return [error]


def _sentence(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__
