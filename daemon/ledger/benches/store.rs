//! The store alone: bulk and single appends, size, scans, opening. `cargo bench -p tokmon-ledger --bench store`
//!
//! A million calls of 10,000 sessions over a year, by 2,000; `TOKMON_BENCH_RECORDS` changes the number. The
//! peer is redb itself with one table and one row per commit, or one row per call, in the same run.

use std::path::Path;
use std::time::{Duration, Instant};

use redb::{Database, TableDefinition};
use tokmon_ledger::store::samples::{START_MS, batch, call, usage};
use tokmon_ledger::store::{Batch, RedbStore, Store};

const CACHE: usize = 64 * 1024 * 1024;
const PER_BATCH: u64 = 2_000;
const DAY_MS: i64 = 86_400_000;
const RAW: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("raw");

fn main() {
    // `cargo test --benches` runs this too; it shall be quick then.
    let usual = if std::env::args().any(|arg| arg == "--bench") {
        1_000_000
    } else {
        10_000
    };
    let records = std::env::var("TOKMON_BENCH_RECORDS")
        .ok()
        .and_then(|n| n.parse().ok());
    let records: u64 = records.unwrap_or(usual);
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    let store = RedbStore::create(&path, CACHE).expect("a new store");
    let raw = Database::create(dir.path().join("raw.redb")).expect("a database");

    let (ours, redb) = bulk(&store, &raw, records);
    let per_second = |took: Duration| records as f64 / took.as_secs_f64();
    println!(
        "bulk append          {:>10.0} records/s   redb, one table {:>10.0}/s   ratio {:.2}",
        per_second(ours),
        per_second(redb),
        ours.as_secs_f64() / redb.as_secs_f64()
    );
    let stats = store.stats().expect("figures");
    println!(
        "size                 {:>10.0} bytes/record",
        stats.file_bytes as f64 / records as f64
    );

    let (ours, redb) = single(&store, &raw, records);
    println!(
        "single append        {ours:>10.1?} median      redb, one row   {redb:>10.1?}     ratio {:.2}",
        ours.as_secs_f64() / redb.as_secs_f64()
    );
    let (mut rows, mut requests) = (0_u64, 0);
    let took = median(5, || {
        (rows, requests) = (0, 0);
        let mut visit = |_: u32, _: &_, agg: &tokmon_core::rollup::Agg| {
            rows += 1;
            requests += agg.requests;
        };
        store.rollup_coarse(0..u32::MAX, &mut visit).expect("read");
    });
    println!("coarse scan          {took:>10.1?} for {rows} sums of {requests} calls");
    let took = median(5, || {
        rows = 0;
        let mut visit = |_: u32, _: &_, _: &_| rows += 1;
        store.rollup_full(0..u32::MAX, &mut visit).expect("read");
    });
    println!("full scan            {took:>10.1?} for {rows} sums");
    let copy = dir.path().join("copy.redb");
    let took = median(1, || assert!(store.backup(&copy).expect("a copy").0 > 0));
    println!("backup               {took:>10.1?}");
    let took = median(1, || {
        assert!(store.verify().expect("verified").findings.is_empty())
    });
    println!("verify               {took:>10.1?}");
    drop(store);
    println!("open, closed cleanly {:>10.1?} median", median(5, || open(&path)));
}

fn open(path: &Path) {
    let store = RedbStore::open(path, CACHE).expect("it opens");
    store.last_seq().expect("the last seq");
}

/// The calls of a batch: sessions of 100 calls, a minute apart, spread over a year.
fn some(first: u64, count: u64, records: u64) -> Batch {
    let sessions = i64::try_from(records.div_ceil(100)).expect("a number of sessions");
    let at_ms = |n: u64| {
        let (session, within) = (
            i64::try_from(n / 100).unwrap_or(0),
            i64::try_from(n % 100).unwrap_or(0),
        );
        START_MS + session * (365 * DAY_MS / sessions) + within * 60_000
    };
    batch(
        (first..first + count)
            .map(|n| usage(n + 1, call(n, at_ms(n))))
            .collect(),
    )
}

/// Time to append everything, to the store and to a single table of rows of the same size.
fn bulk(store: &RedbStore, raw: &Database, records: u64) -> (Duration, Duration) {
    let (mut ours, mut redb) = (Duration::ZERO, Duration::ZERO);
    for first in (0..records).step_by(PER_BATCH as usize) {
        let batch = some(first, PER_BATCH.min(records - first), records);
        let start = Instant::now();
        store.append(&batch).expect("appended");
        ours += start.elapsed();
        let start = Instant::now();
        put_raw(raw, first, batch.entries.len() as u64);
        redb += start.elapsed();
    }
    (ours, redb)
}

fn put_raw(raw: &Database, first: u64, count: u64) {
    let txn = raw.begin_write().expect("a transaction");
    {
        let mut table = txn.open_table(RAW).expect("a table");
        for n in first..first + count {
            table.insert(n, [n as u8; 140].as_slice()).expect("a row");
        }
    }
    txn.commit().expect("committed");
}

/// Median of single durable appends to the full store and to the single table, taken in turn.
fn single(store: &RedbStore, raw: &Database, records: u64) -> (Duration, Duration) {
    let (mut ours, mut redb) = (Vec::new(), Vec::new());
    for n in 0..200 {
        let at_ms = START_MS + 366 * DAY_MS + i64::try_from(n).unwrap_or(0) * 1_000;
        let batch = batch(vec![usage(records + n + 1, call(records + n, at_ms))]);
        let start = Instant::now();
        store.append(&batch).expect("appended");
        ours.push(start.elapsed());
        let start = Instant::now();
        put_raw(raw, records + n, 1);
        redb.push(start.elapsed());
    }
    ours.sort_unstable();
    redb.sort_unstable();
    (ours[100], redb[100])
}

fn median(runs: usize, mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[runs / 2]
}
