//! Released layouts: today's program reads what each released one wrote.
//!
//! A fixture lists the rows of a ledger as text: table, key, value. When the layout changes, raise
//! `SCHEMA_VERSION`, write the migration, and let the fixture of the former version stand: its test then goes
//! through the migration. The rows of the new version are printed by `todays_rows_are_those_of_the_fixture`
//! when it fails; they become `schema_<n>.txt`.

use std::fmt::Write;
use std::path::Path;

use redb::{Database, Key, ReadableDatabase, ReadableTable, TableDefinition, Value, WriteTransaction};
use tokmon_ledger::store::conformance::same;
use tokmon_ledger::store::samples::{START_MS, amend, call, usage};
use tokmon_ledger::store::{Batch, Cut, DropReason, Dropped, MemoryStore, Position, RedbStore, Store};

const CACHE: usize = 1 << 20;
const SCHEMA_1: &str = include_str!("schema_1.txt");

/// What the ledger of the fixture was made of.
fn sample() -> Batch {
    let (first, second) = (call(3, START_MS), call(99, START_MS + 86_400_000));
    let mut better = first.clone();
    better.seen.tokens.output += 1;
    let key = first.seen.key;
    Batch {
        entries: vec![
            usage(1, first.clone()),
            usage(2, second),
            amend(3, 1, first, better),
            usage(4, call(7, START_MS - 1)),
        ],
        positions: vec![Position {
            agent: "codex".into(),
            path: "/a file".into(),
            file_id: (1, 2),
            offset: 3,
            size: 4,
            mtime_ns: 5,
            tail_hash: 6,
            state: vec![7],
            parser_version: 8,
            records: 9,
            failures: 10,
        }],
        forgotten: Vec::new(),
        dropped: vec![(
            key,
            Dropped {
                kind: "codex-rollout".into(),
                path: "/a file".into(),
                offset: 3,
                reason: DropReason::Replaced,
            },
        )],
        checkpoint: Some(vec![1, 2, 3]),
    }
}

/// Fills a store with the sample; one of its calls is purged.
fn fill(store: &dyn Store) {
    store.append(&sample()).expect("a good batch");
    assert_eq!(store.purge(&Cut::before(START_MS), 9).expect("purged"), 1);
}

/// The tables of schema 1.
fn each_table(visit: &mut impl Visit) {
    visit.table::<&str, &[u8]>("meta");
    visit.table::<u64, &[u8]>("entry.v1");
    visit.table::<&[u8; 16], ()>("entry_time.v1");
    visit.table::<&[u8; 16], u64>("dedup.v1");
    visit.table::<&[u8; 16], ()>("purged.v1");
    visit.table::<&[u8], &[u8]>("dict.v1");
    visit.table::<u64, &[u8]>("dict_rev.v1");
    visit.table::<&[u8], &[u8]>("roll_m.v1");
    visit.table::<&[u8], &[u8]>("roll_f.v1");
    visit.table::<u64, &[u8]>("session.v1");
    visit.table::<&str, &[u8]>("position.v1");
    visit.table::<&[u8; 16], &[u8]>("dropped.v1");
    visit.table::<u64, &[u8]>("chain.v1");
    visit.table::<&str, &[u8]>("state.v1");
}

trait Visit {
    fn table<K: Key + 'static, V: Value + 'static>(&mut self, name: &'static str);
}

/// Writes rows down.
struct Dump {
    db: Database,
    text: String,
}

impl Visit for Dump {
    fn table<K: Key + 'static, V: Value + 'static>(&mut self, name: &'static str) {
        let txn = self.db.begin_read().expect("a snapshot");
        let table = txn
            .open_table(TableDefinition::<K, V>::new(name))
            .expect("a table");
        for row in table.iter().expect("rows") {
            let (key, value) = row.expect("a row");
            let (key, value) = (key.value(), value.value());
            let (key, value) = (hex(K::as_bytes(&key).as_ref()), hex(V::as_bytes(&value).as_ref()));
            writeln!(self.text, "{name} {key} {value}").expect("memory");
        }
    }
}

/// Makes the rows that were written down.
struct Load<'a> {
    txn: WriteTransaction,
    text: &'a str,
}

impl Visit for Load<'_> {
    fn table<K: Key + 'static, V: Value + 'static>(&mut self, name: &'static str) {
        let mut table = self
            .txn
            .open_table(TableDefinition::<K, V>::new(name))
            .expect("a table");
        for line in self.text.lines() {
            let mut parts = line.split(' ');
            if parts.next() == Some(name) {
                let mut part = || unhex(parts.next().unwrap_or_default());
                let (key, value) = (part(), part());
                table
                    .insert(K::from_bytes(&key), V::from_bytes(&value))
                    .expect("a row");
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, b| text + &format!("{b:02x}"))
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(digits).collect()
}

fn load(path: &Path, text: &str) {
    let db = Database::create(path).expect("a database");
    let mut load = Load {
        txn: db.begin_write().expect("a transaction"),
        text,
    };
    each_table(&mut load);
    load.txn.commit().expect("committed");
}

#[test]
fn todays_rows_are_those_of_the_fixture() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    fill(&RedbStore::create(&path, CACHE).expect("a new store"));
    let mut dump = Dump {
        db: Database::open(&path).expect("a database"),
        text: String::new(),
    };
    each_table(&mut dump);
    assert!(
        dump.text == SCHEMA_1,
        "the layout has changed; the rows are now:\n{}",
        dump.text
    );
}

#[test]
fn schema_1_opens() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("ledger.redb");
    load(&path, SCHEMA_1);
    let store = RedbStore::open(&path, CACHE).expect("today's program opens it");
    let memory = MemoryStore::new();
    fill(&memory);
    same(
        &memory,
        &store,
        &[call(3, START_MS).seen.key, call(7, START_MS - 1).seen.key],
    );
    // What came later (places, request ids) goes in beside the old rows.
    let placed = call(4, START_MS + 5);
    assert!(placed.seen.place.is_some() && !placed.seen.request_id.is_empty());
    for store in [&memory as &dyn Store, &store] {
        let batch = Batch {
            entries: vec![usage(5, placed.clone())],
            ..Batch::default()
        };
        store.append(&batch).expect("a good batch");
    }
    same(&memory, &store, &[call(3, START_MS).seen.key, placed.seen.key]);
    assert_eq!(store.verify().expect("verified").findings, Vec::<String>::new());
}
