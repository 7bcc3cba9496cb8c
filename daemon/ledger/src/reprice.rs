//! Applying a changed price book to the records that are kept.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use tokmon_core::decide::cost_of;
use tokmon_core::id::Key;
use tokmon_core::limits::MAX_PAGE;
use tokmon_core::money::Pico;

use crate::answer::{Change, Repriced, RepricedModel};
use crate::error::LedgerError;
use crate::ledger::{Ledger, blocking};
use crate::ops::Bulk;
use crate::query::record;

/// One step over the kept records.
struct Step {
    sums: Repriced,
    models: BTreeMap<String, RepricedModel>,
    keys: Vec<Key>,
    before: Option<(i64, u64)>,
    more: bool,
}

impl Ledger {
    /// Computes the cost of every kept record again with today's book; unless `dry_run`, records whose cost changed
    /// are amended. Budgets and totals follow. Purged records keep the cost they had.
    ///
    /// # Errors
    /// As [`Ledger::import`]; what was amended before stays, and repricing again goes on.
    pub async fn reprice(&self, dry_run: bool) -> Result<Repriced, LedgerError> {
        let mut total = Repriced::default();
        let mut models: BTreeMap<String, RepricedModel> = BTreeMap::new();
        let mut before = None;
        loop {
            let this = self.clone();
            let step = blocking(move || this.reprice_step(before)).await?;
            total.records += step.sums.records;
            total.changed += step.sums.changed;
            total.before += step.sums.before;
            total.after += step.sums.after;
            for (name, part) in step.models {
                let sum = models.entry(name).or_insert_with_key(|name| empty(name));
                sum.records += part.records;
                sum.before += part.before;
                sum.after += part.after;
            }
            if !dry_run && !step.keys.is_empty() {
                self.bulk(|reply| Bulk::Reprice(step.keys, reply)).await?;
            }
            before = step.before;
            if !step.more {
                break;
            }
        }
        if !dry_run && total.changed > 0 {
            self.change(Change::Repriced(total.changed)).await?;
        }
        total.models = models.into_values().collect();
        total
            .models
            .sort_by_key(|m| Reverse((m.after - m.before).0.unsigned_abs()));
        Ok(total)
    }

    fn reprice_step(&self, before: Option<(i64, u64)>) -> Result<Step, LedgerError> {
        let book = self.state().book.clone();
        let entries = self
            .shared()
            .slot
            .read(|store| Ok(store.records(i64::MIN..i64::MAX, before, MAX_PAGE)?))?;
        let mut step = Step {
            sums: Repriced::default(),
            models: BTreeMap::new(),
            keys: Vec::new(),
            before,
            more: entries.len() == MAX_PAGE,
        };
        for entry in &entries {
            let Some(record) = record(entry) else {
                continue;
            };
            step.before = Some((record.seen.at_ms, entry.seq));
            let now = cost_of(&record.seen, book.cost(&record.seen).as_ref());
            let (old, new) = (record.cost.unwrap_or(Pico::ZERO), now.unwrap_or(Pico::ZERO));
            step.sums.records += 1;
            step.sums.before += old;
            step.sums.after += new;
            if now != record.cost {
                step.sums.changed += 1;
                step.keys.push(record.seen.key);
                let name = format!("{}/{}", record.seen.provider, record.seen.model);
                let model = step.models.entry(name).or_insert_with_key(|name| empty(name));
                model.records += 1;
                model.before += old;
                model.after += new;
            }
        }
        Ok(step)
    }
}

fn empty(model: &str) -> RepricedModel {
    RepricedModel {
        model: model.to_owned(),
        records: 0,
        before: Pico::ZERO,
        after: Pico::ZERO,
    }
}
