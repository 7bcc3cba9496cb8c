//! Whole runs of the short-lived programs: from spawn to end, or to the first answer.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use tokmon_client::v1;
use tokmon_tests::binaries;
use tokmon_tests::env::Env;

use crate::bench::Bench;
use crate::figures::{Peer, Target};
use crate::{peers, process};

/// Runs of a program that takes milliseconds.
const SPAWNS: usize = 21;

pub(crate) fn report(bench: &Bench) {
    let large = bench.large();
    let daemon = large.env.start_daemon();
    let rows = large.env.ctl_json(&["report", "daily"])["rows"]
        .as_array()
        .map_or(0, Vec::len);
    assert!(rows >= 365, "a year has {rows} days");
    let run = || ctl(&large.env, &["report", "daily"]);
    let wall: Vec<f64> = (0..SPAWNS).map(|_| process::timed(run())).collect();
    let peak: Vec<f64> = process::peak_of_short(&bench.runtime, run())
        .into_iter()
        .collect();
    daemon.stop();
    println!("  {} records, {rows} days", large.records);
    let goal = match large.records {
        ..=1_000_000 => Target::AtMost(15.0),
        _ => Target::Told,
    };
    bench.figures.add(
        "`tokmonctl report daily`, whole process",
        "ms",
        &wall,
        goal,
        &bench.beside_ccusage("daily over the corpus", |found| &found.wall_ms),
    );
    bench
        .figures
        .add("its memory", "MB", &peak, Target::Told, &Peer::none());
}

pub(crate) fn status(bench: &Bench) {
    let env = Env::new();
    let daemon = env.start_daemon();
    let run = || ctl(&env, &["status"]);
    let wall: Vec<f64> = (0..SPAWNS).map(|_| process::timed(run())).collect();
    let peak: Vec<f64> = process::peak_of_short(&bench.runtime, run())
        .into_iter()
        .collect();
    daemon.stop();
    let bare: Vec<f64> = (0..SPAWNS)
        .map(|_| process::timed(Command::new("true")))
        .collect();
    bench.figures.add(
        "`tokmonctl status`, whole process",
        "ms",
        &wall,
        Target::AtMost(5.0),
        &Peer::measured("spawning `true`", &bare),
    );
    bench
        .figures
        .add("its memory", "MB", &peak, Target::AtMost(8.0), &Peer::none());
}

fn ctl(env: &Env, args: &[&str]) -> Command {
    let mut command = env.command(binaries::tokmonctl());
    command.args(args);
    command
}

pub(crate) fn mcp(bench: &Bench) {
    let env = Env::new();
    let (mut wall, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..SPAWNS {
        let (ms, peak, _) = converse(env.command(binaries::tokmon_mcp()), &[hello()]);
        wall.push(ms);
        memory.extend(peak);
    }
    let floor = if peers::has("node") {
        let script = "process.stdin.once('data',()=>{console.log('{}');process.exit()})";
        let times: Vec<f64> = (0..SPAWNS)
            .map(|_| {
                let mut node = Command::new("node");
                node.args(["-e", script]);
                converse(node, &[hello()]).0
            })
            .collect();
        Peer::measured("bare node answering a line, no SDK", &times)
    } else {
        Peer::absent("node is not here")
    };
    bench
        .figures
        .add("spawn → first reply", "ms", &wall, Target::AtMost(3.0), &floor);
    let none = Peer::none();
    bench
        .figures
        .add("memory", "MB", &memory, Target::AtMost(6.0), &none);
    let size = std::fs::metadata(binaries::tokmon_mcp())
        .expect("the program")
        .len() as f64
        / 1e6;
    bench
        .figures
        .add("size", "MB", &[size], Target::AtMost(4.0), &none);
}

pub(crate) fn tools(bench: &Bench) {
    let env = Env::new();
    let daemon = env.start_daemon();
    let client = bench.client(&env);
    for (args, count, goal) in [(vec![], 8, 450.0), (vec!["--tools", "minimal"], 2, 120.0)] {
        let mut command = env.command(binaries::tokmon_mcp());
        command.args(args);
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let list = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}});
        let (_, _, answer) = converse(command, &[hello(), ready, list]);
        let tools = answer["result"]["tools"].as_array().expect("a list of tools");
        assert_eq!(tools.len(), count);
        // What clients put before the model: name, description and schema.
        let visible: Vec<Value> = tools
            .iter()
            .map(|t| json!({"name": t["name"], "description": t["description"], "inputSchema": t["inputSchema"]}))
            .collect();
        let request = v1::CountRequest {
            text: Value::from(visible).to_string().into_bytes(),
            model: "gpt-5".to_owned(),
            ..v1::CountRequest::default()
        };
        let counted = bench
            .runtime
            .block_on(client.count(request))
            .unwrap_or_else(|error| panic!("count: {error}"));
        bench.figures.add(
            &format!("definitions of {count} tools"),
            "tokens",
            &[counted.tokens as f64],
            Target::AtMost(goal),
            &Peer::none(),
        );
    }
    daemon.stop();
    println!("  counting itself, beside tiktoken-rs: cargo bench -p tokmon-tokenizer");
}

fn hello() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params":
        {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}})
}

/// Spawns, sends all messages and reads an answer to each request. Milliseconds to the first answer, the most
/// memory in MB, and the last answer.
fn converse(mut command: Command, messages: &[Value]) -> (f64, Option<f64>, Value) {
    let begin = Instant::now();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut input = child.stdin.take().expect("standard input is a pipe");
    let mut output = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
    let (mut first, mut last) = (None, String::new());
    for message in messages {
        writeln!(input, "{message}").expect("it reads");
        if message.get("id").is_some() {
            last.clear();
            output.read_line(&mut last).expect("an answer");
            first.get_or_insert_with(|| begin.elapsed());
        }
    }
    let peak = process::peak_mb(child.id());
    drop(input);
    child.wait().expect("the child is ours");
    let answer = serde_json::from_str(&last).unwrap_or_else(|error| panic!("{error} in {last:?}"));
    (
        first.expect("a request was sent").as_secs_f64() * 1e3,
        peak,
        answer,
    )
}
