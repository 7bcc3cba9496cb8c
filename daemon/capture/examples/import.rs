//! The whole way from transcripts to a durable ledger, measured: cold import, start on an unchanged corpus, and the
//! time from an appended line to a follower that sees it.
//!
//! `CLAUDE_CONFIG_DIR=DIR [CODEX_HOME=DIR] cargo run --release -p tokmon-capture --example import`

mod cost;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokmon_capture::{Agent, Capture, Options, Progress, Root, find_roots};
use tokmon_core::price::PriceBook;
use tokmon_core::waste::WasteRules;
use tokmon_ledger::{Ledger, Settings, SystemClock};

/// Lines that are appended to measure the way to a follower.
const APPENDED: u32 = 300;

type Failure = Box<dyn std::error::Error>;

fn open(path: &Path) -> Result<Ledger, Failure> {
    let settings = Settings {
        book: PriceBook::bundled(),
        waste: WasteRules::default(),
        runaway: Default::default(),
        keep_notes: true,
        zone: jiff::tz::TimeZone::UTC,
        user: "me".into(),
        cache_bytes: 16 << 20,
    };
    Ok(Ledger::open(path, settings, Arc::new(SystemClock))?)
}

fn start(ledger: &Ledger, roots: Vec<Root>, cancel: &CancellationToken) -> Result<Capture, Failure> {
    Ok(Capture::start(Options {
        find: Box::new(move || roots.clone()),
        user: "me".into(),
        ledger: ledger.clone(),
        clock: Arc::new(SystemClock),
        poll: Duration::from_secs(60),
        git: true,
        cancel: cancel.clone(),
    })?)
}

async fn pass(name: &str, path: &Path, roots: &[Root]) -> Result<Progress, Failure> {
    let (began, before) = (Instant::now(), cost::so_far().0);
    let ledger = open(path)?;
    let cancel = CancellationToken::new();
    let capture = start(&ledger, roots.to_vec(), &cancel)?;
    let mut import = capture.import();
    let progress = *import.wait_for(|progress| progress.done).await?;
    let (ticks, peak) = cost::so_far();
    let took = began.elapsed().as_secs_f64();
    println!(
        "{name}: {took:.3} s, {} ticks of CPU (1/100 s), peak {peak}, {progress:?}",
        ticks - before
    );
    cancel.cancel();
    capture.join().await;
    ledger.close().await?;
    Ok(progress)
}

async fn latency(home: &Path) -> Result<(), Failure> {
    let ledger = open(&home.join("latency.redb"))?;
    let dir = home.join("projects");
    fs::create_dir_all(&dir)?;
    let cancel = CancellationToken::new();
    let capture = start(&ledger, vec![Root::new(Agent::CLAUDE_CODE, &dir)], &cancel)?;
    capture.import().wait_for(|progress| progress.done).await?;
    let mut follower = ledger.follow(ledger.last_seq());
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(dir.join("a.jsonl"))?;
    let mut times = Vec::new();
    for number in 0..APPENDED {
        let began = Instant::now();
        writeln!(
            file,
            r#"{{"type":"assistant","timestamp":"2025-11-20T09:15:02.000Z","message":{{"id":"m{number}","model":"m","stop_reason":"end_turn","usage":{{"output_tokens":1}}}}}}"#
        )?;
        follower.next().await?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    println!(
        "appended line to follower: p50 {:?}, p99 {:?}, max {:?}",
        at(50),
        at(99),
        at(100)
    );
    cancel.cancel();
    capture.join().await;
    Ok(ledger.close().await?)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Failure> {
    let home = tempfile::tempdir()?;
    let user_home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let roots = find_roots(|name| std::env::var_os(name), &user_home);
    let path = home.path().join("ledger.redb");
    println!("before: peak {}", cost::so_far().1);
    pass("cold import", &path, &roots).await?;
    println!("ledger: {} bytes", fs::metadata(&path)?.len());
    pass("unchanged", &path, &roots).await?;
    latency(home.path()).await
}
