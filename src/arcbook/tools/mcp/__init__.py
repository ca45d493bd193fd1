"""``mcp``: calls tools of a Model Context Protocol server, and reads what it offers."""

from arcbook.tools.mcp.tool import KIND, SPEC, Mcp

__all__ = ["KIND", "SPEC", "Mcp"]
