"""Real agents against a model on loopback that never stops asking for tools: are they stopped at the limit?

    python3 tests/agents/stop.py [AGENT …]        default: claude-code codex; `all` for every agent below

Installs the agents' public npm packages into target/agents (node 20 or newer and npm are needed), builds the programs,
and lets `tokmonctl setup` put the hooks into a home of their own. Then, with a budget that denies:

  next  the limit is reached before a prompt: how many calls does the agent make?  Expected: 0.
  turn  the limit is reached in the middle of a turn: how many calls does it make after that?  Expected: 0 where the
        agent asks before each call; 1 of OpenCode, which asks before it has written down the last one. Agents that ask
        before each prompt only are not tried.

Prints one line for each and ends with 1 when an agent made more calls than expected.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from mock_model import Model

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PROMPT = "please go on"
# How long an agent may take; the model answers at once.
PATIENCE_S = 240
# Calls that the budget allows in a turn, and after how many the model gives up asking for more.
LIMIT, MOST = 2, 8


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def claude_code(home, url):
    more = {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "sk-ant-none",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "IS_SANDBOX": "1",
    }
    return ["claude", "-p", PROMPT, "--allowedTools", "Bash", "--output-format", "json"], more


def codex(home, url):
    provider = f'name = "mock"\nbase_url = "{url}/v1"\nwire_api = "responses"\nenv_key = "MOCK_KEY"\n'
    write(home / ".codex/config.toml", f'model = "gpt-5"\nmodel_provider = "mock"\n\n[model_providers.mock]\n{provider}')
    flags = ["--skip-git-repo-check", "--dangerously-bypass-hook-trust", "--dangerously-bypass-approvals-and-sandbox"]
    return ["codex", "exec", "--json", *flags, PROMPT], {"MOCK_KEY": "none"}


def gemini_cli(home, url):
    write(home / ".gemini/settings.json", {"security": {"auth": {"selectedType": "gemini-api-key"}}})
    more = {"GEMINI_API_KEY": "none", "GOOGLE_GEMINI_BASE_URL": url, "GEMINI_CLI_TRUST_WORKSPACE": "true"}
    return ["gemini", "-m", "gemini-2.5-pro", "--approval-mode", "yolo", "-p", PROMPT], more


def qwen_code(home, url):
    write(home / ".qwen/settings.json", {"security": {"auth": {"selectedType": "openai"}}})
    more = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "none", "OPENAI_MODEL": "qwen3-coder-plus"}
    return ["qwen", "--approval-mode", "yolo", "-p", PROMPT], more


def copilot_cli(home, url):
    more = {
        "COPILOT_OFFLINE": "true",
        "COPILOT_PROVIDER_BASE_URL": f"{url}/v1",
        "COPILOT_PROVIDER_API_KEY": "none",
        "COPILOT_MODEL": "gpt-5.4",
        "COPILOT_AUTO_UPDATE": "false",
    }
    return ["copilot", "-p", PROMPT, "--allow-all-tools"], more


def opencode(home, url):
    options = {"baseURL": f"{url}/v1", "apiKey": "none"}
    provider = {"npm": "@ai-sdk/openai-compatible", "options": options, "models": {"m1": {}}}
    config = {"provider": {"mock": provider}, "model": "mock/m1", "permission": {"bash": "allow"}}
    write(home / ".config/opencode/opencode.json", config)
    return ["opencode", "run", PROMPT], {}


# Each with its package as it was tried, and the calls that it may make after the limit in the middle of a turn.
AGENTS = {
    "claude-code": (claude_code, "@anthropic-ai/claude-code@2.1.197", 0),
    "codex": (codex, "@openai/codex@0.169.0", None),
    "gemini-cli": (gemini_cli, "@google/gemini-cli@0.61.0", 0),
    "qwen-code": (qwen_code, "@qwen-code/qwen-code@0.15.10", 0),
    "copilot-cli": (copilot_cli, "@github/copilot@1.0.102", None),
    "opencode": (opencode, "opencode-ai@1.18.33", 1),
}


def install(agent):
    """The directory of the agent's program."""
    package = AGENTS[agent][1]
    into = TARGET / "agents" / agent
    mark = into / "installed.txt"
    if not mark.exists() or mark.read_text() != package:
        shutil.rmtree(into, ignore_errors=True)
        write(into / "package.json", {"private": True})
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--loglevel", "error", package], cwd=into, check=True)
        mark.write_text(package)
    return into / "node_modules/.bin"


class Bench:
    """A home with an agent that is set up, a daemon, and a model."""

    def __init__(self, agent, programs):
        self.agent, self.root = agent, pathlib.Path(tempfile.mkdtemp(prefix="tk", dir="/tmp"))
        self.home, self.work, self.model = self.root / "home", self.root / "work", Model(MOST)
        for path in (self.home, self.work, self.home / ".claude", self.home / ".codex"):
            path.mkdir()
        self.command, more = AGENTS[agent][0](self.home, self.model.url)
        self.env = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "TOKMON_HOME": str(self.root / "tokmon"),
            # A machine under load is no reason to let an agent go on here.
            "TOKMON_HOOK_DEADLINE_MS": "5000",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            **more,
        }
        self.ctl("daemon", "start")
        self.ctl("setup", agent, "--only", "hooks,mcp", "--yes")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run([TARGET / "debug/tokmonctl", "daemon", "stop"], env=self.env, capture_output=True)
        self.model.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def ctl(self, *args):
        done = subprocess.run([TARGET / "debug/tokmonctl", *args], env=self.env, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"tokmonctl {args}: {done.stderr}")
        return done.stdout

    def run(self):
        """Lets the agent work; the calls that it made, and what it said."""
        before = len(self.model.calls)
        done = subprocess.run(
            self.command,
            env=self.env,
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_S,
        )
        return len(self.model.calls) - before, done.stdout


def check(agent):
    """What went wrong, line by line."""
    programs, late, wrong = install(agent), AGENTS[agent][2], []
    with Bench(agent, programs) as bench:
        free, said = bench.run()
        if free < LIMIT + 1:
            return [f"{agent}: without a budget it made {free} calls only, so nothing is shown\n{said[-2000:]}"]
        bench.ctl("record", "--model", "none", "--input", "1")
        bench.ctl("budget", "set", "day", "--requests", "1", "--action", "deny")
        calls, said = bench.run()
        print(f"{agent:12} next  calls after the limit: {calls} (without one: {free})", flush=True)
        if calls:
            wrong.append(f"{agent}: {calls} calls after the limit\n{said[-2000:]}")
    if late is not None:
        with Bench(agent, programs) as bench:
            bench.ctl("budget", "set", "day", "--requests", str(LIMIT), "--action", "deny")
            calls, said = bench.run()
            print(f"{agent:12} turn  calls after the limit: {calls - LIMIT} of {MOST - LIMIT}", flush=True)
            if not LIMIT <= calls <= LIMIT + late:
                wrong.append(f"{agent}: {calls} calls, not {LIMIT} to {LIMIT + late}\n{said[-2000:]}")
    return wrong


def main(agents):
    unknown = [agent for agent in agents if agent not in AGENTS]
    if unknown:
        raise SystemExit(f"{', '.join(unknown)} not known; allowed are all, {', '.join(AGENTS)}")
    subprocess.run(["cargo", "build", "--quiet", "--workspace", "--bins"], cwd=ROOT, check=True)
    wrong = [line for agent in agents for line in check(agent)]
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["claude-code", "codex"]
    sys.exit(main(list(AGENTS) if wanted == ["all"] else wanted))
