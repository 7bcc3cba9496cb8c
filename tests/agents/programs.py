"""The real agents that `count.py` runs: where each is installed from, how it is pointed at the model on loopback, how
it goes on with its last session, and what its own data leaves out.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import stop
from script import Call

TARGET = stop.TARGET
NPM = ["npm", "install", "--no-audit", "--no-fund", "--loglevel", "error"]
# Some agents ask for more than the node that systems have; this npm package holds the program.
NODE = "node@24"
# Whether there is no network but loopback: then agents may try what they want.
IS_ALONE = False
# An independent reader of agents' files.
CCUSAGE = "ccusage@20.0.24"
write = stop.write


class Program:
    """One agent.

    `prepare(home, url)` gives the command around a prompt, and variables. `how`: what becomes of the command for each
    way of asking besides a new session. `sets_up`: `tokmonctl setup` knows it. `telemetry`: "" for none, "whole",
    "part" when it ends before all is sent, or "main" when it tells of the agent's and subagents' calls only; `exports`:
    it takes where to send from its environment only. `sessions`: a directory of sessions below the home, which may be
    copied. `silent`: kinds of calls that its files leave out, or scenarios in which they do. `hasty`: scenarios that it
    leaves before its telemetry is sent. `tells(used)`: what it makes of a call's figures before it writes them down.
    `sums`: kinds of calls of which it tells the sum alone; `totals`: its files tell what sessions used, not calls.
    `own(home, said)`: what it says itself that was used: input, cache read, cache written, output.
    """

    def __init__(self, package, prepare, how=None, *, sets_up=False, telemetry="", exports=False, sessions="",
                 silent=(), hasty=(), tells=None, sums=(), totals=False, own=None, new_node=False):
        self.package, self.prepare, self.how, self.sets_up = package, prepare, how or {}, sets_up
        self.telemetry, self.exports, self.sessions, self.silent = telemetry, exports, sessions, silent
        self.hasty, self.own, self.new_node = hasty, own, new_node
        self.tells, self.sums, self.totals = tells or (lambda used: used), sums, totals

    def told(self, calls):
        """These calls as it writes them down."""
        calls = [Call(call.kind, self.tells(call.used), call.outcome) for call in calls]
        for kind in self.sums:
            parts = [call.used for call in calls if call.kind == kind]
            calls = [call for call in calls if call.kind != kind]
            if parts:
                calls.append(Call(kind, {bucket: sum(part[bucket] for part in parts) for bucket in parts[0]}, "done"))
        return calls


def asked(command):
    return lambda prompt: [prompt if word == stop.PROMPT else word for word in command]


def as_in_stop(function):
    """An agent of `stop.py`: the same command with another prompt."""

    def prepare(home, url):
        command, more = function(home, url)
        return asked(command), more

    return prepare


def with_flags(*flags, at=1):
    """Flags behind the program's name, or further on."""
    return lambda command: [*command[:at], *flags, *command[at:]]


def without(*words, **others):
    """The command without these words, and with others in place of some."""
    return lambda command: [others.get(word.strip("-"), word) for word in command if word not in words]


def codex_resumes(command):
    return [*(word for word in command[:-1] if word != "--json"), "resume", "--last", command[-1]]


def claude_code(home, url):
    command, more = stop.claude_code(home, url)
    if IS_ALONE:
        # With it there are no titles.
        del more["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"]
    # Nothing is asked at its first start in a terminal.
    trusted = {str(home.parent / "work"): {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}}
    known = {"approved": [more["ANTHROPIC_API_KEY"][-20:]]}
    seen = {"hasCompletedOnboarding": True, "theme": "dark", "customApiKeyResponses": known, "projects": trusted}
    write(home / ".claude.json", seen)
    # A context of 200,000 tokens, which a single answer can fill.
    return asked(command), dict(more, ANTHROPIC_MODEL="claude-sonnet-4-5", CLAUDE_AUTOCOMPACT_PCT_OVERRIDE="50")


def codex(home, url):
    command, more = stop.codex(home, url)
    path = home / ".codex/config.toml"
    trusted = f'\n[projects."{home.parent / "work"}"]\ntrust_level = "trusted"\n'
    path.write_text("model_auto_compact_token_limit = 100000\n" + path.read_text() + trusted)
    return asked(command), more


def claude_says(_home, said):
    """The figures at the end of its JSON, which are those of the session."""
    used = json.loads(said[-1][said[-1].index("{") :])["modelUsage"].values()
    names = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens", "outputTokens")
    return tuple(sum(model[name] for model in used) for name in names)


def qwen_says(home, _said):
    """What it writes down when a session ends: totals of it, resumed ones again from its beginning."""
    lines = (home / ".qwen/usage_record.jsonl").read_text().splitlines()
    last = {record["sessionId"]: record["models"].values() for record in map(json.loads, lines)}
    used = [model for models in last.values() for model in models]
    read = sum(model["cachedTokens"] for model in used)
    return sum(m["inputTokens"] for m in used) - read, read, 0, sum(m["outputTokens"] for m in used)


def ai_sdk(url):
    """A provider as OpenCode and its like describe it."""
    options = {"baseURL": f"{url}/v1", "apiKey": "none"}
    model = {"limit": {"context": 200_000, "output": 8_000}}
    provider = {"npm": "@ai-sdk/openai-compatible", "options": options, "models": {"m1": model}}
    return {"provider": {"mock": provider}, "model": "mock/m1", "small_model": "mock/m1", "autoupdate": False,
            "permission": {"bash": "allow"}, "experimental": {"openTelemetry": True}}


def opencode(home, url):
    write(home / ".config/opencode/opencode.json", ai_sdk(url))
    return asked(["opencode", "run", stop.PROMPT]), {}


def kilo_cli(home, url):
    write(home / ".config/kilo/kilo.json", ai_sdk(url))
    return asked(["kilo", "run", "--auto", stop.PROMPT]), {"KILO_TELEMETRY_LEVEL": "off"}


def kimi_cli(home, url):
    provider = f'[providers.mock]\ntype = "openai_legacy"\nbase_url = "{url}/v1"\napi_key = "none"\n'
    model = '[models.m1]\nprovider = "mock"\nmodel = "m1"\nmax_context_size = 200000\n'
    write(home / ".kimi/config.toml", f'default_model = "m1"\n{provider}{model}')
    more = {"KIMI_CLI_NO_AUTO_UPDATE": "1"}
    return asked(["kimi", "--print", "--yolo", "-p", stop.PROMPT]), more


def kimi_code(_home, url):
    values = {"NAME": "m1", "API_KEY": "none", "BASE_URL": f"{url}/v1", "PROVIDER_TYPE": "openai",
              "MAX_CONTEXT_SIZE": "200000"}
    return asked(["kimi", "-p", stop.PROMPT]), {f"KIMI_MODEL_{name}": value for name, value in values.items()}


def pi(home, url):
    model = {"id": "m1", "name": "m1", "reasoning": False, "input": ["text"], "contextWindow": 200_000,
             "maxTokens": 8_000, "cost": {"input": 1, "output": 2, "cacheRead": 0.1, "cacheWrite": 1}}
    provider = {"baseUrl": f"{url}/v1", "apiKey": "none", "api": "openai-completions", "models": [model]}
    write(home / ".pi/agent/models.json", {"providers": {"mock": provider}})
    command = ["pi", "--provider", "mock", "--model", "m1", "-p", stop.PROMPT]
    return asked(command), {"PI_OFFLINE": "1", "PI_TELEMETRY": "0"}


def cline_cli(provider, model):
    """Cline's command line, which reads the same figures of every provider through one library."""

    def prepare(home, url):
        settings = {"provider": provider, "apiKey": "none", "model": model, "baseUrl": f"{url}/v1"}
        known = {"settings": settings, "updatedAt": "2026-11-20T00:00:00.000Z", "tokenSource": "manual"}
        providers = {"version": 1, "lastUsedProvider": provider, "modes": {}, "providers": {provider: known}}
        write(home / ".cline/data/settings/providers.json", providers)
        return asked(["cline", "-P", provider, "-m", model, stop.PROMPT]), {"CLINE_TELEMETRY_DISABLED": "1"}

    return prepare


def cline_task(provider, model):
    """Cline's former command line, which runs the core of its extension and keeps tasks as that does."""

    def prepare(home, url):
        prices = {"inputPrice": 1, "outputPrice": 2, "cacheReadsPrice": 0.1, "cacheWritesPrice": 1.25}
        info = {"maxTokens": 8_000, "contextWindow": 200_000, "supportsPromptCache": True, **prices}
        state = {"openAiBaseUrl": f"{url}/v1", "anthropicBaseUrl": url, "welcomeViewCompleted": True,
                 "subagentsEnabled": True, "nativeToolCallEnabled": True, "telemetrySetting": "disabled"}
        for mode in ("actMode", "planMode"):
            name = "OpenAiModelId" if provider == "openai" else "ApiModelId"
            state |= {f"{mode}ApiProvider": provider, f"{mode}{name}": model, f"{mode}OpenAiModelInfo": info}
        write(home / ".cline/data/globalState.json", state)
        write(home / ".cline/data/secrets.json", {"openAiApiKey": "none", "apiKey": "none"})
        return asked(["cline", "task", "-y", "--json", stop.PROMPT]), {"CLINE_TELEMETRY_DISABLED": "1"}

    return prepare


def cline_resumes(command):
    """With the last task; at times it waits for ever for what it has been told already, and is asked again."""
    again = 'cline task -t 40 -T "$(ls -t "$HOME/.cline/data/tasks" | head -1)" "$@"'
    return ["sh", "-c", f"shift; {again} || {again}", *command]


def begun_twice(used):
    """An answer's first token is counted where the answer begins, and again where it ends; one kind of cache writes."""
    written = used["write_5m"] + used["write_1h"]
    return dict(used, output=used["output"] + 1, write_5m=written, write_1h=0)


def cline_says(home, _said):
    """The sums in its history; of OpenAI's interface the input includes the cache."""
    tasks = json.loads((home / ".cline/data/state/taskHistory.json").read_text())
    sums = [sum(task[name] for task in tasks) for name in ("tokensIn", "cacheReads", "cacheWrites", "tokensOut")]
    state = json.loads((home / ".cline/data/globalState.json").read_text())
    return (sums[0] - (sums[1] if state["actModeApiProvider"] == "openai" else 0), *sums[1:])


def continue_cli(home, url):
    lines = ("name: m1", "provider: openai", "model: m1", f"apiBase: {url}/v1", "apiKey: none", "roles: [chat]")
    model = "\n    ".join(lines) + "\n"
    write(home / ".continue/config.yaml", f"name: mock\nversion: 0.0.1\nschema: v1\nmodels:\n  - {model}")
    more = {"CONTINUE_TELEMETRY_ENABLED": "0", "CONTINUE_CLI_ENABLE_TELEMETRY": "0", "FORCE_NO_TTY": "1"}
    return asked(["cn", "--auto", "-p", stop.PROMPT]), more


def goose(provider, model):
    """Goose, which reads what providers say through code of its own for each."""

    def prepare(_home, url):
        host, key = (f"{provider.upper()}_{name}" for name in ("HOST", "API_KEY"))
        more = {"GOOSE_PROVIDER": provider, "GOOSE_MODEL": model, host: url, key: "none", "GOOSE_MODE": "auto",
                "GOOSE_DISABLE_KEYRING": "1", "GOOSE_TELEMETRY_OFF": "1"}
        return asked(["goose", "run", "-t", stop.PROMPT]), more

    return prepare


def droid(provider, model):
    """Factory's Droid, as it works without an account: cut off from Factory, with a model of the user's own."""

    def prepare(home, url):
        base = url if provider == "anthropic" else f"{url}/v1"
        own = {"model": model, "displayName": "My Model", "baseUrl": base, "apiKey": "none", "provider": provider,
               "maxOutputTokens": 8_000}
        write(home / ".factory/settings.json", {"customModels": [own], "cloudSessionSync": False})
        more = {"FACTORY_API_KEY": "fk-none", "FACTORY_AIRGAP_ENABLED": "true", "FACTORY_API_BASE_URL": url,
                "FACTORY_APP_BASE_URL": url, "FACTORY_DISABLE_KEYRING": "true",
                "FACTORY_DROID_AUTO_UPDATE_ENABLED": "false"}
        return asked(["droid", "exec", "--auto", "high", "-m", "custom:My-Model-0", stop.PROMPT]), more

    return prepare


def flags_of_opencode():
    return {"continue": with_flags("--continue", at=2), "fork": with_flags("--continue", "--fork", at=2)}


def names_last(flag):
    """The same with the id of the session that was written last."""
    last = 'id=$(ls -t "$HOME"/.factory/sessions/*/*.jsonl | head -1); id=${id##*/}; program=$0; verb=$1; shift; '
    run = f'exec "$program" "$verb" {flag} "${{id%.jsonl}}" "$@"'
    return lambda command: ["sh", "-c", last + run, *command]


def ways_of_droid():
    return {"fork": names_last("--fork")}


def amp(_home, url):
    """Amp, whose service is the model: it hands out what it was given."""
    more = {"AMP_URL": url, "AMP_API_KEY": "none", "AMP_SKIP_UPDATE_CHECK": "1"}
    return asked(["amp", "--dangerously-allow-all", "-x", stop.PROMPT]), more


def goes_on_with_amp(command):
    return [command[0], "threads", "continue", *command[1:]]


def ways_of_goose():
    return {"continue": with_flags("--resume", at=2), "compact": with_flags("--resume", at=2)}


AGENTS = {
    "claude-code": Program(
        "@anthropic-ai/claude-code@2.1.329", claude_code,
        {"continue": with_flags("--continue"), "fork": with_flags("--continue", "--fork-session"),
         "compact": with_flags("--continue"),
         "terminal": without("-p", "--output-format", "json")},
        sets_up=True, telemetry="whole", sessions=".claude/projects", silent=("compaction", "aside"), own=claude_says,
    ),
    "codex": Program(
        "@openai/codex@0.169.0", codex,
        {"continue": codex_resumes, "terminal": without("exec", "--json", "--skip-git-repo-check")},
        sets_up=True, telemetry="whole", sessions=".codex/sessions", silent=("aside",), hasty=("failure",),
    ),
    "gemini-cli": Program(
        "@google/gemini-cli@0.61.0", as_in_stop(stop.gemini_cli),
        {"continue": with_flags("--resume", "latest"), "compact": with_flags("--resume", "latest"),
         "terminal": without(p="-i")},
        sets_up=True, telemetry="whole", sessions=".gemini/tmp", silent=("compaction", "aside"),
    ),
    "qwen-code": Program(
        "@qwen-code/qwen-code@0.24.4", as_in_stop(stop.qwen_code),
        {"continue": with_flags("--continue"), "compact": with_flags("--continue"), "terminal": without(p="-i")},
        sets_up=True, telemetry="whole", sessions=".qwen/projects", silent=("aside",), own=qwen_says,
    ),
    "copilot-cli": Program(
        "@github/copilot@1.0.102", as_in_stop(stop.copilot_cli),
        {"continue": with_flags("--continue")},
        sets_up=True, telemetry="whole", exports=True,
    ),
    "opencode": Program(
        "opencode-ai@1.18.33", opencode, flags_of_opencode(),
        sets_up=True, telemetry="part", exports=True, silent=("aside",),
    ),
    "kilo-cli": Program("@kilocode/cli@7.7.7", kilo_cli, flags_of_opencode(), silent=("aside",)),
    # Of an answer that is cut off and asked for again it makes one that it cannot read.
    "cline-cli": Program(
        "cline@3.0.65", cline_cli("openai-compatible", "m1"), sessions=".cline/data/sessions", silent=("cut",)
    ),
    "cline-cli-claude": Program(
        "cline@3.0.65", cline_cli("anthropic", "claude-sonnet-4-5"), sessions=".cline/data/sessions", silent=("cut",)
    ),
    # What its subagents use it sums up.
    "cline": Program(
        "cline@2.18.0", cline_task("anthropic", "claude-sonnet-4-5"), {"continue": cline_resumes},
        sessions=".cline/data/tasks", tells=begun_twice, sums=("subagent",), silent=("aside",), own=cline_says,
    ),
    "cline-openai": Program(
        "cline@2.18.0", cline_task("openai", "gpt-5.1"), {"continue": cline_resumes}, sessions=".cline/data/tasks",
        sums=("subagent",), silent=("aside",), own=cline_says,
    ),
    "continue": Program(
        "@continuedev/cli@1.5.47", continue_cli, {"continue": with_flags("--resume")}, sessions=".continue/sessions",
    ),
    "pi": Program(
        "@mariozechner/pi-coding-agent@0.73.1", pi, {"continue": with_flags("--continue")},
        sessions=".pi/agent/sessions",
    ),
    "kimi-cli": Program(
        "kimi-cli==1.40.0", kimi_cli, {"continue": with_flags("--continue")}, sessions=".kimi/sessions",
        silent=("compaction", "aside"),
    ),
    "kimi-code": Program(
        "@moonshot-ai/kimi-code@2.1.0", kimi_code, {"continue": with_flags("--continue")}, new_node=True,
        sessions=".kimi-code/sessions",
    ),
    "goose": Program(
        "@aaif/goose-acp@1.50.0", goose("openai", "gpt-4.1"), ways_of_goose(), telemetry="main", exports=True,
        silent=("aside",),
    ),
    "goose-claude": Program(
        "@aaif/goose-acp@1.50.0", goose("anthropic", "claude-sonnet-4-5"), ways_of_goose(), telemetry="main",
        exports=True, silent=("aside",),
    ),
    "droid": Program(
        "droid@0.215.0", droid("openai", "gpt-5.1"), ways_of_droid(), sessions=".factory/sessions", totals=True,
    ),
    "droid-claude": Program(
        "droid@0.215.0", droid("anthropic", "claude-sonnet-4-5"), ways_of_droid(), sessions=".factory/sessions",
        totals=True,
    ),
    "droid-generic": Program(
        "droid@0.215.0", droid("generic-chat-completion-api", "m1"), ways_of_droid(), sessions=".factory/sessions",
        totals=True,
    ),
    # The last that keeps threads on this machine, of March 2026, which writes noughts for subagents, and one that tells
    # of its calls in events, too.
    "amp": Program(
        "@sourcegraph/amp@0.0.1774569934-g39e3ec", amp, {"continue": goes_on_with_amp},
        sessions=".local/share/amp/threads", silent=("aside", "subagent"),
    ),
    "amp-events": Program(
        "@sourcegraph/amp@0.0.1767830505-ga62310", amp, {"continue": goes_on_with_amp},
        sessions=".local/share/amp/threads", silent=("aside",),
    ),
}

# How each says that its context is to be compacted.
COMMANDS = {"claude-code": "/compact", "gemini-cli": "/compress", "qwen-code": "/compress",
            "goose": "/compact", "goose-claude": "/compact"}


def install(package, new_node=False):
    """Installs a package from npm, or one of PyPI (`name==version`), once. The directory of its programs."""
    known = [agent for agent, (_, of_stop, _) in stop.AGENTS.items() if of_stop == package]
    # What `stop.py` has installed serves too.
    into = TARGET / "agents" / (known[0] if known else re.sub(r"[^\w.-]+", "-", package).strip("-"))
    is_python = "==" in package
    mark = into / "installed.txt"
    if not mark.exists() or mark.read_text() != package:
        shutil.rmtree(into, ignore_errors=True)
        write(into / "package.json", {"private": True})
        if is_python:
            # It asks for a newer one than many systems have; `PYTHON` names one.
            names = ("python3.14", "python3.13", "python3.12")
            python = next(filter(None, map(shutil.which, names)), sys.executable)
            subprocess.run([os.environ.get("PYTHON", python), "-m", "venv", into / "venv"], check=True)
            subprocess.run([into / "venv/bin/pip", "install", "--quiet", package], check=True)
        else:
            subprocess.run([*NPM, package, *([NODE] if new_node else [])], cwd=into, check=True)
        mark.write_text(package)
    return into / ("venv/bin" if is_python else "node_modules/.bin")
