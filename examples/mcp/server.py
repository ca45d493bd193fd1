"""A server of the Model Context Protocol with one tool, over its stdin and stdout."""

from mcp.server.mcpserver import MCPServer

server = MCPServer("shop")


@server.tool()
def stock(article: str) -> dict[str, int]:
    """Return how many of an article there are."""
    return {"pieces": {"apple": 12, "pear": 0}.get(article, 0)}


if __name__ == "__main__":
    server.run("stdio")
