//! The ledger when it is large: filling it, its size, and opening it after a crash.

use std::time::Instant;

use tokmon_tests::env::Env;

use crate::bench::{Bench, RUNS, keep_all};
use crate::figures::{Peer, Target};
use crate::peers;
use crate::records::{self, Year};

/// Records written just before each crash.
const LATEST: u64 = 1_000;
/// Most rows of the bare database that is opened for comparison: its copies take room on the disk.
const PEER_ROWS: u64 = 1_000_000;
const MILLION: f64 = 1e6;

pub(crate) fn bulk(bench: &Bench) {
    let large = bench.large();
    let rates: Vec<String> = large.rates.iter().map(|rate| format!("{rate:.0}")).collect();
    println!(
        "  {} records of one year; part by part: {}",
        large.records,
        rates.join(", ")
    );
    bench.figures.add(
        "bulk import over the socket",
        "records/s",
        &large.rates,
        Target::AtLeast(250_000.0),
        &bench.beside_sqlite("2,000 per commit", |found| vec![found.bulk_per_s]),
    );
    let cpu: Vec<f64> = large.cpu_us.into_iter().collect();
    let none = Peer::none();
    bench.figures.add(
        "processor time of the daemon",
        "µs/record",
        &cpu,
        Target::Told,
        &none,
    );
    bench.figures.add(
        "the same with keys of the caller's",
        "records/s",
        &keyed(bench),
        Target::Told,
        &none,
    );
    bench.figures.add(
        "disk space of the ledger with all indexes",
        "bytes/record",
        &[large.bytes_per_record],
        Target::AtMost(260.0),
        &bench.beside_sqlite("four indexes", |found| vec![found.bytes_per_record]),
    );
    bench.figures.add(
        "length of its file, which is sparse",
        "bytes/record",
        &[large.length_per_record],
        Target::Told,
        &none,
    );
    let compact = compacted(bench) / large.records as f64;
    bench.figures.add(
        "the same after `ledger compact`",
        "bytes/record",
        &[compact],
        Target::Told,
        &none,
    );
    println!("  the ledger without the socket: cargo bench -p tokmon-ledger");
}

/// Bytes of the large ledger's file after compaction.
fn compacted(bench: &Bench) -> f64 {
    let env = &bench.large().env;
    let daemon = env.start_daemon();
    let client = bench.client(env);
    let answer = bench.runtime.block_on(client.compact(Default::default()));
    let bytes = answer
        .unwrap_or_else(|error| panic!("compact: {error}"))
        .bytes_after;
    daemon.stop();
    bytes as f64
}

/// Rates into a ledger of its own, under keys that have no order.
fn keyed(bench: &Bench) -> Vec<f64> {
    const PART: u64 = 40_000;
    let env = Env::new();
    keep_all(&env, "");
    let daemon = env.start_daemon();
    let client = bench.client(&env);
    let year = Year::of(PART * RUNS as u64);
    let rates = (0..RUNS as u64)
        .map(|run| {
            let range = run * PART..(run + 1) * PART;
            let spent = records::fill(&client, range, move |n| year.keyed(n));
            PART as f64 / bench.runtime.block_on(spent).as_secs_f64()
        })
        .collect();
    daemon.stop();
    rates
}

pub(crate) fn open(bench: &Bench) {
    let large = bench.large();
    // Behind the year: calls that no other section sends.
    let year = Year::of(large.records);
    let mut opened = Vec::new();
    for run in 0..RUNS as u64 {
        let daemon = large.env.start_daemon();
        let client = bench.client(&large.env);
        let first = 1_000_000_000_000 + run * LATEST;
        let latest = async {
            for n in first..first + LATEST {
                let mut request = year.call(n);
                request.usage.as_mut().expect("a usage").at_ms = 0;
                client.record(request).await.expect("an acknowledgement");
            }
        };
        bench.runtime.block_on(latest);
        daemon.kill();
        let begin = Instant::now();
        let daemon = large.env.start_daemon();
        opened.push(begin.elapsed().as_secs_f64());
        daemon.stop();
    }
    let rows = large.records.min(PEER_ROWS);
    let raw = peers::redb_recovery(&bench.scratch("recovery"), rows, RUNS);
    println!("  {} records", large.records);
    bench.figures.add(
        "start to ready after kill -9",
        "s",
        &opened,
        Target::AtMost(0.5 * (large.records as f64 / MILLION).max(1.0)),
        &Peer::measured(&format!("redb alone, {rows} rows, after a crash"), &raw),
    );
}
