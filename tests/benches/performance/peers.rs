//! Others that are measured in the same run: ccusage over the same transcripts, plain redb, SQLite, and the disk itself.
//! Who is not there is named as missing; the run goes on.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use redb::{Database, TableDefinition};
use serde_json::Value;
use tokmon_tests::binaries;

/// The release of ccusage that is compared with.
const CCUSAGE: &str = "ccusage@20.0.24";
const RAW: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("raw");
/// About what a record takes with its indexes.
const ROW: [u8; 200] = [7; 200];

/// The native program of ccusage, installed once below the target directory. Why not, when it cannot be had.
pub(crate) fn ccusage() -> Result<PathBuf, String> {
    let dir = binaries::tool_dir("ccusage");
    let native = || -> Option<PathBuf> {
        let scope = std::fs::read_dir(dir.join("node_modules/@ccusage")).ok()?;
        scope
            .filter_map(|entry| Some(entry.ok()?.path().join("bin/ccusage")))
            .find(|path| path.is_file())
    };
    if native().is_none() {
        std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
        let installed = quiet(
            Command::new("npm")
                .args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
                .arg(&dir)
                .arg(CCUSAGE),
        );
        if !installed {
            return Err(format!("`npm install {CCUSAGE}` did not work here"));
        }
        // Its launcher makes the native program executable.
        if !quiet(Command::new(dir.join("node_modules/.bin/ccusage")).arg("--version")) {
            return Err("ccusage does not run here (is node there?)".to_owned());
        }
    }
    native().ok_or_else(|| "ccusage has no native program for this system".to_owned())
}

fn quiet(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether a program can be started here.
pub(crate) fn has(program: &str) -> bool {
    quiet(Command::new(program).arg("--version"))
}

/// Milliseconds of single durable commits of one row into one table of redb.
pub(crate) fn redb_commits(dir: &Path, commits: u64) -> Vec<f64> {
    let database = Database::create(dir.join("raw.redb")).expect("a database");
    (0..commits)
        .map(|n| {
            let begin = Instant::now();
            write_rows(&database, n..n + 1);
            begin.elapsed().as_secs_f64() * 1e3
        })
        .collect()
}

fn write_rows(database: &Database, rows: std::ops::Range<u64>) {
    let transaction = database.begin_write().expect("a transaction");
    {
        let mut table = transaction.open_table(RAW).expect("a table");
        for row in rows {
            table.insert(row, ROW.as_slice()).expect("room");
        }
    }
    transaction.commit().expect("a commit");
}

/// Seconds that plain redb takes to open so many rows after a crash.
pub(crate) fn redb_recovery(dir: &Path, rows: u64, times: usize) -> Vec<f64> {
    let (whole, torn) = (dir.join("whole.redb"), dir.join("torn.redb"));
    let database = Database::create(&whole).expect("a database");
    let mut at = 0;
    while at < rows {
        let end = (at + 20_000).min(rows);
        write_rows(&database, at..end);
        at = end;
    }
    (0..times)
        .map(|_| {
            // A copy of an open database looks as the file does after a crash.
            std::fs::copy(&whole, &torn).expect("room for a copy");
            let begin = Instant::now();
            drop(Database::open(&torn).expect("it recovers"));
            begin.elapsed().as_secs_f64()
        })
        .collect()
}

/// Milliseconds of one fdatasync of a few new bytes.
pub(crate) fn fdatasyncs(dir: &Path, times: u64) -> Vec<f64> {
    let mut file = File::create(dir.join("sync")).expect("a file");
    (0..times)
        .map(|_| {
            let begin = Instant::now();
            file.write_all(&ROW).expect("room");
            file.sync_data().expect("a disk");
            begin.elapsed().as_secs_f64() * 1e3
        })
        .collect()
}

/// What SQLite does with the same kind of records: `[commit_ms…]`, bulk records/s, bytes per record.
pub(crate) struct Sqlite {
    pub(crate) commit_ms: Vec<f64>,
    pub(crate) bulk_per_s: f64,
    pub(crate) bytes_per_record: f64,
}

/// Runs it in Python, whose library it is part of. Why not, when there is no Python.
pub(crate) fn sqlite(dir: &Path) -> Result<Sqlite, String> {
    let script = binaries::root().join("tests/benches/performance/sqlite.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(dir.join("peer.sqlite"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("python3: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "sqlite3 of Python: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    let value: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let figure = |name: &str| value[name].as_f64().ok_or_else(|| format!("no {name}"));
    Ok(Sqlite {
        commit_ms: value["commit_ms"]
            .as_array()
            .map(|list| list.iter().filter_map(Value::as_f64).collect())
            .unwrap_or_default(),
        bulk_per_s: figure("bulk_per_s")?,
        bytes_per_record: figure("bytes_per_record")?,
    })
}
