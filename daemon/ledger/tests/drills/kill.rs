//! kill -9 in the middle of writing, again and again: what the child had been told is durable is there,
//! once, and the ledger verifies.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use tokmon_ledger::store::samples::{START_MS, call, calls};
use tokmon_ledger::store::{RedbStore, Store};

use crate::{Dice, key_of, rounds};

const LEDGER: &str = "TOKMON_DRILL_LEDGER";
const SEED: &str = "TOKMON_DRILL_SEED";
const CACHE: usize = 1 << 20;

/// The child: appends until it is killed, and says what is durable. Without a ledger to write to there is
/// nothing to do.
#[test]
fn child() {
    let Some(path) = std::env::var_os(LEDGER) else {
        return;
    };
    let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let mut dice = Dice(seed.expect("a seed"));
    let store = RedbStore::open_or_create(Path::new(&path), CACHE).expect("the ledger opens");
    for _ in 0..10_000 {
        let last = store.last_seq().expect("the last seq");
        store.append(&calls(last, 1 + dice.below(60))).expect("appended");
        let acked = store.last_seq().expect("the last seq");
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nacked {acked}")
            .and_then(|()| out.flush())
            .expect("the parent listens");
    }
}

/// Starts a child and kills it after it has acknowledged `acks` batches; the last seq that it acknowledged.
fn run_and_kill(path: &Path, seed: u64, acks: u64) -> u64 {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["kill::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(LEDGER, path)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a child");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe"))
        .lines()
        .map_while(Result::ok);
    let seq_in = |line: String| line.strip_prefix("acked ").and_then(|seq| seq.parse().ok());
    let mut acked = 0;
    for _ in 0..acks {
        acked = lines
            .by_ref()
            .find_map(seq_in)
            .expect("the child ended by itself");
    }
    child.kill().expect("killed");
    // What it said before it died counts too.
    acked = lines.filter_map(seq_in).last().unwrap_or(acked);
    child.wait().expect("gone");
    acked
}

#[test]
fn acknowledged_entries_survive_and_count_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    let mut dice = Dice(99);
    let mut acked = 0;
    for round in 0..rounds(12) {
        // Some are killed while they create, open or repair the file.
        let acks = if round % 4 == 0 { 0 } else { 1 + dice.below(40) };
        acked = acked.max(run_and_kill(&path, round, acks));
        if round % 2 == 1 {
            continue; // the next child repairs
        }
        let store = RedbStore::open_or_create(&path, CACHE).expect("the ledger opens");
        let last = store.last_seq().expect("the last seq");
        assert!(
            last >= acked,
            "round {round}: {acked} was acknowledged, {last} is there"
        );
        let entries = store.entries_after(0, usize::MAX).expect("entries");
        let minute = |seq: u64| START_MS + i64::try_from(seq).unwrap_or(0) * 60_000;
        for (seq, entry) in (1..=last).zip(&entries) {
            let expected = call(seq, minute(seq)).seen.key;
            assert_eq!((entry.seq, key_of(entry)), (seq, Some(expected)), "round {round}");
        }
        assert_eq!(entries.len() as u64, last, "round {round}");
        assert_eq!(
            store.verify().expect("verified").findings,
            Vec::<String>::new(),
            "round {round}"
        );
    }
    assert!(acked > 0, "no child got as far as one batch");
}
