//! Copying a ledger while it is in use: row by row from a snapshot into a new file.
//!
//! A copy of the file itself would be torn by the commits that go on meanwhile.

use std::ops::Bound;
use std::path::Path;

use redb::{
    Builder, Database, Key, ReadTransaction, ReadableTable, TableDefinition, Value, WriteTransaction,
};

use super::super::{Result, StoreError};
use super::lifecycle::{Unfinished, occupied};
use super::read::Reader;
use super::tables;

/// Memory for the pages of the copy: rows come in order, so the tree's right edge is all that is needed.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Writes the snapshot into a new file at `to`; returns its size and the last seq in it.
pub(super) fn backup(from: &Reader<'_>, to: &Path) -> Result<(u64, u64)> {
    if to.symlink_metadata().is_ok() {
        return Err(StoreError::Conflict(format!("{} exists already", to.display())));
    }
    let unfinished = Unfinished::begin(to)?;
    let db = Builder::new()
        .set_cache_size(CACHE_BYTES)
        .create_file(unfinished.file()?)?;
    copy_all(&from.txn, &db)?;
    drop(db);
    unfinished.publish(to)?;
    Ok((occupied(to), from.last_seq()?))
}

fn copy_all(from: &ReadTransaction, db: &Database) -> Result<()> {
    let txn = db.begin_write()?;
    let to = &txn;
    copy(from, to, tables::META)?;
    copy(from, to, tables::ENTRY)?;
    copy(from, to, tables::TIME)?;
    copy(from, to, tables::KEY)?;
    copy(from, to, tables::PURGED)?;
    copy(from, to, tables::ALIAS)?;
    copy(from, to, tables::DICT)?;
    copy(from, to, tables::DICT_REV)?;
    copy(from, to, tables::ROLL_COARSE)?;
    copy(from, to, tables::ROLL_FULL)?;
    copy(from, to, tables::SESSION)?;
    copy(from, to, tables::POSITION)?;
    copy(from, to, tables::DROPPED)?;
    copy(from, to, tables::CHAIN)?;
    copy(from, to, tables::STATE)?;
    txn.commit()?;
    Ok(())
}

fn copy<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    table: TableDefinition<'static, K, V>,
) -> Result<()> {
    let mut target = to.open_table(table)?;
    let mut end = target.upper_bound_mut(Bound::<K::SelfType<'_>>::Unbounded)?;
    for row in from.open_table(table)?.iter()? {
        let (key, value) = row?;
        end.insert_before(key.value(), value.value())?;
    }
    end.close()?;
    Ok(())
}
