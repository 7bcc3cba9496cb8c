//! A daemon that has nothing to do: memory, processor time and wake-ups.

use std::time::Duration;

use tokmon_tests::daemon::Daemon;
use tokmon_tests::env::Env;

use crate::bench::{Bench, keep_all, setting};
use crate::capture;
use crate::corpus::Corpus;
use crate::figures::{Peer, Target};
use crate::process;
use crate::records::{self, Year};

/// One look at an idle daemon.
const WINDOW: Duration = Duration::from_secs(10);
/// With files, so many windows that one look at all of them (`capture.poll_seconds`) lies within.
const WINDOWS: u64 = 6;
/// What the daemon may still have to finish after its last work.
const SETTLE: Duration = Duration::from_secs(3);

pub(crate) fn files(bench: &Bench) {
    let files = setting("TOKMON_BENCH_FILES", 2_000);
    let megabytes = setting("TOKMON_BENCH_FILES_MB", files / 100);
    let corpus = Corpus::write(&bench.scratch("many-files"), files, megabytes);
    println!(
        "  {files} files, {} MB (goal: 20000 files)",
        corpus.bytes / 1_000_000
    );
    let mut env = Env::new();
    env.set_var("CLAUDE_CONFIG_DIR", &corpus.dir.display().to_string());
    let daemon = env.start_daemon();
    bench.wait_for_import(&bench.client(&env));
    let after_import = process::rss_mb(daemon.pid());
    let import: Vec<f64> = process::cpu_seconds(daemon.pid()).into_iter().collect();
    daemon.stop();

    let daemon = env.start_daemon();
    bench.wait_for_import(&bench.client(&env));
    let restart: Vec<f64> = process::cpu_seconds(daemon.pid()).into_iter().collect();
    bench.pass(SETTLE);
    let (mut share, mut total) = (Vec::new(), 0.0);
    for _ in 0..WINDOWS {
        if let Some((cpu, _)) = quiet(bench, &daemon) {
            share.push(100.0 * cpu / WINDOW.as_secs_f64());
            total += cpu;
        }
    }
    let mean: Vec<f64> = share
        .first()
        .map(|_| 100.0 * total / (WINDOWS as f64 * WINDOW.as_secs_f64()))
        .into_iter()
        .collect();
    let memory: Vec<f64> = process::rss_mb(daemon.pid()).into_iter().collect();
    capture::latency(bench, &bench.client(&env), &corpus.dir);
    daemon.stop();
    let none = Peer::none();
    let add = |what: &str, unit: &str, samples: &[f64], target| {
        bench.figures.add(what, unit, samples, target, &none);
    };
    add("cold import", "CPU-s", &import, Target::Told);
    // As for 2,000 files, each of which is looked at.
    let goal = Target::AtMost(0.1 * files as f64 / 2_000.0);
    add("start on the unchanged files", "CPU-s", &restart, goal);
    add(
        "processor, single windows of 10 s",
        "% of a core",
        &share,
        Target::Told,
    );
    add(
        "processor, mean of 60 s",
        "% of a core",
        &mean,
        Target::AtMost(0.1),
    );
    add("memory", "MB", &memory, Target::AtMost(60.0));
    let after: Vec<f64> = after_import.into_iter().collect();
    add("memory right after the import", "MB", &after, Target::Told);
}

pub(crate) fn daemon(bench: &Bench) {
    const RECORDS: u64 = 10_000;
    let env = Env::new();
    keep_all(&env, "");
    let daemon = env.start_daemon();
    let client = bench.client(&env);
    let year = Year::of(RECORDS);
    bench
        .runtime
        .block_on(records::fill(&client, 0..RECORDS, move |n| year.call(n)));
    drop(client);
    bench.pass(SETTLE);
    let filled: Vec<f64> = process::rss_mb(daemon.pid()).into_iter().collect();
    daemon.stop();

    let daemon = env.start_daemon();
    bench.pass(SETTLE);
    let quiet = quiet(bench, &daemon);
    let started: Vec<f64> = process::rss_mb(daemon.pid()).into_iter().collect();
    daemon.stop();
    let none = Peer::none();
    let add = |what: &str, unit: &str, samples: &[f64], target| {
        bench.figures.add(what, unit, samples, target, &none);
    };
    let only = |pick: fn((f64, f64)) -> f64| -> Vec<f64> { quiet.map(pick).into_iter().collect() };
    add("memory after a start", "MB", &started, Target::AtMost(15.0));
    add(
        "memory of the daemon that took the 10,000 records",
        "MB",
        &filled,
        Target::AtMost(15.0),
    );
    add(
        "wake-ups in 10 s",
        "",
        &only(|(_, wakeups)| wakeups),
        Target::AtMost(1.0),
    );
    add(
        "processor time in 10 s",
        "CPU-s",
        &only(|(cpu, _)| cpu),
        Target::AtMost(0.01),
    );
}

/// Processor seconds and wake-ups within one window.
fn quiet(bench: &Bench, daemon: &Daemon) -> Option<(f64, f64)> {
    let pid = daemon.pid();
    let (cpu, wakeups) = (process::cpu_seconds(pid)?, process::wakeups(pid)?);
    bench.pass(WINDOW);
    Some((process::cpu_seconds(pid)? - cpu, process::wakeups(pid)? - wakeups))
}
