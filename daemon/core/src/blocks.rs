//! The blocks that subscriptions are metered in: five hours from the first call, by the rules that ccusage made
//! common, so that the figures can be compared.
//!
//! A block begins at the full UTC hour of its first call and is five hours long. The next call opens another block
//! when it lies *more* than five hours after the block's begin or after the call before it; when the pause alone is
//! longer than five hours, a gap stands between the two.
//!
//! **One approximation.** The algorithm works on rollup buckets (a quarter of an hour) whose first and last call are
//! known, not on single calls. Blocks begin and end on full hours, so a bucket lies in one block as a whole, with one
//! exception: a call at the very millisecond at which a block ends belongs to that block, but calls later in the
//! same bucket do not. Such a bucket is counted in the new block as a whole.

mod burn;

use std::collections::BTreeSet;
use std::ops::Range;

pub use burn::Burn;

use crate::Name;
use crate::refusal::Refusal;
use crate::report::{Filter, IdFilter};
use crate::rollup::{Agg, Dimension, Dims, bucket_of, bucket_start_ms};

const HOUR_MS: i64 = 3_600_000;
/// Length of a block when none is asked for.
pub const DEFAULT_HOURS: u32 = 5;
/// Longest block: a month.
pub const MAX_HOURS: u32 = 744;

/// Which blocks are asked for.
#[derive(Debug, Clone, Default)]
pub struct BlocksQuery {
    /// Only blocks that begin at or after this instant, milliseconds.
    pub from_ms: Option<i64>,
    /// Only blocks that begin before this instant.
    pub to_ms: Option<i64>,
    /// Which calls count.
    pub filter: Filter,
    /// Hours per block; 0 means [`DEFAULT_HOURS`].
    pub hours: u32,
    /// Only the block that is open now.
    pub active_only: bool,
}

impl BlocksQuery {
    /// Checks what cannot be checked by types.
    ///
    /// # Errors
    /// A window that ends before it begins, blocks longer than [`MAX_HOURS`], or a filter that is too long.
    pub fn validate(&self) -> Result<(), Refusal> {
        crate::report::check_window(self.from_ms, self.to_ms)?;
        if self.hours > MAX_HOURS {
            return Err(Refusal::invalid(
                "hours",
                format!("{} hours", self.hours),
                format!("1 to {MAX_HOURS}, or 0 for {DEFAULT_HOURS}"),
            ));
        }
        self.filter.validate()
    }

    /// The rollup buckets to feed. Where a block begins depends on the calls before it, so they start at the
    /// beginning of the ledger.
    pub fn buckets(&self) -> Range<u32> {
        let last = self.to_ms.map(|to| to.saturating_add(self.length_ms()));
        crate::report::buckets(None, last)
    }

    /// Rows by every dimension are needed; otherwise the coarse ones suffice.
    pub fn needs_full(&self) -> bool {
        self.filter.needs_full()
    }

    /// Length of a block, milliseconds.
    pub fn length_ms(&self) -> i64 {
        let hours = if self.hours == 0 {
            DEFAULT_HOURS
        } else {
            self.hours
        };
        i64::from(hours) * HOUR_MS
    }
}

/// A block, or the gap between two.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Begin, milliseconds: a full hour in UTC; of a gap, the last call plus a block's length.
    pub start_ms: i64,
    /// End, milliseconds: the begin plus a block's length; of a gap, the next call.
    pub end_ms: i64,
    /// A pause: `agg` is empty.
    pub gap: bool,
    /// Open now.
    pub active: bool,
    /// The sum of its calls, with the first and the last.
    pub agg: Agg,
    /// Models, sorted.
    pub models: Vec<Name>,
    /// Rates and projection: only for the active block, with two calls at different times or more.
    pub burn: Option<Burn>,
}

/// Blocks in the making. Rows must come in bucket order.
pub struct Blocks {
    query: BlocksQuery,
    filter: IdFilter,
    /// What comes before the first row is not known, and no pause has shown yet where a block begins.
    unsure: Option<Unsure>,
    done: Vec<Open>,
    /// The block that the last complete bucket fell into.
    open: Option<Open>,
    /// The bucket whose rows are coming in.
    pending: Option<Pending>,
}

struct Open {
    start_ms: i64,
    end_ms: i64,
    agg: Agg,
    models: BTreeSet<u32>,
    gap: bool,
}

/// From when on calls are known.
struct Unsure {
    since_ms: i64,
    now_ms: i64,
}

/// The blocks that are open now, usually one.
#[derive(Debug, Clone, PartialEq)]
pub struct Latest {
    /// Those blocks.
    pub blocks: Vec<Block>,
    /// Where a block begins that everything open is in or after: reading may start there the next time, as if nothing
    /// came before, for as long as no call is added before it. `None`: there are no calls.
    pub resume: Option<u32>,
}

struct Pending {
    bucket: u32,
    agg: Agg,
    models: BTreeSet<u32>,
}

impl Blocks {
    /// No blocks yet.
    pub fn new(query: &BlocksQuery, filter: IdFilter) -> Blocks {
        Blocks {
            query: query.clone(),
            filter,
            unsure: None,
            done: Vec::new(),
            open: None,
            pending: None,
        }
    }

    /// No blocks yet, and rows come from this bucket on only. Where blocks begin is known after the first pause that is
    /// longer than a block: see [`Blocks::latest`].
    pub fn since(query: &BlocksQuery, filter: IdFilter, bucket: u32, now_ms: i64) -> Blocks {
        let since_ms = bucket_start_ms(bucket);
        let unsure = (bucket > 0).then_some(Unsure { since_ms, now_ms });
        Blocks {
            unsure,
            ..Blocks::new(query, filter)
        }
    }

    /// Adds a rollup row; rows come in bucket order.
    pub fn add(&mut self, bucket: u32, dims: &Dims, agg: &Agg) {
        // Cache hits of embeddings are no calls and open no block.
        if agg.requests == 0 || !self.filter.matches(dims) {
            return;
        }
        if self
            .pending
            .as_ref()
            .is_none_or(|pending| pending.bucket != bucket)
        {
            self.settle();
            self.pending = Some(Pending {
                bucket,
                agg: Agg::empty(),
                models: BTreeSet::new(),
            });
        }
        if let Some(pending) = &mut self.pending {
            pending.agg.add(agg);
            pending.models.insert(dims[Dimension::Model as usize]);
        }
    }

    /// Puts the complete bucket into its block.
    fn settle(&mut self) {
        let Some(bucket) = self.pending.take() else { return };
        let length = self.query.length_ms();
        let first = bucket.agg.first_ms;
        if let Some(unsure) = &self.unsure {
            let last = self
                .open
                .as_ref()
                .map_or(unsure.since_ms, |open| open.agg.last_ms);
            // What lies before the pause must not be open any more: it is forgotten.
            let over = unsure.now_ms.saturating_sub(last) >= length;
            if over && first.saturating_sub(last) > length {
                self.unsure = None;
                self.open = None;
                self.done.clear();
            }
        }
        if let Some(open) = &mut self.open {
            let last = open.agg.last_ms;
            let paused = first.saturating_sub(last) > length;
            // All calls of the bucket at the very end still belong to the block; see the module's note.
            let beyond = if first.saturating_sub(open.start_ms) == length {
                bucket.agg.last_ms
            } else {
                first
            };
            if !paused && beyond.saturating_sub(open.start_ms) <= length {
                open.agg.add(&bucket.agg);
                open.models.extend(bucket.models);
                return;
            }
            self.done.extend(self.open.take());
            if paused {
                self.done.push(Open {
                    start_ms: last.saturating_add(length),
                    end_ms: first,
                    agg: Agg::empty(),
                    models: BTreeSet::new(),
                    gap: true,
                });
            }
        }
        let start_ms = first.div_euclid(HOUR_MS).saturating_mul(HOUR_MS);
        self.open = Some(Open {
            start_ms,
            end_ms: start_ms.saturating_add(length),
            agg: bucket.agg,
            models: bucket.models,
            gap: false,
        });
    }

    /// The blocks that are open at `now_ms`. `None`: the rows do not tell where they began, more of the past is needed.
    pub fn latest(mut self, now_ms: i64, name: &dyn Fn(Dimension, u32) -> Name) -> Option<Latest> {
        self.settle();
        self.done.extend(self.open.take());
        let length = self.query.length_ms();
        if self.unsure.is_some() && !self.done.is_empty() {
            return None;
        }
        self.query.active_only = true;
        let calls = || self.done.iter().filter(|open| !open.gap);
        let open = calls().find(|open| open.is_active(length, now_ms));
        let resume = open
            .or_else(|| calls().next_back())
            .map(|open| bucket_of(open.agg.first_ms));
        let blocks = self.finish(now_ms, name);
        Some(Latest { blocks, resume })
    }

    /// The blocks that were asked for, in the order of time, as they stand at `now_ms`.
    pub fn finish(mut self, now_ms: i64, name: &dyn Fn(Dimension, u32) -> Name) -> Vec<Block> {
        self.settle();
        self.done.extend(self.open.take());
        let length = self.query.length_ms();
        let (from, to) = (
            self.query.from_ms.unwrap_or(i64::MIN),
            self.query.to_ms.unwrap_or(i64::MAX),
        );
        let active_only = self.query.active_only;
        (self.done.into_iter())
            .filter(|open| from <= open.start_ms && open.start_ms < to)
            .map(|open| {
                let active = open.is_active(length, now_ms);
                let mut models: Vec<Name> =
                    open.models.iter().map(|&id| name(Dimension::Model, id)).collect();
                models.sort_unstable();
                Block {
                    start_ms: open.start_ms,
                    end_ms: open.end_ms,
                    gap: open.gap,
                    active,
                    burn: if active {
                        Burn::of(&open.agg, open.end_ms, now_ms)
                    } else {
                        None
                    },
                    agg: open.agg,
                    models,
                }
            })
            .filter(|block| block.active || !active_only)
            .collect()
    }
}

impl Open {
    fn is_active(&self, length: i64, now_ms: i64) -> bool {
        !self.gap && now_ms.saturating_sub(self.agg.last_ms) < length && now_ms < self.end_ms
    }
}

#[cfg(test)]
mod tests;
