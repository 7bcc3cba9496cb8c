"""A model on loopback that never stops asking for tools: what a runaway agent talks to.

Speaks Anthropic Messages, OpenAI Responses, OpenAI Chat Completions and Gemini's generateContent, streamed. Each call
is answered with one more use of a harmless tool, until `most` calls were made; then with a last word.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

USED = {"input": 1000, "output": 50}


class Model:
    """The server. `calls` are the model calls that were made, oldest first: (API, model)."""

    def __init__(self, most=12):
        self.most = most
        self.calls = []
        self.lock = threading.Lock()
        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                self.say({"data": [], "models": []})

            def do_POST(self):
                length = int(self.headers.get("content-length") or 0)
                raw = self.rfile.read(length)
                try:
                    body = json.loads(raw or b"{}")
                except ValueError:
                    body = {}
                path = self.path.split("?")[0]
                if "count_tokens" in path or "countTokens" in path:
                    return self.say({"input_tokens": USED["input"], "totalTokens": USED["input"]})
                for part, api in APIS:
                    if part in path:
                        return self.answer(api, path, body)
                self.say({})

            def answer(self, api, path, body):
                name = body.get("model") or path.split("/")[-1].split(":")[0]
                with model.lock:
                    model.calls.append((api.__name__, name))
                    number = len(model.calls)
                offered = list(tools(body))
                wanted = next((t for t in WANTED if t in offered), None)
                tool = (wanted, WANTED[wanted]) if wanted and number < model.most else None
                self.send(*api(name, f"{number:06d}", tool, body, path))

            def say(self, value):
                self.send("application/json", json.dumps(value).encode())

            def send(self, kind, payload):
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(payload)))
                self.end_headers()
                try:
                    self.wfile.write(payload)
                except OSError:
                    pass  # The agent was stopped while it was answered.

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


# A harmless use of each agent's own tools, by the tool's name.
WANTED = {
    "Bash": {"command": "true", "description": "Nothing"},
    "shell_command": {"command": "true"},
    "exec_command": {"cmd": "true"},
    "shell": {"command": ["true"]},
    "run_shell_command": {"command": "true", "description": "Nothing", "is_background": False},
    "bash": {"command": "true", "description": "Nothing"},
}


def tools(body):
    """The names of the tools that a request offers, whatever its API."""
    for tool in body.get("tools") or []:
        for part in [tool, tool.get("function") or {}, *(tool.get("functionDeclarations") or [])]:
            if part.get("name"):
                yield part["name"]


def events(pairs):
    text = "".join(
        (f"event: {name}\n" if name else "") + f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"
        for name, data in pairs
    )
    return "text/event-stream", text.encode()


def anthropic(name, number, tool, body, _path):
    usage = {"input_tokens": USED["input"], "output_tokens": 1, "cache_read_input_tokens": 0,
             "cache_creation_input_tokens": 0}
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": name, "content": [],
               "stop_reason": None, "stop_sequence": None, "usage": usage}
    if tool:
        block = {"type": "tool_use", "id": f"toolu_{number}", "name": tool[0], "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(tool[1])}
    else:
        block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": "done"}
    stop = "tool_use" if tool else "end_turn"
    if not body.get("stream"):
        whole = dict(block, input=tool[1]) if tool else {"type": "text", "text": "done"}
        message.update(content=[whole], stop_reason=stop, usage=dict(usage, output_tokens=USED["output"]))
        return "application/json", json.dumps(message).encode()
    return events([
        ("message_start", {"type": "message_start", "message": message}),
        ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": block}),
        ("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}),
        ("content_block_stop", {"type": "content_block_stop", "index": 0}),
        ("message_delta", {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None},
                           "usage": {"output_tokens": USED["output"]}}),
        ("message_stop", {"type": "message_stop"}),
    ])


def responses(name, number, tool, _body, _path):
    if tool:
        item = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": tool[0],
                "arguments": json.dumps(tool[1]), "status": "completed"}
    else:
        item = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "done", "annotations": []}]}
    usage = {"input_tokens": USED["input"], "input_tokens_details": {"cached_tokens": 0},
             "output_tokens": USED["output"], "output_tokens_details": {"reasoning_tokens": 0},
             "total_tokens": USED["input"] + USED["output"]}
    whole = {"id": f"resp_{number}", "object": "response", "model": name, "status": "completed", "output": [item],
             "usage": usage}
    begun = dict(whole, status="in_progress", output=[], usage=None)
    return events([
        ("response.created", {"type": "response.created", "response": begun}),
        ("response.output_item.added", {"type": "response.output_item.added", "output_index": 0, "item": item}),
        ("response.output_item.done", {"type": "response.output_item.done", "output_index": 0, "item": item}),
        ("response.completed", {"type": "response.completed", "response": whole}),
    ])


def completions(name, number, tool, body, _path):
    usage = {"prompt_tokens": USED["input"], "completion_tokens": USED["output"],
             "total_tokens": USED["input"] + USED["output"]}
    if tool:
        call = {"index": 0, "id": f"call_{number}", "type": "function",
                "function": {"name": tool[0], "arguments": json.dumps(tool[1])}}
        said, stop = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    else:
        said, stop = {"role": "assistant", "content": "done"}, "stop"
    base = {"id": f"chatcmpl-{number}", "created": 1, "model": name}
    if not body.get("stream"):
        choice = {"index": 0, "message": said, "finish_reason": stop}
        whole = dict(base, object="chat.completion", choices=[choice], usage=usage)
        return "application/json", json.dumps(whole).encode()
    chunk = dict(base, object="chat.completion.chunk")
    return events([
        (None, dict(chunk, choices=[{"index": 0, "delta": said, "finish_reason": None}])),
        (None, dict(chunk, choices=[{"index": 0, "delta": {}, "finish_reason": stop}])),
        (None, dict(chunk, choices=[], usage=usage)),
        (None, "[DONE]"),
    ])


def gemini(name, _number, tool, _body, path):
    part = {"functionCall": {"name": tool[0], "args": tool[1]}} if tool else {"text": "done"}
    usage = {"promptTokenCount": USED["input"], "candidatesTokenCount": USED["output"],
             "totalTokenCount": USED["input"] + USED["output"]}
    whole = {"candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}],
             "usageMetadata": usage, "modelVersion": name}
    if "streamGenerateContent" in path:
        return events([(None, whole)])
    return "application/json", json.dumps(whole).encode()


APIS = [
    ("/messages", anthropic),
    ("/chat/completions", completions),
    ("/responses", responses),
    ("enerateContent", gemini),
]
