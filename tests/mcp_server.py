"""An honest MCP server of the official SDK: over its pipes, or HTTP on a port that it prints."""

from __future__ import annotations

import socket
import sys

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("mill")


@server.tool()
def add(left: int, right: int = 1) -> int:
    """Add two numbers."""
    return left + right


@server.tool(structured_output=False)
def tell(about: str) -> str:
    """Tell something about a thing."""
    return f"about {about}"


@server.tool(structured_output=False)
def fail() -> str:
    """Fail."""
    raise ValueError("the wheel is stuck")


@server.tool(structured_output=False)
def key(context: Context) -> str:
    """What the request says of itself."""
    return str(dict(context.request_context.meta or {}))


def main() -> None:
    if sys.argv[1:] != ["http"]:
        server.run()
        return
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(server.streamable_http_app(), log_level="error")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
