//! One turn of the writer: what waits becomes entries of one batch, decided in order.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokmon_core::budget::Crossing;
use tokmon_core::decide::{self, Held, Manner, Recorded};
use tokmon_core::entry::{AmendReason, Body, Entry, Record};
use tokmon_core::id::Key;
use tokmon_core::merge::{Candidate, Loss, Verdict};
use tokmon_core::observation::Observation;
use tokmon_core::refusal::Refusal;
use tokmon_core::state::Draft;

use super::answers::{Answer, Pending};
use super::witness::{Slices, former_of};
use crate::answer::{Change, Claim, Outcome, Receipt};
use crate::error::LedgerError;
use crate::ops::{Bulk, By, Quick, Reply};
use crate::quick::{QuickMap, QuickSet};
use crate::shared::Shared;
use crate::store::{
    Batch, DropReason, Dropped, Known, Staged, Store, StoreError, in_order, record_of, same_call,
};

/// Asks the store; a panic in it is damage like any other.
pub(super) fn look<T>(
    shared: &Shared,
    ask: impl FnOnce(&dyn Store) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    super::guarded(|| {
        shared
            .slot
            .read(|store| Ok(ask(store)?))
            .map_err(|error| match error {
                LedgerError::Store(error) => error,
                other => StoreError::Io(other.to_string()),
            })
    })
}

/// What is held of a call.
pub(super) fn held<'a>(purged: &QuickSet<Key>, key: Key, known: Option<&'a Known>) -> Held<'a> {
    match known {
        Some(known) => Held::Known(known.seq, &known.record),
        None if purged.contains(&key) => Held::Purged,
        None => Held::New,
    }
}

/// A batch in the making.
pub(crate) struct Turn<'a> {
    pub(super) draft: &'a mut Draft,
    pub(super) shared: &'a Arc<Shared>,
    pub(super) slices: &'a mut Slices,
    pub(super) now_ms: i64,
    pub(super) batch: Batch,
    answers: Vec<Answer>,
    /// The calls of this turn that the store knows.
    pub(super) known: QuickMap<Key, Known>,
    /// The calls whose key is another than that of an account of them.
    pub(super) other_keys: QuickMap<Key, Key>,
    /// Where in the batch the calls stand that this turn recorded: the same may come once more.
    pub(super) placed: QuickMap<Key, usize>,
    /// The calls of this turn whose record has been purged.
    pub(super) purged: QuickSet<Key>,
    /// `placed` tells of every record of this batch: accounts of other witnesses are looked for.
    pub(super) indexed: bool,
    pub(super) trouble: Option<StoreError>,
    /// Who asks for what is decided now.
    pub(super) by: By,
    /// The state is saved with this batch: a purge takes away the entries that a replay would need.
    pub(super) save_after: bool,
}

impl<'a> Turn<'a> {
    /// Reads the clock and looks all calls up at once.
    pub(crate) fn begin(
        draft: &'a mut Draft,
        shared: &'a Arc<Shared>,
        slices: &'a mut Slices,
        quick: &[Quick],
        bulk: Option<&Bulk>,
    ) -> Result<Turn<'a>, StoreError> {
        let mut keys: Vec<Key> = Vec::new();
        for op in quick {
            match op {
                Quick::Record(calls, _) => keys.extend(calls.iter().map(|seen| seen.key)),
                Quick::Claim(claims, ..) => keys.extend(claims.iter().filter_map(Claim::key)),
                Quick::Change(..) | Quick::Denied(..) => {}
            }
        }
        match bulk {
            Some(Bulk::Import(chunk, _)) => keys.extend(chunk.observations.iter().map(|seen| seen.key)),
            Some(Bulk::Reprice(calls, _)) => keys.extend(calls),
            _ => {}
        }
        // In the order of the store's index: neighbours share pages.
        keys.sort_unstable_by_key(in_order);
        keys.dedup();
        let found = look(shared, |store| store.known(&keys))?;
        // Under their own keys: two of the keys that were asked for may be one call.
        let unknown: Vec<Key> = (keys.iter().zip(&found))
            .filter(|(_, found)| found.is_none())
            .map(|(key, _)| *key)
            .collect();
        let other_keys: QuickMap<Key, Key> = (keys.iter().zip(&found))
            .filter_map(|(key, found)| Some((*key, found.as_ref()?.record.seen.key)))
            .filter(|(key, of)| key.hash != of.hash)
            .collect();
        let known = found
            .into_iter()
            .flatten()
            .map(|known| (known.record.seen.key, known))
            .collect();
        // Nothing is asked as long as nothing was ever purged.
        let purged = if draft.state.purge_horizon_ms > 0 {
            let gone = look(shared, |store| store.purged(&unknown))?;
            unknown
                .iter()
                .zip(gone)
                .filter(|(_, gone)| *gone)
                .map(|(key, _)| *key)
                .collect()
        } else {
            QuickSet::default()
        };
        // The sequence is the order; a clock that jumps back does not make it go back.
        let now_ms = shared.clock.now_ms().max(draft.state.last_recorded_ms);
        Ok(Turn {
            draft,
            shared,
            slices,
            now_ms,
            batch: Batch::default(),
            answers: Vec::new(),
            known,
            placed: QuickMap::default(),
            purged,
            // Two of the keys may be one call.
            indexed: !other_keys.is_empty(),
            other_keys,
            trouble: None,
            by: None,
            save_after: false,
        })
    }

    /// The batch, the answers that wait for it, and what makes it void.
    pub(crate) fn end(mut self) -> (Batch, Vec<Answer>, Option<StoreError>) {
        self.take_back();
        if self.save_after {
            self.batch.checkpoint = Some(self.draft.save());
        }
        (self.batch, self.answers, self.trouble)
    }

    pub(crate) fn quick(&mut self, op: Quick) {
        self.by = None;
        match op {
            Quick::Record(calls, reply) => self.record(calls, reply),
            Quick::Claim(claims, by, reply) => {
                let owed = self.claims(claims, by);
                self.answers.push(Answer::Claim(reply, owed));
            }
            Quick::Denied(denied, by) => self.denied(&denied.0, denied.1, by),
            Quick::Change(change, by, reply) => {
                self.by = by;
                let from = self.batch.entries.len();
                match self.make(change) {
                    Ok(()) => {
                        let made = self.batch.entries[from..].iter().map(|s| s.entry.clone());
                        let made = made.collect();
                        self.answers.push(Answer::Change(reply, made));
                    }
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
        }
    }

    /// Decides about a change and writes what it means.
    fn make(&mut self, change: Change) -> Result<(), LedgerError> {
        match change {
            Change::Split(seq) => self.split(seq),
            Change::Official(told) => self.told(*told),
            change => {
                for body in self.change(change)? {
                    self.push(body, None);
                }
                Ok(())
            }
        }
    }

    pub(crate) fn bulk(&mut self, op: Bulk, permit: OwnedSemaphorePermit) {
        self.by = None;
        match op {
            Bulk::Import(chunk, reply) => {
                let imported = self.import(chunk);
                self.answers.push(Answer::Import(reply, imported, permit));
            }
            Bulk::Reprice(keys, reply) => {
                let changed = self.reprice(&keys);
                self.answers.push(Answer::Reprice(reply, changed, permit));
            }
            other => other.fail(LedgerError::Closed),
        }
    }

    /// Adds an entry, and the alerts that it sets off after it.
    pub(super) fn push(&mut self, body: Body, previous: Option<Box<Record>>) -> (u64, Vec<Crossing>) {
        let seq = self.draft.state.last_seq + 1;
        let entry = Entry {
            seq,
            recorded_at_ms: self.now_ms,
            by: self.by.clone().filter(|_| body.is_act()),
            body,
        };
        let crossings = self.draft.apply(&entry, previous.as_deref());
        if let Some(record) = record_of(&entry) {
            self.slices.note(record);
            if self.indexed {
                self.placed.insert(record.seen.key, self.batch.entries.len());
            }
        }
        self.batch.entries.push(Staged { entry, previous });
        for crossing in &crossings {
            self.push(decide::alert(crossing), None);
        }
        for body in self.draft.follows() {
            self.push(body, None);
        }
        (seq, crossings)
    }

    /// Takes out what is known of a call.
    pub(super) fn take_known(&mut self, key: Key) -> Option<Known> {
        if self.placed.is_empty() && self.known.is_empty() {
            return None;
        }
        let key = self.other_keys.get(&key).copied().unwrap_or(key);
        same_call(key).find_map(|key| {
            let placed = self.placed.remove(&key).and_then(|place| {
                let entry = &self.batch.entries.get(place)?.entry;
                let record = record_of(entry)?.clone();
                Some(Known {
                    seq: entry.seq,
                    record,
                })
            });
            placed.or_else(|| self.known.remove(&key))
        })
    }

    /// Records calls that somebody asked to record: all, or none when one is refused.
    fn record(&mut self, calls: Vec<Observation>, reply: Reply<Vec<Receipt>>) {
        let prepared: Result<Vec<Observation>, Refusal> = calls
            .into_iter()
            .map(|seen| self.draft.prepare(seen, self.now_ms, Manner::Ask))
            .collect();
        match prepared {
            Ok(prepared) => {
                let pending = prepared.into_iter().map(|seen| self.record_one(seen)).collect();
                self.answers.push(Answer::Record(reply, pending));
            }
            Err(refusal) => drop(reply.send(Err(refusal.into()))),
        }
    }

    pub(super) fn record_one(&mut self, seen: Observation) -> Pending {
        let key = seen.key;
        let witness = seen.source.witness();
        let mut known = self.take_known(key);
        if known.is_none() && self.purged.contains(&key) {
            return self.uncounted(seen);
        }
        if known.is_none() && self.counterpart(&seen).is_some() {
            known = self.take_known(key);
        }
        let line = known.as_ref().map(|_| source_of(&seen));
        let held = held(&self.purged, key, known.as_ref());
        let decided = self.draft.record(Candidate::new(seen), held, self.now_ms);
        match (decided, known, line) {
            (
                Recorded::Written {
                    opened,
                    body,
                    verdict,
                    costing,
                },
                known,
                line,
            ) => {
                opened.into_iter().for_each(|body| drop(self.push(body, None)));
                let record = match &body {
                    Body::Usage(record) | Body::Amend { record, .. } => (**record).clone(),
                    _ => unreachable!("a call becomes a usage or an amendment"),
                };
                if let (Some(known), Some(line), Some(verdict)) = (&known, line, verdict) {
                    let former = former_of(&known.record, witness);
                    self.drop_by(known.record.seen.key, former, line, verdict);
                }
                self.placed.insert(record.seen.key, self.batch.entries.len());
                let (seq, alerts) = self.push(body, known.map(|known| Box::new(known.record)));
                let outcome = if verdict.is_some() {
                    Outcome::Amended
                } else {
                    Outcome::Added
                };
                Pending {
                    seq,
                    outcome,
                    record,
                    costing,
                    alerts,
                }
            }
            (Recorded::Known(loss), Some(known), Some(line)) => {
                let (seq, record) = (known.seq, known.record.clone());
                self.drop_reason(record.seen.key, line, loss);
                self.known.insert(record.seen.key, known);
                let costing = self.draft.state.book.cost(&record.seen);
                Pending {
                    seq,
                    outcome: Outcome::Duplicate,
                    record,
                    costing,
                    alerts: Vec::new(),
                }
            }
            (Recorded::Known(_) | Recorded::Purged, ..) => {
                unreachable!("only a call that is held is known, and purged ones were told apart before")
            }
        }
    }

    /// The receipt of a call whose record has been purged.
    fn uncounted(&self, seen: Observation) -> Pending {
        let costing = self.draft.state.book.cost(&seen);
        let record = Record {
            owner_at_ms: seen.at_ms,
            owner_sidechain: seen.sidechain,
            cost: costing.as_ref().map(|c| c.total),
            waste: Vec::new(),
            heard: Vec::new(),
            seen,
        };
        Pending {
            seq: 0,
            outcome: Outcome::Purged,
            record,
            costing,
            alerts: Vec::new(),
        }
    }

    fn reprice(&mut self, keys: &[Key]) -> u64 {
        let mut changed = 0;
        for key in keys {
            let Some(known) = self.known.remove(key) else {
                continue;
            };
            if let Some(record) = self.draft.reprice(&known.record) {
                let record = Box::new(record);
                let body = Body::Amend {
                    replaces: known.seq,
                    reason: AmendReason::Repriced,
                    record,
                };
                self.push(body, Some(Box::new(known.record)));
                changed += 1;
            }
        }
        changed
    }

    /// Notes the line that lost: the former one when it was replaced, else the new one.
    pub(super) fn drop_by(&mut self, key: Key, mut former: Dropped, line: Dropped, verdict: Verdict) {
        match verdict {
            Verdict::Replaced => {
                // The same line read better by a newer parser is still one line.
                if (&former.path, former.offset) != (&line.path, line.offset) || former.path.is_empty() {
                    former.reason = DropReason::Replaced;
                    self.batch.dropped.push((key, former));
                }
            }
            Verdict::Attributed(loss) | Verdict::Lost(loss) => self.drop_reason(key, line, loss),
            // Both accounts are kept in the record.
            Verdict::Joined => {}
        }
    }

    pub(super) fn drop_reason(&mut self, key: Key, mut line: Dropped, loss: Loss) {
        line.reason = match loss {
            Loss::Reread => return,
            Loss::Copy => DropReason::Copy,
            Loss::Weaker => DropReason::Weaker,
        };
        self.batch.dropped.push((key, line));
    }
}

pub(super) fn source_of(seen: &Observation) -> Dropped {
    Dropped {
        kind: seen.source.kind.clone(),
        path: seen.source.path.clone(),
        offset: seen.source.offset,
        reason: DropReason::Copy,
    }
}
