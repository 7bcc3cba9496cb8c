//! A store in memory: the plain reading of the contract, for tests and as the reference that every other
//! store is compared with. Nothing survives the process.

mod verify;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokmon_core::Name;
use tokmon_core::entry::{Body, Entry, Record};
use tokmon_core::id::Key;
use tokmon_core::rollup::{Agg, Dimension, Dims, bucket_of};

use super::{
    Batch, Cut, Dropped, Known, MAX_DROPPED_KEPT, Position, Result, SessionRow, Staged, Stats, Store,
    StoreError, Verification, names_of, record_of, same_call,
};

/// See the module.
#[derive(Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    entries: BTreeMap<u64, Entry>,
    by_key: BTreeMap<Key, u64>,
    by_time: BTreeSet<(i64, u64)>,
    dropped: BTreeMap<Key, (Vec<Dropped>, u64)>,
    names: [Vec<Name>; 8],
    ids: HashMap<(Dimension, Name), u32>,
    coarse: BTreeMap<(u32, Dims), Agg>,
    full: BTreeMap<(u32, Dims), Agg>,
    sessions: BTreeMap<(Name, Name), SessionRow>,
    positions: BTreeMap<Name, Position>,
    checkpoint: Option<(u64, Vec<u8>)>,
    horizon_ms: i64,
    purged: BTreeSet<Key>,
    /// Keys of accounts of a call that has another one.
    aliases: HashMap<Key, Key>,
    last_seq: u64,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Checks what cannot be undone afterwards: the order of the entries and what they claim to be known.
    fn check(&self, batch: &Batch) -> Result<()> {
        batch.check(self.last_seq)?;
        let mut changed: HashMap<Key, Option<u64>> = HashMap::new();
        for staged in &batch.entries {
            let Some(record) = record_of(&staged.entry) else {
                continue;
            };
            if let (Body::Amend { replaces, .. }, Some(previous)) = (&staged.entry.body, &staged.previous) {
                let key = previous.seen.key;
                let found = changed
                    .get(&key)
                    .copied()
                    .unwrap_or_else(|| self.by_key.get(&key).copied());
                if found != Some(*replaces) {
                    return Err(StoreError::Conflict(format!(
                        "entry {} amends entry {replaces}, which does not hold the call",
                        staged.entry.seq
                    )));
                }
                changed.insert(key, None);
            }
            let key = record.seen.key;
            let found = changed
                .get(&key)
                .copied()
                .unwrap_or_else(|| self.by_key.get(&key).copied());
            if let Some(seq) = found {
                return Err(StoreError::Conflict(format!(
                    "the call of entry {} is known as entry {seq}",
                    staged.entry.seq
                )));
            }
            changed.insert(key, Some(staged.entry.seq));
        }
        Ok(())
    }

    fn id_of(&mut self, dimension: Dimension, name: &Name) -> u32 {
        if name.is_empty() {
            return 0;
        }
        if let Some(&id) = self.ids.get(&(dimension, name.clone())) {
            return id;
        }
        let names = &mut self.names[dimension as usize];
        names.push(name.clone());
        let id = u32::try_from(names.len()).unwrap_or(u32::MAX);
        self.ids.insert((dimension, name.clone()), id);
        id
    }

    fn dims(&mut self, record: &Record) -> Dims {
        let place: Name = (record.seen.place.as_ref()).map_or_else(|| "".into(), |p| p.text().into());
        let mut dims = Dims::default();
        for (dimension, name) in Dimension::ALL
            .into_iter()
            .zip(names_of(record).into_iter().chain([&place]))
        {
            dims[dimension as usize] = self.id_of(dimension, name);
        }
        dims
    }

    /// Moves a record's share into (`plus`) or out of the rollups and its session.
    fn count(&mut self, record: &Record, plus: bool) {
        let agg = Agg::of(record);
        let bucket = bucket_of(record.seen.at_ms);
        let dims = self.dims(record);
        let mut few = Dims::default();
        for dimension in [Dimension::Agent, Dimension::Provider, Dimension::Model] {
            few[dimension as usize] = dims[dimension as usize];
        }
        let who = &record.seen.who;
        let row = self
            .sessions
            .entry((who.session.clone(), who.agent.clone()))
            .or_insert_with(|| SessionRow {
                session: who.session.clone(),
                agent: who.agent.clone(),
                project: who.project.clone(),
                user: who.user.clone(),
                agg: Agg::empty(),
            });
        if plus && record.seen.at_ms >= row.agg.last_ms {
            row.project = who.project.clone();
            row.user = who.user.clone();
        }
        let coarse = self.coarse.entry((bucket, few)).or_insert_with(Agg::empty);
        let full = self.full.entry((bucket, dims)).or_insert_with(Agg::empty);
        for sum in [&mut row.agg, coarse, full] {
            if plus {
                sum.add(&agg);
            } else {
                sum.sub(&agg);
            }
        }
    }

    fn accept(&mut self, staged: &Staged) {
        let entry = &staged.entry;
        if let Some(record) = record_of(entry) {
            if let (Body::Amend { replaces, .. }, Some(previous)) = (&entry.body, &staged.previous) {
                self.by_key.remove(&previous.seen.key);
                self.by_time.remove(&(previous.seen.at_ms, *replaces));
            }
            for previous in staged.previous.iter().flat_map(|previous| &previous.heard) {
                self.aliases.remove(&previous.seen.key);
            }
            for account in record
                .heard
                .iter()
                .filter(|a| a.seen.key.hash != record.seen.key.hash)
            {
                self.aliases.insert(account.seen.key, record.seen.key);
            }
            self.by_key.insert(record.seen.key, entry.seq);
            self.by_time.insert((record.seen.at_ms, entry.seq));
            self.count(record, true);
            if let Some(previous) = &staged.previous {
                self.count(previous, false);
            }
        }
        self.last_seq = entry.seq;
        self.entries.insert(entry.seq, entry.clone());
    }

    fn drop_line(&mut self, key: Key, line: &Dropped) {
        let (lines, count) = self.dropped.entry(key).or_default();
        if lines
            .iter()
            .any(|l| l.path == line.path && l.offset == line.offset)
        {
            return;
        }
        *count += 1;
        if lines.len() < MAX_DROPPED_KEPT {
            lines.push(line.clone());
        }
    }

    /// The key of the call that an account with this key tells of.
    fn target(&self, key: Key) -> Option<Key> {
        same_call(key).find_map(|key| self.aliases.get(&key).copied())
    }

    fn known(&self, key: Key) -> Result<Option<Known>> {
        for key in same_call(key).chain(self.target(key)) {
            if let Some(&seq) = self.by_key.get(&key) {
                let entry = self.entries.get(&seq);
                let record = entry.and_then(record_of).ok_or_else(|| missing(seq))?;
                return Ok(Some(Known {
                    seq,
                    record: record.clone(),
                }));
            }
        }
        Ok(None)
    }

    fn remove_call(&mut self, at_ms: i64, seq: u64) -> Result<()> {
        self.by_time.remove(&(at_ms, seq));
        let present = seq;
        let mut next = Some(seq);
        while let Some(seq) = next {
            let entry = self.entries.remove(&seq).ok_or_else(|| missing(seq))?;
            if let Some(record) = record_of(&entry).filter(|_| seq == present) {
                self.by_key.remove(&record.seen.key);
                self.purged.insert(record.seen.key);
                for key in same_call(record.seen.key) {
                    self.dropped.remove(&key);
                }
            }
            next = match entry.body {
                Body::Amend { replaces, .. } => Some(replaces),
                _ => None,
            };
        }
        Ok(())
    }
}

fn missing(seq: u64) -> StoreError {
    StoreError::Damaged(format!("entry {seq} is missing"))
}

impl Store for MemoryStore {
    fn append(&self, batch: &Batch) -> Result<()> {
        let inner = &mut *self.lock();
        inner.check(batch)?;
        for staged in &batch.entries {
            inner.accept(staged);
        }
        inner.coarse.retain(|_, agg| !agg.is_empty());
        inner.full.retain(|_, agg| !agg.is_empty());
        inner.sessions.retain(|_, row| !row.agg.is_empty());
        for (key, line) in &batch.dropped {
            inner.drop_line(*key, line);
        }
        for path in &batch.forgotten {
            inner.positions.remove(path);
        }
        for position in &batch.positions {
            inner.positions.insert(position.path.clone(), position.clone());
        }
        if let Some(checkpoint) = &batch.checkpoint {
            inner.checkpoint = Some((inner.last_seq, checkpoint.clone()));
        }
        Ok(())
    }

    fn last_seq(&self) -> Result<u64> {
        Ok(self.lock().last_seq)
    }

    fn known(&self, keys: &[Key]) -> Result<Vec<Option<Known>>> {
        let inner = self.lock();
        keys.iter().map(|key| inner.known(*key)).collect()
    }

    fn entries_after(&self, after: u64, max: usize) -> Result<Vec<Entry>> {
        let inner = self.lock();
        let from = after.saturating_add(1);
        Ok(inner
            .entries
            .range(from..)
            .take(max)
            .map(|(_, e)| e.clone())
            .collect())
    }

    fn acts(&self, seqs: Range<u64>, visit: &mut dyn FnMut(Entry) -> bool) -> Result<()> {
        if seqs.is_empty() {
            return Ok(());
        }
        let inner = self.lock();
        let acts = inner.entries.range(seqs).rev().map(|(_, entry)| entry);
        for entry in acts.filter(|entry| record_of(entry).is_none()) {
            if !visit(entry.clone()) {
                break;
            }
        }
        Ok(())
    }

    fn entry(&self, seq: u64) -> Result<Option<Entry>> {
        Ok(self.lock().entries.get(&seq).cloned())
    }

    fn records(&self, range_ms: Range<i64>, before: Option<(i64, u64)>, max: usize) -> Result<Vec<Entry>> {
        let inner = self.lock();
        let end = before.unwrap_or((i64::MAX, u64::MAX)).min((range_ms.end, 0));
        let start = (range_ms.start, 0);
        if start >= end {
            return Ok(Vec::new());
        }
        let found = inner.by_time.range(start..end).rev().take(max);
        found
            .map(|(_, seq)| inner.entries.get(seq).cloned().ok_or_else(|| missing(*seq)))
            .collect()
    }

    fn dropped(&self, key: Key) -> Result<(Vec<Dropped>, u64)> {
        let inner = self.lock();
        let (mut lines, mut count) = (Vec::new(), 0);
        for key in same_call(key) {
            if let Some((more, n)) = inner.dropped.get(&key) {
                lines.extend(more.iter().cloned());
                count += n;
            }
        }
        lines.truncate(MAX_DROPPED_KEPT);
        Ok((lines, count))
    }

    fn rollup_coarse(&self, buckets: Range<u32>, visit: &mut dyn FnMut(u32, &Dims, &Agg)) -> Result<()> {
        visit_rows(&self.lock().coarse, buckets, visit);
        Ok(())
    }

    fn rollup_full(&self, buckets: Range<u32>, visit: &mut dyn FnMut(u32, &Dims, &Agg)) -> Result<()> {
        visit_rows(&self.lock().full, buckets, visit);
        Ok(())
    }

    fn name(&self, dimension: Dimension, id: u32) -> Result<Option<Name>> {
        let Some(at) = id.checked_sub(1) else {
            return Ok(Some("".into()));
        };
        Ok(self.lock().names[dimension as usize].get(at as usize).cloned())
    }

    fn id(&self, dimension: Dimension, name: &str) -> Result<Option<u32>> {
        if name.is_empty() {
            return Ok(Some(0));
        }
        Ok(self.lock().ids.get(&(dimension, name.into())).copied())
    }

    fn places(&self) -> Result<Vec<(u32, Name)>> {
        let inner = self.lock();
        Ok((1..)
            .zip(inner.names[Dimension::Place as usize].iter().cloned())
            .collect())
    }

    fn session(&self, agent: &str, session: &str) -> Result<Option<SessionRow>> {
        let inner = self.lock();
        let rows = inner.sessions.values();
        Ok(rows
            .filter(|r| &*r.session == session && (agent.is_empty() || &*r.agent == agent))
            .max_by(|a, b| (a.agg.last_ms, &b.agent).cmp(&(b.agg.last_ms, &a.agent)))
            .cloned())
    }

    fn sessions(&self, from_ms: i64, visit: &mut dyn FnMut(SessionRow)) -> Result<()> {
        let rows: Vec<SessionRow> = self.lock().sessions.values().cloned().collect();
        rows.into_iter()
            .filter(|r| r.agg.last_ms >= from_ms)
            .for_each(visit);
        Ok(())
    }

    fn positions(&self) -> Result<Vec<Position>> {
        Ok(self.lock().positions.values().cloned().collect())
    }

    fn checkpoint(&self) -> Result<Option<(u64, Vec<u8>)>> {
        Ok(self.lock().checkpoint.clone())
    }

    fn stats(&self) -> Result<Stats> {
        let inner = self.lock();
        Ok(Stats {
            schema_version: super::SCHEMA_VERSION,
            entries: inner.entries.len() as u64,
            last_seq: inner.last_seq,
            file_bytes: 0,
            oldest_ms: inner.by_time.first().map_or(0, |t| t.0),
            newest_ms: inner.by_time.last().map_or(0, |t| t.0),
            purge_horizon_ms: inner.horizon_ms,
        })
    }

    fn purge(&self, cut: &Cut, max: usize) -> Result<u64> {
        let inner = &mut *self.lock();
        inner.horizon_ms = inner.horizon_ms.max(cut.horizon_ms);
        let gone: Vec<(i64, u64)> = inner
            .by_time
            .range(..(cut.horizon_ms, 0))
            .filter(|(_, seq)| *seq < cut.before_seq)
            .take(max)
            .copied()
            .collect();
        for &(at_ms, seq) in &gone {
            inner.remove_call(at_ms, seq)?;
        }
        Ok(gone.len() as u64)
    }

    fn purged(&self, keys: &[Key]) -> Result<Vec<bool>> {
        let inner = self.lock();
        let gone = |key: &Key| {
            let mut keys = same_call(*key).chain(inner.target(*key));
            keys.any(|key| inner.purged.contains(&key))
        };
        Ok(keys.iter().map(gone).collect())
    }

    fn first_recorded_since(&self, recorded_ms: i64) -> Result<u64> {
        let inner = self.lock();
        let first = inner
            .entries
            .values()
            .find(|entry| entry.recorded_at_ms >= recorded_ms);
        Ok(first.map_or(inner.last_seq + 1, |entry| entry.seq))
    }

    fn count_before(&self, cut: &Cut) -> Result<u64> {
        let inner = self.lock();
        let covered = inner.by_time.range(..(cut.horizon_ms, 0));
        Ok(covered.filter(|(_, seq)| *seq < cut.before_seq).count() as u64)
    }

    fn backup(&self, _: &Path) -> Result<(u64, u64)> {
        Err(StoreError::Conflict(
            "a store in memory cannot be backed up".to_owned(),
        ))
    }

    /// There is no chain in memory (its head is zero); rollups are compared as in a file.
    fn verify(&self) -> Result<Verification> {
        self.lock().verify()
    }

    fn compact(&self) -> Result<(u64, u64)> {
        Ok((0, 0))
    }
}

fn visit_rows(
    rows: &BTreeMap<(u32, Dims), Agg>,
    buckets: Range<u32>,
    visit: &mut dyn FnMut(u32, &Dims, &Agg),
) {
    if buckets.is_empty() {
        return;
    }
    let range = (buckets.start, Dims::default())..(buckets.end, Dims::default());
    for ((bucket, dims), agg) in rows.range(range) {
        visit(*bucket, dims, agg);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_contract() {
        crate::store::conformance::suite(|| Box::new(MemoryStore::new()));
    }
}
