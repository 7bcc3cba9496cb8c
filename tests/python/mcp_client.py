"""An MCP client built with the official Python SDK, to see tokmon-mcp as an editor sees it.

usage: mcp_client.py SERVER MODE < CALLS

MODE is "legacy" (handshake) or a protocol date (stateless); CALLS is a JSON list of [tool, arguments].
Prints one JSON object: the protocol version, the tools' names and each call's outcome.
"""

import asyncio
import json
import os
import sys

from mcp import Client, StdioServerParameters


async def main():
    server, mode = sys.argv[1:3]
    calls = json.load(sys.stdin)
    # The SDK passes on no variables by itself.
    parameters = StdioServerParameters(command=server, args=sys.argv[3:], env=dict(os.environ))
    async with Client(parameters, mode=mode) as client:
        tools = (await client.list_tools()).tools
        results = []
        for name, arguments in calls:
            result = await client.call_tool(name, arguments)
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
