//! Rollups: sums over calls in 15-minute buckets, kept for ever and exact in every time zone.

use crate::entry::{Record, Rule};
use crate::money::Pico;
use crate::observation::CallKind;
use crate::tokens::Tokens;

/// Length of a bucket in milliseconds. Every zone's offset is a multiple of it.
pub const BUCKET_MS: i64 = 15 * 60 * 1000;

/// The bucket of an instant, counted from the epoch. Instants before the epoch fall into bucket 0.
pub fn bucket_of(at_ms: i64) -> u32 {
    u32::try_from(at_ms.div_euclid(BUCKET_MS)).unwrap_or(0)
}

/// The instant at which a bucket begins.
pub fn bucket_start_ms(bucket: u32) -> i64 {
    i64::from(bucket) * BUCKET_MS
}

/// What a sum can be split by. The number is its place in [`Dims`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Dimension {
    /// The agent.
    Agent = 0,
    /// The provider.
    Provider = 1,
    /// The model as the provider named it.
    Model = 2,
    /// Working directory or repository.
    Project = 3,
    /// The agent's session.
    Session = 4,
    /// The tool.
    Tool = 5,
    /// Person or account.
    User = 6,
    /// Branch, commit, subagent, skill and MCP server together, as [`Place::text`](crate::place::Place::text) writes them.
    Place = 7,
}

impl Dimension {
    /// Every dimension, in the order of [`Dims`].
    pub const ALL: [Dimension; 8] = [
        Dimension::Agent,
        Dimension::Provider,
        Dimension::Model,
        Dimension::Project,
        Dimension::Session,
        Dimension::Tool,
        Dimension::User,
        Dimension::Place,
    ];
}

/// Dictionary ids of a row's names, indexed by [`Dimension`]. Id 0 is the empty name.
pub type Dims = [u32; 8];

/// A sum over calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Agg {
    /// Calls. A cache hit is none.
    pub requests: u64,
    /// Their tokens.
    pub tokens: Tokens,
    /// Their cost by our book.
    pub cost: Pico,
    /// What the agents themselves said, where they said something.
    pub reported_cost: Pico,
    /// Calls without a known price.
    pub unpriced_requests: u64,
    /// Calls that failed.
    pub failed_requests: u64,
    /// Output that the agents' figures leave out, estimated; not in `tokens`.
    pub extra_output: u64,
    /// The part of `requests` that were embeddings.
    pub embedding_requests: u64,
    /// The part of `tokens.input` that was embedded.
    pub embedding_tokens: u64,
    /// The part of `cost` that embeddings cost.
    pub embedding_cost: Pico,
    /// Embeddings that the caller's cache answered.
    pub cache_hits: u64,
    /// Earliest call; `i64::MAX` when there is none.
    pub first_ms: i64,
    /// Latest call; `i64::MIN` when there is none.
    pub last_ms: i64,
    /// What the waste rules found, by rule, in the order of [`Rule::ALL`]; only rules that found something.
    pub waste: Vec<WasteAgg>,
}

/// What one waste rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WasteAgg {
    /// Which rule.
    pub rule: Rule,
    /// How often.
    pub events: u64,
    /// Tokens that would not have been needed.
    pub tokens: u64,
    /// What they cost.
    pub cost: Pico,
}

impl Agg {
    /// No calls.
    pub fn empty() -> Agg {
        Agg {
            first_ms: i64::MAX,
            last_ms: i64::MIN,
            ..Agg::default()
        }
    }

    /// The sum over one call.
    pub fn of(record: &Record) -> Agg {
        let seen = &record.seen;
        if record.is_void() {
            return Agg::empty();
        }
        let mut agg = Agg {
            first_ms: seen.at_ms,
            last_ms: seen.at_ms,
            ..Agg::default()
        };
        if seen.kind == CallKind::CacheHit {
            agg.cache_hits = 1;
            return agg;
        }
        agg.requests = 1;
        agg.tokens = seen.tokens;
        agg.cost = record.cost.unwrap_or_default();
        agg.reported_cost = seen.reported_cost.unwrap_or_default();
        agg.unpriced_requests = u64::from(record.cost.is_none());
        agg.failed_requests = u64::from(seen.failed);
        agg.extra_output = seen.extra_output;
        if seen.kind == CallKind::Embedding {
            agg.embedding_requests = 1;
            agg.embedding_tokens = seen.tokens.input;
            agg.embedding_cost = agg.cost;
        }
        agg.waste = record
            .waste
            .iter()
            .map(|f| WasteAgg {
                rule: f.rule,
                events: 1,
                tokens: f.wasted_tokens,
                cost: f.wasted_cost,
            })
            .collect();
        agg
    }

    /// Adds another sum.
    pub fn add(&mut self, other: &Agg) {
        self.combine(other, u64::saturating_add, |a, b| a + b);
        self.tokens.add(&other.tokens);
        self.first_ms = self.first_ms.min(other.first_ms);
        self.last_ms = self.last_ms.max(other.last_ms);
    }

    /// Takes another sum away again (an amended call). `first_ms` and `last_ms` stay as they were: they bound
    /// the calls, and the call that comes back in its place is the same one.
    pub fn sub(&mut self, other: &Agg) {
        self.combine(other, u64::saturating_sub, |a, b| a - b);
        self.tokens.sub(&other.tokens);
        self.waste.retain(|w| w.events != 0);
    }

    /// Nothing is left in the sum.
    pub fn is_empty(&self) -> bool {
        self.requests == 0 && self.cache_hits == 0
    }

    fn combine(&mut self, other: &Agg, count: fn(u64, u64) -> u64, money: fn(Pico, Pico) -> Pico) {
        self.requests = count(self.requests, other.requests);
        self.cost = money(self.cost, other.cost);
        self.reported_cost = money(self.reported_cost, other.reported_cost);
        self.unpriced_requests = count(self.unpriced_requests, other.unpriced_requests);
        self.failed_requests = count(self.failed_requests, other.failed_requests);
        self.extra_output = count(self.extra_output, other.extra_output);
        self.embedding_requests = count(self.embedding_requests, other.embedding_requests);
        self.embedding_tokens = count(self.embedding_tokens, other.embedding_tokens);
        self.embedding_cost = money(self.embedding_cost, other.embedding_cost);
        self.cache_hits = count(self.cache_hits, other.cache_hits);
        for theirs in &other.waste {
            let at = match self.waste.binary_search_by_key(&theirs.rule, |w| w.rule) {
                Ok(at) => at,
                Err(at) => {
                    let empty = WasteAgg {
                        rule: theirs.rule,
                        events: 0,
                        tokens: 0,
                        cost: Pico::ZERO,
                    };
                    self.waste.insert(at, empty);
                    at
                }
            };
            let ours = &mut self.waste[at];
            ours.events = count(ours.events, theirs.events);
            ours.tokens = count(ours.tokens, theirs.tokens);
            ours.cost = money(ours.cost, theirs.cost);
        }
    }
}
