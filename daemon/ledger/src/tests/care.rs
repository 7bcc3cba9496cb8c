//! Care of a ledger in a real file: copies, restoring, starting anew, restarting.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::{NOON, call, settings};
use crate::{Health, Ledger, LedgerError, ManualClock, Outcome, StoreError};

fn open(directory: &Path) -> Ledger {
    Ledger::open(
        &directory.join("ledger.redb"),
        settings(),
        Arc::new(ManualClock::new(NOON)),
    )
    .unwrap()
}

fn calls(ledger: &Ledger) -> u64 {
    ledger
        .report(&tokmon_core::report::Query::everything())
        .unwrap()
        .0
        .total
        .requests
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let directory = TempDir::new().unwrap();
    let ledger = open(directory.path());
    ledger.record(vec![call("a"), call("b")]).await.unwrap();
    ledger.close().await.unwrap();
    drop(ledger);
    let ledger = open(directory.path());
    assert_eq!((calls(&ledger), ledger.last_seq()), (2, 2));
    assert_eq!(
        ledger.record(vec![call("a")]).await.unwrap()[0].outcome,
        Outcome::Duplicate
    );
    assert!(ledger.verify(None).unwrap().findings.is_empty());
}

#[tokio::test]
async fn two_at_once_cannot_have_one_file() {
    let directory = TempDir::new().unwrap();
    let _first = open(directory.path());
    let second = Ledger::open(
        &directory.path().join("ledger.redb"),
        settings(),
        Arc::new(ManualClock::new(NOON)),
    );
    assert!(matches!(second, Err(LedgerError::Store(StoreError::InUse))));
}

#[tokio::test]
async fn a_backup_is_sound_and_can_be_restored_and_nothing_is_deleted() {
    let directory = TempDir::new().unwrap();
    let ledger = open(directory.path());
    ledger.record(vec![call("a"), call("b")]).await.unwrap();
    let copy = directory.path().join("copy.redb");
    let (bytes, seq) = ledger.backup(&copy).unwrap();
    assert!(bytes > 0 && seq == 2);
    assert!(matches!(
        ledger.backup(&copy),
        Err(LedgerError::Store(StoreError::Conflict(_)))
    ));
    let checked = ledger.verify(Some(&copy)).unwrap();
    assert_eq!((checked.entries_checked, checked.findings.len()), (2, 0));
    ledger.record(vec![call("c")]).await.unwrap();
    let mut follower = ledger.follow(3);
    let swapped = ledger.restore(&copy).await.unwrap();
    // The third entry says that it was restored.
    assert_eq!((swapped.entries, calls(&ledger), ledger.last_seq()), (2, 2, 3));
    assert!(matches!(follower.next().await, Err(LedgerError::Unavailable(_))));
    assert_eq!(
        ledger.record(vec![call("c"), call("a")]).await.unwrap()[0].outcome,
        Outcome::Added
    );
    assert_eq!(calls(&ledger), 3);
    // The former one is whole, where the answer says.
    let former = ledger.verify(Some(&swapped.set_aside)).unwrap();
    assert_eq!((former.entries_checked, former.findings.len()), (3, 0));
    let emptied = ledger.reset().await.unwrap();
    assert_eq!((emptied.entries, calls(&ledger), ledger.last_seq()), (0, 0, 1));
    assert_ne!(emptied.set_aside, swapped.set_aside);
    assert!(emptied.set_aside.exists());
    ledger.record(vec![call("a")]).await.unwrap();
    assert_eq!((calls(&ledger), ledger.last_seq()), (1, 2));
}

#[tokio::test]
async fn what_is_no_ledger_is_not_restored() {
    let directory = TempDir::new().unwrap();
    let ledger = open(directory.path());
    ledger.record(vec![call("a")]).await.unwrap();
    let noise = directory.path().join("noise");
    std::fs::write(&noise, vec![7; 9_000]).unwrap();
    for wrong in [noise.as_path(), directory.path(), Path::new("/no/such/file")] {
        assert!(ledger.restore(wrong).await.is_err(), "{}", wrong.display());
        assert!(ledger.verify(Some(wrong)).is_err(), "{}", wrong.display());
    }
    assert_eq!((calls(&ledger), ledger.health()), (1, Health::Serving));
    ledger.record(vec![call("b")]).await.unwrap();
    let mut names: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|f| f.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["ledger.redb", "noise"]);
}

#[tokio::test]
async fn purging_and_compacting_keep_the_totals() {
    let directory = TempDir::new().unwrap();
    let ledger = open(directory.path());
    for part in 0..10 {
        let calls = (0..200)
            .map(|i| {
                let mut seen = call(&format!("{part}/{i}"));
                seen.at_ms = NOON - 86_400_000 * (10 - part) + i;
                seen
            })
            .collect();
        ledger.record(calls).await.unwrap();
    }
    let purged = ledger.purge(NOON - 86_400_000 * 5, None, false).await.unwrap();
    assert_eq!((purged.records, calls(&ledger)), (1_000, 2_000));
    assert_eq!(ledger.stats().unwrap().purge_horizon_ms, purged.horizon_ms);
    let this = ledger.clone();
    let (before, after) = tokio::task::spawn_blocking(move || this.compact())
        .await
        .unwrap()
        .unwrap();
    assert!(after <= before);
    assert_eq!(calls(&ledger), 2_000);
    assert_eq!(ledger.verify(None).unwrap().findings, Vec::<String>::new());
    ledger.record(vec![call("after")]).await.unwrap();
}
