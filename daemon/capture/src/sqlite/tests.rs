//! What SQLite writes is what is read; and what it is not reading with: locks, and anything else that can be noticed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::Value as Theirs;

use super::*;

mod race;

/// A row as both sides can give it.
type Plain = (i64, Vec<String>);

fn ours(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Integer(number) => format!("integer {number}"),
        Value::Real(number) => format!("real {number:?}"),
        Value::Text(text) => format!("text {text}"),
        Value::Blob(bytes) => format!("blob {bytes:?}"),
    }
}

fn theirs(value: &Theirs) -> String {
    match value {
        Theirs::Null => "null".into(),
        Theirs::Integer(number) => format!("integer {number}"),
        Theirs::Real(number) => format!("real {number:?}"),
        Theirs::Text(text) => format!("text {text}"),
        Theirs::Blob(bytes) => format!("blob {bytes:?}"),
    }
}

fn read(path: &Path, table: &str, columns: &[&str], from: i64) -> Result<Vec<Plain>> {
    let mut snapshot = Snapshot::open(path)?;
    let table = snapshot.table(table, columns, &[])?;
    let mut rows = Vec::new();
    snapshot.rows(&table, from, |row| {
        let values: Result<Vec<String>> = (0..columns.len()).map(|at| Ok(ours(&row.value(at)?))).collect();
        rows.push((row.id, values?));
        Ok(true)
    })?;
    snapshot.verify()?;
    Ok(rows)
}

fn expected(connection: &Connection, table: &str, columns: &[&str], from: i64) -> Vec<Plain> {
    let sql = format!(
        "SELECT rowid, {} FROM {table} WHERE rowid >= ?1 ORDER BY rowid",
        columns.join(", ")
    );
    let mut statement = connection.prepare(&sql).unwrap();
    let rows = statement.query_map([from], |row| {
        let values = (1..=columns.len()).map(|at| Ok(theirs(&row.get::<_, Theirs>(at)?)));
        Ok((row.get(0)?, values.collect::<rusqlite::Result<Vec<String>>>()?))
    });
    rows.unwrap().map(|row| row.unwrap()).collect()
}

/// Every file in a directory with its content and when it was written.
fn files(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            let written = entry.metadata().unwrap().modified().unwrap();
            (entry.path(), (std::fs::read(entry.path()).unwrap(), written))
        })
        .collect()
}

#[test]
fn a_writer_in_the_middle_of_a_transaction_is_neither_seen_nor_disturbed() {
    for mode in ["wal", "delete", "truncate", "persist"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.db");
        let writer = Connection::open(&path).unwrap();
        // It gives up at once when it meets a lock.
        writer.busy_timeout(std::time::Duration::ZERO).unwrap();
        writer.pragma_update(None, "journal_mode", mode).unwrap();
        writer
            .execute_batch("CREATE TABLE t(id TEXT PRIMARY KEY, n); INSERT INTO t VALUES('a', 1);")
            .unwrap();
        writer
            .execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES('b', 2);")
            .unwrap();
        let before = files(dir.path());
        let seen = read(&path, "t", &["n"], 0);
        let after = files(dir.path());
        assert_eq!(before, after, "{mode}");
        if mode == "wal" {
            assert_eq!(seen, Ok(vec![(1, vec!["integer 1".into()])]));
        }
        // In the other modes what is read while a journal lies there does not count, or nothing was written yet.
        if let Ok(seen) = seen {
            assert_eq!(seen.len(), 1, "{mode}");
        }
        // A reader with locks would make this fail.
        let mut held = Snapshot::open(&path).ok();
        writer.execute_batch("COMMIT").unwrap();
        writer.execute_batch("INSERT INTO t VALUES('c', 3);").unwrap();
        if mode == "wal" {
            let ended: i64 = writer
                .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
                .unwrap();
            assert_eq!(ended, 0, "the checkpoint was held up");
        }
        // What was opened before the change does not count any more.
        if let Some(held) = &mut held {
            assert_eq!(held.verify(), Err(Trouble::Busy), "{mode}");
        }
        assert_eq!(read(&path, "t", &["n"], 0).unwrap().len(), 3, "{mode}");
        drop(writer);
        assert_eq!(read(&path, "t", &["n"], 2).unwrap().len(), 2, "{mode}");
        let names: Vec<PathBuf> = files(dir.path()).into_keys().collect();
        let left_alone = |name: &PathBuf| *name == path || matches!(mode, "truncate" | "persist");
        assert!(names.iter().all(left_alone), "{mode}: {names:?}");
    }
}

#[test]
fn an_exclusive_lock_does_not_keep_us_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.db");
    let writer = Connection::open(&path).unwrap();
    writer
        .execute_batch(
            "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL;
             CREATE TABLE t(n); INSERT INTO t VALUES(1); BEGIN EXCLUSIVE;",
        )
        .unwrap();
    assert_eq!(read(&path, "t", &["n"], 0).unwrap().len(), 1);
    writer.execute_batch("INSERT INTO t VALUES(2); COMMIT").unwrap();
    assert_eq!(read(&path, "t", &["n"], 0).unwrap().len(), 2);
}

#[test]
fn a_write_that_was_cut_off_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.db");
    let writer = Connection::open(&path).unwrap();
    writer
        .execute_batch(
            "PRAGMA cache_size=1; CREATE TABLE t(n); BEGIN; INSERT INTO t VALUES(randomblob(100000));",
        )
        .unwrap();
    // As after a crash: the journal and half of the pages.
    let copy = dir.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(
        dir.path().join("agent.db-journal"),
        dir.path().join("copy.db-journal"),
    )
    .unwrap();
    assert_eq!(read(&copy, "t", &["n"], 0), Err(Trouble::Busy));
    // Its owner opens it again.
    let owner = Connection::open(&copy).unwrap();
    assert_eq!(expected(&owner, "t", &["n"], 0), []);
    assert_eq!(read(&copy, "t", &["n"], 0), Ok(vec![]));
}

#[test]
fn a_log_without_its_index_or_cut_anywhere_is_read_as_far_as_it_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.db");
    let writer = Connection::open(&path).unwrap();
    writer
        .execute_batch("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(n);")
        .unwrap();
    for n in 0..20 {
        writer.execute("INSERT INTO t VALUES(?1)", [n]).unwrap();
    }
    // As it is after a copy or a crash: no `-shm`, and the log may end in the middle of a write.
    let (copy, log) = (dir.path().join("copy.db"), dir.path().join("copy.db-wal"));
    std::fs::copy(&path, &copy).unwrap();
    let whole = std::fs::read(dir.path().join("agent.db-wal")).unwrap();
    let mut most = 0;
    for cut in (0..=whole.len()).rev().step_by(1_009) {
        std::fs::write(&log, &whole[..cut]).unwrap();
        match read(&copy, "t", &["n"], 0) {
            Ok(rows) => {
                assert!(most == 0 || rows.len() <= most, "{cut}");
                most = rows.len();
            }
            // The table itself was not written yet.
            Err(problem) => assert!(problem.to_string().contains("no table"), "{cut}: {problem}"),
        }
        if cut == whole.len() {
            assert_eq!(most, 20);
        }
    }
    assert!(!dir.path().join("copy.db-shm").exists());
}

#[test]
fn what_is_no_database_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.db");
    let writer = Connection::open(&path).unwrap();
    writer
        .execute_batch(
            "CREATE TABLE t(n); CREATE TABLE w(k TEXT PRIMARY KEY) WITHOUT ROWID; CREATE VIEW v AS SELECT 1;",
        )
        .unwrap();
    writer
        .execute_batch("WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < 1999) INSERT INTO t SELECT n FROM c")
        .unwrap();
    drop(writer);
    let good = std::fs::read(&path).unwrap();
    let changed = |at: usize, to: u8| {
        let mut bytes = good.clone();
        bytes[at] = to;
        bytes
    };
    let other = dir.path().join("other.db");
    for (what, bytes, table, column, wanted) in [
        ("nothing", vec![], "t", "n", "it is empty"),
        (
            "a short text",
            b"hello".to_vec(),
            "t",
            "n",
            "not an SQLite database: 5 bytes",
        ),
        (
            "a text",
            b"hello, world! ".repeat(100),
            "t",
            "n",
            "not an SQLite database, or it is encrypted",
        ),
        ("odd pages", changed(16, 3), "t", "n", "its pages have"),
        (
            "a new format",
            changed(19, 9),
            "t",
            "n",
            "a version of the format",
        ),
        ("an odd encoding", changed(59, 7), "t", "n", "unknown way (7)"),
        (
            "half of it",
            good[..8_192].to_vec(),
            "t",
            "n",
            "it is damaged: page",
        ),
        (
            "another kind of page",
            changed(4_096, 77),
            "t",
            "n",
            "it is damaged: page 2",
        ),
        (
            "no such table",
            good.clone(),
            "message",
            "n",
            "it has no table \"message\"",
        ),
        ("a view", good.clone(), "v", "n", "it has no table \"v\""),
        (
            "no such column",
            good.clone(),
            "t",
            "data",
            "table \"t\" has no column \"data\"",
        ),
        ("no row ids", good.clone(), "w", "k", "table \"w\" has no row ids"),
    ] {
        std::fs::write(&other, bytes).unwrap();
        let problem = read(&other, table, &[column], 0).unwrap_err();
        assert!(problem.to_string().contains(wanted), "{what}: {problem}");
    }
    assert!(matches!(
        read(&dir.path().join("none"), "t", &["n"], 0),
        Err(Trouble::Io(_, _))
    ));
    assert_eq!(read(dir.path(), "t", &["n"], 0), unusable("it is not a file"));
}

#[test]
fn columns_are_found_however_they_were_declared() {
    let dir = tempfile::tempdir().unwrap();
    for (at, (encoding, sql, values)) in [
        (
            "UTF-8",
            "CREATE TABLE t(\n a INTEGER PRIMARY KEY, -- id, the\n b TEXT DEFAULT 'x,y' /* , */, c)",
            "7,'b',3",
        ),
        (
            "UTF-16le",
            "CREATE TABLE \"t\"(`b` TEXT, [c] DECIMAL(10,5), \"a\"\"\" INT, a INTEGER, PRIMARY KEY(a))",
            "'é',3,4,7",
        ),
        (
            "UTF-16be",
            "CREATE TABLE IF NOT EXISTS t(a INT PRIMARY KEY, c, b, CHECK (c > 0), UNIQUE(b, c))",
            "7,3,'😀'",
        ),
        (
            "UTF-8",
            "CREATE TABLE t(A integer not null primary key autoincrement, B, C)",
            "7,x'00ff',3.5",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let path = dir.path().join(format!("{at}.db"));
        let writer = Connection::open(&path).unwrap();
        writer.pragma_update(None, "encoding", encoding).unwrap();
        writer
            .execute_batch(&format!("{sql}; INSERT INTO t VALUES({values});"))
            .unwrap();
        // Rows that were written before a column was added end before it.
        writer
            .execute_batch("ALTER TABLE t ADD COLUMN late TEXT")
            .unwrap();
        let columns = ["a", "b", "c", "late"];
        assert_eq!(
            read(&path, "t", &columns, i64::MIN).unwrap(),
            expected(&writer, "t", &columns, i64::MIN),
            "{sql}"
        );
        let mut snapshot = Snapshot::open(&path).unwrap();
        let table = snapshot.table("T", &["C"], &["missing"]).unwrap();
        snapshot
            .rows(&table, 0, |row| {
                assert_ne!(row.value(0)?, Value::Null);
                assert_eq!(row.value(1)?, Value::Null);
                Ok(true)
            })
            .unwrap();
    }
}

#[test]
fn a_key_leads_to_its_row() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.db");
    let mut writer = Connection::open(&path).unwrap();
    writer
        .execute_batch("CREATE TABLE s(x, id TEXT PRIMARY KEY); CREATE TABLE plain(id)")
        .unwrap();
    let transaction = writer.transaction().unwrap();
    for number in 0..5_000_u32 {
        let key = format!(
            "ses_{:x}{}",
            number * 7_919 % 5_000,
            "y".repeat((number % 900) as usize)
        );
        transaction
            .execute("INSERT INTO s VALUES(?1, ?2)", (number, key))
            .unwrap();
    }
    transaction.commit().unwrap();
    let mut snapshot = Snapshot::open(&path).unwrap();
    let table = snapshot.table("s", &["id"], &[]).unwrap();
    let mut keys = Vec::new();
    snapshot
        .rows(&table, 0, |row| {
            keys.push((row.value(0)?.text().unwrap().to_owned(), row.id));
            Ok(true)
        })
        .unwrap();
    for (key, id) in &keys {
        assert_eq!(snapshot.row_id_of(&table, key), Ok(Some(*id)));
    }
    assert_eq!(snapshot.row_id_of(&table, "ses_none"), Ok(None));
    let plain = snapshot.table("plain", &[], &[]).unwrap();
    assert!(
        snapshot
            .row_id_of(&plain, "x")
            .unwrap_err()
            .to_string()
            .contains("no index")
    );
}

#[derive(Debug, Clone)]
enum Step {
    Insert(i64, Theirs),
    Update(i64, Theirs),
    Delete(i64),
    Checkpoint,
}

fn any_value() -> impl Strategy<Value = Theirs> {
    prop_oneof![
        Just(Theirs::Null),
        any::<i64>().prop_map(Theirs::Integer),
        (-300i64..300).prop_map(Theirs::Integer),
        any::<f32>()
            .prop_filter("SQLite keeps no NaN", |n| !n.is_nan())
            .prop_map(|n| Theirs::Real(f64::from(n) + 0.1)),
        ".{0,20}"
            .prop_filter("no zero bytes", |t| !t.contains('\0'))
            .prop_map(Theirs::Text),
        (0usize..9_000, any::<u8>()).prop_map(|(length, byte)| Theirs::Blob(vec![byte; length])),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    let id = || prop_oneof![-5i64..60, any::<i64>()];
    prop_oneof![
        6 => (id(), any_value()).prop_map(|(id, value)| Step::Insert(id, value)),
        2 => (id(), any_value()).prop_map(|(id, value)| Step::Update(id, value)),
        2 => id().prop_map(Step::Delete),
        1 => Just(Step::Checkpoint),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_written_is_read(
        steps in prop::collection::vec(any_step(), 1..120),
        page_size in prop::sample::select(vec![512, 1024, 4096, 65536]),
        wal: bool,
        vacuum in prop::sample::select(vec!["NONE", "FULL"]),
        from in prop_oneof![Just(i64::MIN), -5i64..60],
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.db");
        let writer = Connection::open(&path).unwrap();
        writer.pragma_update(None, "page_size", page_size).unwrap();
        writer.pragma_update(None, "auto_vacuum", vacuum).unwrap();
        writer.pragma_update(None, "journal_mode", if wal { "WAL" } else { "DELETE" }).unwrap();
        writer.pragma_update(None, "synchronous", "OFF").unwrap();
        writer.execute_batch("CREATE TABLE t(a, id INTEGER PRIMARY KEY, b TEXT, c)").unwrap();
        for step in steps {
            match step {
                Step::Insert(id, value) => {
                    writer.execute("INSERT OR REPLACE INTO t VALUES(?1, ?2, 'b', ?2)", (value, id)).unwrap();
                }
                Step::Update(id, value) => {
                    writer.execute("UPDATE t SET a = ?1 WHERE id >= ?2", (value, id)).unwrap();
                }
                Step::Delete(id) => {
                    writer.execute("DELETE FROM t WHERE id BETWEEN ?1 AND ?2", (id, id.saturating_add(9))).unwrap();
                }
                Step::Checkpoint => {
                    writer.query_row("PRAGMA wal_checkpoint", [], |_| Ok(())).unwrap();
                }
            }
        }
        let columns = ["c", "a", "id"];
        prop_assert_eq!(read(&path, "t", &columns, from).unwrap(), expected(&writer, "t", &columns, from));
    }

    #[test]
    fn no_bytes_make_us_stumble(
        changes in prop::collection::vec((0usize..40_000, any::<u8>()), 1..60),
        cut in prop_oneof![Just(usize::MAX), 0usize..40_000],
        wal: bool,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.db");
        let writer = Connection::open(&path).unwrap();
        writer.pragma_update(None, "page_size", 512).unwrap();
        writer.pragma_update(None, "journal_mode", if wal { "WAL" } else { "DELETE" }).unwrap();
        writer.execute_batch("PRAGMA synchronous = OFF; CREATE TABLE t(a TEXT PRIMARY KEY, c)").unwrap();
        for number in 0..60 {
            let long = "x".repeat(number * 20);
            writer.execute("INSERT INTO t VALUES(?1, ?2)", (format!("{number}{long}"), long)).unwrap();
        }
        let broken = dir.path().join("broken.db");
        for ending in ["", "-wal"] {
            let from = dir.path().join(format!("agent.db{ending}"));
            if let Ok(mut bytes) = std::fs::read(from) {
                bytes.truncate(cut);
                for (at, to) in &changes {
                    // The magic stays, or every case would be the same one.
                    if *at >= 16 && *at < bytes.len() {
                        bytes[*at] = *to;
                    }
                }
                std::fs::write(dir.path().join(format!("broken.db{ending}")), bytes).unwrap();
            }
        }
        // Whatever comes out, it ends and does not panic.
        if let Ok(mut snapshot) = Snapshot::open(&broken)
            && let Ok(table) = snapshot.table("t", &["a", "c"], &[])
        {
            drop(snapshot.rows(&table, i64::MIN, |row| Ok(row.value(0).is_ok() || row.value(1).is_err())));
            drop(snapshot.row_id_of(&table, "5"));
        }
    }
}
