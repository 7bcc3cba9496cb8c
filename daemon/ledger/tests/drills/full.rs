//! A full disk: the append says so, nothing that was acknowledged goes, and when there is room again work
//! goes on without a restart.

use tokmon_ledger::store::samples::calls;
use tokmon_ledger::store::{Batch, RedbStore, Store, StoreError};

use crate::disk::Disk;
use crate::{Dice, rounds};

#[test]
fn nothing_acknowledged_is_lost_and_work_goes_on() {
    for round in 0..rounds(30) {
        let mut dice = Dice(round);
        let disk = Disk::default();
        let backend = disk.clone();
        let store = RedbStore::on_backend(move || Ok(backend.clone()), 1 << 20).expect("an empty store");
        store.append(&calls(0, 20)).expect("there is room");
        disk.leave_room(Some(dice.below(400_000)));
        let mut acked = 20;
        let error = loop {
            match store.append(&calls(acked, 1 + dice.below(50))) {
                Ok(()) => acked = store.last_seq().expect("the last seq"),
                Err(e) => break e,
            }
            assert!(acked < 100_000, "the disk never becomes full");
        };
        assert!(
            matches!(error, StoreError::Full(_) | StoreError::Io(_)),
            "round {round}: {error}"
        );
        disk.leave_room(None);
        let last = store.last_seq().expect("reads recover by themselves");
        match error {
            StoreError::Full(_) => assert_eq!(last, acked, "round {round}: Full means not written"),
            _ => assert!(last >= acked, "round {round}"),
        }
        assert_eq!(
            store.entries_after(0, usize::MAX).expect("entries").len() as u64,
            last
        );
        assert_eq!(
            store.verify().expect("verified").findings,
            Vec::<String>::new(),
            "round {round}"
        );
        store.append(&calls(last, 5)).expect("there is room again");
        assert_eq!(store.last_seq().expect("the last seq"), last + 5);
    }
}

#[test]
fn a_full_disk_is_named() {
    let disk = Disk::default();
    let backend = disk.clone();
    let store = RedbStore::on_backend(move || Ok(backend.clone()), 1 << 20).expect("an empty store");
    disk.leave_room(Some(0));
    for batch in [
        calls(0, 1),
        Batch {
            checkpoint: Some(vec![1]),
            ..Batch::default()
        },
    ] {
        let error = store.append(&batch).expect_err("there is no room");
        assert!(error.to_string().contains("full"), "{error}");
    }
    disk.leave_room(None);
    store.append(&calls(0, 1)).expect("there is room again");
}
