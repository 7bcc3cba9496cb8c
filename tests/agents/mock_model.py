"""A model on loopback, for real agents to talk to.

Speaks Anthropic Messages, OpenAI Responses, OpenAI Chat Completions and Gemini's generateContent, streamed and whole.
Without a plan it never stops asking for tools, which is what a runaway agent talks to: each call is answered with one
more use of a harmless tool, until `most` calls were made; then with a last word. With a plan (`script.py`) each call is
answered as that says: with figures of its own, with a failure, or with half an answer.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# What a call uses. The buckets are disjoint, reasoning is a part of output; 5m and 1h are lives of cache writes.
USED = {"input": 1000, "read": 0, "write_5m": 0, "write_1h": 0, "output": 50, "reasoning": 0}


# Who asks.
USER = {"id": "user_1", "email": "user@example.com", "username": "user", "features": [], "team": None, "credits": 0}


class Reply:
    """How a call is answered: with the use of a tool `(name, arguments)` or a last word, and what it used.

    `status`: it fails with that HTTP status instead. `cut`: the connection ends in the middle of the answer. `version`:
    what the answer says behind the name of the model that was asked for, as providers do.
    """

    def __init__(self, tool=None, used=USED, status=None, cut=False, version="", text="done"):
        self.tool, self.used, self.status, self.cut = tool, used, status, cut
        self.version, self.text = version, text


class Model:
    """The server. `calls` are the model calls that were made, oldest first: (API, model)."""

    def __init__(self, most=12, plan=None):
        self.most = most
        self.plan = plan
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
                # What accounts are asked for: all is well.
                self.say({"ok": True, "result": USER})

            def answer(self, api, path, body):
                name = body.get("model") or path.split("/")[-1].split(":")[0]
                with model.lock:
                    model.calls.append((api.__name__, name))
                    number = len(model.calls)
                    reply = (model.plan or model.go_on)(number, api.__name__, name, body, self.headers)
                if reply.status:
                    error = {"type": "error", "code": reply.status, "message": "not now"}
                    payload = json.dumps({"type": "error", "error": error}).encode()
                    return self.send("application/json", payload, reply.status, number)
                kind, payload = api(name + reply.version, f"{number:06d}", reply, body, path)
                self.send(kind, payload, 200, number, cut=reply.cut)

            def say(self, value):
                self.send("application/json", json.dumps(value).encode())

            def send(self, kind, payload, status=200, number=0, cut=False):
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(payload)))
                if number:
                    # What each provider calls the request.
                    self.send_header("request-id", f"req_{number:06d}")
                    self.send_header("x-request-id", f"req_{number:06d}")
                self.end_headers()
                try:
                    self.wfile.write(payload[: len(payload) // 2] if cut else payload)
                except OSError:
                    pass  # The agent was stopped while it was answered.
                if cut:
                    self.close_connection = True

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        # Agents hang up as they like.
        self.server.handle_error = lambda *_: None
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def go_on(self, number, _api, _name, body, _headers):
        """One more use of a harmless tool, if the agent has one and the model has not said enough."""
        offered = list(tools(body))
        wanted = next((t for t in WANTED if t in offered), None)
        return Reply((wanted, WANTED[wanted]) if wanted and number < self.most else None)

    def close(self):
        self.server.shutdown()
        self.server.server_close()


# A harmless use of each agent's own tools, by the tool's name.
WANTED = {
    "Bash": {"command": "true", "description": "Nothing"},
    "shell_command": {"command": "true"},
    "exec_command": {"cmd": "true"},
    "shell": {"command": "true"},
    "Execute": {"command": "true", "summary": "Nothing", "riskLevelReason": "Nothing", "riskLevel": "low"},
    "run_shell_command": {"command": "true", "description": "Nothing", "is_background": False},
    "bash": {"command": "true", "description": "Nothing"},
    "Shell": {"command": "true"},
    "run_commands": {"commands": ["true"]},
    "execute_command": {"command": "true", "requires_approval": False},
}
# How some have to say that they are done.
LAST = {"attempt_completion": {"result": "done"}}


def tools(body):
    """The names of the tools that a request offers, whatever its API; those of a namespace as `namespace/name`."""
    for tool in body.get("tools") or []:
        for part in [tool, tool.get("function") or {}, *(tool.get("functionDeclarations") or [])]:
            if part.get("name"):
                yield part["name"]
        for part in tool.get("tools") or []:
            yield f"{tool.get('name')}/{part.get('name')}"


def events(pairs):
    text = "".join(
        (f"event: {name}\n" if name else "") + f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n"
        for name, data in pairs
    )
    return "text/event-stream", text.encode()


def anthropic(name, number, reply, body, _path):
    tool, used = reply.tool, reply.used
    lives = {"ephemeral_5m_input_tokens": used["write_5m"], "ephemeral_1h_input_tokens": used["write_1h"]}
    usage = {"input_tokens": used["input"], "output_tokens": 1, "cache_read_input_tokens": used["read"],
             "cache_creation_input_tokens": used["write_5m"] + used["write_1h"], "cache_creation": lives}
    last = {"output_tokens": used["output"], "output_tokens_details": {"thinking_tokens": used["reasoning"]}}
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": name, "content": [],
               "stop_reason": None, "stop_sequence": None, "usage": usage}
    if tool:
        block = {"type": "tool_use", "id": f"toolu_{number}", "name": tool[0], "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(tool[1])}
    else:
        block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": reply.text}
    stop = "tool_use" if tool else "end_turn"
    if not body.get("stream"):
        whole = dict(block, input=tool[1]) if tool else {"type": "text", "text": reply.text}
        message.update(content=[whole], stop_reason=stop, usage=dict(usage, **last))
        return "application/json", json.dumps(message).encode()
    return events([
        ("message_start", {"type": "message_start", "message": message}),
        ("content_block_start", {"type": "content_block_start", "index": 0, "content_block": block}),
        ("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta}),
        ("content_block_stop", {"type": "content_block_stop", "index": 0}),
        ("message_delta", {"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": None},
                           "usage": last}),
        ("message_stop", {"type": "message_stop"}),
    ])


def prompt(used):
    """The whole prompt, as those count it whose input includes the cache."""
    return used["input"] + used["read"] + used["write_5m"] + used["write_1h"]


def responses(name, number, reply, body, _path):
    tool, used = reply.tool, reply.used
    if tool:
        space, _, tool_name = tool[0].rpartition("/")
        item = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": tool_name,
                **({"namespace": space} if space else {}), "arguments": json.dumps(tool[1]), "status": "completed"}
    else:
        item = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": reply.text, "annotations": []}]}
    details = {"cached_tokens": used["read"], "cache_write_tokens": used["write_5m"]}
    usage = {"input_tokens": prompt(used), "input_tokens_details": details, "output_tokens": used["output"],
             "output_tokens_details": {"reasoning_tokens": used["reasoning"]},
             "total_tokens": prompt(used) + used["output"]}
    whole = {"id": f"resp_{number}", "object": "response", "model": name, "status": "completed", "output": [item],
             "usage": usage}
    if not body.get("stream"):
        return "application/json", json.dumps(whole).encode()
    begun = dict(whole, status="in_progress", output=[], usage=None)
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    text = [] if tool else [
        ("response.output_text.delta", {"type": "response.output_text.delta", "delta": reply.text, **place})
    ]
    return events([
        ("response.created", {"type": "response.created", "response": begun}),
        ("response.output_item.added", {"type": "response.output_item.added", "output_index": 0, "item": item}),
        *text,
        ("response.output_item.done", {"type": "response.output_item.done", "output_index": 0, "item": item}),
        ("response.completed", {"type": "response.completed", "response": whole}),
    ])


def completions(name, number, reply, body, _path):
    tool, used = reply.tool, reply.used
    usage = {"prompt_tokens": prompt(used), "completion_tokens": used["output"],
             "total_tokens": prompt(used) + used["output"],
             "prompt_tokens_details": {"cached_tokens": used["read"]},
             "completion_tokens_details": {"reasoning_tokens": used["reasoning"]}}
    if tool:
        call = {"index": 0, "id": f"call_{number}", "type": "function",
                "function": {"name": tool[0], "arguments": json.dumps(tool[1])}}
        said, stop = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
    else:
        said, stop = {"role": "assistant", "content": reply.text}, "stop"
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


def gemini(name, number, reply, _body, path):
    tool, used = reply.tool, reply.used
    part = {"functionCall": {"name": tool[0], "args": tool[1]}} if tool else {"text": reply.text}
    usage = {"promptTokenCount": prompt(used), "candidatesTokenCount": used["output"] - used["reasoning"],
             "totalTokenCount": prompt(used) + used["output"]}
    for field, bucket in (("cachedContentTokenCount", "read"), ("thoughtsTokenCount", "reasoning")):
        if used[bucket]:
            usage[field] = used[bucket]
    whole = {"candidates": [{"index": 0, "content": {"role": "model", "parts": [part]}, "finishReason": "STOP"}],
             "usageMetadata": usage, "modelVersion": name, "responseId": f"gem_{number}"}
    if "streamGenerateContent" in path:
        return events([(None, whole)])
    return "application/json", json.dumps(whole).encode()


APIS = [
    ("/messages", anthropic),
    ("/chat/completions", completions),
    ("/responses", responses),
    ("enerateContent", gemini),
]
