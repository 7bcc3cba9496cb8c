//! Writing a batch.

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::{ReadableTable, WriteTransaction};
use tokmon_core::entry::Body;

use super::super::{Batch, DropReason, Dropped, MAX_DROPPED_KEPT, Position, Result, names_of, record_of};
use super::calls::Calls;
use super::chain::{self, Digest};
use super::codec::{
    ChainRow, CheckpointRow, DroppedLine, DroppedRow, PositionRow, seal_message, unseal_message,
};
use super::entry::{Ids, ids_of, to_row};
use super::names::{Cache, Fresh, Interner};
use super::sums::Sums;
use super::tables::{self, key_bytes};
use super::witness::NewAliases;

/// The row of the rules' state.
pub(super) const CHECKPOINT_KEY: &str = "state";

/// Writes a batch into a transaction. What comes back is to be kept after the commit.
pub(super) fn append(txn: &WriteTransaction, cache: &Cache, batch: &Batch) -> Result<Fresh> {
    let mut interner = Interner::new(
        cache,
        txn.open_table(tables::DICT)?,
        txn.open_table(tables::DICT_REV)?,
    );
    if !batch.entries.is_empty() {
        append_entries(txn, &mut interner, batch)?;
    }
    if !batch.dropped.is_empty() {
        append_dropped(txn, &mut interner, batch)?;
    }
    if !batch.positions.is_empty() || !batch.forgotten.is_empty() {
        append_positions(txn, batch)?;
    }
    if let Some(state) = &batch.checkpoint {
        let row = CheckpointRow {
            seq: chain::last_seq(&txn.open_table(tables::CHAIN)?)?,
            state: state.clone(),
        };
        let mut value = Vec::new();
        seal_message(CHECKPOINT_KEY.as_bytes(), &row, &mut value);
        txn.open_table(tables::STATE)?
            .insert(CHECKPOINT_KEY, value.as_slice())?;
    }
    Ok(interner.finish())
}

fn append_entries(txn: &WriteTransaction, interner: &mut Interner<'_, '_>, batch: &Batch) -> Result<()> {
    let mut chain_table = txn.open_table(tables::CHAIN)?;
    let (last_seq, head) = chain::head(&chain_table)?;
    batch.check(last_seq)?;
    let mut calls = Calls::of(batch.entries.len());
    let mut sums = Sums::default();
    let mut aliases = NewAliases::default();
    let mut digest = Digest::default();
    let mut value = Vec::new();
    let mut entries = txn.open_table(tables::ENTRY)?;
    let mut end = entries.upper_bound_mut(Bound::<u64>::Unbounded)?;
    for staged in &batch.entries {
        let entry = &staged.entry;
        let record = record_of(entry);
        let ids = match record {
            Some(record) => ids_of(record, |kind, name| interner.id(kind, name))?,
            None => Ids::default(),
        };
        seal_message(&entry.seq.to_le_bytes(), &to_row(entry, &ids), &mut value);
        end.insert_before(entry.seq, value.as_slice())?;
        digest.entry(entry.seq, &value);
        let Some(record) = record else { continue };
        for name in names_of(record) {
            digest.name(name);
        }
        digest.name(&record.seen.source.kind);
        digest.name(&record.seen.source.path);
        if let Some(place) = &record.seen.place {
            digest.name(&place.text());
        }
        if let (Body::Amend { replaces, .. }, Some(previous)) = (&entry.body, &staged.previous) {
            let ids = ids_of(previous, |kind, name| interner.id(kind, name))?;
            sums.subtract(previous, &ids);
            aliases.forget(previous);
            calls.replace(key_bytes(&previous.seen.key), previous.seen.at_ms, *replaces)?;
        }
        sums.add(record, &ids);
        aliases.add(record);
        calls.add(key_bytes(&record.seen.key), record.seen.at_ms, entry.seq)?;
    }
    end.close()?;
    calls.write(txn)?;
    aliases.write(txn)?;
    sums.write(txn)?;
    let row = ChainRow {
        hash: chain::link(&head, &digest.finish()).to_vec(),
        purged: 0,
    };
    chain::put(&mut chain_table, last_seq + batch.entries.len() as u64, &row)
}

fn append_dropped(txn: &WriteTransaction, interner: &mut Interner<'_, '_>, batch: &Batch) -> Result<()> {
    let mut by_key: BTreeMap<[u8; 16], Vec<&Dropped>> = BTreeMap::new();
    for (key, line) in &batch.dropped {
        by_key.entry(key_bytes(key)).or_default().push(line);
    }
    let mut table = txn.open_table(tables::DROPPED)?;
    let mut value = Vec::new();
    for (key, lines) in by_key {
        let mut row: DroppedRow = match table.get(&key)? {
            Some(row) => unseal_message(&key, row.value(), "dropped lines")?,
            None => DroppedRow::default(),
        };
        for line in lines {
            let new = DroppedLine {
                kind: interner.id(tables::KIND_SOURCE, &line.kind)?,
                path: interner.id(tables::KIND_PATH, &line.path)?,
                offset: line.offset,
                reason: match line.reason {
                    DropReason::Copy => 0,
                    DropReason::Weaker => 1,
                    DropReason::Replaced => 2,
                },
            };
            if row
                .lines
                .iter()
                .any(|old| (old.path, old.offset) == (new.path, new.offset))
            {
                continue;
            }
            row.count = row.count.saturating_add(1);
            if row.lines.len() < MAX_DROPPED_KEPT {
                row.lines.push(new);
            }
        }
        seal_message(&key, &row, &mut value);
        table.insert(&key, value.as_slice())?;
    }
    Ok(())
}

fn append_positions(txn: &WriteTransaction, batch: &Batch) -> Result<()> {
    let mut table = txn.open_table(tables::POSITION)?;
    for path in &batch.forgotten {
        table.remove(&**path)?;
    }
    let mut value = Vec::new();
    for position in &batch.positions {
        seal_message(position.path.as_bytes(), &position_row(position), &mut value);
        table.insert(&*position.path, value.as_slice())?;
    }
    Ok(())
}

fn position_row(position: &Position) -> PositionRow {
    PositionRow {
        agent: position.agent.to_string(),
        device: position.file_id.0,
        inode: position.file_id.1,
        offset: position.offset,
        size: position.size,
        mtime_ns: position.mtime_ns,
        tail_hash: position.tail_hash,
        state: position.state.clone(),
        parser_version: position.parser_version,
        records: position.records,
        failures: position.failures,
    }
}
