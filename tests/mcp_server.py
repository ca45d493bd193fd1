"""A real MCP server, built with the SDK: ``python mcp_server.py stdio|http|json|sse``.

Over HTTP it prints the port that it listens on. Requests need the header
``Authorization: Bearer open``, unless the second argument is ``public``.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("sums", version="1.2")


@server.tool()
def add(a: int, b: int) -> dict[str, int]:
    """Add two numbers."""
    return {"sum": a + b}


@server.tool()
def fail(why: str) -> str:
    """Fail."""
    raise ToolError(why)


@server.tool()
async def hang(started: str, ended: str) -> str:
    """Hang until cancelled, and leave a file at the beginning and at the end."""
    Path(started).touch()
    try:
        await asyncio.Event().wait()
    finally:
        Path(ended).touch()
    return ""


@server.tool()
def much(size: int) -> str:
    """Yield a long text."""
    return "x" * size


@server.resource("note://today")
def today() -> str:
    """A note."""
    return "buy bread"


@server.prompt()
def greet(name: str) -> str:
    """Greet somebody."""
    return f"Greet {name}."


class Guarded:
    """Lets only those in who know the token."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers") or ())
        if scope["type"] == "http" and headers.get(b"authorization") != b"Bearer open":
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await self.app(scope, receive, send)


def main() -> None:
    form, *rest = sys.argv[1:]
    if form == "stdio":
        server.run("stdio")
        return
    if form == "sse":
        app: Any = server.sse_app()
    else:
        app = server.streamable_http_app(json_response=form == "json")
    listening = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    guarded = app if rest == ["public"] else Guarded(app)
    config = uvicorn.Config(guarded, log_level="error", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
