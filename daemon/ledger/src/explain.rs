//! Where a figure comes from: the records that make it, what was dropped beside them, and the price of each.

use std::collections::BTreeSet;

use tokmon_core::entry::{Entry, Record};
use tokmon_core::limits::MAX_PAGE;
use tokmon_core::money::Pico;
use tokmon_core::observation::CallKind;
use tokmon_core::price::Costing;
use tokmon_core::refusal::Refusal;
use tokmon_core::report::Filter;
use tokmon_core::tokens::Tokens;
use tokmon_core::witness::Witness;

use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::query::{RecordsQuery, record};
use crate::store::Dropped;

/// One record and what stands behind it.
#[derive(Debug, Clone)]
pub struct Explained {
    /// The entry that holds the call's present record.
    pub entry: Entry,
    /// Today's price of the call. Its total differs from the record's cost when the book changed since.
    pub costing: Option<Costing>,
    /// Lines that told of the same call and were not counted, at most 8.
    pub dropped: Vec<Dropped>,
    /// Their number.
    pub dropped_total: u64,
}

/// A page of records with the sums over everything that was asked about.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// This page, newest first.
    pub records: Vec<Explained>,
    /// Where the next page begins; `None`: this was the last one.
    pub next: Option<String>,
    /// Calls; cache hits of embeddings are none.
    pub requests: u64,
    /// Lines that were not counted.
    pub duplicates_dropped: u64,
    /// Tokens of the calls.
    pub tokens: Tokens,
    /// Their cost.
    pub cost: Pico,
    /// "provider/model" of calls without a known price, sorted.
    pub unpriced_models: Vec<String>,
    /// What each kind of witness saw, in the order of [`Witness`]; only those that saw something.
    pub witnesses: Vec<WitnessSum>,
}

/// What one kind of witness saw of the calls that were asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessSum {
    /// Which kind.
    pub witness: Witness,
    /// Calls that it saw.
    pub calls: u64,
    /// What it said that they used.
    pub tokens: Tokens,
    /// Calls that nobody else saw.
    pub alone: u64,
    /// Of those the ones that no file shows although it had time to.
    pub unlogged: u64,
}

impl Ledger {
    /// Explains the figures of a window.
    ///
    /// # Errors
    /// As [`Ledger::records`].
    pub fn explain(&self, query: &RecordsQuery) -> Result<Explanation, LedgerError> {
        let page = self.records(query)?;
        let mut explanation = self.sum(query)?;
        explanation.next = page.next;
        for entry in page.items {
            explanation.records.push(self.explain_one(entry)?);
        }
        Ok(explanation)
    }

    /// Explains one entry. One that was replaced since is explained as it stood.
    ///
    /// # Errors
    /// `Refused` with `NotFound` when there is no record at that position, or the store's error.
    pub fn explain_entry(&self, seq: u64) -> Result<Explanation, LedgerError> {
        let entry = self.entry(seq)?.filter(|entry| record(entry).is_some());
        let Some(entry) = entry else {
            return Err(Refusal::NotFound {
                what: format!("record {seq}"),
            }
            .into());
        };
        let mut explanation = Explanation::nothing();
        explanation.add(&entry, self.shared().clock.now_ms());
        let explained = self.explain_one(entry)?;
        explanation.duplicates_dropped = explained.dropped_total;
        explanation.records.push(explained);
        Ok(explanation)
    }

    fn explain_one(&self, entry: Entry) -> Result<Explained, LedgerError> {
        let Some(record) = record(&entry) else {
            return Ok(Explained {
                entry,
                costing: None,
                dropped: Vec::new(),
                dropped_total: 0,
            });
        };
        // No price made this cost.
        let costing = match record.seen.is_surer_of_money() {
            true => None,
            false => self.state().book.cost(&record.seen),
        };
        let key = record.seen.key;
        let (dropped, dropped_total) = self.shared().slot.read(|store| Ok(store.dropped(key)?))?;
        Ok(Explained {
            entry,
            costing,
            dropped,
            dropped_total,
        })
    }

    /// The sums, a step at a time: no snapshot lives long, however large the window is.
    fn sum(&self, query: &RecordsQuery) -> Result<Explanation, LedgerError> {
        let mut sum = Explanation::nothing();
        let range = query.from_ms.unwrap_or(i64::MIN)..query.to_ms.unwrap_or(i64::MAX);
        let everything = query.filter == Filter::default();
        let mut before = None;
        let now_ms = self.shared().clock.now_ms();
        loop {
            let more = self.shared().slot.read(|store| {
                let step = store.records(range.clone(), before, MAX_PAGE)?;
                for entry in &step {
                    let Some(record) = record(entry) else {
                        continue;
                    };
                    before = Some((record.seen.at_ms, entry.seq));
                    if everything || query.filter.covers(record) {
                        sum.add(entry, now_ms);
                        sum.duplicates_dropped += store.dropped(record.seen.key)?.1;
                    }
                }
                Ok(step.len() == MAX_PAGE)
            })?;
            if !more {
                sum.unpriced_models = std::mem::take(&mut sum.unpriced_models)
                    .into_iter()
                    .collect::<BTreeSet<String>>()
                    .into_iter()
                    .collect();
                return Ok(sum);
            }
        }
    }
}

impl Explanation {
    fn nothing() -> Explanation {
        Explanation {
            records: Vec::new(),
            next: None,
            requests: 0,
            duplicates_dropped: 0,
            tokens: Tokens::default(),
            cost: Pico::ZERO,
            unpriced_models: Vec::new(),
            witnesses: Vec::new(),
        }
    }

    /// Adds what each witness said of a call.
    fn hear(&mut self, record: &Record, now_ms: i64) {
        let alone = record.heard.is_empty();
        let accounts = record.heard.iter().map(|account| &account.seen);
        for seen in accounts.chain(alone.then_some(&record.seen)) {
            let witness = seen.source.witness();
            let at = match self.witnesses.binary_search_by_key(&witness, |sum| sum.witness) {
                Ok(at) => at,
                Err(at) => {
                    let sum = WitnessSum {
                        witness,
                        calls: 0,
                        tokens: Tokens::default(),
                        alone: 0,
                        unlogged: 0,
                    };
                    self.witnesses.insert(at, sum);
                    at
                }
            };
            let sum = &mut self.witnesses[at];
            sum.calls += 1;
            sum.tokens.add(&seen.tokens);
            sum.alone += u64::from(alone);
            sum.unlogged += u64::from(record.is_unlogged(now_ms));
        }
    }

    fn add(&mut self, entry: &Entry, now_ms: i64) {
        let counts = |record: &&Record| record.seen.kind != CallKind::CacheHit && !record.is_void();
        let Some(record) = record(entry).filter(counts) else {
            return;
        };
        self.hear(record, now_ms);
        self.requests += 1;
        self.tokens.add(&record.seen.tokens);
        self.cost += record.cost.unwrap_or_default();
        if record.cost.is_none() {
            let (provider, model) = (&record.seen.provider, &record.seen.model);
            let name = if provider.is_empty() {
                model.to_string()
            } else {
                format!("{provider}/{model}")
            };
            if !self.unpriced_models.contains(&name) {
                self.unpriced_models.push(name);
            }
        }
    }
}
