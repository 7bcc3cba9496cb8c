//! The running capture over a real ledger: what is written becomes visible, and it ends when told to.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokmon_core::entry::Body;
use tokmon_core::price::PriceBook;
use tokmon_core::waste::WasteRules;
use tokmon_ledger::{Follower, Ledger, Settings, SystemClock};

use super::{Capture, Options};
use crate::agents::Agent;
use crate::roots::Root;
use crate::status::{Progress, SourceState};

/// Nothing here takes this long unless it is broken.
const BROKEN: Duration = Duration::from_secs(30);
/// A poll that never comes: only events can bring news.
const NEVER: Duration = Duration::from_secs(3_600);

struct Bench {
    home: TempDir,
    ledger: Ledger,
    cancel: CancellationToken,
}

impl Bench {
    fn new() -> Bench {
        let home = tempfile::tempdir().unwrap();
        let settings = Settings {
            book: PriceBook::bundled(),
            waste: WasteRules::default(),
            runaway: Default::default(),
            keep_notes: true,
            zone: TimeZone::UTC,
            user: "me".into(),
            cache_bytes: 1 << 20,
        };
        let ledger = Ledger::open(&home.path().join("ledger"), settings, Arc::new(SystemClock)).unwrap();
        Bench {
            home,
            ledger,
            cancel: CancellationToken::new(),
        }
    }

    fn capture(&self, poll: Duration) -> Capture {
        let dir = self.home.path().join("agent/projects");
        let options = Options {
            find: Box::new(move || vec![Root::new(Agent::CLAUDE_CODE, &dir)]),
            user: "me".into(),
            ledger: self.ledger.clone(),
            clock: Arc::new(SystemClock),
            poll,
            git: true,
            cancel: self.cancel.clone(),
        };
        Capture::start(options).unwrap()
    }

    fn append(&self, path: &str, id: &str) {
        append(&self.home.path().join("agent/projects").join(path), id);
    }
}

fn append(path: &Path, id: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    let line = format!(
        r#"{{"type":"assistant","timestamp":"2025-11-20T09:15:02.000Z","sessionId":"s","message":{{"id":"{id}","model":"{id}","stop_reason":"end_turn","usage":{{"output_tokens":1}}}}}}"#
    );
    writeln!(file, "{line}").unwrap();
}

/// The models of the next call that becomes visible.
async fn next(follower: &mut Follower) -> String {
    loop {
        let entries = timeout(BROKEN, follower.next())
            .await
            .expect("nothing became visible")
            .unwrap();
        let usage = entries.into_iter().find_map(|entry| match entry.body {
            Body::Usage(record) => Some(record.seen.model.to_string()),
            _ => None,
        });
        if let Some(model) = usage {
            return model;
        }
    }
}

async fn done(capture: &Capture) -> Progress {
    let mut import = capture.import();
    *timeout(BROKEN, import.wait_for(|progress| progress.done))
        .await
        .expect("no end")
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_ends_when_everything_is_in_the_ledger() {
    let bench = Bench::new();
    for number in 0..50 {
        bench.append(&format!("p{}/{number}.jsonl", number % 7), &format!("m{number}"));
    }
    let capture = bench.capture(NEVER);
    let progress = done(&capture).await;
    assert_eq!(
        (progress.files_total, progress.files_done, progress.records),
        (50, 50, 50)
    );
    assert_eq!(progress.bytes_total, progress.bytes_done);
    assert_eq!(bench.ledger.positions().unwrap().len(), 50);
    assert_eq!(capture.status()[0].state, SourceState::Watching);
    // Nothing new: a second one ends as well.
    assert_eq!(done(&capture).await.records, 50);
    bench.cancel.cancel();
    timeout(BROKEN, capture.join()).await.expect("it does not end");
    assert!(capture.import().wait_for(|progress| progress.done).await.is_err());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_is_seen_without_a_poll() {
    let bench = Bench::new();
    let capture = bench.capture(NEVER);
    done(&capture).await;
    assert_eq!(capture.status()[0].state, SourceState::Absent);
    let mut follower = bench.ledger.follow(0);
    // The root itself and the directory it lies in, a directory in it, a file in that, a line in that; then a directory that comes back.
    for (path, id) in [
        ("p/a.jsonl", "a"),
        ("p/a.jsonl", "b"),
        ("p/s/subagents/c.jsonl", "c"),
        ("q/d.jsonl", "d"),
    ] {
        bench.append(path, id);
        assert_eq!(next(&mut follower).await, id);
    }
    fs::remove_dir_all(bench.home.path().join("agent/projects/q")).unwrap();
    bench.append("q/e.jsonl", "e");
    assert_eq!(next(&mut follower).await, "e");
    bench.append("q/e.jsonl", "f");
    assert_eq!(next(&mut follower).await, "f");
    bench.cancel.cancel();
    timeout(BROKEN, capture.join()).await.expect("it does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_finds_what_no_event_told_of() {
    let bench = Bench::new();
    // What is reached through a link that was made later is watched by nobody until a poll has found it.
    let capture = bench.capture(Duration::from_millis(20));
    done(&capture).await;
    let elsewhere = bench.home.path().join("elsewhere");
    append(&elsewhere.join("a.jsonl"), "a");
    let mut follower = bench.ledger.follow(0);
    fs::create_dir(bench.home.path().join("agent")).unwrap();
    fs::rename(&elsewhere, bench.home.path().join("agent/projects")).unwrap();
    assert_eq!(next(&mut follower).await, "a");
    bench.cancel.cancel();
    timeout(BROKEN, capture.join()).await.expect("it does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_wait_for_an_event_has_a_file_read_now() {
    let bench = Bench::new();
    bench.append("p/a.jsonl", "a0");
    let capture = bench.capture(NEVER);
    done(&capture).await;
    let file = bench.home.path().join("agent/projects/p/a.jsonl");
    for n in 1..=20 {
        bench.append("p/a.jsonl", &format!("a{n}"));
        timeout(BROKEN, capture.catch_up(vec![file.clone()]))
            .await
            .expect("it is not read");
        assert_eq!(capture.status()[0].records, n + 1);
    }
    let before = bench.ledger.last_seq();
    let nothing = vec![bench.home.path().join("none"), "/".into()];
    timeout(BROKEN, capture.catch_up(nothing))
        .await
        .expect("nothing to wait for");
    assert_eq!(bench.ledger.last_seq(), before);
    bench.cancel.cancel();
    timeout(BROKEN, capture.join()).await.expect("it does not end");
    capture.catch_up(vec![file]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_ledger_gets_everything_once_more() {
    let bench = Bench::new();
    bench.append("p/a.jsonl", "a");
    let capture = bench.capture(NEVER);
    done(&capture).await;
    bench.ledger.reset().await.unwrap();
    capture.reload();
    done(&capture).await;
    assert_eq!(bench.ledger.positions().unwrap().len(), 1);
    bench.cancel.cancel();
    timeout(BROKEN, capture.join()).await.expect("it does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_ledger_ends_it() {
    let bench = Bench::new();
    let capture = bench.capture(NEVER);
    done(&capture).await;
    bench.ledger.close().await.unwrap();
    bench.append("p/a.jsonl", "a");
    drop(capture.import());
    timeout(BROKEN, capture.join()).await.expect("it does not end");
}
