//! Asking before spending: the question alone, reservations of many clients on one budget, and what agents run.

use std::io::{Seek as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use tokmon_client::{Client, v1};
use tokmon_tests::binaries;
use tokmon_tests::env::Env;

use crate::bench::{Bench, RUNS};
use crate::figures::{Peer, Target, median, percentile};
use crate::{peers, process};

/// Questions in a round.
const CHECKS: u64 = 1_000;
const CLIENTS: usize = 64;
/// Pairs of each client in a round.
const PAIRS: u64 = 30;
/// Whole runs of a program.
const SPAWNS: usize = 21;
/// What one reservation asks for, and what is left of the limit for those of the last round.
const TOKENS: u64 = 1_000;

fn budget(limit_tokens: u64) -> v1::SetBudgetRequest {
    let budget = v1::Budget {
        name: "all".to_owned(),
        limit_tokens,
        window: "lifetime".to_owned(),
        action: "deny".to_owned(),
        ..v1::Budget::default()
    };
    v1::SetBudgetRequest { budget: Some(budget) }
}

fn ask(id: String) -> v1::ReserveRequest {
    v1::ReserveRequest {
        id,
        agent: "bench".to_owned(),
        session: "s".to_owned(),
        model: "claude-sonnet-4-5".to_owned(),
        tokens: TOKENS,
        ..v1::ReserveRequest::default()
    }
}

pub(crate) fn check(bench: &Bench) {
    let env = Env::new();
    let daemon = env.start_daemon();
    let client = bench.client(&env);
    let set = client.set_budget(budget(1_000_000_000));
    bench.runtime.block_on(set).expect("a budget");
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let client = client.clone();
        // On a worker, as a program's own task would be.
        let round = bench.runtime.spawn(async move {
            let mut waits = Vec::new();
            for _ in 0..CHECKS {
                let begin = Instant::now();
                let answer = client.check(ask(String::new())).await.expect("an answer");
                waits.push(begin.elapsed().as_secs_f64() * 1e6);
                assert!(answer.granted);
            }
            waits
        });
        let waits = bench.runtime.block_on(round).expect("the round ends");
        p50.push(percentile(&waits, 0.5));
        p99.push(percentile(&waits, 0.99));
    }
    daemon.stop();
    let none = Peer::none();
    let add = |what: &str, samples: &[f64], most| {
        bench
            .figures
            .add(what, "µs", samples, Target::AtMost(most), &none);
    };
    add("check, p50 of each round", &p50, 100.0);
    add("check, p99 of each round", &p99, 500.0);
}

pub(crate) fn reserve(bench: &Bench) {
    let env = Env::new();
    let daemon = env.start_daemon();
    let clients: Vec<Client> = (0..CLIENTS).map(|_| bench.client(&env)).collect();
    let pairs = CLIENTS as u64 * PAIRS;
    // In the last round half of the asks find no room.
    let limit = (RUNS as u64 * pairs - pairs / 2) * TOKENS;
    bench
        .runtime
        .block_on(clients[0].set_budget(budget(limit)))
        .expect("a budget");
    let (mut rate, mut sync, mut granted) = (Vec::new(), Vec::new(), 0);
    let dir = bench.scratch("reserve");
    for round in 0..RUNS {
        sync.push(median(&peers::fdatasyncs(&dir, 50)));
        let begin = Instant::now();
        granted += bench.runtime.block_on(hammer(clients.clone(), round));
        rate.push(pairs as f64 / begin.elapsed().as_secs_f64());
    }
    let name = "all".to_owned();
    let state = bench
        .runtime
        .block_on(clients[0].get_budget(v1::GetBudgetRequest { name }))
        .expect("the budget");
    daemon.stop();
    assert_eq!(
        granted * TOKENS,
        limit,
        "not one more is granted, and not one less"
    );
    assert_eq!(
        (state.used_tokens, state.pending_tokens, state.overdraft_tokens),
        (limit, 0, 0)
    );
    let none = Peer::none();
    bench.figures.add(
        "reserve + settle, 64 clients on one budget, never over",
        "pairs/s",
        &rate,
        Target::AtLeast(5_000.0),
        &none,
    );
    bench
        .figures
        .add("one fdatasync of this disk", "ms", &sync, Target::Told, &none);
}

/// Every client reserves and settles, one pair after the other; how many were granted.
async fn hammer(clients: Vec<Client>, round: usize) -> u64 {
    let mut tasks = Vec::new();
    for (number, client) in clients.into_iter().enumerate() {
        tasks.push(tokio::spawn(async move {
            let mut granted = 0;
            for n in 0..PAIRS {
                let id = format!("{round}-{number}-{n}");
                let answer = client.reserve(ask(id.clone())).await.expect("an answer");
                if !answer.granted {
                    continue;
                }
                granted += 1;
                let tokens = v1::Tokens {
                    input: TOKENS,
                    ..v1::Tokens::default()
                };
                let usage = v1::Usage {
                    tokens: Some(tokens),
                    ..v1::Usage::default()
                };
                let settle = v1::SettleRequest {
                    id,
                    usage: Some(usage),
                };
                client.settle(settle).await.expect("settled");
            }
            granted
        }));
    }
    let mut granted = 0;
    for task in tasks {
        granted += task.await.expect("the client ends");
    }
    granted
}

pub(crate) fn programs(bench: &Bench) {
    let env = Env::new();
    let daemon = env.start_daemon();
    let client = bench.client(&env);
    let set = client.set_budget(budget(1_000_000_000));
    bench.runtime.block_on(set).expect("a budget");
    let prompt = r#"{"session_id":"s","cwd":"/p","hook_event_name":"UserPromptSubmit","prompt":"go on"}"#;
    let check: &[&str] = &["budget", "check", "--tokens", "1000"];
    program(bench, &env, "hook", &["hook", "claude-code"], prompt);
    program(bench, &env, "statusline", &["statusline"], &line("s"));
    program(bench, &env, "budget check", check, "");
    daemon.stop();
    // Its agents never pause, so nothing but all of history tells where their blocks begin.
    let large = bench.large();
    println!("  {} records:", large.records);
    let daemon = large.env.start_daemon();
    let client = bench.client(&large.env);
    let current = client.get_session(v1::GetSessionRequest {
        agent: "claude-code".to_owned(),
        ..v1::GetSessionRequest::default()
    });
    let session = bench.runtime.block_on(current).expect("a session").id;
    program(bench, &large.env, "statusline", &["statusline"], &line(&session));
    program(bench, &large.env, "quota", &["quota"], "");
    daemon.stop();
}

/// What an agent tells when it asks for its line.
fn line(session: &str) -> String {
    let model = r#"{"id":"claude-sonnet-4-5","display_name":"Sonnet"}"#;
    format!(r#"{{"session_id":"{session}","cwd":"/p","model":{model},"cost":{{"total_cost_usd":1.5}}}}"#)
}

/// Whole runs of one program that is told something.
fn program(bench: &Bench, env: &Env, what: &str, args: &[&str], told: &str) {
    let run = || {
        let mut input = tempfile::tempfile().expect("a file");
        input.write_all(told.as_bytes()).expect("written");
        input.rewind().expect("at its beginning");
        let mut command = env.command(binaries::tokmonctl());
        command.args(args).stdin(Stdio::from(input));
        command
    };
    let wall: Vec<f64> = (0..SPAWNS).map(|_| process::timed(run())).collect();
    // A hook that has nothing to say cannot be held at its end: it is looked at as it passes, and most looks are early.
    let passing = || (0..SPAWNS).filter_map(|_| process::watched(&bench.runtime, run()).peak);
    let peak: Vec<f64> = match what {
        "hook" => passing().reduce(f64::max).into_iter().collect(),
        _ => process::peak_of_short(&bench.runtime, run())
            .into_iter()
            .collect(),
    };
    let bare: Vec<f64> = (0..SPAWNS)
        .map(|_| process::timed(Command::new("true")))
        .collect();
    bench.figures.add(
        &format!("`tokmonctl {what}`, whole process"),
        "ms",
        &wall,
        Target::AtMost(5.0),
        &Peer::measured("spawning `true`", &bare),
    );
    if !peak.is_empty() {
        let none = Peer::none();
        bench
            .figures
            .add("its memory", "MB", &peak, Target::AtMost(8.0), &none);
    }
}
