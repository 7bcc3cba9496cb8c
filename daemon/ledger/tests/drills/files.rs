//! Files: one process at a time, made wholly or not at all, copied while in use, refused when newer.

use std::path::Path;

use redb::{Database, ReadableTable, TableDefinition};
use tokmon_ledger::store::conformance::same;
use tokmon_ledger::store::samples::{START_MS, calls};
use tokmon_ledger::store::{Cut, RedbStore, SCHEMA_VERSION, Store, StoreError};

use crate::key_of;

const CACHE: usize = 1 << 20;

#[test]
fn a_second_opener_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    let first = RedbStore::open_or_create(&path, CACHE).expect("a new store");
    first.append(&calls(0, 3)).expect("appended");
    for _ in 0..2 {
        let second = RedbStore::open_or_create(&path, CACHE);
        assert!(matches!(second, Err(StoreError::InUse)));
    }
    first.append(&calls(3, 3)).expect("the first one goes on");
    drop(first);
    let again = RedbStore::open_or_create(&path, CACHE).expect("free again");
    assert_eq!(again.last_seq().expect("the last seq"), 6);
}

#[test]
fn at_rest_the_file_is_opened_anew_and_nobody_who_reads_is_disturbed() {
    const TURNS: u64 = 20;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    let store = RedbStore::open_or_create(&path, CACHE).expect("a new store");
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while store.last_seq().expect("the last seq") < TURNS * 50 {
                let last = store.entries_after(0, 10).expect("entries");
                assert!(last.len() <= 10);
            }
        });
        for turn in 0..TURNS {
            store.append(&calls(turn * 50, 50)).expect("appended");
            store.rest().expect("opened anew, or in use");
        }
    });
    assert_eq!(store.verify().expect("verified").findings, Vec::<String>::new());
    assert_eq!(store.stats().expect("stats").entries, TURNS * 50);
}

#[test]
fn creation_leaves_a_whole_ledger_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    std::fs::write(dir.path().join("ledger.redb.4711.new"), "cut off").expect("written");
    std::fs::write(dir.path().join("ledger.redb.notes.new"), "somebody's").expect("written");
    drop(RedbStore::open_or_create(&path, CACHE).expect("a new store"));
    let mut names: Vec<_> = std::fs::read_dir(dir.path())
        .expect("the directory")
        .map(|f| f.expect("a file").file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["ledger.redb", "ledger.redb.notes.new"]);
    assert!(matches!(
        RedbStore::create(&path, CACHE),
        Err(StoreError::Conflict(_))
    ));
    let missing = RedbStore::open(&dir.path().join("missing.redb"), CACHE);
    assert!(missing.is_err() && !dir.path().join("missing.redb").exists());
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    drop(RedbStore::create(&path, CACHE).expect("a new store"));
    let mode = path.metadata().expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_newer_ledger_keeps_every_byte() {
    const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    drop(RedbStore::create(&path, CACHE).expect("a new store"));
    let version = (SCHEMA_VERSION + 1).to_le_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c(b"schema"), &version);
    let mut value = vec![1];
    value.extend_from_slice(&crc.to_le_bytes());
    value.extend_from_slice(&version);
    let db = Database::open(&path).expect("a database");
    let txn = db.begin_write().expect("a transaction");
    txn.open_table(META)
        .expect("a table")
        .insert("schema", value.as_slice())
        .expect("a row");
    txn.commit().expect("committed");
    drop(db);
    let before = std::fs::read(&path).expect("the file");
    for _ in 0..2 {
        let error = RedbStore::open_or_create(&path, CACHE).err().expect("refused");
        assert!(
            matches!(error, StoreError::Newer { found, known } if (found, known) == (SCHEMA_VERSION + 1, SCHEMA_VERSION))
        );
    }
    assert!(std::fs::read(&path).expect("kept") == before);
}

#[test]
fn a_backup_is_a_whole_ledger() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, copy) = (dir.path().join("ledger.redb"), dir.path().join("copy.redb"));
    let store = RedbStore::create(&path, CACHE).expect("a new store");
    store.append(&calls(0, 500)).expect("appended");
    store
        .purge(&Cut::before(START_MS + 3_600_000), usize::MAX)
        .expect("purged");
    let (bytes, last) = store.backup(&copy).expect("a copy");
    assert_eq!((bytes > 0, last), (true, 500));
    assert!(
        matches!(store.backup(&copy), Err(StoreError::Conflict(_))),
        "it replaces nothing"
    );
    let keys: Vec<_> = calls(0, 500)
        .entries
        .iter()
        .filter_map(|s| key_of(&s.entry))
        .collect();
    same(
        &store,
        &RedbStore::open(&copy, CACHE).expect("the copy opens"),
        &keys,
    );
}

#[test]
fn backups_and_reads_go_on_while_entries_come() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = RedbStore::create(&dir.path().join("ledger.redb"), CACHE).expect("a new store");
    store.append(&calls(0, 50)).expect("appended");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for batch in 0..40 {
                store.append(&calls(50 + batch * 5, 5)).expect("appended");
            }
        });
        for n in 0..4 {
            let copy = dir.path().join(format!("copy-{n}.redb"));
            let (_, last) = store.backup(&copy).expect("a copy");
            let copy = RedbStore::open(&copy, CACHE).expect("the copy opens");
            assert_eq!(copy.last_seq().expect("the last seq"), last);
            assert_eq!(copy.verify().expect("verified").findings, Vec::<String>::new());
        }
        writer.join().expect("the writer is well");
    });
    assert_eq!(store.last_seq().expect("the last seq"), 250);
}

#[test]
fn compaction_changes_no_answer() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = RedbStore::create(&dir.path().join("ledger.redb"), CACHE).expect("a new store");
    store.append(&calls(0, 2_000)).expect("appended");
    store
        .purge(&Cut::before(START_MS + 1_900 * 60_000), usize::MAX)
        .expect("purged");
    let entries = store.entries_after(0, usize::MAX).expect("entries");
    let (before, after) = store.compact().expect("compacted");
    assert!(after <= before, "{before} → {after}");
    assert_eq!(store.entries_after(0, usize::MAX).expect("entries"), entries);
    store.append(&calls(2_000, 10)).expect("appended");
    assert_eq!(store.verify().expect("verified").findings, Vec::<String>::new());
}

/// Changes one stored value below the store's back, with a checksum that fits.
fn tamper(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    const ENTRY: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("entry.v1");
    let db = Database::open(path).expect("a database");
    let txn = db.begin_write().expect("a transaction");
    {
        let mut table = txn.open_table(ENTRY).expect("a table");
        let mut value = table.get(7).expect("read").expect("entry 7").value().to_vec();
        change(&mut value);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&7_u64.to_le_bytes()), &value[5..]);
        value[1..5].copy_from_slice(&crc.to_le_bytes());
        table.insert(7, value.as_slice()).expect("written");
    }
    txn.commit().expect("committed");
}

#[test]
fn tampering_shows() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    let store = RedbStore::create(&path, CACHE).expect("a new store");
    store.append(&calls(0, 20)).expect("appended");
    let head = store.verify().expect("verified").chain_head;
    drop(store);
    // The last byte belongs to a figure at the end of the record.
    tamper(&path, |value| *value.last_mut().expect("bytes") ^= 1);
    let store = RedbStore::open(&path, CACHE).expect("it opens");
    let verified = store.verify().expect("verified");
    assert!(
        verified
            .findings
            .iter()
            .any(|f| f.contains("not what was recorded")),
        "{:?}",
        verified.findings
    );
    assert_eq!(verified.chain_head, head);
}

#[test]
fn a_file_is_verified_without_being_touched() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, copy) = (dir.path().join("ledger.redb"), dir.path().join("copy.redb"));
    let store = RedbStore::create(&path, CACHE).expect("a new store");
    store.append(&calls(0, 300)).expect("appended");
    assert!(matches!(
        RedbStore::verify_file(&path, CACHE),
        Err(StoreError::InUse)
    ));
    store.backup(&copy).expect("a copy");
    let good = std::fs::read(&copy).expect("the copy");
    let verified = RedbStore::verify_file(&copy, CACHE).expect("verified");
    assert_eq!((verified.entries_checked, verified.findings.len()), (300, 0));
    assert_eq!(verified.chain_head, store.verify().expect("verified").chain_head);
    // Every page that is in use is covered by the trees' checksums.
    let mut found = 0;
    for page in 1..good.len() / 4096 {
        let mut bytes = good.clone();
        bytes[page * 4096 + 77] ^= 4;
        std::fs::write(&copy, &bytes).expect("written");
        found += match RedbStore::verify_file(&copy, CACHE) {
            Ok(verified) => usize::from(!verified.findings.is_empty()),
            Err(e) => usize::from(matches!(e, StoreError::Damaged(_))),
        };
        assert!(
            std::fs::read(&copy).expect("the copy") == bytes,
            "page {page} was written"
        );
    }
    assert!(found > 10, "{found} damages were found");
}
