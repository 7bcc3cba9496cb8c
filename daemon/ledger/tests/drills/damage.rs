//! Damaged files: flipped bits, pages of zeros and of garbage. The ledger says so, or answers rightly; a row
//! that is hidden from a read is found by the verification. It never panics and never replaces the file.

use std::path::Path;

use tokmon_core::entry::Entry;
use tokmon_core::rollup::{Agg, Dims};
use tokmon_ledger::store::samples::{START_MS, amend, batch, call, calls};
use tokmon_ledger::store::{Cut, RedbStore, Result, Store, StoreError};

use crate::{Dice, rounds};

const CACHE: usize = 1 << 20;

/// Everything that figures are made of.
#[derive(PartialEq)]
struct Truth {
    entries: Vec<Entry>,
    records: Vec<Entry>,
    coarse: Vec<(u32, Dims, Agg)>,
    full: Vec<(u32, Dims, Agg)>,
}

fn read(store: &RedbStore) -> Result<Truth> {
    let (mut coarse, mut full) = (Vec::new(), Vec::new());
    store.rollup_coarse(0..u32::MAX, &mut |b, d, a| coarse.push((b, *d, a.clone())))?;
    store.rollup_full(0..u32::MAX, &mut |b, d, a| full.push((b, *d, a.clone())))?;
    Ok(Truth {
        entries: store.entries_after(0, usize::MAX)?,
        records: store.records(0..i64::MAX, None, usize::MAX)?,
        coarse,
        full,
    })
}

impl Truth {
    /// Nothing in it is wrong; something may be missing.
    fn is_part_of(&self, whole: &Truth) -> bool {
        self.entries.iter().all(|e| whole.entries.contains(e))
            && self.records.iter().all(|e| whole.records.contains(e))
            && self.coarse.iter().all(|row| whole.coarse.contains(row))
            && self.full.iter().all(|row| whole.full.contains(row))
    }
}

/// Damages a copy of the file.
fn damage(bytes: &mut [u8], dice: &mut Dice) {
    let at = dice.below(bytes.len() as u64) as usize;
    let page = at / 4096 * 4096;
    match dice.below(3) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at / 512 * 512..][..512].fill(0),
        _ => bytes[page..page + 4096].fill_with(|| dice.below(256) as u8),
    }
}

fn make(path: &Path) -> Truth {
    let store = RedbStore::create(path, CACHE).expect("a new store");
    for last in [0, 100, 200] {
        store.append(&calls(last, 100)).expect("appended");
    }
    read(&store).expect("nothing is damaged yet")
}

#[test]
fn damage_is_named_and_figures_are_never_wrong() {
    let dir = tempfile::tempdir().expect("a directory");
    let (whole, broken) = (dir.path().join("whole.redb"), dir.path().join("broken.redb"));
    let truth = make(&whole);
    let good = std::fs::read(&whole).expect("the file");
    let mut named = 0;
    for round in 0..rounds(150) {
        let mut bytes = good.clone();
        damage(&mut bytes, &mut Dice(round));
        std::fs::write(&broken, &bytes).expect("written");
        let store = match RedbStore::open(&broken, CACHE) {
            Ok(store) => store,
            Err(e) => {
                assert!(matches!(e, StoreError::Damaged(_)), "round {round}: {e}");
                assert!(broken.exists(), "round {round}: the file is gone");
                named += 1;
                continue;
            }
        };
        let found = read(&store);
        let complete = match &found {
            Ok(found) => {
                assert!(found.is_part_of(&truth), "round {round}: wrong figures");
                *found == truth
            }
            Err(e) => {
                assert!(matches!(e, StoreError::Damaged(_)), "round {round}: {e}");
                false
            }
        };
        if !complete {
            let verified = store.verify();
            let noticed = verified.as_ref().map_or(true, |v| !v.findings.is_empty());
            assert!(noticed, "round {round}: rows are missing and nobody says so");
            named += 1;
        }
    }
    assert!(named > 0, "no damage hit anything: the drill proves nothing");
}

#[test]
fn what_can_be_read_is_salvaged() {
    let dir = tempfile::tempdir().expect("a directory");
    let (whole, broken) = (dir.path().join("whole.redb"), dir.path().join("broken.redb"));
    let truth = make(&whole);
    let good = std::fs::read(&whole).expect("the file");
    let (mut kept, mut tried) = (0, 0);
    for round in 0..rounds(40) {
        let mut bytes = good.clone();
        damage(&mut bytes, &mut Dice(round));
        std::fs::write(&broken, &bytes).expect("written");
        let rescued = dir.path().join(format!("rescued-{round}.redb"));
        let salvaged = match RedbStore::salvage(&broken, &rescued) {
            Ok(salvaged) => salvaged,
            Err(e) => {
                assert!(matches!(e, StoreError::Damaged(_)), "round {round}: {e}");
                assert!(!rescued.exists());
                continue;
            }
        };
        assert!(
            std::fs::read(&broken).expect("kept") == bytes,
            "round {round}: the damaged file was written"
        );
        let store = RedbStore::open(&rescued, CACHE).expect("it opens");
        let entries = store.entries_after(0, usize::MAX).expect("entries");
        assert!(
            entries.iter().all(|e| truth.entries.contains(e)),
            "round {round}: other entries"
        );
        assert_eq!(entries.len() as u64, salvaged.entries, "round {round}");
        assert_eq!(
            store.verify().expect("verified").findings,
            Vec::<String>::new(),
            "round {round}"
        );
        store
            .append(&calls(store.last_seq().expect("the last seq"), 0))
            .expect("appended");
        kept += salvaged.entries;
        tried += 1;
    }
    assert!(
        tried > 0 && kept >= tried * 270,
        "{kept} entries of {tried} files with 300 each"
    );
}

#[test]
fn a_whole_ledger_is_salvaged_wholly() {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to) = (dir.path().join("from.redb"), dir.path().join("to.redb"));
    let store = RedbStore::create(&from, CACHE).expect("a new store");
    store.append(&calls(0, 500)).expect("appended");
    let at_ms = START_MS + 500 * 60_000;
    let mut better = call(500, at_ms);
    better.seen.tokens.output += 9;
    let entries = vec![amend(501, 500, call(500, at_ms), better)];
    store.append(&batch(entries)).expect("appended");
    store
        .purge(&Cut::before(START_MS + 200 * 60_000 + 7), usize::MAX)
        .expect("purged");
    let truth = read(&store).expect("whole");
    drop(store);
    let salvaged = RedbStore::salvage(&from, &to).expect("salvaged");
    assert_eq!((salvaged.entries, salvaged.missing), (301, 200));
    let store = RedbStore::open(&to, CACHE).expect("it opens");
    assert!(read(&store).expect("whole") == truth, "other figures");
    assert_eq!(store.verify().expect("verified").findings, Vec::<String>::new());
    assert!(matches!(
        RedbStore::salvage(&from, &to),
        Err(StoreError::Conflict(_))
    ));
}

#[test]
fn files_that_are_no_ledger_are_refused_and_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    let good = dir.path().join("good.redb");
    make(&good);
    let head = std::fs::read(&good).expect("the file")[..2048].to_vec();
    for bytes in [
        Vec::new(),
        b"not a database".to_vec(),
        vec![0; 8192],
        vec![0xa5; 1 << 20],
        head,
    ] {
        std::fs::write(&path, &bytes).expect("written");
        for _ in 0..2 {
            let error = RedbStore::open_or_create(&path, CACHE).err().expect("refused");
            assert!(
                matches!(error, StoreError::Damaged(_)),
                "{} bytes: {error}",
                bytes.len()
            );
        }
        assert_eq!(std::fs::read(&path).expect("kept"), bytes);
    }
}

#[test]
fn somebody_elses_database_is_refused_and_kept() {
    const TABLE: redb::TableDefinition<'static, u64, u64> = redb::TableDefinition::new("numbers");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    let db = redb::Database::create(&path).expect("a database");
    let txn = db.begin_write().expect("a transaction");
    txn.open_table(TABLE)
        .expect("a table")
        .insert(1, 2)
        .expect("a row");
    txn.commit().expect("committed");
    drop(db);
    let before = std::fs::read(&path).expect("the file");
    let error = RedbStore::open_or_create(&path, CACHE).err().expect("refused");
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    assert!(std::fs::read(&path).expect("kept") == before);
}
