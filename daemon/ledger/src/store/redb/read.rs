//! Reads from one snapshot.

use std::ops::Range;

use redb::{ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};
use tokmon_core::Name;
use tokmon_core::entry::Entry;
use tokmon_core::id::Key;
use tokmon_core::rollup::{Agg, Dimension, Dims, bucket_start_ms};

use super::super::{
    Cut, DropReason, Dropped, Known, MAX_DROPPED_KEPT, Position, Result, SCHEMA_VERSION, SessionRow, Stats,
    StoreError, in_order, record_of, same_call,
};
use super::append::CHECKPOINT_KEY;
use super::codec::{CheckpointRow, DroppedRow, PositionRow, SessionRowBytes, unseal, unseal_message};
use super::names::{Cache, Names, read_name};
use super::tables::{
    KIND_PATH, KIND_PLACE, KIND_SOURCE, key_bytes, pair, roll_of, time_bytes, time_of, unpair,
};
use super::witness::Aliases;
use super::{chain, coarse, entry, lifecycle, sum, tables};

/// Names as a snapshot knows them.
pub(super) type SnapshotNames<'a> =
    Names<'a, ReadOnlyTable<&'static [u8], &'static [u8]>, ReadOnlyTable<u64, &'static [u8]>>;

/// A snapshot: later batches do not show in it.
pub(super) struct Reader<'a> {
    pub(super) txn: ReadTransaction,
    cache: &'a Cache,
}

impl<'a> Reader<'a> {
    /// Takes a snapshot.
    pub(super) fn begin(db: &impl ReadableDatabase, cache: &'a Cache) -> Result<Reader<'a>> {
        Ok(Reader {
            txn: db.begin_read()?,
            cache,
        })
    }

    /// The dictionary.
    pub(super) fn names(&self) -> Result<SnapshotNames<'a>> {
        Ok(Names {
            cache: self.cache,
            dict: self.txn.open_table(tables::DICT)?,
            rev: self.txn.open_table(tables::DICT_REV)?,
        })
    }

    fn aliases(&self) -> Result<Aliases> {
        Aliases::open(self.txn.open_table(tables::ALIAS)?)
    }

    pub(super) fn last_seq(&self) -> Result<u64> {
        chain::last_seq(&self.txn.open_table(tables::CHAIN)?)
    }

    pub(super) fn known(&self, keys: &[Key]) -> Result<Vec<Option<Known>>> {
        let table = self.txn.open_table(tables::KEY)?;
        let entries = self.txn.open_table(tables::ENTRY)?;
        let names = self.names()?;
        // In the order of the tree each page is met once.
        let mut order: Vec<usize> = (0..keys.len()).collect();
        order.sort_unstable_by_key(|&at| in_order(&keys[at]));
        let mut found = vec![None; keys.len()];
        let aliases = self.aliases()?;
        for day in order.chunk_by(|&a, &b| keys[a].day == keys[b].day) {
            let (first, last) = (keys[day[0]], keys[day[day.len() - 1]]);
            let near = same_call(first).map(|key| key.day);
            // Most keys are new, and many lie beside each other: one look tells that there is nothing among them.
            let mut days = Vec::with_capacity(3);
            for near in near {
                if day.len() == 1 || has_between(&table, near, &first, &last)? {
                    days.push(near);
                }
            }
            for &at in day {
                for &day in &days {
                    let key = Key {
                        day,
                        hash: keys[at].hash,
                    };
                    if let Some(seq) = table.get(&key_bytes(&key))? {
                        found[at] = Some(held(&entries, &names, seq.value(), key, "the key of a call")?);
                        break;
                    }
                }
                if found[at].is_none()
                    && let Some(key) = aliases.target(keys[at])?
                    && let Some(seq) = table.get(&key_bytes(&key))?
                {
                    let what = "the other key of a call";
                    found[at] = Some(held(&entries, &names, seq.value(), key, what)?);
                }
            }
        }
        Ok(found)
    }

    pub(super) fn entries_after(&self, after: u64, max: usize) -> Result<Vec<Entry>> {
        let entries = self.txn.open_table(tables::ENTRY)?;
        let names = self.names()?;
        let mut found = Vec::new();
        let Some(from) = after.checked_add(1) else {
            return Ok(found);
        };
        for row in entries.range(from..)?.take(max) {
            let (seq, value) = row?;
            found.push(read_entry(&names, seq.value(), value.value())?);
        }
        Ok(found)
    }

    pub(super) fn acts(&self, seqs: Range<u64>, visit: &mut dyn FnMut(Entry) -> bool) -> Result<()> {
        if seqs.is_empty() {
            return Ok(());
        }
        let entries = self.txn.open_table(tables::ENTRY)?;
        let names = self.names()?;
        for row in entries.range(seqs)?.rev() {
            let (seq, value) = row?;
            // Nearly all are calls; those are passed by without being read.
            if entry::is_call(seq.value(), value.value())? {
                continue;
            }
            if !visit(read_entry(&names, seq.value(), value.value())?) {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn entry(&self, seq: u64) -> Result<Option<Entry>> {
        let entries = self.txn.open_table(tables::ENTRY)?;
        let Some(row) = entries.get(seq)? else {
            return Ok(None);
        };
        read_entry(&self.names()?, seq, row.value()).map(Some)
    }

    pub(super) fn records(
        &self,
        range_ms: Range<i64>,
        before: Option<(i64, u64)>,
        max: usize,
    ) -> Result<Vec<Entry>> {
        let end = before.unwrap_or((i64::MAX, u64::MAX)).min((range_ms.end, 0));
        let mut found = Vec::new();
        if (range_ms.start, 0) >= end {
            return Ok(found);
        }
        let times = self.txn.open_table(tables::TIME)?;
        let entries = self.txn.open_table(tables::ENTRY)?;
        let names = self.names()?;
        let (start, end) = (time_bytes(range_ms.start, 0), time_bytes(end.0, end.1));
        for row in times.range::<&[u8; 16]>(&start..&end)?.rev().take(max) {
            let (at_ms, seq) = time_of(row?.0.value());
            let entry = kept_entry(&entries, &names, seq)?;
            if record_of(&entry).is_none_or(|record| record.seen.at_ms != at_ms) {
                return Err(leads_astray("the time of a call", seq));
            }
            found.push(entry);
        }
        Ok(found)
    }

    pub(super) fn dropped(&self, key: Key) -> Result<(Vec<Dropped>, u64)> {
        let table = self.txn.open_table(tables::DROPPED)?;
        let names = self.names()?;
        let (mut lines, mut count) = (Vec::new(), 0_u64);
        for key in same_call(key) {
            let key = key_bytes(&key);
            let Some(row) = table.get(&key)? else { continue };
            let row: DroppedRow = unseal_message(&key, row.value(), "dropped lines")?;
            count = count.saturating_add(row.count);
            for line in row.lines {
                lines.push(Dropped {
                    kind: names.name(KIND_SOURCE, line.kind)?,
                    path: names.name(KIND_PATH, line.path)?,
                    offset: line.offset,
                    reason: match line.reason {
                        0 => DropReason::Copy,
                        1 => DropReason::Weaker,
                        2 => DropReason::Replaced,
                        _ => {
                            return Err(StoreError::Damaged(
                                "a reason that this program does not know".to_owned(),
                            ));
                        }
                    },
                });
            }
        }
        lines.truncate(MAX_DROPPED_KEPT);
        Ok((lines, count))
    }

    pub(super) fn rollup_coarse(
        &self,
        buckets: Range<u32>,
        visit: &mut dyn FnMut(u32, &Dims, &Agg),
    ) -> Result<()> {
        coarse::scan(&self.txn.open_table(tables::ROLL_COARSE)?, buckets, visit)
    }

    pub(super) fn rollup_full(
        &self,
        buckets: Range<u32>,
        visit: &mut dyn FnMut(u32, &Dims, &Agg),
    ) -> Result<()> {
        if buckets.is_empty() {
            return Ok(());
        }
        let table = self.txn.open_table(tables::ROLL_FULL)?;
        let (start, end) = (buckets.start.to_be_bytes(), buckets.end.to_be_bytes());
        let mut agg = Agg::default();
        for row in table.range::<&[u8]>(start.as_slice()..end.as_slice())? {
            let (key, value) = row?;
            let (bucket, dims) = read_sum(key.value(), value.value(), &mut agg)?;
            visit(bucket, &dims, &agg);
        }
        Ok(())
    }

    pub(super) fn places(&self) -> Result<Vec<(u32, Name)>> {
        let kind = u32::from(KIND_PLACE);
        let rev = self.txn.open_table(tables::DICT_REV)?;
        let mut places = Vec::new();
        for row in rev.range(pair(kind, 0)..=pair(kind, u32::MAX))? {
            let (key, value) = row?;
            let key = key.value();
            places.push((unpair(key).1, read_name(key, value.value())?.into()));
        }
        Ok(places)
    }

    pub(super) fn session(&self, agent: &str, session: &str) -> Result<Option<SessionRow>> {
        let table = self.txn.open_table(tables::SESSION)?;
        find_session(&table, &self.names()?, agent, session)
    }

    pub(super) fn sessions_of(&self, who: &[(Name, Name)]) -> Result<Vec<Option<SessionRow>>> {
        let table = self.txn.open_table(tables::SESSION)?;
        let names = self.names()?;
        who.iter()
            .map(|(agent, session)| find_session(&table, &names, agent, session))
            .collect()
    }

    pub(super) fn sessions(&self, from_ms: i64, visit: &mut dyn FnMut(SessionRow)) -> Result<()> {
        let names = self.names()?;
        for row in self.txn.open_table(tables::SESSION)?.iter()? {
            let (key, value) = row?;
            let row = SessionSum::read(key.value(), value.value())?;
            if row.agg.last_ms >= from_ms {
                visit(row.named(&names)?);
            }
        }
        Ok(())
    }

    pub(super) fn positions(&self) -> Result<Vec<Position>> {
        let mut found = Vec::new();
        for row in self.txn.open_table(tables::POSITION)?.iter()? {
            let (path, value) = row?;
            let path = path.value();
            let row: PositionRow = unseal_message(path.as_bytes(), value.value(), "a read position")?;
            found.push(Position {
                agent: row.agent.into(),
                path: path.into(),
                file_id: (row.device, row.inode),
                offset: row.offset,
                size: row.size,
                mtime_ns: row.mtime_ns,
                tail_hash: row.tail_hash,
                state: row.state,
                parser_version: row.parser_version,
                records: row.records,
                failures: row.failures,
            });
        }
        Ok(found)
    }

    pub(super) fn checkpoint(&self) -> Result<Option<(u64, Vec<u8>)>> {
        let table = self.txn.open_table(tables::STATE)?;
        let Some(row) = table.get(CHECKPOINT_KEY)? else {
            return Ok(None);
        };
        let row: CheckpointRow = unseal_message(CHECKPOINT_KEY.as_bytes(), row.value(), "the checkpoint")?;
        Ok(Some((row.seq, row.state)))
    }

    pub(super) fn stats(&self) -> Result<Stats> {
        let times = self.txn.open_table(tables::TIME)?;
        let at = |row: Option<(redb::AccessGuard<'_, &'static [u8; 16]>, _)>| {
            row.map_or(0, |(time, _): (_, redb::AccessGuard<'_, ()>)| {
                time_of(time.value()).0
            })
        };
        Ok(Stats {
            schema_version: SCHEMA_VERSION,
            entries: self.txn.open_table(tables::ENTRY)?.len()?,
            last_seq: self.last_seq()?,
            file_bytes: 0,
            oldest_ms: at(times.first()?),
            newest_ms: at(times.last()?),
            purge_horizon_ms: self.horizon_ms()?,
        })
    }

    /// Before this instant calls were purged.
    pub(super) fn horizon_ms(&self) -> Result<i64> {
        lifecycle::read_horizon(&self.txn.open_table(tables::META)?)
    }

    pub(super) fn count_before(&self, cut: &Cut) -> Result<u64> {
        let times = self.txn.open_table(tables::TIME)?;
        let end = time_bytes(cut.horizon_ms, 0);
        let mut count = 0;
        for row in times.range::<&[u8; 16]>(..&end)? {
            count += u64::from(time_of(row?.0.value()).1 < cut.before_seq);
        }
        Ok(count)
    }

    pub(super) fn purged(&self, keys: &[Key]) -> Result<Vec<bool>> {
        let table = self.txn.open_table(tables::PURGED)?;
        let aliases = self.aliases()?;
        let mut gone = Vec::with_capacity(keys.len());
        for key in keys {
            let mut found = false;
            let other = aliases.target(*key)?;
            for key in same_call(*key).chain(other) {
                found = found || table.get(&key_bytes(&key))?.is_some();
            }
            gone.push(found);
        }
        Ok(gone)
    }

    /// Entries are accepted in the order of time, so the place is found by halving.
    pub(super) fn first_recorded_since(&self, recorded_ms: i64) -> Result<u64> {
        let entries = self.txn.open_table(tables::ENTRY)?;
        let names = self.names()?;
        let (mut low, mut high) = (1, self.last_seq()? + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match entries.range(middle..high)?.next() {
                None => high = middle,
                Some(row) => {
                    let (seq, value) = row?;
                    let entry = read_entry(&names, seq.value(), value.value())?;
                    if entry.recorded_at_ms >= recorded_ms {
                        high = middle;
                    } else {
                        low = seq.value() + 1;
                    }
                }
            }
        }
        Ok(low)
    }
}

/// Whether any call of a day is known between two hashes.
fn has_between(
    table: &ReadOnlyTable<&'static [u8; 16], u64>,
    day: u32,
    first: &Key,
    last: &Key,
) -> Result<bool> {
    let bound = |key: &Key| key_bytes(&Key { day, hash: key.hash });
    let mut between = table.range::<&[u8; 16]>(&bound(first)..=&bound(last))?;
    Ok(between.next().transpose()?.is_some())
}

/// The present record of a call, which the index says is this entry.
fn held(
    entries: &ReadOnlyTable<u64, &'static [u8]>,
    names: &SnapshotNames<'_>,
    seq: u64,
    key: Key,
    what: &str,
) -> Result<Known> {
    let entry = kept_entry(entries, names, seq)?;
    let record = record_of(&entry).filter(|record| record.seen.key == key);
    let record = record.ok_or_else(|| leads_astray(what, seq))?.clone();
    Ok(Known { seq, record })
}

/// See [`Store::session`](super::super::Store::session).
fn find_session(
    table: &ReadOnlyTable<u64, &'static [u8]>,
    names: &SnapshotNames<'_>,
    agent: &str,
    session: &str,
) -> Result<Option<SessionRow>> {
    let Some(session) = names.find_id(Dimension::Session as u8, session)? else {
        return Ok(None);
    };
    let range = if agent.is_empty() {
        pair(session, 0)..=pair(session, u32::MAX)
    } else {
        match names.find_id(Dimension::Agent as u8, agent)? {
            Some(agent) => pair(session, agent)..=pair(session, agent),
            None => return Ok(None),
        }
    };
    let mut best: Option<SessionRow> = None;
    for row in table.range(range)? {
        let (key, value) = row?;
        let row = SessionSum::read(key.value(), value.value())?.named(names)?;
        let better = best
            .as_ref()
            .is_none_or(|best| (row.agg.last_ms, &best.agent) > (best.agg.last_ms, &row.agent));
        if better {
            best = Some(row);
        }
    }
    Ok(best)
}

/// A session's row before its names are looked up.
pub(super) struct SessionSum {
    pub(super) key: u64,
    pub(super) project: u32,
    pub(super) user: u32,
    pub(super) agg: Agg,
}

impl SessionSum {
    /// Reads a row.
    pub(super) fn read(key: u64, value: &[u8]) -> Result<SessionSum> {
        let row: SessionRowBytes = unseal_message(&key.to_le_bytes(), value, "a session")?;
        Ok(SessionSum {
            key,
            project: row.project,
            user: row.user,
            agg: sum::decode(&row.sum, 0)?,
        })
    }

    fn named(self, names: &SnapshotNames<'_>) -> Result<SessionRow> {
        let (session, agent) = unpair(self.key);
        Ok(SessionRow {
            session: names.name(Dimension::Session as u8, session)?,
            agent: names.name(Dimension::Agent as u8, agent)?,
            project: names.name(Dimension::Project as u8, self.project)?,
            user: names.name(Dimension::User as u8, self.user)?,
            agg: self.agg,
        })
    }
}

/// Reads a row of the full rollup.
pub(super) fn read_sum(key: &[u8], value: &[u8], agg: &mut Agg) -> Result<(u32, Dims)> {
    let (bucket, dims) = roll_of(key)?;
    let body = unseal(key, value, "a rollup row")?;
    sum::decode_into(body, bucket_start_ms(bucket), agg)?;
    Ok((bucket, dims))
}

/// Reads an entry with its names.
pub(super) fn read_entry(names: &SnapshotNames<'_>, seq: u64, value: &[u8]) -> Result<Entry> {
    entry::from_bytes(seq, value, |kind, id| names.name(kind, id))
}

fn kept_entry(
    entries: &impl ReadableTable<u64, &'static [u8]>,
    names: &SnapshotNames<'_>,
    seq: u64,
) -> Result<Entry> {
    let row = entries.get(seq)?;
    let row = row.ok_or_else(|| StoreError::Damaged(format!("entry {seq} is missing")))?;
    read_entry(names, seq, row.value())
}

fn leads_astray(what: &str, seq: u64) -> StoreError {
    StoreError::Damaged(format!("{what} leads to entry {seq}, which is another"))
}
