//! What can still be read of a damaged ledger, in a new file.
//!
//! The damaged file is only read. Entries whose checksum fits are taken over with their positions, and the sums
//! are counted anew from them. Of the time before the purge horizon only sums exist; they are taken over as far
//! as they can be read. Read positions are left behind: sources are read again from their beginning, and as
//! calls are known by their content, exactly what was lost comes back.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use redb::{Builder, Database, ReadableTable, WriteTransaction};
use tokmon_core::id::Key;
use tokmon_core::rollup::{Agg, bucket_of, bucket_start_ms};

use super::super::{Result, StoreError, record_of, same_call};
use super::RedbStore;
use super::chain::{self, Digest};
use super::codec::{BodyRow, ChainRow, EntryRow, seal, seal_message};
use super::entry::{from_row, ids_in, read_row, record_in};
use super::handle::guarded;
use super::inspect::open_unchanged;
use super::lifecycle::{self, Unfinished};
use super::names::{Cache, read_name};
use super::read::{Reader, SessionSum, SnapshotNames, read_sum};
use super::sums::Sums;
use super::tables::{self, key_bytes, name_bytes, time_bytes, unpair};

/// Keys that are tried at once where rows cannot be read in a row.
const STEP: u64 = 16;
/// Steps without a row after which the rest of a table is given up.
const PATIENCE: u32 = 4_096;
/// Entries per row of the new chain, and calls per round of summing.
const CHUNK: usize = 2_000;
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// What a salvage brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Entries that were taken over.
    pub entries: u64,
    /// Entries up to the last one that are missing in the new file: purged before, or lost.
    pub missing: u64,
}

/// What is known about a kept entry until it is written.
struct Kept {
    key: Option<Key>,
    at_ms: i64,
    replaces: Option<u64>,
}

impl RedbStore {
    /// Takes what can be read of the ledger at `from` over into a new one at `to`.
    ///
    /// # Errors
    /// `Damaged` when not even the file's head can be read, `Conflict` when `to` exists, `InUse`, `Newer`,
    /// `Full`, `Io`.
    pub fn salvage(from: &Path, to: &Path) -> Result<Salvaged> {
        if to.symlink_metadata().is_ok() {
            return Err(StoreError::Conflict(format!("{} exists already", to.display())));
        }
        let old = open_unchanged(from, CACHE_BYTES)?;
        match guarded(|| lifecycle::schema_of(&old)) {
            Err(newer @ StoreError::Newer { .. }) => return Err(newer),
            // The version itself may be what is damaged; rows of another layout would not be found.
            Ok(_) | Err(_) => {}
        }
        let unfinished = Unfinished::begin(to)?;
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        let new = builder.create_file(unfinished.file()?)?;
        lifecycle::initialise(&new)?;
        let cache = Cache::default();
        let reader = guarded(|| Reader::begin(&old, &cache))?;
        let salvaged = fill(&reader, &new)?;
        drop(new);
        unfinished.publish(to)?;
        Ok(salvaged)
    }
}

fn fill(old: &Reader<'_>, new: &Database) -> Result<Salvaged> {
    let txn = new.begin_write()?;
    copy_names(old, &txn)?;
    txn.commit()?;
    let cache = Cache::default();
    let (mut kept, names) = (BTreeMap::new(), Reader::begin(new, &cache)?);
    let names = names.names()?;
    let txn = new.begin_write()?;
    {
        let mut entries = txn.open_table(tables::ENTRY)?;
        each_number(
            |range| guarded(|| entry_rows(old, range)),
            |seq, value| {
                if let Some(found) = readable(seq, value, &names) {
                    entries.insert(seq, value)?;
                    kept.insert(seq, found);
                }
                Ok(())
            },
        )?;
    }
    let present = index(&txn, &mut kept)?;
    let horizon_ms = guarded(|| old.horizon_ms()).unwrap_or(0);
    // Without a horizon the oldest call that is left is where the records begin.
    let horizon_ms = match horizon_ms {
        0 => present.iter().map(|seq| kept[seq].at_ms).min().unwrap_or(0),
        known => known,
    };
    lifecycle::put_horizon(&txn, horizon_ms)?;
    old_sums(old, &txn, horizon_ms)?;
    count(&txn, &names, &present, horizon_ms)?;
    old_sessions(old, &txn, horizon_ms)?;
    bar_counted_calls(old, &txn, &kept, horizon_ms)?;
    chain_up(&txn, &names)?;
    txn.commit()?;
    let last = kept.keys().next_back().copied().unwrap_or(0);
    let entries = kept.len() as u64;
    Ok(Salvaged {
        entries,
        missing: last - entries,
    })
}

/// Calls that must not count again although they are not there: those that were purged, and those lost ones
/// whose share is in the sums that were taken over.
fn bar_counted_calls(
    old: &Reader<'_>,
    txn: &WriteTransaction,
    kept: &BTreeMap<u64, Kept>,
    horizon_ms: i64,
) -> Result<()> {
    let mut barred = txn.open_table(tables::PURGED)?;
    let mut purged: Vec<[u8; 16]> = Vec::new();
    let mut keys: HashMap<u64, [u8; 16]> = HashMap::new();
    let mut counted: Vec<u64> = Vec::new();
    // What comes before a damaged page is read; the rest is not known any more.
    let read = [
        guarded(|| {
            for row in old.txn.open_table(tables::PURGED)?.iter()? {
                purged.push(*row?.0.value());
            }
            Ok(())
        }),
        guarded(|| {
            for row in old.txn.open_table(tables::KEY)?.iter()? {
                let (key, seq) = row?;
                if !kept.contains_key(&seq.value()) {
                    keys.insert(seq.value(), *key.value());
                }
            }
            Ok(())
        }),
        guarded(|| {
            for row in old.txn.open_table(tables::TIME)?.iter()? {
                let (at_ms, seq) = tables::time_of(row?.0.value());
                if !kept.contains_key(&seq) && bucket_start_ms(bucket_of(at_ms)) < horizon_ms {
                    counted.push(seq);
                }
            }
            Ok(())
        }),
    ];
    for result in read {
        if let Err(e) = result {
            tracing::warn!(error = %e, "some calls may count twice when they are read again");
        }
    }
    let known = txn.open_table(tables::KEY)?;
    for key in purged
        .iter()
        .chain(counted.iter().filter_map(|seq| keys.get(seq)))
    {
        if known.get(key)?.is_none() {
            barred.insert(key, ())?;
        }
    }
    Ok(())
}

/// A new chain over what is there; what is missing counts as purged.
fn chain_up(txn: &WriteTransaction, names: &SnapshotNames<'_>) -> Result<()> {
    let entries = txn.open_table(tables::ENTRY)?;
    let mut table = txn.open_table(tables::CHAIN)?;
    let (mut digest, mut head, mut before, mut there) = (Digest::default(), [0; 32], 0, 0);
    let last = entries.last()?.map(|(seq, _)| seq.value());
    for row in entries.iter()? {
        let (seq, value) = row?;
        let (seq, value) = (seq.value(), value.value());
        digest.entry(seq, value);
        if let Some((record, _)) = record_in(&read_row(seq, value)?) {
            for (kind, id) in (0..).zip(ids_in(record)?) {
                digest.name(&names.name(kind, id)?);
            }
        }
        there += 1;
        if there == CHUNK as u64 || Some(seq) == last {
            head = chain::link(&head, &digest.finish());
            let row = ChainRow {
                hash: head.to_vec(),
                purged: seq - before - there,
            };
            chain::put(&mut table, seq, &row)?;
            digest.clear();
            (before, there) = (seq, 0);
        }
    }
    Ok(())
}
