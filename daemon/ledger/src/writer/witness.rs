//! Finding the call that another kind of witness told of under another key.
//!
//! Nothing is looked for where only one kind of witness ever saw calls. Elsewhere the calls of the quarters of an hour
//! around are read from the store once and kept by what they have in common with other accounts: memory is bounded by
//! [`MAX_SLICES`] and [`MAX_PER_SLICE`], and a restart loses nothing, because the store has it all.

use std::collections::{HashMap, HashSet};

use tokmon_core::decide::{Held, Recorded};
use tokmon_core::entry::{Body, Record};
use tokmon_core::id::Key;
use tokmon_core::limits::{MAX_PAGE, MAX_PER_SLICE, MAX_SLICES};
use tokmon_core::observation::Observation;
use tokmon_core::refusal::Refusal;
use tokmon_core::rollup::{bucket_of, bucket_start_ms};
use tokmon_core::witness::{NEAR_LOGGED_MS, Witness, id_print, is_same_call, prints};

use super::batch::{Turn, look, source_of};
use crate::error::LedgerError;
use crate::store::{Dropped, Known, StoreError, record_of};

/// The calls of a few quarters of an hour, by what other accounts of them have too.
#[derive(Default)]
pub(crate) struct Slices {
    /// By bucket, with when it was used last.
    slices: HashMap<u32, (u64, Slice)>,
    uses: u64,
}

/// The calls of one quarter of an hour: by print, when they ended and their keys.
#[derive(Default)]
struct Slice {
    calls: HashMap<u64, Vec<(i64, Key)>>,
    len: usize,
}

impl Slice {
    fn note(&mut self, record: &Record) {
        if self.len >= MAX_PER_SLICE {
            return;
        }
        self.len += 1;
        let seen = (record.seen.at_ms, record.seen.key);
        let accounts = record.heard.iter().map(|account| &account.seen);
        let mut all: HashSet<u64> = accounts.chain([&record.seen]).flat_map(prints).collect();
        if !record.seen.request_id.is_empty() {
            all.insert(id_print(&record.seen.request_id));
        }
        for print in all {
            let calls = self.calls.entry(print).or_default();
            if !calls.contains(&seen) {
                calls.push(seen);
            }
        }
    }
}

impl Slices {
    /// A record was decided.
    pub(crate) fn note(&mut self, record: &Record) {
        if let Some((_, slice)) = self.slices.get_mut(&bucket_of(record.seen.at_ms)) {
            slice.note(record);
        }
    }

    /// Calls that may be the one, those of the same id first, then the nearest.
    fn candidates(&self, seen: &Observation, buckets: &[u32]) -> Vec<Key> {
        let mut found: Vec<(bool, u64, i64, Key)> = Vec::new();
        let id = (!seen.request_id.is_empty()).then(|| id_print(&seen.request_id));
        let wanted = id.map(|id| (false, id));
        for (by_figures, print) in wanted.into_iter().chain(prints(seen).map(|print| (true, print))) {
            for (_, slice) in buckets.iter().filter_map(|bucket| self.slices.get(bucket)) {
                let calls = slice.calls.get(&print).into_iter().flatten();
                found.extend(calls.map(|&(at_ms, key)| (by_figures, at_ms.abs_diff(seen.at_ms), at_ms, key)));
            }
        }
        found.sort_unstable();
        let mut met = HashSet::new();
        let keys = found.into_iter().map(|(.., key)| key);
        keys.filter(|key| met.insert(*key)).collect()
    }
}

impl Turn<'_> {
    /// The call that an observation under an unknown key tells of, when another kind of witness told of it before.
    pub(super) fn counterpart(&mut self, seen: &Observation) -> Option<Known> {
        let witness = seen.source.witness();
        if !self.draft.state.spans.others_near(witness, seen.at_ms) {
            return None;
        }
        match self.find_counterpart(seen) {
            Ok(known) => known,
            Err(error) => {
                // What was decided without knowing is void.
                self.trouble = Some(error);
                None
            }
        }
    }

    fn find_counterpart(&mut self, seen: &Observation) -> Result<Option<Known>, StoreError> {
        self.index();
        let near = |ms: i64| bucket_of(seen.at_ms.saturating_add(ms));
        let buckets: Vec<u32> = (near(-NEAR_LOGGED_MS)..=near(NEAR_LOGGED_MS)).collect();
        for bucket in &buckets {
            self.load_slice(*bucket)?;
        }
        for key in self.slices.candidates(seen, &buckets) {
            if let Some(known) = self.peek(key)?
                && is_same_call(&known.record, seen)
            {
                self.other_keys.insert(seen.key, known.record.seen.key);
                return Ok(Some(known));
            }
        }
        Ok(None)
    }

    /// Makes the records of this batch findable by their keys.
    pub(super) fn index(&mut self) {
        if !self.indexed {
            self.indexed = true;
            for (place, staged) in self.batch.entries.iter().enumerate() {
                if let Some(record) = record_of(&staged.entry) {
                    self.placed.insert(record.seen.key, place);
                }
            }
        }
    }

    /// The present record of a call, in this batch or in the store.
    pub(super) fn peek(&mut self, key: Key) -> Result<Option<Known>, StoreError> {
        if let Some(place) = self.placed.get(&key)
            && let Some(entry) = self.batch.entries.get(*place).map(|staged| &staged.entry)
            && let Some(record) = record_of(entry)
        {
            let (seq, record) = (entry.seq, record.clone());
            return Ok(Some(Known { seq, record }));
        }
        if !self.known.contains_key(&key) {
            let found = look(self.shared, |store| store.known(&[key]))?.pop().flatten();
            if let Some(known) = found {
                self.known.insert(known.record.seen.key, known);
            }
        }
        Ok(self.known.get(&key).cloned())
    }

    /// Reads the calls of a quarter of an hour, unless they are there.
    fn load_slice(&mut self, bucket: u32) -> Result<(), StoreError> {
        self.slices.uses += 1;
        let now = self.slices.uses;
        if let Some((used, _)) = self.slices.slices.get_mut(&bucket) {
            *used = now;
            return Ok(());
        }
        if self.slices.slices.len() >= MAX_SLICES {
            let oldest = self.slices.slices.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(bucket, _)| *bucket) {
                self.slices.slices.remove(&oldest);
            }
        }
        let mut slice = Slice::default();
        let range = bucket_start_ms(bucket)..bucket_start_ms(bucket.saturating_add(1));
        let mut before = None;
        while slice.len < MAX_PER_SLICE {
            let page = look(self.shared, |store| {
                store.records(range.clone(), before, MAX_PAGE)
            })?;
            for entry in &page {
                if let Some(record) = record_of(entry) {
                    slice.note(record);
                    before = Some((record.seen.at_ms, entry.seq));
                }
            }
            if page.len() < MAX_PAGE {
                break;
            }
        }
        for staged in &self.batch.entries {
            if let Some(record) = record_of(&staged.entry).filter(|r| bucket_of(r.seen.at_ms) == bucket) {
                slice.note(record);
            }
        }
        self.slices.slices.insert(bucket, (now, slice));
        Ok(())
    }

    /// Takes a record of several witnesses apart: each account is a call of its own from here on.
    pub(super) fn split(&mut self, seq: u64) -> Result<(), LedgerError> {
        let missing = || Refusal::NotFound {
            what: format!("present record {seq}"),
        };
        self.index();
        let entry = look(self.shared, |store| store.entry(seq)).map_err(LedgerError::Store)?;
        let key = entry.as_ref().and_then(record_of).map(|record| record.seen.key);
        let known = match key {
            Some(key) => self.peek(key).map_err(LedgerError::Store)?,
            None => None,
        };
        let known = known.filter(|known| known.seq == seq).ok_or_else(missing)?;
        let (body, apart) = self.draft.split(seq, &known.record)?;
        let seen = &known.record.seen;
        let told = Body::Split {
            agent: seen.who.agent.clone(),
            session: seen.who.session.clone(),
            model: seen.model.clone(),
            calls: apart.len() as u64 + 1,
        };
        self.known.remove(&seen.key);
        self.push(body, Some(Box::new(known.record)));
        for account in apart {
            let key = account.seen.key;
            self.other_keys.remove(&key);
            if let Recorded::Written { opened, body, .. } = self.draft.record(account, Held::New, self.now_ms)
            {
                opened.into_iter().for_each(|body| drop(self.push(body, None)));
                self.push(body, None);
            }
        }
        self.push(told, None);
        Ok(())
    }
}

/// Where the account of this kind of witness in a record was read.
pub(super) fn former_of(record: &Record, witness: Witness) -> Dropped {
    let account = record.heard.iter().find(|account| account.witness() == witness);
    source_of(account.map_or(&record.seen, |account| &account.seen))
}
