//! A writer that never rests and a reader that takes no locks: whatever counts as read was of one piece.

use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;

use super::super::*;

const ROWS: i64 = 400;
const TRANSFERS: u32 = 1_500;

/// Moves amounts between rows, so that their sum stays, and rewrites long values, so that pages change their places.
fn write(writer: &mut Connection) {
    let mut random = 12_345u32;
    let mut next = |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % below
    };
    for round in 0..TRANSFERS {
        let (from, to, amount) = (next(400), next(400), next(50));
        let length = next(6_000);
        let transfer = writer.transaction().unwrap();
        transfer
            .execute(
                "UPDATE t SET n = n - ?1, long = zeroblob(?2) WHERE rowid = ?3",
                (amount, length, from + 1),
            )
            .unwrap();
        transfer
            .execute("UPDATE t SET n = n + ?1 WHERE rowid = ?2", (amount, to + 1))
            .unwrap();
        transfer.commit().unwrap();
        if round % 97 == 0 {
            let mode = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"][round as usize / 97 % 4];
            writer
                .query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
                .unwrap();
        }
    }
}

/// The number of rows and the sum of their amounts, and whether both amounts of a transfer were there.
fn look(path: &Path) -> Result<(i64, i64)> {
    let mut snapshot = Snapshot::open(path)?;
    let sum = (|| {
        let table = snapshot.table("t", &["long", "n"], &[])?;
        let (mut rows, mut sum) = (0, 0);
        snapshot.rows(&table, 0, |row| {
            rows += 1;
            sum += row.value(1)?.integer().unwrap_or(i64::MIN);
            Ok(true)
        })?;
        Ok((rows, sum))
    })();
    snapshot.verify()?;
    sum
}

#[test]
fn whatever_counts_as_read_is_of_one_piece() {
    for mode in ["WAL", "DELETE", "PERSIST"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.db");
        let mut writer = Connection::open(&path).unwrap();
        writer.pragma_update(None, "page_size", 1024).unwrap();
        writer.pragma_update(None, "auto_vacuum", "FULL").unwrap();
        writer.pragma_update(None, "journal_mode", mode).unwrap();
        writer.pragma_update(None, "synchronous", "OFF").unwrap();
        writer.pragma_update(None, "wal_autocheckpoint", 40).unwrap();
        // Small, so that pages go to the file in the middle of a transaction.
        writer.pragma_update(None, "cache_size", 8).unwrap();
        writer
            .execute_batch(&format!(
                "CREATE TABLE t(long BLOB, n INTEGER);
                 WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {ROWS})
                 INSERT INTO t SELECT zeroblob(i * 7), 1000 FROM c"
            ))
            .unwrap();
        let ended = AtomicBool::new(false);
        let (mut whole, mut busy) = (0u32, 0u32);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                write(&mut writer);
                ended.store(true, Ordering::Release);
            });
            while !ended.load(Ordering::Acquire) {
                match look(&path) {
                    Ok(seen) => {
                        assert_eq!(seen, (ROWS, ROWS * 1_000), "{mode}");
                        whole += 1;
                    }
                    Err(Trouble::Busy) => busy += 1,
                    Err(trouble) => panic!("{mode}: {trouble}"),
                }
            }
        });
        // At rest everything can be read.
        assert_eq!(
            look(&path),
            Ok((ROWS, ROWS * 1_000)),
            "{mode}: {whole} whole, {busy} not"
        );
    }
}
