//! The program itself on stdio, in both protocol eras, with no daemon to be found.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A running program with an empty home and no daemon's program within reach.
struct Shim {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    _home: TempDir,
}

fn command(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tokmon-mcp"));
    command
        .args(arguments)
        .env_clear()
        .env("TOKMON_HOME", home)
        .env("TOKMOND", home.join("no-such-program"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs with everything on standard input at once.
fn run(arguments: &[&str], input: &str) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut child = command(home.path(), arguments).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

impl Shim {
    fn start(arguments: &[&str]) -> Shim {
        let home = tempfile::tempdir().unwrap();
        let mut child = command(home.path(), arguments).spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Shim {
            child,
            input,
            output,
            _home: home,
        }
    }

    /// A session of the revisions with a handshake.
    fn legacy(arguments: &[&str], version: &str) -> (Shim, Value) {
        let mut shim = Shim::start(arguments);
        let answer = shim.ask(
            "initialize",
            json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}),
        );
        shim.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        (shim, answer)
    }

    fn send(&mut self, message: &Value) {
        writeln!(self.input.as_mut().unwrap(), "{message}").unwrap();
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.send(&json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}));
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["id"], 7, "{answer}");
        answer
    }

    /// A request of the stateless revision.
    fn ask_modern(&mut self, method: &str, mut params: Value) -> Value {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        self.ask(method, params)
    }

    /// Closes standard input; the exit code, and what is left on standard output and error.
    fn close(mut self) -> (Option<i32>, String, String) {
        drop(self.input.take());
        let (mut rest, mut said) = (String::new(), String::new());
        self.output.read_to_string(&mut rest).unwrap();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        (self.child.wait().unwrap().code(), rest, said)
    }
}

fn text(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap()
}

const LOGGED: &str = r#"{"input_tokens":1,"output_tokens":2,"model":"m"}"#;

#[test]
fn handshake_revisions() {
    for version in ["2025-03-26", "2025-06-18", "2025-11-25"] {
        let (mut shim, answer) = Shim::legacy(&[], version);
        assert_eq!(answer["result"]["protocolVersion"], version);
        assert_eq!(answer["result"]["serverInfo"]["name"], "tokmon");
        assert_eq!(answer["result"]["capabilities"], json!({"tools": {}}));
        let list = shim.ask("tools/list", json!({}));
        let tools = list["result"]["tools"].as_array().unwrap();
        assert_eq!(tools.len(), 8);
        assert_eq!(tools[0]["name"], "log_token_usage");
        assert_eq!(tools[1]["annotations"]["readOnlyHint"], true);
        assert_eq!(shim.ask("ping", json!({}))["result"], json!({}));
        assert_eq!(shim.close(), (Some(0), String::new(), String::new()), "{version}");
    }
}

#[test]
fn stateless_revision() {
    let mut shim = Shim::start(&[]);
    let found = shim.ask_modern("server/discover", json!({}));
    let versions = found["result"]["supportedVersions"].as_array().unwrap();
    assert!(
        versions.contains(&json!("2026-07-28")) && !versions.contains(&json!("2024-11-05")),
        "{found}"
    );
    assert_eq!(found["result"]["cacheScope"], "public");
    let list = shim.ask_modern("tools/list", json!({}));
    assert_eq!(list["result"]["tools"].as_array().unwrap().len(), 8);
    assert_eq!(
        (&list["result"]["resultType"], &list["result"]["ttlMs"]),
        (&json!("complete"), &json!(3_600_000))
    );
    let arguments: Value = serde_json::from_str(LOGGED).unwrap();
    let called = shim.ask_modern(
        "tools/call",
        json!({"name": "log_token_usage", "arguments": arguments}),
    );
    assert_eq!(called["result"]["isError"], true, "{called}");
    assert_eq!(shim.close(), (Some(0), String::new(), String::new()));
}

#[test]
fn a_daemon_out_of_reach_is_an_error_of_the_tool_that_says_what_helps() {
    let (mut shim, _) = Shim::legacy(&[], "2025-11-25");
    let arguments: Value = serde_json::from_str(LOGGED).unwrap();
    for (name, arguments) in [
        ("log_token_usage", arguments),
        ("get_current_session_stats", json!({})),
        ("get_waste_analysis", json!({"period": "today"})),
        ("get_daily_report", json!({"date": "2026-11-20"})),
        ("get_optimization_tips", json!({})),
        ("set_budget_alert", json!({"daily_limit_tokens": 1000})),
        ("export_analysis", json!({"format": "csv", "period": "all"})),
        ("reset_session", json!({})),
    ] {
        let answer = shim.ask("tools/call", json!({"name": name, "arguments": arguments}));
        assert_eq!(answer["result"]["isError"], true, "{name}: {answer}");
        let said = text(&answer);
        assert!(
            said.starts_with("the tokmon daemon cannot be reached: "),
            "{name}: {said}"
        );
        assert!(said.contains("What helps: "), "{name}: {said}");
    }
    assert_eq!(shim.close().0, Some(0));
}

#[test]
fn bad_arguments_are_refused_before_any_daemon_is_asked() {
    let (mut shim, _) = Shim::legacy(&[], "2025-11-25");
    for (name, arguments, expected) in [
        (
            "log_token_usage",
            json!({"input_tokens": -1}),
            "input_tokens must be a whole number from 0 to 1000000000, not -1",
        ),
        (
            "get_waste_analysis",
            json!({"period": "ever"}),
            "period must be one of current_session, today",
        ),
        (
            "get_daily_report",
            json!({"date": "2026-02-30"}),
            "date must be a day that exists, as YYYY-MM-DD",
        ),
        (
            "export_analysis",
            json!({"format": "xml"}),
            "format must be one of json, csv, html",
        ),
        (
            "reset_session",
            json!({"all": true}),
            "unknown argument 'all': this tool takes none",
        ),
    ] {
        let answer = shim.ask("tools/call", json!({"name": name, "arguments": arguments}));
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        assert!(text(&answer).starts_with(expected), "{answer}");
    }
    assert_eq!(shim.close().0, Some(0));
}

#[test]
fn what_is_not_there_is_an_error_of_the_protocol() {
    let (mut shim, _) = Shim::legacy(&["--tools", "minimal"], "2025-06-18");
    assert_eq!(
        shim.ask("tools/list", json!({}))["result"]["tools"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    for name in ["reset_session", "no_such_tool"] {
        let answer = shim.ask("tools/call", json!({"name": name, "arguments": {}}));
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        assert!(
            answer["error"]["message"].as_str().unwrap().contains(name),
            "{answer}"
        );
    }
    for method in [
        "prompts/list",
        "resources/list",
        "resources/templates/list",
        "no/such/method",
    ] {
        assert_eq!(shim.ask(method, json!({}))["error"]["code"], -32601, "{method}");
    }
    assert_eq!(shim.close().0, Some(0));
}

#[test]
fn a_client_that_closes_early_is_no_failure() {
    let discover = json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }}});
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    for input in [String::new(), format!("{discover}\n"), format!("{ping}\n")] {
        let ended = run(&[], &input);
        assert_eq!(ended.status.code(), Some(0), "{input}");
        assert_eq!(String::from_utf8(ended.stderr).unwrap(), "", "{input}");
        assert_eq!(ended.stdout.is_empty(), input.is_empty());
    }
}

#[test]
fn the_command_line() {
    let version = run(&["--version"], "");
    let printed = String::from_utf8(version.stdout).unwrap();
    assert_eq!(printed, format!("tokmon-mcp {}\n", env!("CARGO_PKG_VERSION")));
    assert!(
        String::from_utf8(run(&["--help"], "").stdout)
            .unwrap()
            .contains("--tools minimal")
    );
    let wrong = run(&["--tools", "none"], "");
    assert_eq!(wrong.status.code(), Some(2));
    assert!(wrong.stdout.is_empty());
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(
        said.contains("--tools is 'all' or 'minimal', not 'none'"),
        "{said}"
    );
}
