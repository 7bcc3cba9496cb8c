"""Real agents against a model on loopback that knows what each call used: does the ledger say the same?

    python3 tests/agents/count.py [AGENT …] [--only SCENARIO …] [--keep]   default: claude-code codex; `all` for all

Installs the agents' public packages of npm and PyPI below target/agents (node 20 or newer, npm and, for one, Python
3.12 are needed), builds the programs, and lets `tokmonctl setup` switch on everything in a home of its own: files,
telemetry, statusline, hooks, MCP. From then on nothing leaves the machine: where the system lets it, all runs in a
network namespace that has nothing but loopback. Every call is answered with figures of its own (`script.py`), cache and
reasoning among them, so equal figures mean equal calls. Compared with the model's own count, call by call and bucket by
bucket, are

  files      a ledger that read the agent's files as they were written
  telemetry  one that took what the agent exported
  both       one that did both, as users have it
  again      one that reads the files when all is over, each session copied once more and moved
  moved      the first one after that
  own        what the agent says itself at the end, where it does
  ccusage    what ccusage makes of these files and copies, where it knows the agent: told, not judged

  main        calls with tools                     subagent    a subagent, at the same time or within
  resume      a session goes on                    failure     500, 529 and 429, each before the same call again
  fork        a session goes on as another one     cut         an answer that ends in the middle
  full        a context that is nearly full        compact     the agent's own command for compaction
  terminal    as main, but in a terminal, where agents name sessions and show a statusline

Ends with 1 when anything is missing, or counted that the model did not answer, beyond what `programs.py` says that an
agent does not tell. Of reasoning, which is a part of output, a witness may know nothing.

What came out, and which agents are not here and why: README.md beside this file.
"""

import argparse
import collections
import ctypes
import fcntl
import json
import os
import pathlib
import pty
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import programs
from mock_model import Model
from programs import TARGET, write
from script import Call, Script

CTL = TARGET / "debug/tokmonctl"
# How long an agent may take; the model answers at once.
PATIENCE_S = 240
# How long an agent in a terminal asks nothing before it is taken to have ended: titles and such come late.
QUIET_S = 8
# How long a ledger may take to show what an agent has written or sent.
SETTLED_S = 20
TOKEN = "0123456789abcdef0123456789abcdef"
BUCKETS = ("input", "read", "write_5m", "write_1h", "output", "reasoning")
FIELDS = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens",
          "reasoning_tokens")

# What each scenario asks, in order.
SCENARIOS = {
    "main": [("new", "tool tool done")],
    "resume": [("new", "tool done"), ("continue", "tool done")],
    "fork": [("new", "tool done"), ("fork", "tool done")],
    "subagent": [("new", "sub rest done")],
    "failure": [("new", "fail-500+tool fail-529+tool fail-429+done")],
    "cut": [("new", "tool cut+tool done")],
    "full": [("new", "tool big tool done"), ("continue", "tool done")],
    "compact": [("new", "tool done"), ("compact", "")],
    "terminal": [("terminal", "tool tool done")],
}


class Ledger:
    """A daemon of its own, over the same home as the others."""

    def __init__(self, name, bench, files, telemetry):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.name, home = name, bench.root / name
        self.env = dict(bench.env, TOKMON_HOME=str(home))
        self.config, self.switches = home / "config.toml", (str(files).lower(), str(telemetry).lower())
        self.listen(self.port)
        write(home / "state/otlp.token", TOKEN + "\n")
        for path, mode in ((home / "state/otlp.token", 0o600), (home / "state", 0o700), (home, 0o700)):
            path.chmod(mode)

    def listen(self, port):
        files, telemetry = self.switches
        otlp = f'[otlp]\nenabled = {telemetry}\nlisten = ["127.0.0.1:{port}"]\n'
        write(self.config, f"[capture]\nenabled = {files}\npoll_seconds = 1\n{otlp}")

    def ctl(self, *args):
        done = subprocess.run([CTL, *args], env=self.env, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{self.name}: tokmonctl {' '.join(args)}: {done.stdout}{done.stderr}")
        return done.stdout

    def stop(self):
        subprocess.run([CTL, "daemon", "stop"], env=self.env, capture_output=True)

    def calls(self):
        """The figures of each call that came through."""
        records = json.loads(self.ctl("log", "-n", "100000", "--json"))["records"]
        return [tuple(record[field] for field in FIELDS) for record in records if not record["failed"]]


class Tee:
    """Takes what agents export and hands it on to every ledger that takes telemetry."""

    KEPT = ("content-type", "content-encoding", "x-tokmon-token")

    def __init__(self):
        self.ledgers = []
        tee = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def body(self):
                if self.headers.get("transfer-encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length") or 0))
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def do_POST(self):
                body, status, answer = self.body(), 503, b"{}"
                headers = {name: value for name, value in self.headers.items() if name.lower() in Tee.KEPT}
                for ledger in tee.ledgers:
                    asked = urllib.request.Request(f"http://127.0.0.1:{ledger.port}{self.path}", body, headers)
                    try:
                        with urllib.request.urlopen(asked) as said:
                            status, answer = said.status, said.read()
                    except urllib.error.HTTPError as error:
                        status, answer = error.code, error.read()
                    except OSError:
                        pass  # It has ended, and the agent sends its last.
                self.send_response(status)
                self.send_header("content-type", self.headers.get("content-type") or "application/json")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Bench:
    """A home with an agent that is set up, a model, and the ledgers."""

    def __init__(self, agent, scenario):
        self.agent, self.scenario, self.program, self.keep = agent, scenario, programs.AGENTS[agent], False
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="tk", dir="/tmp"))
        self.home, self.work = self.root / "home", self.root / "work"
        for path in (self.home, self.work, self.home / ".claude", self.home / ".codex"):
            path.mkdir()
        self.script, self.tee, self.said = Script(), Tee(), []
        self.model = Model(plan=self.script)
        self.command, more = self.program.prepare(self.home, self.model.url)
        self.env = {
            "PATH": f"{programs.install(self.program.package, self.program.new_node)}:{os.environ['PATH']}",
            "HOME": str(self.home),
            # A machine under load is no reason to let an agent go on here.
            "TOKMON_HOOK_DEADLINE_MS": "5000",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "DO_NOT_TRACK": "1",
            **more,
        }
        self.files = Ledger("files", self, True, False)
        self.telemetry = Ledger("telemetry", self, False, True)
        self.both = Ledger("both", self, True, True)
        # Hooks, statusline and MCP ask the ledger that users have.
        self.env["TOKMON_HOME"] = self.both.env["TOKMON_HOME"]
        if self.program.exports:
            self.env.update(
                OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{self.tee.port}",
                OTEL_EXPORTER_OTLP_PROTOCOL="http/json",
                OTEL_EXPORTER_OTLP_HEADERS=f"x-tokmon-token={TOKEN}",
            )
        if self.program.sets_up:
            # Agents are told the address that the configuration names, which is the tee's.
            self.both.listen(self.tee.port)
            self.both.ctl("setup", agent, "--yes")
            self.both.stop()
            self.both.listen(self.both.port)
        self.live = [self.files, self.telemetry, self.both] if self.program.telemetry else [self.files, self.both]
        for ledger in self.live:
            ledger.ctl("daemon", "start")
        self.tee.ledgers = [ledger for ledger in self.live if ledger is not self.files]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for ledger in self.live:
            ledger.stop()
        self.model.close()
        self.tee.close()
        # Some agents leave servers behind. What has this home is ours, and nobody else's.
        mine = f"HOME={self.home}".encode()
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if mine in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)
            except OSError:
                pass  # It has ended, or is not ours.
        if not self.keep:
            shutil.rmtree(self.root, ignore_errors=True)

    def ask(self, how, prompt):
        """Lets the agent work."""
        command = self.command(prompt)
        if how != "new":
            command = self.program.how[how](command)
        if how == "terminal":
            return self.said.append(self.in_terminal(command))
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        done = subprocess.run(command, env=self.env, cwd=self.work, text=True, timeout=PATIENCE_S, **pipes)
        self.said.append(done.stdout)

    def in_terminal(self, command):
        """The same in a terminal of its own, until the model had its last word and nothing was asked for a while."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        env = dict(self.env, TERM="xterm-256color")
        agent = subprocess.Popen(command, env=env, cwd=self.work, stdin=theirs, stdout=theirs, stderr=theirs,
                                 start_new_session=True)
        os.close(theirs)
        said, quiet, end = b"", time.monotonic(), time.monotonic() + PATIENCE_S
        made = 0
        while time.monotonic() < end and (not self.script.is_over() or time.monotonic() - quiet < QUIET_S):
            if select.select([ours], [], [], 0.2)[0]:
                try:
                    said += os.read(ours, 65536)
                except OSError:
                    break
            if made != len(self.model.calls):
                made, quiet = len(self.model.calls), time.monotonic()
        agent.terminate()
        try:
            agent.wait(10)
        except subprocess.TimeoutExpired:
            agent.kill()
            agent.wait()
        os.close(ours)
        return said.decode(errors="replace")

    def settled(self, right):
        """What each ledger shows, as soon as it is right or time is over."""
        end = time.monotonic() + SETTLED_S
        while True:
            shown = {ledger.name: ledger.calls() for ledger in self.live}
            if all(compare(self, name, rows, right)[1] is None for name, rows in shown.items()):
                return shown
            if time.monotonic() > end:
                return shown
            time.sleep(0.3)

    def again(self):
        """What a new ledger finds in the files, after every session was copied beside itself and moved away; and
        what the ledger that had read them makes of it."""
        sessions = self.home / self.program.sessions
        if self.program.sessions and sessions.is_dir():
            for path in list(sessions.iterdir()):
                copy, moved = (sessions / f"{path.stem}-{word}{path.suffix}" for word in ("copy", "moved"))
                shutil.copytree(path, copy) if path.is_dir() else shutil.copy(path, copy)
                path.rename(moved)
        new = Ledger("again", self, True, False)
        try:
            for ledger in (self.files, new):
                ledger.ctl("up", "--no-watch", "--json")
            return {"again": new.calls(), "moved": self.files.calls()}
        finally:
            new.stop()

    def ccusage(self):
        """Input, cache read, cache written and output, as ccusage adds them up; `None`: it says nothing."""
        try:
            command = [programs.install(programs.CCUSAGE) / "ccusage", "daily", "--json", "--offline"]
            done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60)
            totals = json.loads(done.stdout)["totals"]
        except (OSError, ValueError, KeyError, subprocess.SubprocessError):
            return None
        names = ("inputTokens", "cacheReadTokens", "cacheCreationTokens", "outputTokens")
        return tuple(totals[name] for name in names)


def figures(call):
    return tuple(call.used[bucket] for bucket in BUCKETS)


def begun(call):
    """What an answer that was cut off had said that it used."""
    return Call(call.kind, dict(call.used, output=0, reasoning=0), call.outcome)


def total(rows):
    """Input, cache read, cache written and output of calls."""
    sums = [sum(column) for column in zip(*rows)] or [0] * len(BUCKETS)
    return sums[0], sums[1], sums[2] + sums[3], sums[4]


def main_part(row):
    """What every witness must know: input, cache read, cache written, output."""
    return row[0], row[1], row[2] + row[3], row[4]


def compare(bench, name, rows, right):
    """How a witness did: a word for the table, and what is wrong. It may know nothing of reasoning, which is a part of
    output, and nothing of how long a cache write lives."""
    program = bench.program
    if program.totals:
        return compare_totals(rows, right)
    tells_all = program.telemetry in ("whole", "part") and name in ("both", "telemetry")
    silent = () if tells_all else program.silent
    known = {main_part(figures(call)): call for call in right}
    must = [row for row, call in known.items() if call.kind not in silent and bench.scenario not in silent]
    if name == "telemetry" and (program.telemetry == "part" or bench.scenario in program.hasty):
        must = []
    if name == "telemetry" and program.telemetry == "main":
        must = [row for row in must if known[row].kind in ("main", "subagent")]
    # Of an answer that was cut off an agent may tell how it began.
    shown = collections.Counter(row for row in map(main_part, rows) if row not in bench.begun)
    wrong = [f"{known[row].used} ({known[row].kind}) is missing" for row in must if row not in shown]
    wrong += [f"{row} was not used, or counted twice" for row in shown - collections.Counter(list(known))]
    for row in rows:
        call = known.get(main_part(row))
        told = call and figures(call)
        if told and (row[5] not in (0, told[5]) or row[3] not in (0, told[3])):
            wrong.append(f"{row} is not {told}")
    word = "=" if set(shown) == set(known) and not wrong else f"{len(rows)} of {len(right)}"
    return word, "\n".join(wrong) or None


def compare_totals(rows, right):
    """The same of an agent that tells what its sessions used, which are calls only while somebody watches. It may take
    cache writes for input."""
    shown, wanted = total(rows), total([figures(call) for call in right])
    input, read, written, output = wanted
    if shown in (wanted, (input + written, read, 0, output)):
        return "=", None
    return str(shown), f"{shown} is not {wanted}"


def check(agent, scenario, keep):
    """What went wrong, line by line."""
    program, asked = programs.AGENTS[agent], SCENARIOS[scenario]
    if any(how != "new" and how not in program.how for how, _ in asked):
        return []
    with Bench(agent, scenario) as bench:
        for at, (how, steps) in enumerate(asked):
            prompt = f"[[{scenario}-{at}: {steps}]] go on" if steps else programs.COMMANDS[agent]
            bench.ask(how, prompt)
        cut = [call for call in bench.script.calls if call.outcome == "cut"]
        right = program.told([call for call in bench.script.calls if call.outcome == "done"])
        bench.begun = {main_part(figures(call)) for call in program.told([begun(call) for call in cut])}
        shown = bench.settled(right)
        shown.update(bench.again())
        words, wrong = [], []
        if not bench.script.calls:
            wrong.append(f"{agent} {scenario}: it made no call\n{bench.said[-1][-2000:]}")
        for name, rows in shown.items():
            word, problem = compare(bench, name, rows, right)
            words.append(f"{name} {word}")
            if problem:
                wrong.append(f"{agent} {scenario} {name}: {problem}")
        sums = total([figures(call) for call in right])
        if program.own and not any(how == "terminal" for how, _ in asked):
            own = program.own(bench.home, bench.said)
            words.append(f"own {'=' if own == sums else own}")
        other = bench.ccusage()
        mine = total(shown["files"])
        words.append(f"ccusage {'-' if not other or not any(other) else '=' if other == mine else other}")
        kinds = collections.Counter(call.kind for call in bench.script.calls)
        made = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        print(f"{agent:16} {scenario:10} {made} ({len(right)} answered: {sums}): {'; '.join(words)}", flush=True)
        bench.keep = keep or bool(wrong)
        if bench.keep:
            print(f"{'':16} kept {bench.root}", flush=True)
        return wrong


def alone():
    """Leaves the network: from here on there is loopback and nothing else. Whether the system allows it."""
    uid, gid = os.getuid(), os.getgid()
    new_user, new_net = 0x10000000, 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform != "linux" or libc.unshare(new_net | (new_user if uid else 0)):
        return False
    if uid:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            pathlib.Path("/proc/self", name).write_text(text)
    with socket.socket() as probe:
        # SIOCGIFFLAGS, SIOCSIFFLAGS; IFF_UP.
        flags = struct.unpack("16sh14x", fcntl.ioctl(probe, 0x8913, struct.pack("16sh14x", b"lo", 0)))[1]
        fcntl.ioctl(probe, 0x8914, struct.pack("16sh14x", b"lo", flags | 1))
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("agents", nargs="*", default=["claude-code", "codex"])
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--keep", action="store_true", help="keep the homes")
    args = parser.parse_args()
    agents = list(programs.AGENTS) if args.agents == ["all"] else args.agents
    unknown = [agent for agent in agents if agent not in programs.AGENTS]
    if unknown:
        raise SystemExit(f"{', '.join(unknown)} not known; allowed are all, {', '.join(programs.AGENTS)}")
    subprocess.run(["cargo", "build", "--quiet", "--workspace", "--bins"], cwd=programs.stop.ROOT, check=True)
    for agent in agents:
        programs.install(programs.AGENTS[agent].package, programs.AGENTS[agent].new_node)
    try:
        programs.install(programs.CCUSAGE)
    except subprocess.CalledProcessError:
        print("ccusage cannot be had", file=sys.stderr)
    # Whoever ends this ends what it has started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    programs.IS_ALONE = alone()
    if not programs.IS_ALONE:
        print("this system gives no network of one's own: what agents send elsewhere is theirs", file=sys.stderr)
    wrong = [line for agent in agents for scenario in args.only for line in check(agent, scenario, args.keep)]
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
