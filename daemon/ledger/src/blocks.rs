//! Blocks, and the one that is open now without reading all of history for it.
//!
//! Where a block begins depends on the calls before it, back to the last pause that is longer than a block. So the open
//! one is looked for in ever longer stretches of the past, and for an agent that never pauses the place where its block
//! begins is remembered, until a call comes in that lies before it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokmon_core::Name;
use tokmon_core::blocks::{Block, Blocks, BlocksQuery, Latest};
use tokmon_core::entry::Record;
use tokmon_core::limits::MAX_AGENTS;
use tokmon_core::report::Filter;
use tokmon_core::rollup::{Agg, Dims, bucket_of};

use crate::error::LedgerError;
use crate::ledger::Ledger;
use crate::query::{names, resolve};
use crate::store::{Batch, record_of};

/// The first stretch of the past that is read: with a night's rest in it, it usually suffices.
const FIRST_STRETCH_MS: i64 = 24 * 3_600_000;
/// So many times longer is each further one: all of them together take a third more than the last.
const LONGER: i64 = 4;

impl Ledger {
    /// The blocks that subscriptions are metered in, as they stand now.
    ///
    /// # Errors
    /// As [`Ledger::report`].
    pub fn blocks(&self, query: &BlocksQuery) -> Result<Vec<Block>, LedgerError> {
        query.validate()?;
        if query.active_only && query.to_ms.is_none() {
            return self.open_blocks(query);
        }
        let now_ms = self.shared().clock.now_ms();
        self.shared().slot.read(|store| {
            let mut blocks = Blocks::new(query, resolve(store, &query.filter)?);
            let mut visit = |bucket: u32, dims: &Dims, agg: &Agg| blocks.add(bucket, dims, agg);
            if query.needs_full() {
                store.rollup_full(query.buckets(), &mut visit)?;
            } else {
                store.rollup_coarse(query.buckets(), &mut visit)?;
            }
            Ok(blocks.finish(now_ms, &names(store)))
        })
    }

    fn open_blocks(&self, query: &BlocksQuery) -> Result<Vec<Block>, LedgerError> {
        let now_ms = self.shared().clock.now_ms();
        let begins = &self.shared().begins;
        let agent = of_one_agent(query);
        let known = agent.and_then(|agent| begins.look_up(agent));
        let found = match known {
            Some(bucket) => self.latest(query, Some(bucket), bucket, now_ms)?,
            None => None,
        };
        let found = match found {
            Some(latest) => Ok(latest),
            None => self.search(query, now_ms),
        };
        if let Some(agent) = agent {
            begins.looked_up(agent, found.as_ref().ok().and_then(|latest| latest.resume));
        }
        Ok(found?.blocks)
    }

    /// Goes back in time until it is clear where the open block begins.
    fn search(&self, query: &BlocksQuery, now_ms: i64) -> Result<Latest, LedgerError> {
        let mut stretch = FIRST_STRETCH_MS.max(query.length_ms().saturating_mul(2));
        loop {
            let from = bucket_of(now_ms.saturating_sub(stretch));
            if let Some(latest) = self.latest(query, None, from, now_ms)? {
                return Ok(latest);
            }
            stretch = stretch.saturating_mul(LONGER);
        }
    }

    /// What the rows from a bucket on tell; a block begins with `known`.
    fn latest(
        &self,
        query: &BlocksQuery,
        known: Option<u32>,
        from: u32,
        now_ms: i64,
    ) -> Result<Option<Latest>, LedgerError> {
        self.shared().slot.read(|store| {
            let ids = resolve(store, &query.filter)?;
            let mut blocks = match known {
                Some(_) => Blocks::new(query, ids),
                None => Blocks::since(query, ids, from, now_ms),
            };
            let mut visit = |bucket: u32, dims: &Dims, agg: &Agg| blocks.add(bucket, dims, agg);
            if query.needs_full() {
                store.rollup_full(from..u32::MAX, &mut visit)?;
            } else {
                store.rollup_coarse(from..u32::MAX, &mut visit)?;
            }
            Ok(blocks.latest(now_ms, &names(store)))
        })
    }
}

/// The agent, when the usual blocks of one agent alone are asked for.
fn of_one_agent(query: &BlocksQuery) -> Option<&str> {
    let [agent] = query.filter.agents.as_slice() else {
        return None;
    };
    let only = Filter {
        agents: vec![agent.clone()],
        ..Filter::default()
    };
    (query.hours == 0 && query.filter == only).then_some(agent)
}

/// Where agents' last blocks begin, as far as it was looked up.
#[derive(Default)]
pub(crate) struct Begins {
    agents: Mutex<HashMap<Name, Begin>>,
}

/// Where an agent's last block begins.
struct Begin {
    bucket: Option<u32>,
    /// The earliest bucket that calls came into while somebody looks it up: what he finds may be out of date.
    touched: u32,
    readers: u32,
}

impl Begins {
    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Begin>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_up(&self, agent: &str) -> Option<u32> {
        let mut agents = self.lock();
        if !agents.contains_key(agent) && agents.len() >= MAX_AGENTS {
            return None;
        }
        let begin = agents.entry(agent.into()).or_insert(Begin {
            bucket: None,
            touched: u32::MAX,
            readers: 0,
        });
        begin.readers += 1;
        begin.bucket
    }

    fn looked_up(&self, agent: &str, found: Option<u32>) {
        let mut agents = self.lock();
        let Some(begin) = agents.get_mut(agent).filter(|begin| begin.readers > 0) else {
            return;
        };
        begin.readers -= 1;
        begin.bucket = found.filter(|bucket| *bucket <= begin.touched);
        if begin.readers == 0 {
            begin.touched = u32::MAX;
        }
    }

    /// These entries are in the ledger from here on.
    pub(crate) fn wrote(&self, batch: &Batch) {
        let mut agents = self.lock();
        if agents.is_empty() {
            return;
        }
        for staged in &batch.entries {
            let Some(record) = record_of(&staged.entry) else {
                continue;
            };
            touch(&mut agents, record, 0);
            let moved = |former: &Record| {
                (former.seen.at_ms, &former.seen.who.agent) != (record.seen.at_ms, &record.seen.who.agent)
            };
            if let Some(former) = staged.previous.as_deref().filter(|former| moved(former)) {
                touch(&mut agents, former, 1);
            }
        }
    }

    /// Another ledger is in place, or nobody knows what was written.
    pub(crate) fn forget(&self) {
        for begin in self.lock().values_mut() {
            begin.bucket = None;
            begin.touched = if begin.readers == 0 { u32::MAX } else { 0 };
        }
    }
}

/// A call came in, or one went (`gone` is 1). A call that comes into the first bucket of a block changes nothing about
/// where it begins, one that goes from there may.
fn touch(agents: &mut HashMap<Name, Begin>, record: &Record, gone: u32) {
    if let Some(begin) = agents.get_mut(&record.seen.who.agent) {
        let bucket = bucket_of(record.seen.at_ms).saturating_sub(gone);
        begin.bucket = begin.bucket.filter(|begin| *begin <= bucket);
        if begin.readers > 0 {
            begin.touched = begin.touched.min(bucket);
        }
    }
}
