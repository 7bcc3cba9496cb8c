//! Calls over the socket with clients that are connected already.

use std::time::Instant;

use tokmon_client::{Client, v1};
use tokmon_tests::env::Env;

use crate::bench::{Bench, RUNS, keep_all};
use crate::figures::{Peer, Target, median, percentile};
use crate::records::Year;
use crate::{peers, process};

/// Calls in a round.
const CALLS: u64 = 1_000;
/// Durable records in a round.
const RECORDS: u64 = 300;
/// Syncs that are timed before a round.
const SYNCS: u64 = 50;
/// One fdatasync on the machine that the goals were set on, in milliseconds.
const GOAL_SYNC_MS: f64 = 0.1;
const CLIENTS: u64 = 64;
/// Records of each client in a round.
const EACH: u64 = 150;

/// How the n-th call of a year looks.
type Call = fn(Year, u64) -> v1::RecordRequest;

pub(crate) fn handshake(bench: &Bench) {
    let env = Env::new();
    let daemon = env.start_daemon();
    let client = bench.client(&env);
    let hello = v1::HandshakeRequest {
        contract: tokmon_proto::CONTRACT,
        client: "bench".to_owned(),
    };
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let client = client.clone();
        let hello = hello.clone();
        // On a worker, as a program's own task would be: the thread that blocks adds a switch to every call.
        let round = bench.runtime.spawn(async move {
            let mut waits = Vec::new();
            for _ in 0..CALLS {
                let begin = Instant::now();
                client.handshake(hello.clone()).await.expect("a handshake");
                waits.push(begin.elapsed().as_secs_f64() * 1e6);
            }
            waits
        });
        let waits = bench.runtime.block_on(round).expect("the round ends");
        p50.push(percentile(&waits, 0.5));
        p99.push(percentile(&waits, 0.99));
    }
    daemon.stop();
    let none = Peer::none();
    bench.figures.add(
        "round trip, p50 of each round",
        "µs",
        &p50,
        Target::AtMost(100.0),
        &none,
    );
    bench.figures.add(
        "round trip, p99 of each round",
        "µs",
        &p99,
        Target::AtMost(500.0),
        &none,
    );
}

pub(crate) fn record(bench: &Bench) {
    let env = Env::new();
    keep_all(&env, "");
    let daemon = env.start_daemon();
    let client = bench.client(&env);
    let year = Year::of(RUNS as u64 * RECORDS);
    let dir = bench.scratch("record");
    let (mut p50, mut p99, mut redb, mut sync) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..RUNS as u64 {
        let task = clients_round(vec![client.clone()], year, Year::keyed, round * RECORDS, RECORDS);
        let waits = bench.runtime.block_on(task);
        p50.push(percentile(&waits, 0.5));
        p99.push(percentile(&waits, 0.99));
        redb.push(median(&peers::redb_commits(&dir, RECORDS)));
        sync.push(median(&peers::fdatasyncs(&dir, RECORDS)));
    }
    daemon.stop();
    // One sync per commit: a slower disk costs what its sync costs more.
    let slower = (median(&sync) - GOAL_SYNC_MS).max(0.0);
    let (none, told) = (Peer::none(), Target::Told);
    let goal = Target::AtMost(0.6 + slower);
    bench
        .figures
        .add("one fdatasync of this disk", "ms", &sync, told, &none);
    bench.figures.add(
        "record, p50 of each round (goal by disk)",
        "ms",
        &p50,
        goal,
        &Peer::measured("redb alone, one row, durable", &redb),
    );
    bench.figures.add(
        "record, p99 of each round",
        "ms",
        &p99,
        told,
        &bench.beside_sqlite("commit, median", |found| found.commit_ms.clone()),
    );
}

pub(crate) fn clients(bench: &Bench) {
    println!("  without keys of the callers':");
    many(bench, Year::call);
    println!("  with keys of the callers', which have no order:");
    many(bench, Year::keyed);
}

fn many(bench: &Bench, call: Call) {
    let env = Env::new();
    keep_all(&env, "");
    let daemon = env.start_daemon();
    let clients: Vec<Client> = (0..CLIENTS).map(|_| bench.client(&env)).collect();
    let year = Year::of((RUNS as u64 + 1) * CLIENTS * EACH);
    // The first round opens what is opened once.
    let warm = clients_round(clients.clone(), year, call, 0, EACH);
    bench.runtime.block_on(warm);
    let (mut rate, mut p50, mut p99) = (Vec::new(), Vec::new(), Vec::new());
    let (mut cpu, mut own, mut sync) = (Vec::new(), Vec::new(), Vec::new());
    let dir = bench.scratch("clients");
    let spent_by = |pid| process::cpu_seconds(pid).unwrap_or(f64::NAN);
    for round in 1..=RUNS as u64 {
        sync.push(median(&peers::fdatasyncs(&dir, SYNCS)));
        let before = (spent_by(daemon.pid()), spent_by(std::process::id()));
        let begin = Instant::now();
        let task = clients_round(clients.clone(), year, call, round * CLIENTS * EACH, EACH);
        let waits = bench.runtime.block_on(task);
        let spent = begin.elapsed().as_secs_f64();
        let records = waits.len() as f64;
        rate.push(records / spent);
        cpu.push((spent_by(daemon.pid()) - before.0) * 1e6 / records);
        own.push((spent_by(std::process::id()) - before.1) * 1e6 / records);
        p50.push(percentile(&waits, 0.5));
        p99.push(percentile(&waits, 0.99));
    }
    let kept = env.ctl_json(&["report", "agent"])["totals"]["requests"]
        .as_u64()
        .unwrap_or(0);
    assert_eq!(
        kept,
        (RUNS as u64 + 1) * CLIENTS * EACH,
        "every acknowledged record is in the ledger"
    );
    daemon.stop();
    let none = Peer::none();
    // A disk that takes 2 ms may halve it, no more.
    let slower = (median(&sync) - GOAL_SYNC_MS) / (2.0 - GOAL_SYNC_MS);
    let slower = 1.0 + slower.clamp(0.0, 1.0);
    bench.figures.add(
        "64 clients, acknowledged, durable (goal by disk)",
        "records/s",
        &rate,
        Target::AtLeast(20_000.0 / slower),
        &bench.beside_sqlite("one commit per record", |found| {
            vec![1e3 / median(&found.commit_ms)]
        }),
    );
    let add = |what: &str, unit: &str, samples: &[f64], target| {
        bench.figures.add(what, unit, samples, target, &none);
    };
    add("each record, p50", "ms", &p50, Target::Told);
    add(
        "each record, p99 (goal by disk)",
        "ms",
        &p99,
        Target::AtMost(10.0 * slower),
    );
    add("one fdatasync of this disk", "ms", &sync, Target::Told);
    add("processor time of the daemon", "µs/record", &cpu, Target::Told);
    add(
        "processor time of the 64 clients",
        "µs/record",
        &own,
        Target::Told,
    );
}

/// Every client records so many calls, one after the other; milliseconds of each, all acknowledged as new.
async fn clients_round(clients: Vec<Client>, year: Year, call: Call, first: u64, each: u64) -> Vec<f64> {
    let tasks: Vec<_> = clients
        .into_iter()
        .zip(0..)
        .map(|(client, number)| {
            tokio::spawn(async move {
                let mut waits = Vec::new();
                for n in 0..each {
                    let request = call(year, first + number * each + n);
                    let begin = Instant::now();
                    let answer = client.record(request).await.expect("an acknowledgement");
                    waits.push(begin.elapsed().as_secs_f64() * 1e3);
                    assert_eq!(answer.outcome(), v1::RecordOutcome::Added);
                }
                waits
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.expect("the client ends"));
    }
    waits
}
