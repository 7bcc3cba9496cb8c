//! Reading transcripts: cold, on an unchanged corpus, and line by line while an agent writes.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tokmon_client::{Client, Streaming, v1};
use tokmon_tests::env::Env;

use crate::bench::{Bench, RUNS, keep_all};
use crate::corpus::{Truth, rfc3339};
use crate::figures::{Peer, Target, percentile};
use crate::process;

/// The corpus that the goals speak of, in bytes; goals in processor time scale with the corpus.
const GOAL_BYTES: f64 = 1.12e9;
/// Lines appended in each round.
const LINES: u64 = 60;
/// How long a follower waits for a line before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn cold_import(bench: &Bench) {
    let corpus = bench.corpus();
    println!(
        "  corpus: {} files, {} MB",
        corpus.files,
        corpus.bytes / 1_000_000
    );
    let empty = Env::new();
    let daemon = empty.start_daemon();
    let idle = process::rss_mb(daemon.pid());
    daemon.stop();

    let (mut cpu, mut peak, mut wall) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..RUNS {
        let mut env = Env::new();
        env.set_var("CLAUDE_CONFIG_DIR", &corpus.dir.display().to_string());
        let begin = Instant::now();
        let daemon = env.start_daemon();
        let client = bench.client(&env);
        bench.wait_for_import(&client);
        wall.push(begin.elapsed().as_secs_f64());
        cpu.extend(process::cpu_seconds(daemon.pid()));
        let most = process::peak_mb(daemon.pid());
        peak.extend(most.zip(idle).map(|(most, idle)| most - idle));
        if run == 0 {
            let found = totals(&env);
            let verdict = if found == corpus.truth {
                "exact"
            } else {
                "NOT EXACT"
            };
            println!("  totals: {verdict}, {} calls", found.calls);
            bench.figures.add(
                "wrong sums (of 6)",
                "",
                &[wrong(&found, &corpus.truth)],
                Target::AtMost(0.0),
                &Peer::none(),
            );
            if found != corpus.truth {
                println!("    found {found:?}\n    truth {:?}", corpus.truth);
            }
        }
        daemon.stop();
    }
    let share = corpus.bytes as f64 / GOAL_BYTES;
    bench.figures.add(
        "processor time of the daemon (goal by size)",
        "CPU-s",
        &cpu,
        Target::AtMost(1.2 * share),
        &bench.beside_ccusage("daily, stores nothing", |found| &found.cpu),
    );
    bench.figures.add(
        "wall time from start to the end of the import",
        "s",
        &wall,
        Target::Told,
        &Peer::none(),
    );
    bench.figures.add(
        "growth of peak memory over the idle daemon",
        "MB",
        &peak,
        Target::AtMost(60.0),
        &bench.beside_ccusage("peak memory", |found| &found.peak),
    );
}

/// What the ledger says, through the command line.
fn totals(env: &Env) -> Truth {
    let report = env.ctl_json(&["report", "model"]);
    let figure = |name: &str| report["totals"][name].as_u64().unwrap_or(u64::MAX);
    Truth {
        calls: figure("requests"),
        input: figure("input_tokens"),
        output: figure("output_tokens"),
        cache_read: figure("cache_read_tokens"),
        cache_5m: figure("cache_write_5m_tokens"),
        cache_1h: figure("cache_write_1h_tokens"),
    }
}

fn wrong(found: &Truth, truth: &Truth) -> f64 {
    let sums = |t: &Truth| [t.calls, t.input, t.output, t.cache_read, t.cache_5m, t.cache_1h];
    let differ = sums(found)
        .iter()
        .zip(sums(truth))
        .filter(|(a, b)| **a != *b)
        .count();
    differ as f64
}

pub(crate) fn restart(bench: &Bench) {
    let (corpus, large) = (bench.corpus(), bench.large());
    let dir = Value::from(corpus.dir.display().to_string());
    keep_all(&large.env, &format!("[capture]\nclaude_dirs = [{dir}]\n"));
    let daemon = large.env.start_daemon();
    bench.wait_for_import(&bench.client(&large.env));
    daemon.stop();

    let (mut ready, mut cpu, mut checked) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let begin = Instant::now();
        let (daemon, ms) = bench.timed_start(&large.env);
        ready.push(ms);
        bench.wait_for_import(&bench.client(&large.env));
        checked.push(begin.elapsed().as_secs_f64() * 1e3);
        cpu.extend(process::cpu_seconds(daemon.pid()));
        daemon.stop();
    }
    keep_all(&large.env, "");
    let held = format!("{} files, {} records in the ledger", corpus.files, large.records);
    println!("  {held}");
    let whole = "daily, rereads everything";
    bench.figures.add(
        "processor time until all files are checked",
        "CPU-s",
        &cpu,
        Target::AtMost(0.1),
        &bench.beside_ccusage(whole, |found| &found.cpu),
    );
    bench.figures.add(
        "start to ready",
        "ms",
        &ready,
        Target::AtMost(100.0),
        &bench.beside_ccusage(whole, |found| &found.wall_ms),
    );
    bench.figures.add(
        "start to all files checked",
        "ms",
        &checked,
        Target::Told,
        &Peer::none(),
    );
}

pub(crate) fn tail(bench: &Bench) {
    let env = Env::new();
    let daemon = env.start_daemon();
    latency(bench, &bench.client(&env), &env.claude());
    daemon.stop();
}

/// Appends lines to a new transcript of a Claude Code directory, one after the other, until a follower sees each.
pub(crate) fn latency(bench: &Bench, client: &Client, claude: &Path) {
    let session = "0c0ffee0-0000-4000-8000-000000000001";
    let dir = claude.join("projects/-home-me-work");
    std::fs::create_dir_all(&dir).expect("a directory");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(dir.join(format!("{session}.jsonl")))
        .expect("a transcript");
    write!(file, "{}", line(session, 0)).expect("room");
    bench.wait_for_import(client);

    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    let mut next = 1;
    for _ in 0..RUNS {
        let waits = bench.runtime.block_on(async {
            let mut follower = follow(client).await;
            let mut waits = Vec::new();
            for _ in 0..LINES {
                let text = line(session, next);
                let begin = Instant::now();
                file.write_all(text.as_bytes()).expect("room");
                seen(&mut follower, next).await;
                waits.push(begin.elapsed().as_secs_f64() * 1e3);
                next += 1;
                // An agent pauses between calls; without a pause the daemon would never rest.
                tokio::time::sleep(Duration::from_millis(10 + next * 7 % 40)).await;
            }
            waits
        });
        p50.push(percentile(&waits, 0.5));
        p99.push(percentile(&waits, 0.99));
    }
    let none = Peer::none();
    println!("  {} lines", next - 1);
    bench.figures.add(
        "appended → follower, p50 of each round",
        "ms",
        &p50,
        Target::Told,
        &none,
    );
    bench.figures.add(
        "appended → follower, p99 of each round",
        "ms",
        &p99,
        Target::AtMost(50.0),
        &none,
    );
}

async fn follow(client: &Client) -> Streaming<v1::FollowResponse> {
    let request = v1::FollowRequest {
        from_now: true,
        ..v1::FollowRequest::default()
    };
    client
        .follow(request)
        .await
        .unwrap_or_else(|error| panic!("follow: {error}"))
}

/// Waits for the call that [`line`] wrote with this number.
async fn seen(follower: &mut Streaming<v1::FollowResponse>, number: u64) {
    let found = tokio::time::timeout(PATIENCE, async {
        while let Some(told) = follower.message().await.expect("entries") {
            if let Some(v1::follow_response::Entry::Record(record)) = told.entry {
                let tokens = record.usage.and_then(|usage| usage.tokens);
                if tokens.is_some_and(|tokens| tokens.input == number) {
                    return;
                }
            }
        }
        panic!("the daemon ended the stream");
    });
    assert!(
        found.await.is_ok(),
        "line {number} was not seen within {PATIENCE:?}"
    );
}

/// A finished call whose input tokens are its number.
fn line(session: &str, number: u64) -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let at = rfc3339(now);
    format!(
        "{{\"type\":\"assistant\",\"sessionId\":\"{session}\",\"isSidechain\":false,\"cwd\":\"/home/me/work\",\"version\":\"2.1.20\",\"uuid\":\"00000000-0000-4000-8000-{number:012}\",\"timestamp\":\"{at}\",\"requestId\":\"req_tail{number:020}\",\"message\":{{\"id\":\"msg_tail{number:020}\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5-20250929\",\"content\":[{{\"type\":\"text\",\"text\":\"done\"}}],\"stop_reason\":\"end_turn\",\"usage\":{{\"input_tokens\":{number},\"output_tokens\":5,\"cache_read_input_tokens\":0,\"cache_creation_input_tokens\":0}}}}}}\n"
    )
}
