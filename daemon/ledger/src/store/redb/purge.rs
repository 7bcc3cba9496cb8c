//! Removing old records. Their totals stay: rollups, sessions and the chain's digests are not touched.

use std::collections::BTreeMap;

use redb::{ReadableTable, WriteTransaction};

use super::super::{Cut, Result, StoreError, same_call};
use super::chain;
use super::entry::{read_row, record_in};
use super::lifecycle::{put_horizon, read_horizon};
use super::tables::{self, key_bytes, time_bytes, time_of};

/// Removes the oldest calls that the cut covers, at most `max`.
pub(super) fn purge(txn: &WriteTransaction, cut: &Cut, max: usize) -> Result<u64> {
    let former = read_horizon(&txn.open_table(tables::META)?)?;
    if cut.horizon_ms > former {
        put_horizon(txn, cut.horizon_ms)?;
    }
    let mut times = txn.open_table(tables::TIME)?;
    let mut gone: Vec<[u8; 16]> = Vec::new();
    for row in times.range::<&[u8; 16]>(..&time_bytes(cut.horizon_ms, 0))? {
        let time = *row?.0.value();
        if time_of(&time).1 < cut.before_seq {
            gone.push(time);
        }
        if gone.len() >= max {
            break;
        }
    }
    let mut entries = txn.open_table(tables::ENTRY)?;
    let mut keys = txn.open_table(tables::KEY)?;
    let mut purged = txn.open_table(tables::PURGED)?;
    let mut dropped = txn.open_table(tables::DROPPED)?;
    let mut removed: Vec<u64> = Vec::new();
    for time in &gone {
        times.remove(time)?;
        let present = time_of(time).1;
        // The present record, then those that it replaced, back to the first.
        let mut next = Some(present);
        while let Some(seq) = next {
            let row = entries.remove(seq)?;
            let row = row.ok_or_else(|| StoreError::Damaged(format!("entry {seq} is missing")))?;
            let row = read_row(seq, row.value())?;
            let (record, replaces) = record_in(&row).ok_or_else(|| {
                StoreError::Damaged(format!("entry {seq} holds no call, but an index says so"))
            })?;
            if seq == present {
                keys.remove(&key_bytes(&record.key()))?;
                purged.insert(&key_bytes(&record.key()), ())?;
                for key in same_call(record.key()) {
                    dropped.remove(&key_bytes(&key))?;
                }
            }
            // Older than its successor, or a damaged file would send us round for ever.
            next = replaces.filter(|&older| older < seq);
            removed.push(seq);
        }
    }
    count_in_chain(txn, &removed)?;
    Ok(gone.len() as u64)
}

/// Notes in the chain how many entries of each batch are gone on purpose.
fn count_in_chain(txn: &WriteTransaction, removed: &[u64]) -> Result<()> {
    let mut table = txn.open_table(tables::CHAIN)?;
    let mut batches: BTreeMap<u64, u64> = BTreeMap::new();
    for &seq in removed {
        let batch = table.range(seq..)?.next();
        let (last, _) =
            batch.ok_or_else(|| StoreError::Damaged(format!("the chain ends before entry {seq}")))??;
        *batches.entry(last.value()).or_default() += 1;
    }
    for (last, count) in batches {
        let mut row = match table.get(last)? {
            Some(row) => chain::read(last, row.value())?,
            None => continue,
        };
        row.purged = row.purged.saturating_add(count);
        chain::put(&mut table, last, &row)?;
    }
    Ok(())
}
