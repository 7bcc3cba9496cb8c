//! What sections share: the corpus, a ledger of a million records, peers; each made when a section first needs it.

use std::cell::OnceCell;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokmon_client::Client;
use tokmon_tests::daemon::Daemon;
use tokmon_tests::env::Env;

use crate::corpus::Corpus;
use crate::figures::{Figures, Peer};
use crate::peers::{self, Sqlite};
use crate::process;
use crate::records::{self, Year};

/// How often everything is done whose median is told.
pub(crate) const RUNS: usize = 5;

/// One run of the benchmarks.
pub(crate) struct Bench {
    pub(crate) runtime: Runtime,
    pub(crate) figures: Figures,
    scratch: TempDir,
    corpus: OnceCell<Corpus>,
    large: OnceCell<Large>,
    ccusage: OnceCell<Result<Ccusage, String>>,
    sqlite: OnceCell<Result<Sqlite, String>>,
}

/// A home whose ledger holds very many records; no daemon runs in it.
pub(crate) struct Large {
    pub(crate) env: Env,
    pub(crate) records: u64,
    /// Records per second while it was filled, part by part.
    pub(crate) rates: Vec<f64>,
    /// Processor time of the daemon meanwhile, in microseconds per record.
    pub(crate) cpu_us: Option<f64>,
    /// Of the disk that the ledger's file takes, after a clean stop.
    pub(crate) bytes_per_record: f64,
    /// Of the file's length: it grows by doubling, and what was never written takes no disk.
    pub(crate) length_per_record: f64,
}

/// Whole runs of ccusage over the corpus.
pub(crate) struct Ccusage {
    pub(crate) cpu: Vec<f64>,
    pub(crate) peak: Vec<f64>,
    pub(crate) wall_ms: Vec<f64>,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench {
            runtime: tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .expect("a runtime"),
            figures: Figures::default(),
            scratch: TempDir::new().expect("a temporary directory"),
            corpus: OnceCell::new(),
            large: OnceCell::new(),
            ccusage: OnceCell::new(),
            sqlite: OnceCell::new(),
        }
    }

    /// A path for what a section leaves behind until the end of the run.
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        let path = self.scratch.path().join(name);
        std::fs::create_dir_all(&path).expect("a directory");
        path
    }

    /// The transcripts: those of `TOKMON_BENCH_CORPUS`, or `TOKMON_BENCH_MB` (100) of our own.
    pub(crate) fn corpus(&self) -> &Corpus {
        self.corpus
            .get_or_init(|| match std::env::var_os("TOKMON_BENCH_CORPUS") {
                Some(dir) => Corpus::given(Path::new(&dir)),
                None => {
                    let megabytes = setting("TOKMON_BENCH_MB", 100);
                    Corpus::write(
                        &self.scratch("corpus"),
                        setting("TOKMON_BENCH_CORPUS_FILES", 2 * megabytes),
                        megabytes,
                    )
                }
            })
    }

    /// A ledger of `TOKMON_BENCH_RECORDS` (1,000,000) records of one year.
    pub(crate) fn large(&self) -> &Large {
        self.large.get_or_init(|| {
            let records = setting("TOKMON_BENCH_RECORDS", 1_000_000);
            let env = Env::new();
            keep_all(&env, "");
            let daemon = env.start_daemon();
            let year = Year::of(records);
            let part = records / RUNS as u64;
            let client = self.client(&env);
            let before = process::cpu_seconds(daemon.pid());
            let rates = (0..RUNS as u64)
                .map(|n| {
                    let last = n + 1 == RUNS as u64;
                    let end = if last { records } else { (n + 1) * part };
                    let spent = self
                        .runtime
                        .block_on(records::fill(&client, n * part..end, move |n| year.call(n)));
                    (end - n * part) as f64 / spent.as_secs_f64()
                })
                .collect();
            let after = process::cpu_seconds(daemon.pid());
            let status = self.runtime.block_on(client.status(Default::default()));
            let status = status.unwrap_or_else(|error| panic!("status: {error}"));
            let path = status.ledger.expect("a ledger").path;
            daemon.stop();
            let file = std::fs::metadata(&path).expect("the ledger's file");
            Large {
                env,
                records,
                rates,
                cpu_us: before
                    .zip(after)
                    .map(|(before, after)| (after - before) * 1e6 / records as f64),
                bytes_per_record: (file.blocks() * 512).min(file.len()) as f64 / records as f64,
                length_per_record: file.len() as f64 / records as f64,
            }
        })
    }

    /// ccusage over the corpus, or why it cannot be had.
    pub(crate) fn ccusage(&self) -> Result<&Ccusage, String> {
        let measured = self.ccusage.get_or_init(|| {
            let program = peers::ccusage()?;
            let home = self.scratch("ccusage-home");
            let mut found = Ccusage {
                cpu: Vec::new(),
                peak: Vec::new(),
                wall_ms: Vec::new(),
            };
            for _ in 0..RUNS {
                let mut command = Command::new(&program);
                command
                    .args(["daily", "--json", "--offline"])
                    .env("CLAUDE_CONFIG_DIR", &self.corpus().dir)
                    .env("HOME", &home);
                let ran = process::watched(&self.runtime, command);
                if !ran.status.success() || ran.stdout.is_empty() {
                    return Err(format!("ccusage ended with {}", ran.status));
                }
                found.cpu.extend(ran.cpu);
                found.peak.extend(ran.peak);
                found.wall_ms.push(ran.wall.as_secs_f64() * 1e3);
            }
            Ok(found)
        });
        measured.as_ref().map_err(Clone::clone)
    }

    /// One of ccusage's figures as a peer.
    pub(crate) fn beside_ccusage(&self, what: &str, figure: fn(&Ccusage) -> &Vec<f64>) -> Peer {
        match self.ccusage() {
            Ok(found) => Peer::measured(&format!("ccusage {what}"), figure(found)),
            Err(why) => Peer::absent(&why),
        }
    }

    /// SQLite with the same kind of records.
    pub(crate) fn sqlite(&self) -> Result<&Sqlite, String> {
        self.sqlite
            .get_or_init(|| peers::sqlite(&self.scratch("sqlite")))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// One of SQLite's figures as a peer.
    pub(crate) fn beside_sqlite(&self, what: &str, figure: fn(&Sqlite) -> Vec<f64>) -> Peer {
        match self.sqlite() {
            Ok(found) => Peer::measured(&format!("SQLite (WAL, FULL), {what}"), &figure(found)),
            Err(why) => Peer::absent(&why),
        }
    }

    /// A connection of its own.
    pub(crate) fn client(&self, env: &Env) -> Client {
        self.runtime.block_on(env.client())
    }

    /// Lets time pass while something is looked at.
    pub(crate) fn pass(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Waits until the daemon has read its sources to their end.
    pub(crate) fn wait_for_import(&self, client: &Client) {
        self.runtime.block_on(async {
            let mut progress = client
                .import(Default::default())
                .await
                .unwrap_or_else(|error| panic!("import: {error}"));
            while let Some(told) = progress.message().await.expect("progress") {
                if told.done {
                    return;
                }
            }
            panic!("the import ended without saying so");
        });
    }

    /// Starts a daemon and returns how many milliseconds it took until it said that it is ready.
    pub(crate) fn timed_start(&self, env: &Env) -> (Daemon, f64) {
        let begin = std::time::Instant::now();
        let daemon = env.start_daemon();
        (daemon, begin.elapsed().as_secs_f64() * 1e3)
    }
}

/// Keeps records of any age, so that a year can be measured; `more` is added to the configuration.
pub(crate) fn keep_all(env: &Env, more: &str) {
    env.write_config(&format!("[retention]\ndays = 36500\nautomatic = false\n{more}"));
}

/// A whole number from the environment.
pub(crate) fn setting(name: &str, usual: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} must be a whole number, not {text:?}")),
        Err(_) => usual,
    }
}
