"""An MCP client built with the official Python SDK, to see tokmon-mcp as an editor sees it.

usage: mcp_client.py SERVER MODE NAME < CALLS

NAME is what the client calls itself; MODE is "legacy" (handshake) or a protocol date (stateless); CALLS is a JSON list of [tool, arguments].
Prints one JSON object: the protocol version, the tools' names and each call's outcome.
"""

import asyncio
import json
import os
import sys

from mcp import Client, StdioServerParameters
from mcp.types import Implementation


async def main():
    server, mode, name = sys.argv[1:]
    calls = json.load(sys.stdin)
    # The SDK passes on no variables by itself.
    parameters = StdioServerParameters(command=server, env=dict(os.environ))
    who = Implementation(name=name, version="1.0")
    async with Client(parameters, mode=mode, client_info=who) as client:
        tools = (await client.list_tools()).tools
        results = []
        for tool, arguments in calls:
            result = await client.call_tool(tool, arguments)
            text = "".join(getattr(part, "text", "") for part in result.content)
            results.append(
                {
                    "is_error": bool(result.is_error),
                    "text": text,
                    "structured": result.structured_content,
                }
            )
        print(
            json.dumps(
                {
                    "protocol_version": client.protocol_version,
                    "tools": [tool.name for tool in tools],
                    "results": results,
                }
            )
        )


asyncio.run(main())
