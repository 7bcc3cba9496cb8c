"""What the model on loopback does, call by call: prompts carry it, so that main calls, subagents, retries and calls
that an agent makes on its own (titles, compaction) are told apart without knowing the agent.

A prompt says `[[NAME: STEP STEP …]]`. The steps, one for each answer of the model since that prompt:

  tool         a use of the agent's shell
  rest         as tool, for some seconds: a subagent in the background gets done meanwhile
  sub          a use of the tool that starts a subagent, whose own prompt says `[[NAME-sub: tool done]]`
  big          as tool, with a context that is nearly full, so that the agent compacts
  done         a last word
  fail-CODE+STEP  fails with this status the first time that the step is reached, then answers
  cut+STEP     the first answer ends in the middle

Whoever asks without such a prompt, or after its last step, or offers no tools, gets a last word. Every answer uses
figures of its own, so that equal sums mean equal calls.
"""

import json
import re

from mock_model import LAST, WANTED, Reply, tools

SCRIPT = re.compile(r"\[\[([\w-]+): ([\w+ -]+)\]\]")
# A step that an agent reaches more often than this is going round in circles.
MOST = 6
REST = "sleep 4"
# Tokens that fill a context of 200,000.
NEARLY_FULL = 180_000

# What the providers put behind the name of a model when they answer.
VERSIONS = {"anthropic": "-20260929", "completions": "-2026-09-29", "responses": "-2026-09-29"}
# What stands in the last words of a conversation that is to be summarised.
COMPACTS = re.compile("compaction|state_snapshot|summar[a-z]+ (of )?(the|our|this|all)", re.IGNORECASE)

# Tools that give a session its title.
NAMES = {"set_title"}

# How each agent starts a subagent: the tool's name, and its arguments around a prompt.
SUBAGENTS = {
    "Agent": lambda text: {"description": "Count", "prompt": text, "subagent_type": "general-purpose"},
    "Task": lambda text: {"description": "Count", "prompt": text, "subagent_type": "general-purpose"},
    "multi_agent_v1/spawn_agent": lambda text: {"message": text},
    "spawn_agent": lambda text: {"systemPrompt": "Count.", "task": text},
    "invoke_agent": lambda text: {"agent_name": "generalist", "prompt": text},
    "agent": lambda text: {"description": "Count", "prompt": text, "subagent_type": "general-purpose"},
    "use_subagents": lambda text: {"prompt_1": text},
    "new_task": lambda text: {"mode": "code", "message": text, "todos": None},
    "delegate": lambda text: {"instructions": text},
    "task": lambda text: {"description": "Count", "prompt": text, "subagent_type": "general",
                          "agent_type": "general-purpose", "name": "count", "mode": "sync"},
}


class Call:
    """One call as the model saw it: what it was for (`main`, `subagent`, `compaction`, or `aside` for titles and
    whatever else an agent asks on its own), what it used, and whether it came through (`done`, `failed` or `cut`)."""

    def __init__(self, kind, used, outcome):
        self.kind, self.used, self.outcome = kind, used, outcome


class Script:
    """A plan for `mock_model.Model`. `calls`: what was asked and answered, oldest first."""

    def __init__(self):
        self.calls, self.reached, self.last_words = [], {}, 0

    def __call__(self, number, api, _model, body, _headers):
        offered = [tool for tool in tools(body) if tool not in NAMES]
        step, name = self.step(body) if offered else ("aside", "")
        used = self.used(number, api, step.endswith("big"))
        before, _, last = step.rpartition("+")
        if before:
            known = self.reached.setdefault((name, step), 0)
            self.reached[name, step] = known + 1
            if known:
                before = ""
        kind = self.kind(body, step)
        tool = self.tool(last, name, offered, api)
        if not tool and kind != "compaction":
            tool = next(((word, LAST[word]) for word in LAST if word in offered), None)
        outcome = "failed" if before.startswith("fail-") else "cut" if before == "cut" else "done"
        self.calls.append(Call(kind, used, outcome))
        status = int(before[5:]) if outcome == "failed" else None
        self.last_words += last == "done" and outcome == "done" and not name.endswith("-sub")
        return Reply(tool, used, status, outcome == "cut", VERSIONS.get(api, ""))

    def is_over(self):
        """Whether somebody who asked in earnest has had the last word."""
        return self.last_words > 0

    def step(self, body):
        """The step that the conversation has come to, and a name for it."""
        said = list(messages(body))
        for at in range(len(said) - 1, -1, -1):
            found = SCRIPT.findall(said[at][1]) if said[at][0] == "user" else []
            if found:
                name, steps = found[-1]
                answers = sum(1 for role, _ in said[at + 1 :] if role == "model")
                steps = steps.split()
                step = steps[answers] if answers < len(steps) else "after"
                times = self.reached.get((name, answers), 0)
                self.reached[name, answers] = times + 1
                return (step if times < MOST else "after"), name
        return "aside", ""

    @staticmethod
    def kind(body, step):
        """What a call is for. Who compacts asks for a summary; a subagent's conversation begins with its own prompt."""
        asked = [said for role, said in messages(body) if role == "user"]
        if any(COMPACTS.search(said) and not SCRIPT.search(said) for said in asked[-1:]):
            return "compaction"
        names = [name for said in asked for name, _ in SCRIPT.findall(said)]
        return "aside" if step in ("aside", "after") else "subagent" if names[0].endswith("-sub") else "main"

    @staticmethod
    def tool(step, name, offered, api):
        if step == "sub":
            for tool, arguments in SUBAGENTS.items():
                if tool in offered:
                    asked = arguments(f"[[{name}-sub: tool done]]")
                    if tool == "Agent" and api == "completions":
                        # Kimi's, whose kinds have other names, and which has a usual one.
                        del asked["subagent_type"]
                    if tool == "Task" and "Execute" in offered:
                        # Droid's, likewise.
                        asked.update({"subagent_type": "worker", "await": True})
                    return tool, asked
        if step in ("tool", "big", "sub", "rest"):
            found = next((tool for tool in WANTED if tool in offered), None)
            if not found:
                return None
            more = {name: REST for name, value in WANTED[found].items() if value == "true" and step == "rest"}
            return found, dict(WANTED[found], **more)
        return None

    def used(self, number, api, big):
        """Figures that no other call has, in the buckets that the API knows."""
        input = 1_000 + 37 * number
        used = {"input": NEARLY_FULL + number if big else input, "read": 300 + 11 * number, "write_5m": 0,
                "write_1h": 0, "reasoning": 10 + number}
        used["output"] = 50 + 7 * number + used["reasoning"]
        if api == "anthropic":
            used["write_5m"], used["write_1h"] = 70 + 3 * number, 20 + number
        if api == "responses":
            used["write_5m"] = 70 + 3 * number
        return used


def text(content):
    """All that a message says, as one text."""
    return content if isinstance(content, str) else json.dumps(content)


def messages(body):
    """The conversation, whatever its API: (who, text); who is user, model or something else."""
    for message in body.get("messages") or []:
        yield {"assistant": "model"}.get(message.get("role"), message.get("role")), text(message.get("content"))
    items = body.get("input") or []
    for item in [{"role": "user", "content": items}] if isinstance(items, str) else items:
        kind = item.get("type") or "message"
        if kind == "message":
            yield {"assistant": "model"}.get(item.get("role"), item.get("role")), text(item.get("content"))
        else:
            yield ("model" if kind in ("function_call", "custom_tool_call") else kind), ""
    for content in body.get("contents") or []:
        yield content.get("role") or "user", text(content.get("parts"))
