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
use super::entry::{digested, from_row, ids_in, read_row, record_in};
use super::handle::guarded;
use super::inspect::open_unchanged;
use super::lifecycle::{self, Unfinished};
use super::names::{Cache, read_name};
use super::read::{Reader, SessionSum, SnapshotNames, read_sum};
use super::sums::Sums;
use super::tables::{self, key_bytes, name_bytes, time_bytes, unpair};
use super::witness::NewAliases;

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
        // When the version itself is what is damaged, rows of another layout are simply not found.
        if let Err(newer @ StoreError::Newer { .. }) = guarded(|| lifecycle::schema_of(&old)) {
            return Err(newer);
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

/// Rows by number: key and value.
type Rows = Vec<(u64, Vec<u8>)>;

fn entry_rows(old: &Reader<'_>, range: std::ops::RangeInclusive<u64>) -> Result<Rows> {
    let mut rows = Rows::new();
    for row in old.txn.open_table(tables::ENTRY)?.range(range)?.take(CHUNK) {
        let (key, value) = row?;
        rows.push((key.value(), value.value().to_vec()));
    }
    Ok(rows)
}

/// Walks a table whose keys are numbers. Where a range cannot be read, smaller ones are tried behind it.
fn each_number(
    read: impl Fn(std::ops::RangeInclusive<u64>) -> Result<Rows>,
    mut visit: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<()> {
    let (mut from, mut barren, mut careful) = (0_u64, 0, false);
    while barren < PATIENCE {
        let end = if careful {
            from.saturating_add(STEP - 1)
        } else {
            u64::MAX
        };
        let rows = match read(from..=end) {
            Ok(rows) => rows,
            Err(_) if !careful => {
                careful = true;
                continue;
            }
            Err(_) => (from..=end)
                .filter_map(|key| read(key..=key).ok())
                .flatten()
                .collect(),
        };
        for (key, value) in &rows {
            visit(*key, value)?;
        }
        let next = match rows.last() {
            _ if careful => end.checked_add(1),
            Some((key, _)) => key.checked_add(1),
            None => None,
        };
        barren = if rows.is_empty() { barren + 1 } else { 0 };
        // Behind the damage whole stretches can be read again.
        careful = careful && rows.is_empty();
        match next {
            Some(next) => from = next,
            None => break,
        }
    }
    Ok(())
}

/// An entry that can be read with all its names.
fn readable(seq: u64, value: &[u8], names: &SnapshotNames<'_>) -> Option<Kept> {
    let row = read_row(seq, value).ok()?;
    let mut kept = Kept {
        key: None,
        at_ms: 0,
        replaces: None,
    };
    if let Some((record, replaces)) = record_in(&row) {
        kept.key = Some(record.key());
        kept.at_ms = record.at_ms;
        kept.replaces = replaces;
    }
    from_row(seq, row, |kind, id| names.name(kind, id)).ok()?;
    Some(kept)
}

fn copy_names(old: &Reader<'_>, txn: &WriteTransaction) -> Result<()> {
    let mut dict = txn.open_table(tables::DICT)?;
    let mut rev = txn.open_table(tables::DICT_REV)?;
    let mut id_row = Vec::new();
    for kind in 0..tables::KINDS as u64 {
        let base = kind << 32;
        let read = |range: std::ops::RangeInclusive<u64>| {
            guarded(|| {
                let mut rows = Rows::new();
                let end = range.end().saturating_add(base).min(base | u64::from(u32::MAX));
                for row in old
                    .txn
                    .open_table(tables::DICT_REV)?
                    .range(base + range.start()..=end)?
                    .take(CHUNK)
                {
                    let (key, value) = row?;
                    rows.push((key.value() - base, value.value().to_vec()));
                }
                Ok(rows)
            })
        };
        each_number(read, |id, value| {
            let key = base + id;
            if let Ok(name) = read_name(key, value) {
                let forth = name_bytes(unpair(key).0 as u8, name);
                seal(&forth, &mut id_row, |out| {
                    out.extend_from_slice(&unpair(key).1.to_le_bytes())
                });
                dict.insert(forth.as_slice(), id_row.as_slice())?;
                rev.insert(key, value)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Finds the present record of each call and writes the two indexes; yields the entries that hold one. An
/// amendment whose forerunner is lost becomes a record of its own.
fn index(txn: &WriteTransaction, kept: &mut BTreeMap<u64, Kept>) -> Result<Vec<u64>> {
    let mut entries = txn.open_table(tables::ENTRY)?;
    let mut keys = txn.open_table(tables::KEY)?;
    let mut times = txn.open_table(tables::TIME)?;
    let (mut taken, mut history): (HashSet<Key>, HashSet<u64>) = Default::default();
    let (mut present, mut doubled, mut orphans) = (Vec::new(), Vec::new(), Vec::new());
    for (&seq, found) in kept.iter().rev() {
        let Some(key) = found.key else { continue };
        if !history.contains(&seq) {
            // The link between two records of a call may be what is lost: the later one counts.
            if same_call(key).any(|key| taken.contains(&key)) {
                doubled.push(seq);
                continue;
            }
            taken.insert(key);
            keys.insert(&key_bytes(&key), seq)?;
            times.insert(&time_bytes(found.at_ms, seq), ())?;
            present.push(seq);
        }
        match found.replaces {
            Some(older) if older < seq && kept.get(&older).is_some_and(|k| k.key.is_some()) => {
                history.insert(older);
            }
            Some(_) => orphans.push(seq),
            None => {}
        }
    }
    for seq in doubled {
        entries.remove(seq)?;
        kept.remove(&seq);
    }
    let mut value = Vec::new();
    for seq in orphans {
        let row = entries
            .get(seq)?
            .map(|row| read_row(seq, row.value()))
            .transpose()?;
        if let Some(EntryRow {
            recorded_ms,
            body: Some(BodyRow::Amend(amend)),
            by,
        }) = row
        {
            let body = amend.record.map(BodyRow::Usage);
            let row = EntryRow {
                recorded_ms,
                body,
                by,
            };
            seal_message(&seq.to_le_bytes(), &row, &mut value);
            entries.insert(seq, value.as_slice())?;
        }
    }
    present.reverse();
    Ok(present)
}

/// Sums of the time before the horizon, whose records are gone.
fn old_sums(old: &Reader<'_>, txn: &WriteTransaction, horizon_ms: i64) -> Result<()> {
    let before = |bucket| bucket_start_ms(bucket) < horizon_ms;
    let mut from = 0_u32;
    while before(from) {
        // One day at a time; a day that cannot be read as a whole is read bucket by bucket.
        let end = from.saturating_add(96);
        let mut sums = Sums::default();
        let read = |range: std::ops::Range<u32>| {
            guarded(|| {
                let (start, end) = (range.start.to_be_bytes(), range.end.to_be_bytes());
                let mut rows = Vec::new();
                for row in old
                    .txn
                    .open_table(tables::ROLL_FULL)?
                    .range::<&[u8]>(start.as_slice()..end.as_slice())?
                {
                    let (key, value) = row?;
                    let mut agg = Agg::default();
                    if let Ok((bucket, dims)) = read_sum(key.value(), value.value(), &mut agg) {
                        rows.push((bucket, dims, agg));
                    }
                }
                Ok(rows)
            })
        };
        let rows = read(from..end).unwrap_or_else(|_| {
            (from..end)
                .filter_map(|b| read(b..b + 1).ok())
                .flatten()
                .collect()
        });
        for (bucket, dims, agg) in &rows {
            if before(*bucket) {
                sums.add_row(*bucket, dims, agg);
            }
        }
        if !rows.is_empty() {
            sums.write(txn)?;
        }
        let next = guarded(|| {
            let table = old.txn.open_table(tables::ROLL_FULL)?;
            let row = table.range::<&[u8]>(end.to_be_bytes().as_slice()..)?.next();
            row.map(|row| Ok(tables::roll_of(row?.0.value())?.0)).transpose()
        });
        from = match next {
            Ok(None) => break,
            Ok(Some(bucket)) => bucket.max(end),
            Err(_) => end,
        };
        if from == u32::MAX {
            break;
        }
    }
    Ok(())
}

/// Counts the present records.
fn count(txn: &WriteTransaction, names: &SnapshotNames<'_>, present: &[u64], horizon_ms: i64) -> Result<()> {
    let entries = txn.open_table(tables::ENTRY)?;
    for chunk in present.chunks(CHUNK) {
        let (mut sums, mut aliases) = (Sums::default(), NewAliases::default());
        for &seq in chunk {
            let Some(row) = entries.get(seq)? else { continue };
            let row = read_row(seq, row.value())?;
            let Some(ids) = record_in(&row).map(|(record, _)| ids_in(record)).transpose()? else {
                continue;
            };
            let entry = from_row(seq, row, |kind, id| names.name(kind, id))?;
            let Some(record) = record_of(&entry) else { continue };
            aliases.add(record);
            if bucket_start_ms(bucket_of(record.seen.at_ms)) < horizon_ms {
                sums.add_to_session(record, &ids);
            } else {
                sums.add(record, &ids);
            }
        }
        sums.write(txn)?;
        aliases.write(txn)?;
    }
    Ok(())
}

/// Sessions that began before the horizon know more than the records that are left.
fn old_sessions(old: &Reader<'_>, txn: &WriteTransaction, horizon_ms: i64) -> Result<()> {
    let mut table = txn.open_table(tables::SESSION)?;
    let read = |range| {
        guarded(|| {
            let mut rows = Rows::new();
            for row in old
                .txn
                .open_table(tables::SESSION)?
                .range::<u64>(range)?
                .take(CHUNK)
            {
                let (key, value) = row?;
                rows.push((key.value(), value.value().to_vec()));
            }
            Ok(rows)
        })
    };
    each_number(read, |key, value| {
        if SessionSum::read(key, value).is_ok_and(|row| row.agg.first_ms < horizon_ms) {
            table.insert(key, value)?;
        }
        Ok(())
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
            for (kind, id) in digested(&ids_in(record)?) {
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
