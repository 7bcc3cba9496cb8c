//! What the ledger must reach: asking before spending, records one at a time, 64 clients at once, bulk import, and a
//! daily report over a million records. `cargo bench -p tokmon-ledger`; beside each figure stands what plain storage
//! does in the same run.

mod check;
mod sample;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jiff::tz::TimeZone;
use tokio::runtime::Runtime;
use tokmon_core::report::{Grouping, Query};
use tokmon_ledger::{Chunk, Ledger};

use sample::{Home, call};

/// Records of a year, for the reports.
const MILLION: u64 = 1_000_000;

fn one_at_a_time(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let home = Home::new();
    let ledger = home.open();
    let mut n = 0;
    let mut group = c.benchmark_group("record");
    group.bench_function("one at a time, durable", |b| {
        b.iter(|| {
            n += 1;
            runtime.block_on(ledger.record(vec![call(n)])).unwrap()
        });
    });
    group.bench_function("one fdatasync of this disk", |b| {
        let mut file = home.file();
        b.iter(|| home.sync(&mut file));
    });
    group.finish();
}

fn many_clients(c: &mut Criterion) {
    const CLIENTS: u64 = 64;
    let runtime = Runtime::new().unwrap();
    let home = Home::new();
    let ledger = home.open();
    let mut first = 0;
    let mut group = c.benchmark_group("record");
    group.throughput(Throughput::Elements(1));
    group.bench_function("64 clients at once, durable", |b| {
        b.iter_custom(|records| {
            let each = records.div_ceil(CLIENTS);
            let begin = Instant::now();
            runtime.block_on(clients(&ledger, CLIENTS, each, first));
            first += CLIENTS * each;
            begin.elapsed().mul_f64(records as f64 / (CLIENTS * each) as f64)
        });
    });
    group.finish();
    let mut waits = runtime.block_on(clients(&ledger, CLIENTS, 500, first));
    waits.sort_unstable();
    println!(
        "64 clients, each waits: p50 {:?}, p99 {:?}",
        waits[waits.len() / 2],
        waits[waits.len() * 99 / 100]
    );
}

/// So many clients record so many calls each, one after the other; returns how long each record took.
async fn clients(ledger: &Ledger, clients: u64, each: u64, first: u64) -> Vec<Duration> {
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let ledger = ledger.clone();
            tokio::spawn(async move {
                let mut waits = Vec::with_capacity(usize::try_from(each).unwrap_or(0));
                for i in 0..each {
                    let begin = Instant::now();
                    ledger
                        .record(vec![call(first + client * each + i)])
                        .await
                        .unwrap();
                    waits.push(begin.elapsed());
                }
                waits
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await.unwrap());
    }
    waits
}

/// Imports `count` calls as a source does: chunks, one after the other.
fn import(runtime: &Runtime, ledger: &Ledger, first: u64, count: u64) -> Duration {
    let mut spent = Duration::ZERO;
    let mut at = first;
    while at < first + count {
        let end = (at + 2_000).min(first + count);
        let chunk = Chunk {
            observations: (at..end).map(call).collect(),
            ..Chunk::default()
        };
        let begin = Instant::now();
        runtime.block_on(ledger.import(chunk)).unwrap();
        spent += begin.elapsed();
        at = end;
    }
    spent
}

fn bulk_and_reports(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let home = Home::new();
    let ledger = home.open();
    let spent = import(&runtime, &ledger, 0, MILLION);
    println!(
        "import of {MILLION} records: {:.0} records/s",
        MILLION as f64 / spent.as_secs_f64()
    );
    runtime.block_on(ledger.close()).unwrap();
    drop(ledger);
    println!("bytes per record: {}", home.bytes() / MILLION);
    let begin = Instant::now();
    let ledger = home.open();
    println!("open with {MILLION} records: {:?}", begin.elapsed());

    let mut group = c.benchmark_group("report");
    group.sample_size(20);
    for (name, group_by) in [
        ("daily over a million records", vec![Grouping::Day]),
        (
            "daily by model over a million records",
            vec![Grouping::Day, Grouping::Model],
        ),
        ("by session over a million records", vec![Grouping::Session]),
    ] {
        let query = Query {
            group_by,
            zone: TimeZone::UTC,
            ..Query::everything()
        };
        group.bench_function(name, |b| b.iter(|| black_box(ledger.report(&query).unwrap())));
    }
    group.finish();

    let mut first = MILLION;
    let mut group = c.benchmark_group("import");
    group.sample_size(10).measurement_time(Duration::from_secs(8));
    group.throughput(Throughput::Elements(1));
    group.bench_function("bulk import onto a million records", |b| {
        b.iter_custom(|records| {
            let records = records.max(2_000);
            let spent = import(&runtime, &ledger, first, records);
            first += records;
            spent
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1));
    targets = check::check, one_at_a_time, many_clients, bulk_and_reports
}
criterion_main!(benches);
