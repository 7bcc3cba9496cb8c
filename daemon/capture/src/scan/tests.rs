//! Scans of real temporary files, driven step by step: grow, cut, move, vanish, fail.

mod whole;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokmon_core::observation::Observation;
use tokmon_ledger::store::Position;
use tokmon_ledger::{Chunk, ManualClock};

use super::Scanner;
use crate::agents::Agent;
use crate::roots::Root;
use crate::shared::Shared;
use crate::sink::{Outcome, Sink, SinkError};
use crate::status::{SourceState, SourceStatus};

/// What the ledger would keep: positions with their observations, or neither.
#[derive(Default)]
struct Kept {
    observations: Vec<Observation>,
    positions: Vec<Position>,
    largest: usize,
    /// Fail instead of taking the next chunk.
    failing: bool,
}

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Kept>>);

impl Sink for Memory {
    fn positions(&mut self) -> Result<Vec<Position>, SinkError> {
        Ok(self.0.lock().unwrap().positions.clone())
    }

    fn put(&mut self, _: usize, chunk: Chunk) -> Result<Vec<Outcome>, SinkError> {
        let mut kept = self.0.lock().unwrap();
        if kept.failing {
            return Err(SinkError::Failed("the disk is full".into()));
        }
        kept.largest = kept.largest.max(chunk.observations.len());
        kept.observations.extend(chunk.observations);
        kept.positions
            .retain(|position| !chunk.forgotten.contains(&position.path));
        for position in chunk.positions {
            kept.positions.retain(|old| old.path != position.path);
            kept.positions.push(position);
        }
        Ok(Vec::new())
    }

    fn finish(&mut self) -> Result<Vec<Outcome>, SinkError> {
        Ok(Vec::new())
    }
}

/// A home with both agents' directories, and a scanner over them.
struct Bench {
    home: TempDir,
    memory: Memory,
    shared: Arc<Shared>,
    scanner: Scanner<Memory>,
}

impl Bench {
    fn new() -> Bench {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("claude/p")).unwrap();
        fs::create_dir_all(home.path().join("codex/archived")).unwrap();
        let memory = Memory::default();
        let (shared, scanner) = Bench::start(home.path(), &memory);
        Bench {
            home,
            memory,
            shared,
            scanner,
        }
    }

    fn start(home: &Path, memory: &Memory) -> (Arc<Shared>, Scanner<Memory>) {
        let roots = vec![
            Root::new(Agent::CLAUDE_CODE, home.join("claude")),
            Root::new(Agent::CODEX, home.join("codex")),
            Root::new(Agent::parse("amp").unwrap(), home.join("amp")),
            Root::new(Agent::parse("droid").unwrap(), home.join("droid")),
        ];
        let shared = Shared::new(&roots, Arc::new(ManualClock::new(4_000_000_000_000)));
        let mut scanner = Scanner::new(roots, "ann".into(), memory.clone(), shared.clone());
        scanner.reload().unwrap();
        (shared, scanner)
    }

    /// The daemon starts anew over the same ledger.
    fn restart(&mut self) {
        (self.shared, self.scanner) = Bench::start(self.home.path(), &self.memory);
    }

    fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    fn append(&self, path: &str, text: &str) {
        let mut file = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path(path))
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// The observations that a scan brings: model ids and outputs.
    fn scan(&mut self) -> Vec<(String, u64)> {
        self.scanner.scan().unwrap();
        self.taken()
    }

    fn taken(&self) -> Vec<(String, u64)> {
        let taken = std::mem::take(&mut self.memory.0.lock().unwrap().observations);
        taken
            .iter()
            .map(|seen| (seen.model.to_string(), seen.tokens.output))
            .collect()
    }

    fn position(&self, path: &str) -> Option<Position> {
        let path = self.path(path).to_str().unwrap().to_string();
        self.memory
            .0
            .lock()
            .unwrap()
            .positions
            .iter()
            .find(|position| *position.path == *path)
            .cloned()
    }

    fn status(&self, source: usize) -> SourceStatus {
        self.shared.status().remove(source)
    }
}

fn claude(id: &str, output: u64) -> String {
    format!(
        r#"{{"type":"assistant","timestamp":"2026-11-20T09:15:02.000Z","sessionId":"s","message":{{"id":"{id}","model":"{id}","stop_reason":"end_turn","usage":{{"output_tokens":{output}}}}}}}"#
    ) + "\n"
}

fn codex(total: u64, last: u64) -> String {
    format!(
        r#"{{"timestamp":"2026-11-20T09:15:02.000Z","type":"event_msg","payload":{{"type":"token_count","info":{{"total_token_usage":{{"output_tokens":{total}}},"last_token_usage":{{"output_tokens":{last}}}}}}}}}"#
    ) + "\n"
}

fn call(model: &str, output: u64) -> (String, u64) {
    (model.to_string(), output)
}

#[test]
fn a_growing_file_is_read_on() {
    let mut bench = Bench::new();
    bench.append("claude/p/a.jsonl", &claude("a", 1));
    assert_eq!(bench.scan(), [call("a", 1)]);
    assert_eq!(bench.scan(), []);
    // Half a line waits; its other half completes it.
    let line = claude("b", 2);
    let (first, second) = line.split_at(60);
    bench.append("claude/p/a.jsonl", first);
    assert_eq!(bench.scan(), []);
    bench.append("claude/p/a.jsonl", second);
    assert_eq!(bench.scan(), [call("b", 2)]);
    let status = bench.status(0);
    assert_eq!(
        (status.state, status.files, status.files_done, status.records),
        (SourceState::Watching, 1, 1, 2)
    );
    assert_eq!(
        (status.bytes, status.bytes_read),
        (bench.position("claude/p/a.jsonl").unwrap().offset, status.bytes)
    );
}

#[test]
fn a_restart_goes_on_where_it_was() {
    let mut bench = Bench::new();
    bench.append("claude/p/a.jsonl", &claude("a", 1));
    bench.append("codex/c.jsonl", &codex(10, 10));
    assert_eq!(bench.scan(), [call("a", 1), call("gpt-5", 10)]);
    bench.append("codex/c.jsonl", &(codex(10, 10) + &codex(15, 5)));
    bench.restart();
    assert_eq!(bench.status(0).state, SourceState::Absent);
    assert_eq!(bench.scan(), [call("gpt-5", 5)]);
    assert_eq!(bench.status(1).records, 2);
    bench.restart();
    assert_eq!(bench.scan(), []);
    assert_eq!((bench.status(0).records, bench.status(1).records), (1, 2));
}

#[test]
fn a_line_without_an_end_counts_when_it_is_whole() {
    let mut bench = Bench::new();
    bench.append("claude/p/a.jsonl", claude("a", 1).trim_end());
    assert_eq!(bench.scan(), [call("a", 1)]);
    bench.append("claude/p/a.jsonl", &format!("\n{}", claude("b", 2)));
    assert_eq!(bench.scan(), [call("b", 2)]);
}

#[test]
fn a_file_that_was_cut_or_rewritten_is_read_from_its_start() {
    let mut bench = Bench::new();
    let path = "claude/p/a.jsonl";
    bench.append(path, &(claude("a", 1) + &claude("b", 2)));
    assert_eq!(bench.scan().len(), 2);
    fs::write(bench.path(path), claude("a", 1)).unwrap();
    assert_eq!(bench.scan(), [call("a", 1)]);
    // Longer than before, and not the same at the place where it was left.
    fs::write(
        bench.path(path),
        claude("x", 3) + &claude("y", 4) + &claude("z", 5),
    )
    .unwrap();
    assert_eq!(bench.scan().len(), 3);
    // Replaced by another file.
    fs::remove_file(bench.path(path)).unwrap();
    bench.append(path, &claude("n", 6));
    assert_eq!(bench.scan(), [call("n", 6)]);
    assert_eq!(bench.status(0).records, 1);
}

#[test]
fn a_moved_file_is_not_read_again_and_a_vanished_one_is_forgotten() {
    let mut bench = Bench::new();
    bench.append("codex/c.jsonl", &codex(10, 10));
    assert_eq!(bench.scan().len(), 1);
    fs::rename(bench.path("codex/c.jsonl"), bench.path("codex/archived/c.jsonl")).unwrap();
    assert_eq!(bench.scan(), []);
    assert_eq!(bench.position("codex/c.jsonl"), None);
    assert_eq!(bench.position("codex/archived/c.jsonl").unwrap().records, 1);
    // It grew while it was moved: the cumulative state came with it.
    bench.append("codex/archived/c.jsonl", &codex(14, 4));
    fs::rename(bench.path("codex/archived/c.jsonl"), bench.path("codex/d.jsonl")).unwrap();
    bench.restart();
    assert_eq!(bench.scan(), [call("gpt-5", 4)]);
    fs::remove_file(bench.path("codex/d.jsonl")).unwrap();
    assert_eq!(bench.scan(), []);
    assert_eq!(bench.memory.0.lock().unwrap().positions, []);
    assert_eq!(bench.status(1).files, 0);
}

#[test]
fn nothing_is_forgotten_while_the_whole_source_is_away() {
    let mut bench = Bench::new();
    bench.append("codex/c.jsonl", &codex(10, 10));
    assert_eq!(bench.scan().len(), 1);
    fs::rename(bench.path("codex"), bench.path("unmounted")).unwrap();
    assert_eq!(bench.scan(), []);
    assert_eq!(bench.status(1).state, SourceState::Absent);
    fs::rename(bench.path("unmounted"), bench.path("codex")).unwrap();
    assert_eq!(bench.scan(), []);
    assert_eq!(bench.status(1).state, SourceState::Watching);
}

#[cfg(unix)]
#[test]
fn two_names_of_one_file_are_read_once() {
    let mut bench = Bench::new();
    bench.append("claude/p/a.jsonl", &claude("a", 1));
    fs::hard_link(bench.path("claude/p/a.jsonl"), bench.path("claude/p/b.jsonl")).unwrap();
    assert_eq!(bench.scan().len(), 1);
    assert_eq!(bench.scan(), []);
}

#[test]
fn only_what_changed_is_looked_at() {
    let mut bench = Bench::new();
    bench.append("claude/p/a.jsonl", &claude("a", 1));
    bench.append("claude/p/b.jsonl", &claude("b", 2));
    let elsewhere = bench.path("elsewhere.jsonl");
    bench
        .scanner
        .scan_paths([
            bench.path("claude/p/b.jsonl"),
            elsewhere,
            bench.path("claude/p/none.jsonl"),
        ])
        .unwrap();
    assert_eq!(bench.taken(), [call("b", 2)]);
    fs::create_dir_all(bench.path("claude/p/s/subagents")).unwrap();
    bench.append("claude/p/s/subagents/c.jsonl", &claude("c", 3));
    bench.scanner.take_dirs();
    bench.scanner.scan_paths([bench.path("claude/p/s")]).unwrap();
    assert_eq!(bench.taken(), [call("c", 3)]);
    assert_eq!(
        bench.scanner.take_dirs(),
        [bench.path("claude/p/s"), bench.path("claude/p/s/subagents")]
    );
}

#[test]
fn older_files_come_first() {
    let mut bench = Bench::new();
    for (name, second) in [("copy", 300), ("original", 100), ("middle", 200)] {
        let path = format!("claude/p/{name}.jsonl");
        bench.append(&path, &claude(name, 1));
        let file = fs::File::options().write(true).open(bench.path(&path)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(second))
            .unwrap();
    }
    assert_eq!(
        bench.scan(),
        [call("original", 1), call("middle", 1), call("copy", 1)]
    );
}

#[cfg(target_os = "linux")]
#[test]
fn an_original_that_went_on_after_it_was_copied_still_comes_first() {
    let mut bench = Bench::new();
    bench.append("claude/p/z-original.jsonl", &claude("original", 1));
    let made = fs::metadata(bench.path("claude/p/z-original.jsonl"))
        .unwrap()
        .created();
    // A file system that does not know when files were made cannot tell.
    let Ok(made) = made else { return };
    // Its clock is coarse: the copy has to be younger.
    let mut copies = 0;
    while fs::metadata(bench.path("claude/p/a-copy.jsonl"))
        .map_or(true, |meta| meta.created().unwrap() <= made)
    {
        fs::remove_file(bench.path("claude/p/a-copy.jsonl")).ok();
        bench.append("claude/p/a-copy.jsonl", &claude("copy", 1));
        copies += 1;
        assert!(copies < 1_000_000, "the clock stands still");
    }
    bench.append("claude/p/z-original.jsonl", &claude("later", 1));
    assert_eq!(
        bench.scan(),
        [call("original", 1), call("later", 1), call("copy", 1)]
    );
}

#[test]
fn a_call_from_the_future_is_not_the_latest() {
    let mut bench = Bench::new();
    let ahead = claude("ahead", 1).replace("2026-", "2226-");
    bench.append("claude/p/a.jsonl", &(claude("a", 1) + &ahead));
    assert_eq!(bench.scan().len(), 2);
    assert_eq!(bench.status(0).last_record_ms, 1_795_166_102_000);
}

#[test]
fn files_from_the_future_or_before_time_are_read_once() {
    use std::time::{Duration, SystemTime};
    let mut bench = Bench::new();
    let century = Duration::from_secs(200 * 365 * 86_400);
    for (path, id, at) in [
        ("claude/p/ahead.jsonl", "a", SystemTime::now() + century),
        ("claude/p/old.jsonl", "b", SystemTime::UNIX_EPOCH - century / 10),
        ("claude/p/epoch.jsonl", "c", SystemTime::UNIX_EPOCH),
    ] {
        bench.append(path, &claude(id, 1));
        let file = std::fs::File::options()
            .write(true)
            .open(bench.path(path))
            .unwrap();
        file.set_modified(at).unwrap();
    }
    assert_eq!(bench.scan().len(), 3);
    let status = bench.status(0);
    assert_eq!((status.files_done, status.error.as_str()), (3, ""));
    bench.restart();
    assert_eq!(bench.scan(), []);
    bench.append("claude/p/ahead.jsonl", &claude("d", 2));
    assert_eq!(bench.scan(), [call("d", 2)]);
}

#[test]
fn what_the_sink_does_not_take_is_read_again() {
    let mut bench = Bench::new();
    bench.append("claude/p/a.jsonl", &claude("a", 1));
    bench.memory.0.lock().unwrap().failing = true;
    assert_eq!(
        bench.scanner.scan(),
        Err(SinkError::Failed("the disk is full".into()))
    );
    bench.memory.0.lock().unwrap().failing = false;
    bench.scanner.reload().unwrap();
    assert_eq!(bench.scan(), [call("a", 1)]);
}

#[test]
fn chunks_are_bounded_and_a_position_is_never_ahead() {
    let mut bench = Bench::new();
    let mut text = String::new();
    let calls = 9_000;
    for number in 0..calls {
        text +=
            &format!(r#"{{"type":"assistant","message":{{"id":"{number}","usage":{{"output_tokens":1}}}}}}"#);
        text.push('\n');
    }
    bench.append("claude/p/a.jsonl", &text);
    assert_eq!(bench.scan().len(), calls);
    let kept = bench.memory.0.lock().unwrap();
    assert!(kept.largest <= tokmon_core::limits::MAX_CHUNK, "{}", kept.largest);
    assert_eq!(kept.positions[0].records, calls as u64);
}

#[test]
fn failures_are_counted_and_shown_with_their_place() {
    let mut bench = Bench::new();
    bench.append(
        "claude/p/a.jsonl",
        &(claude("a", 1) + "{\"cut\":\n" + &claude("b", 2)),
    );
    assert_eq!(bench.scan().len(), 2);
    let status = bench.status(0);
    assert_eq!((status.parse_failures, status.failures.len()), (1, 1));
    assert_eq!(status.failures[0].offset, claude("a", 1).len() as u64);
    assert!(status.failures[0].path.ends_with("a.jsonl"));
    // The count is kept with the position, the text is not.
    bench.restart();
    bench.scan();
    assert_eq!(
        (bench.status(0).parse_failures, bench.status(0).failures.len()),
        (1, 0)
    );
}

#[cfg(unix)]
#[test]
fn a_directory_in_place_of_a_file_does_no_harm() {
    let mut bench = Bench::new();
    fs::create_dir_all(bench.path("claude/p/dir.jsonl")).unwrap();
    bench.append("claude/p/a.jsonl", &claude("a", 1));
    assert_eq!(bench.scan(), [call("a", 1)]);
}

#[test]
fn compressed_rollouts_are_read_whole_and_broken_ones_are_failures() {
    let mut bench = Bench::new();
    let packed = ruzstd::encoding::compress_to_vec(
        (codex(10, 10) + &codex(15, 5)).as_bytes(),
        ruzstd::encoding::CompressionLevel::Fastest,
    );
    fs::write(bench.path("codex/c.jsonl.zst"), &packed).unwrap();
    fs::write(bench.path("codex/d.jsonl.zst"), b"no archive at all").unwrap();
    fs::write(bench.path("codex/e.jsonl.zst"), &packed[..packed.len() - 3]).unwrap();
    assert_eq!(bench.scan().iter().filter(|call| call.1 == 10).count(), 1);
    assert_eq!(bench.status(1).parse_failures, 2);
    assert_eq!(bench.scan(), []);
    bench.restart();
    assert_eq!(bench.scan(), []);
    assert_eq!(bench.status(1).parse_failures, 2);
}
